package httpcompat_test

import (
	"bytes"
	"context"
	"crypto/sha256"
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

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// A fidelity is one thing that a handler and its client must find as they would
// with net/http alone: the same bytes are sent to a server of the handler, and
// to one that asks it through sessions.
type fidelity struct {
	name    string
	handler func(n *notes, w http.ResponseWriter, r *http.Request)
	raw     string // what the client sends, if that is all it does
	steps   []step // else what it does

	set    func(srv *http.Server) // settings of the handler's server
	chunks bool                   // compare the sizes of the body's chunks, which otherwise depend on when each arrives

	cut bool // compare the answer's head alone: how much of the rest arrives is the kernel's affair

	// Why the two are not the same here. They must differ then, and
	// docs/fidelity.md says so.
	differs string
}

// An outcome is all that came of it.
type outcome struct {
	Raw   string   // what the client received; no date, chunks put together
	End   string   // what became of its connection
	Notes []string // what the handler noticed
	Logs  []string // the gist of what was logged
}

// notes are what a handler noticed. Its methods may be called from any
// goroutine.
type notes struct {
	mu    sync.Mutex
	lines []string
	told  []string      // what the client said, in no order with the lines
	more  chan struct{} // closed and made anew with each line
}

func newNotes() *notes { return &notes{more: make(chan struct{})} }

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
	n.wakeLocked()
}

func (n *notes) tell(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, line)
	n.wakeLocked()
}

func (n *notes) wakeLocked() {
	close(n.more)
	n.more = make(chan struct{})
}

// fail notes err by what a program can tell about it.
func (n *notes) fail(what string, err error) { n.add("%s: %s", what, kind(err)) }

func (n *notes) has(line string) (yes bool, more <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.lines, line) || slices.Contains(n.told, line), n.more
}

// await waits for a line. It says false if none came.
func (n *notes) await(line string) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		yes, more := n.has(line)
		if yes {
			return true
		}
		select {
		case <-more:
		case <-t.C:
			return false
		}
	}
}

// A side is a server under comparison.
type side struct {
	addr  string
	notes *notes
	logs  *lockedBuffer
	stop  func() // ends it, and returns when the handler has
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// newServer is the handler's server: one that notes, and answers the request by
// which a client finds out that its connection is still in use.
func (f *fidelity) newServer(n *notes, logs io.Writer, handlers *sync.WaitGroup) *http.Server {
	srv := &http.Server{ErrorLog: log.New(logs, "", 0)}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "/sentinel" {
			_, _ = io.WriteString(w, "sentinel")
			return
		}
		handlers.Add(1)
		defer handlers.Done()
		f.handler(n, w, r)
	})
	if f.set != nil {
		f.set(srv)
	}
	return srv
}

// alone starts the handler's server as it is.
func (f *fidelity) alone(t *testing.T) *side {
	s := &side{notes: newNotes(), logs: new(lockedBuffer)}
	var handlers sync.WaitGroup
	srv := f.newServer(s.notes, s.logs, &handlers)
	s.addr = listenAndServe(t, srv)
	s.stop = func() { await(t, &handlers); _ = srv.Close() }
	return s
}

// through starts it with sessions in between.
func (f *fidelity) through(t *testing.T) *side {
	s := &side{notes: newNotes(), logs: new(lockedBuffer)}
	var handlers sync.WaitGroup
	p := httpcompattest.NewWorkerProxy(httpcompat.ServerHandler(f.newServer(s.notes, s.logs, &handlers)), session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
	p.Logger = slog.New(slog.NewTextHandler(s.logs, nil))
	front := &http.Server{Handler: counted(&handlers, p), ErrorLog: log.New(s.logs, "front: ", 0), DisableGeneralOptionsHandler: true}
	s.addr = listenAndServe(t, front)
	s.stop = func() { await(t, &handlers); _ = front.Close(); p.Close() }
	return s
}

// onLoop starts it behind a front on a loop; what a front adds to requests is
// taken away again.
func (f *fidelity) onLoop(t *testing.T) *side {
	s := &side{notes: newNotes(), logs: new(lockedBuffer)}
	own := f.newServer(s.notes, s.logs, new(sync.WaitGroup)) // the Backend waits for them
	h := own.Handler
	own.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range [...]string{"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
			r.Header.Del(name)
		}
		h.ServeHTTP(w, r)
	})
	b, err := httpcompattest.NewBackend(httpcompat.ServerHandler(own), 1)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(s.logs, nil))
	srv, err := front.Open(front.Options{Listeners: []front.Listener{{Address: "127.0.0.1:0"}}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(&httpcompat.Proxy{Opener: b, Logger: log}, b); err != nil {
		t.Fatal(err)
	}
	s.addr = strings.TrimPrefix(srv.URLs()[0], "http://")
	s.stop = func() {
		for end := time.Now().Add(patience); srv.Active() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Error("a request is still being answered")
				break
			}
		}
		srv.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	return s
}

