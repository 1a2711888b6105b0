package loop

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLoopCloseEndsEverything(t *testing.T) {
	l := runLoop(t, Options{})
	var ends atomic.Int64
	end := func(err error) {
		if err != ErrClosed {
			t.Errorf("closed with %v", err)
		}
		ends.Add(1)
	}
	var accepted sync.WaitGroup
	accepted.Add(3)
	ln := listen(t, l, "unix", func(c *Conn) Handler {
		return &handler{open: accepted.Done, close: end}
	}, ListenOptions{})
	for range 3 {
		dialNet(t, ln)
	}
	accepted.Wait()
	// A dial that is under way: to a listener whose backlog is full.
	full := fullBacklog(t)
	c, err := l.Dial("unix", full, (&handler{close: end}).make, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	l.Do(func() { close(ran) })
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { l.Close() })
	}
	wg.Wait()
	await(t, ran)
	if n := ends.Load(); n != 4 {
		t.Errorf("%d of 4 ended", n)
	}
	if err := l.Do(func() { t.Error("ran") }); err != ErrClosed {
		t.Error(err)
	}
	if _, err := c.Send([]byte("x"), nil); err != ErrClosed {
		t.Error(err)
	}
	if err := c.Do(func() { t.Error("ran") }); err != ErrClosed {
		t.Error(err)
	}
	if _, err := l.Listen("tcp", "127.0.0.1:0", nil, ListenOptions{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := l.Dial("tcp", "127.0.0.1:1", nil, DialOptions{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := os.Lstat(ln.Addr().String()); err == nil {
		t.Error("the unix path is still there")
	}
}

func TestLoopClosedFromWithin(t *testing.T) {
	l := runLoop(t, Options{})
	l.Do(func() { l.Close() })
	l.Close()
}

func TestLoopNeverRun(t *testing.T) {
	checkFDs(t)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	l.Do(func() { ran++ })
	if _, err := l.Listen("tcp", "127.0.0.1:0", nil, ListenOptions{}); err != nil {
		t.Error(err)
	}
	var closed error
	l.Dial("unix", "@nobody-listens-here", (&handler{close: func(err error) { closed = err }}).make, DialOptions{})
	l.Close()
	l.Close()
	if err := l.Run(); err != nil {
		t.Error(err)
	}
	if ran != 1 || closed == nil {
		t.Errorf("ran %d, closed %v", ran, closed)
	}
}

func TestDoOrderAndCount(t *testing.T) {
	l := runLoop(t, Options{TasksPerTurn: 7})
	var got []int
	done := make(chan struct{})
	for i := range 1000 {
		l.Do(func() {
			got = append(got, i)
			if i == 999 {
				close(done)
			}
		})
	}
	await(t, done)
	for i, n := range got {
		if i != n {
			t.Fatalf("%d ran as number %d", n, i)
		}
	}
	onLoop(t, l, func() {
		queued := false
		l.Do(func() { queued = true })
		if queued {
			t.Error("Do ran its function at once")
		}
	})
}

func TestListenErrors(t *testing.T) {
	l := runLoop(t, Options{})
	ln := listen(t, l, "tcp", nil, ListenOptions{})
	for _, tt := range []struct {
		network, addr string
		want          error
	}{
		{"tcp", ln.Addr().String(), syscall.EADDRINUSE},
		{"tcp", "192.0.2.1:0", syscall.EADDRNOTAVAIL},
		{"unix", "/no/such/directory/s", syscall.ENOENT},
		{"udp", "127.0.0.1:0", net.UnknownNetworkError("udp")},
	} {
		_, err := l.Listen(tt.network, tt.addr, nil, ListenOptions{})
		var op *net.OpError
		if !errors.Is(err, tt.want) || !errors.As(err, &op) || op.Op != "listen" {
			t.Errorf("%s %s: got %v, want %v", tt.network, tt.addr, err, tt.want)
		}
	}
}

func TestListenerClose(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		echo := func(c *Conn) Handler {
			return &handler{bytes: func(p []byte) (int, error) { c.Send(p, nil); return len(p), nil }}
		}
		ln := listen(t, l, network, echo, ListenOptions{})
		nc := dialNet(t, ln)
		nc.Write([]byte("a"))
		io.ReadFull(nc, make([]byte, 1))
		ln.Close()
		ln.Close()
		if c, err := net.Dial(network, ln.Addr().String()); err == nil {
			c.Close()
			t.Error("still accepting")
		}
		nc.Write([]byte("b")) // accepted ones stay
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		again, err := l.Listen(network, ln.Addr().String(), echo, ListenOptions{})
		if err != nil {
			t.Fatalf("the same address again: %v", err)
		}
		dialNet(t, again)
	})
}

func TestListenFile(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		std, err := net.Listen(network, testAddr(t, network))
		if err != nil {
			t.Fatal(err)
		}
		defer std.Close()
		f, err := std.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ln, err := l.ListenFile(f, func(c *Conn) Handler {
			return &handler{open: func() { c.Send([]byte("hi"), nil); c.Close(nil) }}
		}, ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := io.ReadAll(dialNet(t, ln)); string(p) != "hi" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		ln.Close()
		onLoop(t, l, func() {})
		onLoop(t, l, func() {})
		done := make(chan error, 1)
		go func() { // ends with the accept below
			c, err := net.Dial(network, ln.Addr().String())
			if err == nil {
				c.Close()
			}
			done <- err
		}()
		c, err := std.Accept() // the owner's socket works on
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := await(t, done); err != nil {
			t.Error(err)
		}
		if _, err := l.ListenFile(pipes(t, 1)[0], nil, ListenOptions{}); err == nil {
			t.Error("a pipe was listened on")
		}
	})
}

