package front

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A script is a connection of net/http's server in memory: what the client sends
// is there from the start, and then it has half-closed.
type script struct {
	in   *bytes.Reader
	out  bytes.Buffer // the server's goroutine alone, until over
	seen []sight      // likewise
	once sync.Once
	over chan struct{} // closed by Close

	answer func(w http.ResponseWriter) // for handlers that take it from here
}

func (s *script) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *script) Close() error                { s.once.Do(func() { close(s.over) }); return nil }

func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }
func (*script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1234} }
func (*script) SetDeadline(time.Time) error      { return nil } // nothing ever waits
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// A sight is what a handler sees of a request.
type sight struct {
	Method, URI, Host, Remote string
	Header                    http.Header
	Length                    int64
	Close                     bool
	Body                      string
}

// A stage is a listener of scripts.
type stage struct {
	scripts chan *script
	over    chan struct{}
	once    sync.Once
}

type scriptKey struct{}

// newStage has srv serve scripts.
func newStage(tb testing.TB, srv *http.Server) *stage {
	st := &stage{scripts: make(chan *script), over: make(chan struct{})}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, scriptKey{}, c) }
	served := make(chan struct{})
	go func() { // ends when srv is closed
		defer close(served)
		_ = srv.Serve(st)
	}()
	tb.Cleanup(func() { _ = srv.Close(); <-served })
	return st
}

func (st *stage) Accept() (net.Conn, error) {
	select {
	case s := <-st.scripts:
		return s, nil
	case <-st.over:
		return nil, net.ErrClosed
	}
}

func (st *stage) Close() error         { st.once.Do(func() { close(st.over) }); return nil }
func (*stage) Addr() net.Addr          { return (*script)(nil).LocalAddr() }
func scriptOf(r *http.Request) *script { return r.Context().Value(scriptKey{}).(*script) }

// play returns what handlers saw of data, and what was answered.
func (st *stage) play(t *testing.T, data []byte) ([]sight, string) {
	t.Helper()
	return st.playScript(t, &script{in: bytes.NewReader(data)})
}

func (st *stage) playScript(t *testing.T, s *script) ([]sight, string) {
	t.Helper()
	s.over = make(chan struct{})
	st.scripts <- s
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.over:
	case <-timer.C:
		t.Fatal("the answer has no end")
	}
	return s.seen, s.out.String()
}

// An oracle is the front's own net/http server, on connections in memory.
type oracle struct {
	s *Server
	*stage
}

func newOracle(tb testing.TB, trusted ...string) *oracle {
	set, err := ParseTrusted(trusted)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Limits: limitsHere, Trusted: set, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = append(body, "… "+err.Error()...)
		}
		x := scriptOf(r)
		x.seen = append(x.seen, sight{r.Method, r.RequestURI, r.Host, r.RemoteAddr, r.Header.Clone(), r.ContentLength, r.Close, string(body)})
	})
	return &oracle{s, newStage(tb, s.srv)}
}

// onLoop is what a worker's handler sees of a head that stays, without its body.
func (o *oracle) onLoop(t *testing.T, h *requestHead) sight {
	t.Helper()
	remote := (*script)(nil).RemoteAddr().String()
	ln := &lane{s: o.s}
	x := &call{ln: ln, c: &client{ln: ln, remote: remote, peer: o.s.o.Trusted.peerOf(remote)}}
	x.encode(h, nil)
	var r heddle.RequestHead
	if err := codec.DecodeRequestHead(&r, x.head); err != nil {
		t.Fatal(err)
	}
	return sight{string(r.Method), string(r.URI), string(r.Extra.Host), string(r.Extra.RemoteAddr), headerOf(r.Headers), r.Extra.ContentLength, r.Extra.Close, ""}
}

// headerOf enters fields as a worker does.
func headerOf(fields []heddle.Header) http.Header {
	h := make(http.Header)
	for _, f := range fields {
		h.Add(string(f.Name), string(f.Value))
	}
	return h
}

// sameHeader compares headers, of which the requests' ids are not those of the
// clients.
func sameHeader(a, b http.Header, keptID bool) bool {
	if !keptID {
		x, y := a[requestID], b[requestID]
		if len(x) != 1 || len(y) != 1 || len(x[0]) != 32 || len(y[0]) != 32 {
			return false
		}
		b[requestID] = x
	}
	return maps.EqualFunc(a, b, slices.Equal)
}

// check compares what a loop makes of data with what net/http does.
func (o *oracle) check(t *testing.T, data []byte) {
	t.Helper()
	var h requestHead
	n, why := h.decide(o.s.o.Limits, data, len(data))
	if why != stays {
		return
	}
	want := o.onLoop(t, &h)
	id := h.one(kindRequestID)
	whole := append(bytes.Clone(data), bytes.Repeat([]byte("GET /body HTTP/1.1\r\n"), int(h.length)/20+1)...)[:n+int(h.length)]
	want.Body = string(whole[n:])
	seen, answer := o.play(t, append(whole, marker...))
	if len(seen) == 0 {
		t.Fatalf("%q\nstays, net/http answers %q", data, answer)
	}
	got := seen[0]
	if !sameHeader(want.Header, got.Header, id != nil && validID(string(id))) {
		t.Fatalf("%q\n-loop +net/http:\n%s", data, cmp.Diff(want.Header, got.Header))
	}
	got.Header, want.Header = nil, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%q\n-loop +net/http:\n%s", data, d)
	}
	switch rest := seen[1:]; {
	case h.close:
		if len(rest) != 0 {
			t.Fatalf("%q\nis the last, and net/http saw %+v", data, rest)
		}
	case len(rest) != 1 || rest[0].URI != "/marker" || rest[0].Host != "marker" || rest[0].Method != "GET" || rest[0].Body != "":
		t.Fatalf("%q\nends elsewhere, net/http saw %+v\nand answered %q", data, rest, answer)
	}
}

// FuzzRequestHead: what stays on the loop is to net/http's server the same request,
// and ends at the same byte, however it comes in pieces.
func FuzzRequestHead(f *testing.F) {
	for i, s := range shapes {
		f.Add([]byte(s.raw), i%2 == 0)
	}
	f.Add([]byte(gets("X-Request-Id: mine", "X-Forwarded-For: 192.0.2.9", "x-forwarded-for: ::1, ", "X-Forwarded-Proto:", "Forwarded: for=\"x", "Pragma: no-cache")), true)
	f.Add([]byte(gets("X-Request-Id: a", "X-Request-Id: b", "X-Forwarded-Host: ", "X-Forwarded-Host: b", "X-Forwarded-Proto: a", "X-Forwarded-Proto:", "Forwarded: for=a", "Forwarded: ;")), true)
	f.Add([]byte(gets(append(strings.Split(strings.Repeat("X: 1,", maxFieldsHere-2)+"X: 1", ","), "Pragma: no-cache")...)), false)
	f.Add([]byte(gets("Connection: keep-alive", "Connection: close", "Content-Length: 00")), false)
	alone, trusting := newOracle(f), newOracle(f, "192.0.2.0/24")
	f.Fuzz(func(t *testing.T, data []byte, trusted bool) {
		if len(data) > 2*limitsHere.MaxHeaderBytes {
			return
		}
		checkPieces(t, limitsHere, data)
		if trusted {
			trusting.check(t, data)
		} else {
			alone.check(t, data)
		}
	})
}
