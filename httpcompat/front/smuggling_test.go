//go:build linux

package front

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// serveOnLoop is serve with a loop below, and a worker of h at its end.
func serveOnLoop(t testing.TB, o Options, h http.Handler) (*Server, *journal) {
	t.Helper()
	b, err := httpcompattest.NewBackend(httpcompat.ServerHandler(&http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	j := new(journal)
	o.Logger = slog.New(slog.NewTextHandler(j, nil))
	o.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Serve(&httpcompat.Proxy{Opener: b, Logger: o.Logger}, b); err != nil {
		t.Fatal(err)
	}
	return s, j
}

// settle returns when the lanes have looked at all that has arrived.
func (s *Server) settle() {
	for range 2 { // the first may be part of a turn that began before
		s.onLanes(func(*lane) {})
	}
}

// A witness is a handler that remembers what it saw, by client.
type witness struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (wi *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h := r.Header.Clone()
	for _, name := range [...]string{requestID, forwardedFor, forwardedProto, forwardedHost, forwarded} {
		h.Del(name)
	}
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s of %q, %d %q, close %v", r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.TransferEncoding, r.Close)
	for _, name := range names {
		fmt.Fprintf(&b, "\n%s: %q", name, h[name])
	}
	fmt.Fprintf(&b, "\n%q, cut off %v, trailer %q", body, err != nil, r.Trailer)
	wi.mu.Lock()
	wi.seen[r.RemoteAddr] = append(wi.seen[r.RemoteAddr], b.String())
	wi.mu.Unlock()
	io.WriteString(w, "seen\n")
}

// of returns what was seen of a client, once: another may have its port later.
func (wi *witness) of(client string) []string {
	wi.mu.Lock()
	defer wi.mu.Unlock()
	defer delete(wi.seen, client)
	return wi.seen[client]
}

// A party is a server that is to understand what others understand.
type party struct {
	*witness
	addr   string
	settle func() // waits until the server has read what it was sent; nil: it is not needed
}

// parties are net/http's server alone, and a front on a loop, of a handler or each
// of its witness.
func parties(t *testing.T, h http.Handler) (alone, loop *party) {
	t.Helper()
	alone, loop = &party{witness: &witness{seen: map[string][]string{}}}, &party{witness: &witness{seen: map[string][]string{}}}
	handler := func(p *party) http.Handler {
		if h != nil {
			return h
		}
		return p
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler(alone), ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(ln) // ends when srv is closed
	alone.addr = ln.Addr().String()
	s, _ := serveOnLoop(t, Options{}, handler(loop))
	loop.addr, loop.settle = addr(s), s.settle
	return alone, loop
}

var dates = regexp.MustCompile("Date: [^\r]*GMT\r\n")

// A reading is what a server made of some bytes: what its handler saw, and what
// the client was told.
type reading struct {
	Seen   []string
	Answer string
}

// reads sends pieces, half-closes, and waits for the connection's end.
func (p *party) reads(t *testing.T, pieces ...string) reading {
	t.Helper()
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := nc.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(patience))
	for i, piece := range pieces {
		if i > 0 && p.settle != nil {
			p.settle()
		}
		if _, err := io.WriteString(c, piece); err != nil {
			break // it has refused what came before
		}
	}
	c.CloseWrite()
	answer := closed(t, c)
	return reading{p.of(c.LocalAddr().String()), dates.ReplaceAllString(answer, "")}
}

// TestSmuggling: whatever a client sends, the front and its worker see the requests
// that net/http alone sees, and no others, and the client is answered the same.
func TestSmuggling(t *testing.T) {
	alone, loop := parties(t, nil)
	marked, refused := 0, 0
	for _, s := range shapes {
		for _, raw := range []string{s.raw + marker, s.raw, plain + s.raw + marker, plain + s.raw, posts("Content-Length: 1") + "x" + s.raw} {
			want, got := alone.reads(t, raw), loop.reads(t, raw)
			switch d := cmp.Diff(want, got); {
			case d != "" && s.differs == "":
				t.Errorf("%s: %q\n-alone +loop:\n%s", s.name, raw, d)
			case d == "" && s.differs != "":
				t.Errorf("%s: there is no difference any more", s.name)
			}
			if raw != s.raw+marker {
				continue
			}
			if len(want.Seen) > 0 && strings.HasPrefix(want.Seen[len(want.Seen)-1], "GET /marker ") {
				marked++
			}
			if strings.Contains(want.Answer, "HTTP/1.1 400 ") {
				refused++
			}
		}
	}
	if marked < len(shapes)/4 || refused < len(shapes)/4 {
		t.Errorf("of %d shapes %d let the next request be seen, and %d are refused: these are not the shapes that were meant", len(shapes), marked, refused)
	}
}

// TestSmugglingInPieces: nor does it matter how it arrives.
func TestSmugglingInPieces(t *testing.T) {
	alone, loop := parties(t, nil)
	for _, s := range shapes {
		if s.differs != "" || len(s.raw) > 300 {
			continue
		}
		raw := s.raw + marker
		want := alone.reads(t, raw)
		if got := loop.reads(t, strings.Split(raw, "")...); !cmp.Equal(want, got) {
			t.Errorf("%s, byte by byte: %q\n-alone +loop:\n%s", s.name, raw, cmp.Diff(want, got))
		}
	}
	for _, name := range []string{"two", "a body that is a request", "LF LF amid a head", "an empty line behind a POST", "a Host of IPv6", "the same length twice", "chunks and a length", "a trailer", "keep-alive and close", "Expect", "a continued line"} {
		i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
		if i < 0 {
			t.Fatalf("there is no shape %q", name)
		}
		raw := shapes[i].raw + marker
		want := alone.reads(t, raw)
		for at := 1; at < len(raw); at++ {
			if got := loop.reads(t, raw[:at], raw[at:]); !cmp.Equal(want, got) {
				t.Errorf("%s, cut at %d: %q\n-alone +loop:\n%s", name, at, raw, cmp.Diff(want, got))
				break
			}
		}
	}
}