// Once the socket's owner has shut it down there is nothing to wait for: the listener
// ends, and says so.
func TestListenFileShutDown(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		var log buffer
		l := runLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		std, err := net.Listen(network, testAddr(t, network))
		if err != nil {
			t.Fatal(err)
		}
		defer std.Close()
		f, err := std.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ln, err := l.ListenFile(f, (&handler{}).make, ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		onLoop(t, l, func() {})
		raw, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(patience); !strings.Contains(log.String(), "shut down") && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("log: %q", log.String())
		}
		onLoop(t, l, func() {})
		before := l.Stats()
		time.Sleep(50 * time.Millisecond)
		if n := l.Stats().Events - before.Events; n > 5 { // closing its descriptor takes two turns
			t.Errorf("%d events of a listener that has ended", n)
		}
		ln.Close() // again does no harm
	})
}

func TestDealToOtherLoops(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		front := runLoop(t, Options{})
		loops := []*Loop{front, runAnotherLoop(t, Options{}), runAnotherLoop(t, Options{})}
		n := 0
		owners := make(chan *Loop, 9)
		ln := listen(t, front, network, func(c *Conn) Handler {
			h := &handler{open: func() { c.Pause(); c.Resume(); owners <- c.Loop() }} // checks the goroutine
			h.eof = func() { c.Close(nil) }
			return h
		}, ListenOptions{MaxConns: 9, Deal: func() *Loop { n++; return loops[n%3] }})
		counts := map[*Loop]int{}
		for range 9 {
			dialNet(t, ln).Close()
			counts[await(t, owners)]++
		}
		for _, l := range loops {
			if counts[l] != 3 {
				t.Errorf("dealt %v", counts)
			}
		}
	})
}

func TestMaxConns(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		opened := make(chan struct{}, 10)
		ln := listen(t, l, network, func(c *Conn) Handler {
			return &handler{open: func() { opened <- struct{}{} }, eof: func() { c.Close(nil) }}
		}, ListenOptions{MaxConns: 2})
		var peers []net.Conn
		for range 6 {
			peers = append(peers, dialNet(t, ln)) // the rest waits in the backlog
		}
		await(t, opened)
		await(t, opened)
		select {
		case <-opened:
			t.Error("a third was accepted")
		case <-time.After(30 * time.Millisecond):
		}
		for i := range 4 {
			peers[i].Close()
			await(t, opened)
		}
	})
}

func TestMaxConnsRefused(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		var log buffer
		l := runLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		opened := make(chan struct{}, 10)
		closed := make(chan error, 10)
		ln := listen(t, l, network, func(c *Conn) Handler {
			return &handler{open: func() { opened <- struct{}{} }, eof: func() { c.Close(nil) }, close: func(err error) { closed <- err }}
		}, ListenOptions{MaxConns: 2, Refuse: true})
		first := dialNet(t, ln)
		dialNet(t, ln)
		await(t, opened)
		await(t, opened)
		for range 3 {
			c, err := net.Dial(network, ln.Addr().String())
			if err != nil { // that soon
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Error(err)
				}
				continue
			}
			c.SetDeadline(time.Now().Add(patience))
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the third read %d bytes and %v", n, err)
			}
			c.Close()
		}
		onLoop(t, l, func() {})
		if n := l.Stats().Refused; n != 3 {
			t.Errorf("%d refused, want 3", n)
		}
		if s := log.String(); strings.Count(s, "a connection was refused") != 1 {
			t.Errorf("logged %q, want one line a second", s)
		}
		first.Close()
		await(t, closed)
		dialNet(t, ln)
		await(t, opened)
	})
}

func TestNothingOnStandardOutput(t *testing.T) {
	old := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	defer func() { os.Stdout = old }()
	var log buffer
	oldLog := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(oldLog)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.poller.Close() // epoll_wait will fail
	if err := l.Run(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Run: %v", err)
	}
	w.Close()
	if p, _ := io.ReadAll(r); len(p) > 0 {
		t.Errorf("standard output got %q", p)
	}
	if log.String() == "" {
		t.Error("the log got nothing")
	}
}

func TestIdleLoopDoesNotSpin(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		// Open, half-closed by the peer, paused, and left alone.
		_, idle := acceptOne(t, l, network, &handler{})
		idle.Write([]byte("x"))
		_, half := acceptOne(t, l, network, &handler{})
		halfClose(t, half)
		ph := &handler{}
		ph.open = func() { ph.c.Pause() }
		_, paused := acceptOne(t, l, network, ph)
		paused.Write([]byte("x"))
		halfClose(t, paused)
		time.Sleep(50 * time.Millisecond)
		before := l.Stats()
		time.Sleep(100 * time.Millisecond)
		if n := l.Stats().Events - before.Events; n > 5 { // a late edge or two
			t.Errorf("%d events", n)
		}
	})
}

// TestSpareIsKeptAgain: a listener that could not keep its spare descriptor does as
// soon as there is one.
func TestSpareIsKeptAgain(t *testing.T) {
	l := runLoop(t, Options{})
	ln := listen(t, l, "tcp", func(c *Conn) Handler { return &handler{eof: func() { c.Close(nil) }} }, ListenOptions{Refuse: true})
	onLoop(t, l, func() {
		if !ln.spare.give() {
			t.Error("there was no spare descriptor")
		}
	})
	dialNet(t, ln)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		kept := false
		onLoop(t, l, func() { kept = ln.spare.kept })
		if kept {
			return
		}
		if time.Now().After(end) {
			t.Fatal("there is none again")
		}
	}
}
