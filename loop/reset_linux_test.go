package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// A connection that is reset ends at once, for its handler with the error that was
// given first, and for a TCP peer in a way that is no orderly end; what it had still
// to write is dropped.
func TestReset(t *testing.T) {
	const size = 15 << 20 // bytes; more than the socket's buffers hold
	errOther := errors.New("other")
	for _, tt := range []struct {
		name  string
		send  int
		reset func(c *Conn)
		want  error
		soft  bool // Abort was first, which leaves it to the kernel what a peer sees
	}{
		{"empty", 0, func(c *Conn) { c.Reset(errTest) }, errTest, false},
		{"with output queued", size, func(c *Conn) { c.Reset(errTest) }, errTest, false},
		{"without an error", 0, func(c *Conn) { c.Reset(nil) }, ErrClosed, false},
		{"twice", size, func(c *Conn) { c.Reset(errTest); c.Reset(errOther) }, errTest, false},
		{"and closed", size, func(c *Conn) { c.Reset(errTest); c.Close(errOther); c.CloseWrite() }, errTest, false},
		{"and aborted", size, func(c *Conn) { c.Reset(errTest); c.Abort(errOther) }, errTest, false},
		{"closing", size, func(c *Conn) { c.Close(errOther); c.Reset(errTest) }, errTest, false},
		{"half-closed", size, func(c *Conn) { c.CloseWrite(); c.Reset(errTest) }, errTest, false},
		{"aborted", size, func(c *Conn) { c.Abort(errTest); c.Reset(errOther) }, errTest, true},
	} {
		for _, where := range []string{"outside", "callback"} {
			t.Run(tt.name+"/"+where, func(t *testing.T) {
				eachNetwork(t, func(t *testing.T, network string) {
					l := runLoop(t, Options{})
					closed := make(chan error, 2)
					drained := make(chan struct{}, 2)
					h := &handler{close: func(err error) { closed <- err }, drain: func() { drained <- struct{}{} }}
					h.bytes = func(p []byte) (int, error) {
						tt.reset(h.c)
						return len(p), nil
					}
					c, nc := acceptOne(t, l, network, h)
					sent := 0
					if tt.send > 0 {
						c.Send(make([]byte, tt.send), nil)
						for sent == 0 || c.Written() != int64(sent) { // until the kernel takes nothing more
							sent = int(c.Written())
							time.Sleep(5 * time.Millisecond)
						}
						if sent == tt.send {
							t.Fatal("the kernel has taken all")
						}
					}
					if where == "callback" {
						nc.Write([]byte("x"))
					} else {
						tt.reset(c)
					}
					if err := await(t, closed); err != tt.want {
						t.Errorf("closed with %v, want %v", err, tt.want)
					}
					if n := c.Queued(); n != 0 {
						t.Errorf("%d bytes are queued", n)
					}
					if _, err := c.Send([]byte("x"), nil); err != ErrClosed {
						t.Errorf("Send: %v", err)
					}
					got, err := io.Copy(io.Discard, nc)
					if got > int64(sent) {
						t.Errorf("the peer got %d bytes, of %d that the kernel had", got, sent)
					}
					if network == "tcp" && !tt.soft && !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("the peer got %d bytes and %v", got, err)
					}
					c.Reset(errOther) // it has ended
					onLoop(t, l, func() { c.Reset(errOther) })
					onLoop(t, l, func() {})
					if len(closed)+len(drained) > 0 {
						t.Errorf("OnClose once more: %d; OnDrain: %d", len(closed), len(drained))
					}
				})
			})
		}
	}
}

// A connection that lingers after an orderly close can be reset.
func TestResetAmidLinger(t *testing.T) {
	l := runLoop(t, Options{DiscardTimeout: time.Hour})
	closed := make(chan error, 2)
	c, nc := acceptOne(t, l, "tcp", &handler{close: func(err error) { closed <- err }})
	c.Close(nil)
	if n, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	c.Reset(errTest)
	if err := await(t, closed); err != errTest {
		t.Errorf("closed with %v", err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := nc.Write([]byte("x")); errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the peer goes on writing")
		}
	}
}

// One that is only being dialled ends likewise.
func TestResetBeforeOpen(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		ln := listen(t, l, network, (&handler{}).make, ListenOptions{})
		closed := make(chan error, 2)
		h := &handler{close: func(err error) { closed <- err }}
		h.open = func() { t.Error("it opens") }
		onLoop(t, l, func() {
			c, err := l.Dial(ln.Addr().Network(), ln.Addr().String(), h.make, DialOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			c.Reset(errTest)
		})
		if err := await(t, closed); err != errTest {
			t.Errorf("closed with %v", err)
		}
		onLoop(t, l, func() {})
		if len(closed) > 0 {
			t.Error("OnClose twice")
		}
	})
}

// The socket of ListenUnix can be given to a loop: it accepts there, and its owner
// keeps the path.
func TestListenUnixFile(t *testing.T) {
	l := runLoop(t, Options{})
	path := testAddr(t, "unix")
	std, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer std.Close()
	f, err := std.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Conn, 1)
	ln, err := l.ListenFile(f, func(c *Conn) Handler {
		opened <- c
		h := &handler{}
		h.bytes = func(p []byte) (int, error) {
			h.c.Send(p, nil)
			return len(p), nil
		}
		return h.make(c)
	}, ListenOptions{})
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if a := ln.Addr(); a.Network() != "unix" || a.String() != path {
		t.Errorf("it listens on %v %v", a.Network(), a)
	}
	nc := dialNet(t, ln)
	nc.Write([]byte("hello"))
	p := make([]byte, 5)
	if _, err := io.ReadFull(nc, p); err != nil || string(p) != "hello" {
		t.Errorf("got %q, %v", p, err)
	}
	if pid, _, _, err := await(t, opened).PeerCred(); err != nil || pid != os.Getpid() {
		t.Errorf("the peer is %d, %v", pid, err)
	}
	// The loop's end of listening leaves the path and the socket to their owner.
	ln.Close()
	onLoop(t, l, func() {})
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	late, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	late.Close()
	if c, err := std.Accept(); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	std.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the owner's Close: %v", err)
	}
}
