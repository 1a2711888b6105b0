package loop

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The runtime's own poller opens descriptors with first use; then they stay.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second // for events that have to come; the machine is shared

// handler is a Handler made of functions; nil ones do nothing.
type handler struct {
	c     *Conn
	open  func()
	bytes func(p []byte) (int, error)
	eof   func()
	drain func()
	close func(err error)
}

func (h *handler) OnOpen() {
	if h.open != nil {
		h.open()
	}
}

func (h *handler) OnBytes(p []byte) (int, error) {
	if h.bytes != nil {
		return h.bytes(p)
	}
	return len(p), nil
}

func (h *handler) OnEOF() {
	if h.eof != nil {
		h.eof()
	}
}

func (h *handler) OnDrain() {
	if h.drain != nil {
		h.drain()
	}
}

func (h *handler) OnClose(err error) {
	if h.close != nil {
		h.close(err)
	}
}

// make is the function that Listen, Dial and Adopt want.
func (h *handler) make(c *Conn) Handler {
	h.c = c
	return h
}

// runLoop runs a loop for the length of the test, at whose end every descriptor has
// to be closed again.
func runLoop(t testing.TB, o Options) *Loop {
	t.Helper()
	checkFDs(t)
	return runAnotherLoop(t, o)
}

// runAnotherLoop is runLoop for a test's second loop.
func runAnotherLoop(t testing.TB, o Options) *Loop {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		l.Close()
		if err := await(t, done); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if s := l.Stats(); s.Conns != 0 || s.Timers != 0 {
			t.Errorf("after the end: %d connections, %d timers", s.Conns, s.Timers)
		}
	})
	return l
}

// checkFDs fails the test if it ends with more descriptors than it began with.
func checkFDs(t testing.TB) {
	before := countFDs(t)
	t.Cleanup(func() {
		var after int
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			// net's own closes may be on their way in other goroutines
			if after = countFDs(t); after <= before {
				return
			}
		}
		t.Errorf("%d descriptors open, %d before the test", after, before)
	})
}

func countFDs(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// await receives from ch, or fails the test.
func await[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// onLoop runs fn on l and waits.
func onLoop(t testing.TB, l *Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if err := l.Do(func() { defer close(done); fn() }); err != nil {
		t.Fatal(err)
	}
	await(t, done)
}

var networks = []string{"unix", "tcp"}

// eachNetwork runs a test over unix and TCP.
func eachNetwork(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

func testAddr(t testing.TB, network string) string {
	if network == "unix" {
		dir, err := os.MkdirTemp("", "loop") // t.TempDir's names can be too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return filepath.Join(dir, "s")
	}
	return "127.0.0.1:0"
}

func listen(t testing.TB, l *Loop, network string, accept func(*Conn) Handler, o ListenOptions) *Listener {
	t.Helper()
	ln, err := l.Listen(network, testAddr(t, network), accept, o)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// dialNet connects to ln with package net.
func dialNet(t testing.TB, ln *Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { nc.Close() })
	return nc
}

func dialLoop(t testing.TB, l *Loop, ln *Listener, h *handler) *Conn {
	t.Helper()
	c, err := l.Dial(ln.Addr().Network(), ln.Addr().String(), h.make, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// acceptOne listens with one handler and returns a package net peer of it.
func acceptOne(t testing.TB, l *Loop, network string, h *handler) (c *Conn, peer net.Conn) {
	t.Helper()
	opened := make(chan *Conn, 1)
	ln := listen(t, l, network, func(c *Conn) Handler {
		opened <- c
		return h.make(c)
	}, ListenOptions{})
	peer = dialNet(t, ln)
	return await(t, opened), peer
}

func halfClose(t testing.TB, nc net.Conn) {
	t.Helper()
	if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// buffer collects what a handler saw; any goroutine.
type buffer struct {
	mu sync.Mutex
	b  []byte
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.b)
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

var errTest = errors.New("test")
