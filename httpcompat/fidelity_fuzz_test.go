package httpcompat_test

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// A script is a server's connection in memory: what the client sends is there
// from the start, and then the client has half-closed.
type script struct {
	in   *bytes.Reader
	mu   sync.Mutex
	out  bytes.Buffer
	once sync.Once
	over chan struct{} // closed by Close
}

func (s *script) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.over) })
	return nil
}

func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }
func (*script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1234} }
func (*script) SetDeadline(time.Time) error      { return nil } // nothing ever waits
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// A stage is a listener of scripts.
type stage struct {
	scripts chan *script
	over    chan struct{}
	once    sync.Once
}

func newStage(f interface{ Cleanup(func()) }, srv *http.Server) *stage {
	st := &stage{scripts: make(chan *script), over: make(chan struct{})}
	served := make(chan struct{})
	go func() { // ends when srv is closed
		defer close(served)
		_ = srv.Serve(st)
	}()
	f.Cleanup(func() { _ = srv.Close(); <-served })
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

func (st *stage) Close() error {
	st.once.Do(func() { close(st.over) })
	return nil
}

func (*stage) Addr() net.Addr { return (*script)(nil).LocalAddr() }

// play returns what the server answers to data.
func (st *stage) play(t *testing.T, data []byte) string {
	t.Helper()
	s := &script{in: bytes.NewReader(data), over: make(chan struct{})}
	st.scripts <- s
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.over:
	case <-timer.C:
		t.Fatalf("no end to the answer of %q", data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return dates.ReplaceAllString(s.out.String(), "Date: *\r\n")
}

// stages are h's server alone, and one with sessions in between.
func stages(f *testing.F, h http.Handler) (alone, through *stage) {
	quiet := log.New(io.Discard, "", 0)
	srv := &http.Server{Handler: h, ErrorLog: quiet}
	p := httpcompattest.NewWorkerProxy(httpcompat.ServerHandler(srv), session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
	p.Logger = slog.New(slog.DiscardHandler)
	f.Cleanup(p.Close)
	return newStage(f, &http.Server{Handler: h, ErrorLog: quiet}), newStage(f, &http.Server{Handler: p, ErrorLog: quiet, DisableGeneralOptionsHandler: true})
}

// FuzzRequest sends the same bytes to a handler alone and through sessions: it
// must be called as often, see the same, and answer the same.
func FuzzRequest(f *testing.F) {
	for _, row := range append(requestFidelities, bodyFidelities...) {
		if len(row.raw) < 2000 {
			f.Add([]byte(row.raw))
		}
	}
	f.Add([]byte(upload("Transfer-Encoding: chunked", "Expect: 100-continue") + chunksOf("abcdef", 4)))
	var mu sync.Mutex
	var seen *notes
	alone, through := stages(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n := seen
		mu.Unlock()
		seeHead(n, w, r)
		readAll(n, w, r)
		n.add("trailers after the body: %s", fields(r.Trailer))
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 || bytes.Count(data, []byte("\n")) > 1000 {
			return // more fields than a head may have
		}
		play := func(st *stage) (string, []string) {
			n := newNotes()
			mu.Lock()
			seen = n
			mu.Unlock()
			out := st.play(t, data)
			n.mu.Lock()
			defer n.mu.Unlock()
			for i, line := range n.lines {
				if strings.HasPrefix(line, "from ") {
					n.lines[i] = "from" // the client has half-closed, or will in a moment
				}
			}
			return out, n.lines
		}
		want, wantNotes := play(alone)
		got, gotNotes := play(through)
		if d := cmp.Diff(want, got) + cmp.Diff(wantNotes, gotNotes); d != "" {
			t.Fatalf("%q (-alone +sessions):\n%s", data, d)
		}
	})
}

// FuzzResponse has a handler set fields and write in all ways: the client must
// be told the same.
func FuzzResponse(f *testing.F) {
	const (
		explicit = 1 << iota // calls WriteHeader
		flushes              // between the writes
		informs              // sends a 1xx head before
		changes              // sets fields behind the head, as trailers are
		old                  // HTTP/1.0
		keeps                // and kept alive
		head                 // HEAD
		aborts               // panics at the end
	)
	f.Add(uint8(0), uint16(200), "X-A: 1\nx-b: 2\nX-A: 3", "abc", "")
	f.Add(uint8(explicit), uint16(404), "Content-Length: 3\nContent-Type: a/b", "abc", "d")
	f.Add(uint8(flushes|changes), uint16(200), "Trailer: X-T, X-U\nX-T: 1", "abc", "def")
	f.Add(uint8(informs), uint16(204), "Link: <a>\nConnection: close", "", "")
	f.Add(uint8(explicit|changes), uint16(304), "Transfer-Encoding: chunked\nEtag: x\nTrailer:X-T", "<html>", "x")
	f.Add(uint8(old|keeps), uint16(200), "Connection: keep-alive\nTransfer-Encoding: identity", "GIF89a", "")
	f.Add(uint8(head|flushes), uint16(200), "Content-Encoding: gzip\nDate: x\nTrailer:X-L: 1", "abc", "def")
	f.Add(uint8(aborts|flushes), uint16(500), " X: 1\nX Y: 2\nX\r: \r", "abc", "def")
	type answer struct {
		how         uint8
		status      int
		fields      []string
		first, last string
	}
	var mu sync.Mutex
	var now answer
	alone, through := stages(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		a := now
		mu.Unlock()
		enter := func() {
			for _, line := range a.fields {
				name, value, _ := strings.Cut(line, ": ")
				w.Header()[name] = append(w.Header()[name], value)
			}
		}
		enter()
		if a.how&informs != 0 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if a.how&explicit != 0 {
			w.WriteHeader(a.status)
		}
		_, _ = io.WriteString(w, a.first)
		if a.how&flushes != 0 {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, a.last)
		if a.how&changes != 0 {
			enter()
			w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		}
		if a.how&aborts != 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	f.Fuzz(func(t *testing.T, how uint8, status uint16, text, first, last string) {
		if status < 200 || status > 999 || strings.Count(text, "\n") > 500 || len(text) > 32<<10 || len(first) > 32<<10 || len(last) > 32<<10 {
			return
		}
		for line := range strings.SplitSeq(text, "\n") {
			value, ok := strings.CutPrefix(line, "Content-Length: ")
			if _, err := strconv.ParseUint(value, 10, 63); ok && value != "" && err != nil {
				return // a difference that docs/fidelity.md has
			}
		}
		mu.Lock()
		now = answer{how, int(status), strings.Split(text, "\n"), first, last}
		mu.Unlock()
		request := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		if how&old != 0 {
			request = "GET / HTTP/1.0\r\n\r\n"
			if how&keeps != 0 {
				request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
			}
		}
		if how&head != 0 {
			request = strings.Replace(request, "GET", "HEAD", 1)
		}
		want, got := merged(alone.play(t, []byte(request))), merged(through.play(t, []byte(request)))
		if how&aborts != 0 { // what was not flushed may or may not leave
			want, got = cutHead(want), cutHead(got)
			if how&flushes == 0 {
				return
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%08b %d %q %q %q (-alone +sessions):\n%s", how, status, text, first, last, d)
		}
	})
}

// merged is an answer whose body's chunks are put together.
func merged(answer string) string {
	at := 0
	for strings.HasPrefix(answer[at:], "HTTP/1.1 1") {
		_, after, ok := strings.Cut(answer[at:], "\r\n\r\n")
		if !ok {
			return answer
		}
		at = len(answer) - len(after)
	}
	head, body, ok := strings.Cut(answer[at:], "\r\n\r\n")
	if !ok || !strings.Contains(head+"\r\n", "\r\nTransfer-Encoding: chunked\r\n") {
		return answer
	}
	return answer[:at] + head + "\r\n\r\n" + mergeChunks(body)
}

func cutHead(answer string) string {
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	return head
}