// counted is h, whose calls are waited for.
func counted(handlers *sync.WaitGroup, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h.ServeHTTP(w, r)
	})
}

// await waits for the handlers, which end soon once the client has gone.
func await(t *testing.T, handlers *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { // ends with the handlers, which the end of both servers ends
		handlers.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Error("a handler is still at work")
	}
}

func listenAndServe(t *testing.T, srv *http.Server) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln) // ends when srv is closed
	return ln.Addr().String()
}

// run does what the client does, and says what came of it.
func (f *fidelity) run(t *testing.T, s *side) outcome {
	t.Helper()
	c := dialClient(t, s)
	steps := f.steps
	if steps == nil {
		steps = []step{sends(f.raw)}
	}
	for _, step := range steps {
		if err := step(c); err != nil {
			t.Errorf("%s: %v; received %q, notes %q", s.addr, err, c.received(), s.notes.lines)
			break
		}
	}
	end := c.finish(f.chunks)
	c.close()
	s.stop()
	text := c.text.String()
	if f.cut {
		text, _, _ = strings.Cut(text, "\r\n\r\n")
	}
	addresses := strings.NewReplacer(c.addr, "client", s.addr, "server")
	o := outcome{Raw: dates.ReplaceAllString(brief(text), "Date: *\r\n"), End: end}
	for _, line := range s.notes.lines {
		o.Notes = append(o.Notes, addresses.Replace(line))
	}
	o.Logs = gists(s.logs.String())
	return o
}

var dates = regexp.MustCompile("Date: [A-Z][a-z]{2}, [^\r]*GMT\r\n")

// brief cuts what is too long to be read.
func brief(s string) string {
	if len(s) < 16<<10 {
		return s
	}
	return fmt.Sprintf("%s… %d bytes, %x …%s", s[:2<<10], len(s), sha256.Sum256([]byte(dates.ReplaceAllString(s, ""))), s[len(s)-64:])
}

var (
	logged   = regexp.MustCompile(`(?m)^(time=\S+ level=)?.*(superfluous|panic serving|invalid Content-Length|Transfer-Encoding|hijacked connection|broke off|level=|front: ).*$`)
	position = regexp.MustCompile(`fidelity\w*_test\.go:\d+`)
)

// gists are what log lines say: what happened, and where in the handler.
func gists(logs string) (lines []string) {
	for _, m := range logged.FindAllStringSubmatchIndex(logs, -1) {
		line, what := logs[m[0]:m[1]], logs[m[4]:m[5]]
		if strings.Contains(line, "the handler gave its answer up") {
			continue // the front's own word, with the request's id, beside what the worker logs as net/http does
		}
		switch what {
		case "panic serving":
			_, value, _ := strings.Cut(line, ": ")
			if _, after, ok := strings.Cut(value, "127.0.0.1:"); ok { // the address, and for us the request before it
				_, value, _ = strings.Cut(after, ": ")
			}
			stack := position.FindString(logs[m[1]:])
			what += " " + value + " at " + stack
		case "superfluous":
			what += " at " + position.FindString(line)
		case "broke off", "level=", "front: ":
			what = line
		}
		lines = append(lines, what)
	}
	return lines
}

// fidelities are all rows there are.
func fidelities() []fidelity {
	return slices.Concat(requestFidelities, bodyFidelities, responseFidelities, headFidelities, controlFidelities, lifeFidelities)
}

func TestFidelity(t *testing.T) {
	names := map[string]bool{}
	for _, f := range fidelities() {
		if names[f.name] {
			t.Fatalf("two rows are named %q", f.name)
		}
		names[f.name] = true
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			want := f.run(t, f.alone(t))
			got := f.run(t, f.through(t))
			d := cmp.Diff(want, got)
			front := f.run(t, f.onLoop(t))
			front.Logs = slices.DeleteFunc(front.Logs, func(line string) bool { return strings.Contains(line, "status=499") })
			if len(front.Logs) == 0 {
				front.Logs = nil
			}
			if d := cmp.Diff(want, front); d != "" && f.differs == "" && !strings.Contains(f.raw, "X-Forwarded-") {
				t.Errorf("-alone +on the loop:\n%s\nalone: %q %s\non the loop: %q %s", d, want.Raw, want.End, front.Raw, front.End)
			}
			switch {
			case d != "" && f.differs == "":
				t.Errorf("-alone +sessions:\n%s\nalone: %q %s\nsessions: %q %s", d, want.Raw, want.End, got.Raw, got.End)
			case d == "" && f.differs != "":
				t.Errorf("there is no difference any more: %s\n%q", f.differs, got.Raw)
			case d != "" && testing.Verbose():
				t.Logf("differs, as declared: %s\n%s", f.differs, d)
			}
		})
	}
}

// live is a context's state in a word.
func live(ctx context.Context) string {
	if ctx.Err() == nil {
		return "live"
	}
	return "done: " + ctx.Err().Error()
}
