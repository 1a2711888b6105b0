package front

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// A rig is a front on loops, a worker's handler behind it, and the word of its
// clients' connections.
type rig struct {
	s    *Server
	log  *journal
	b    *httpcompattest.Backend
	gate *gate
}

// newRig starts a front on n loops before h.
func newRig(t testing.TB, o Options, h worker.Handler, n int) *rig {
	t.Helper()
	b, err := httpcompattest.NewBackend(h, n)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{log: new(journal), b: b, gate: &gate{Backend: b}}
	t.Cleanup(func() {
		if r.s != nil {
			r.s.Close()
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	o.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	if r.s, err = Open(o); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Serve(&httpcompat.Proxy{Opener: b, Logger: o.Logger}, r.gate); err != nil {
		t.Fatal(err)
	}
	return r
}

// newHTTPRig is newRig for an http.Handler.
func newHTTPRig(t testing.TB, o Options, h http.HandlerFunc, n int) *rig {
	t.Helper()
	return newRig(t, o, httpcompat.Handler(h), n)
}

// dial connects a client.
func (r *rig) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr(r.s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// sessions are those that are open on every channel.
func (r *rig) sessions() (n int) {
	for i := range r.b.Loops() {
		n += r.b.Mux(i).Sessions()
	}
	return n
}

// settled waits until nothing is left of any client or request, and nobody has
// left for net/http.
func (r *rig) settled(t testing.TB) {
	t.Helper()
	await(t, func() error {
		if st := r.s.Stats(); st.Active != 0 || st.Clients != 0 || r.sessions() != 0 {
			return fmt.Errorf("left behind: %+v, %d sessions", st, r.sessions())
		}
		return nil
	})
	for _, ln := range r.s.lanes {
		ln := ln
		r.on(t, ln, func() {
			if len(ln.clients) > 0 || ln.writing.first != nil || ln.held != 0 {
				t.Errorf("left behind: %d clients, writing %v, %d bytes held", len(ln.clients), ln.writing.first, ln.held)
			}
			for i := range ln.waits {
				if ln.waits[i].first != nil {
					t.Errorf("left behind: a deadline of kind %d", i)
				}
			}
		})
	}
	if st := r.s.Stats(); len(st.HandedOver) > 0 {
		t.Errorf("connections have left their loops: %+v", st)
	}
}

// on runs f on a lane's loop and waits for it.
func (r *rig) on(t testing.TB, ln *lane, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := ln.loop.Do(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// most is the largest that f says of a client.
func (r *rig) most(t testing.TB, f func(*client) int) (n int) {
	t.Helper()
	for _, ln := range r.s.lanes {
		r.on(t, ln, func() {
			for _, c := range ln.clients {
				n = max(n, f(c))
			}
		})
	}
	return n
}

// lines are those of the log that have all of the words.
func (r *rig) lines(words ...string) (n int) {
	for line := range strings.Lines(r.log.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

// await waits until f is content.
func await(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// wait receives from ch.
func wait[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// A gate is a Backend that can be told to have nobody free.
type gate struct {
	*httpcompattest.Backend
	open func(i int, o session.OpenOptions) (*session.Session, error) // instead of the Backend's; nil: its own

	mu   sync.Mutex
	shut bool
	err  error // what OpenOn fails with; nil: nothing
	line []*queued
}

// A queued is a request that waits at a gate.
type queued struct {
	loop  int
	o     session.OpenOptions
	later func(*session.Session, error)
	gone  bool // cancelled, or let go
}

func (g *gate) OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (*session.Session, func() bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return nil, nil, g.err
	case !g.shut:
		s, err := g.openLocked(i, o)
		return s, nil, err
	}
	q := &queued{loop: i, o: o, later: later}
	g.line = append(g.line, q)
	return nil, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		if q.gone {
			return false
		}
		q.gone = true
		return true
	}, nil
}

func (g *gate) openLocked(i int, o session.OpenOptions) (*session.Session, error) {
	if g.open != nil {
		return g.open(i, o)
	}
	s, _, err := g.Backend.OpenOn(i, o, nil)
	return s, err
}

// set has open called instead of the Backend.
func (g *gate) set(open func(i int, o session.OpenOptions) (*session.Session, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// refuse makes OpenOn fail.
func (g *gate) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// close makes requests wait.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// waiting is how many do.
func (g *gate) waiting() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.line {
		if !q.gone {
			n++
		}
	}
	return n
}

// turn takes those that wait out of the line: from now on they cannot be
// cancelled.
func (g *gate) turn() (line []*queued) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	for _, q := range g.line {
		if !q.gone {
			q.gone = true
			line = append(line, q)
		}
	}
	g.line = nil
	return line
}

// call calls those that have waited, on their loops: with err, or with a session.
func (g *gate) call(t testing.TB, line []*queued, err error) {
	for _, q := range line {
		if derr := g.Loops()[q.loop].Do(func() {
			if err != nil {
				q.later(nil, err)
				return
			}
			g.mu.Lock()
			s, err := g.openLocked(q.loop, q.o)
			g.mu.Unlock()
			q.later(s, err)
		}); derr != nil {
			t.Error(derr)
		}
	}
}

// letGo is both.
func (g *gate) letGo(t testing.TB, err error) { g.call(t, g.turn(), err) }

// A busy is what an engine says when its queue is full.
type busy time.Duration

func (busy) Error() string               { return "busy" }
func (b busy) RetryAfter() time.Duration { return time.Duration(b) }

var errTest = errors.New("test")
