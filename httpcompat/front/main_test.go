package front

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should take moments.
const patience = 20 * time.Second

// A journal is a log to be looked at.
type journal struct {
	mu sync.Mutex
	b  strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// await waits until a line has all of the words.
func (j *journal) await(t *testing.T, words ...string) string {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if line := j.find(words...); line != "" {
			return line
		}
	}
	t.Fatalf("no line with %q in the log:\n%s", words, j)
	return ""
}

func (j *journal) find(words ...string) string {
	for line := range strings.Lines(j.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			return line
		}
	}
	return ""
}

// serve starts a server on a free port of loopback; o.Listeners may say more.
func serve(t *testing.T, o Options, h http.Handler) (*Server, *journal) {
	t.Helper()
	j := new(journal)
	o.Logger = slog.New(slog.NewTextHandler(j, nil))
	if o.Listeners == nil {
		o.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Serve(h, nil); err != nil {
		t.Fatal(err)
	}
	return s, j
}

// addr is where the first listener is.
func addr(s *Server) string { return s.lns[0].Addr().String() }

// dial connects to the first listener.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	a := s.lns[0].Addr()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// send writes raw and reads one answer.
func send(t *testing.T, c net.Conn, raw string) (resp *http.Response, body string) {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, bufio.NewReader(c))
}

func readAnswer(t *testing.T, br *bufio.Reader) (resp *http.Response, body string) {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

const plain = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"

// closed waits until the peer has closed, and returns what it said before.
func closed(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the connection stays open; it said %q", b)
	}
	return string(b)
}
