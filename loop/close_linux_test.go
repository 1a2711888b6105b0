package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCloseBothHalves(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		closed := make(chan error, 2)
		end := func(err error) { closed <- err }
		server := make(chan *Conn, 1)
		ln := listen(t, l, network, func(c *Conn) Handler {
			server <- c
			return &handler{close: end, eof: c.CloseWrite}
		}, ListenOptions{})
		c := dialLoop(t, l, ln, &handler{close: end})
		await(t, server)
		c.CloseWrite() // both ends are ours; nobody calls Close
		for range 2 {
			if err := await(t, closed); err != nil {
				t.Error(err)
			}
		}
		if _, err := c.Send([]byte("x"), nil); err != ErrClosed {
			t.Errorf("Send after CloseWrite: %v", err)
		}
	})
}

func TestGracefulCloseWithUnreadInputOverTCP(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 1)
	h := &handler{close: func(err error) { closed <- err }}
	h.open = func() { h.c.Pause() }
	c, nc := acceptOne(t, l, "tcp", h)
	nc.Write(make([]byte, 100_000))
	answer := pattern(1 << 20)
	c.Send(answer, nil)
	c.Close(nil)
	time.Sleep(20 * time.Millisecond) // a reset would be here by now
	got, err := io.ReadAll(nc)
	if err != nil || !bytes.Equal(got, answer) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := await(t, closed); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		t.Run("peer takes nothing", func(t *testing.T) {
			l := runLoop(t, Options{LingerTimeout: 50 * time.Millisecond})
			closed := make(chan error, 1)
			c, _ := acceptOne(t, l, network, &handler{close: func(err error) { closed <- err }})
			c.Send(make([]byte, 15<<20), nil)
			c.Close(nil)
			if err := await(t, closed); err != ErrLinger {
				t.Error(err)
			}
		})
		t.Run("peer stays", func(t *testing.T) {
			l := runLoop(t, Options{DiscardTimeout: 50 * time.Millisecond})
			closed := make(chan error, 1)
			c, _ := acceptOne(t, l, network, &handler{close: func(err error) { closed <- err }})
			c.Close(errTest)
			if err := await(t, closed); err != errTest {
				t.Error(err)
			}
		})
		t.Run("peer talks on", func(t *testing.T) {
			l := runLoop(t, Options{DiscardTimeout: time.Hour})
			closed := make(chan error, 1)
			c, nc := acceptOne(t, l, network, &handler{close: func(err error) { closed <- err }})
			c.Close(nil)
			buf := make([]byte, 64<<10)
			for {
				if _, err := nc.Write(buf); err != nil {
					break
				}
			}
			if err := await(t, closed); err != nil {
				t.Error(err)
			}
		})
	})
}

// A peer that takes a little all the time keeps an orderly end going, and not one that
// it has brought about itself.
func TestLingerHasATotalAfterAnError(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		const total, bite = 60 << 20, 64 << 10 // bytes
		const between = 4 * time.Millisecond   // all of it would take 3.8 s
		slow := func(nc net.Conn, closed <-chan error) (taken int, err error) {
			buf := make([]byte, bite)
			for {
				select {
				case err := <-closed:
					return taken, err
				case <-time.After(between):
				}
				n, err := io.ReadFull(nc, buf)
				if taken += n; err != nil {
					return taken, await(t, closed)
				}
			}
		}
		for _, half := range []bool{false, true} { // with CloseWrite called before
			l := runLoop(t, Options{LingerTimeout: 500 * time.Millisecond, OutLimit: 2 * total})
			closed := make(chan error, 1)
			h := &handler{close: func(err error) { closed <- err }}
			h.bytes = func(p []byte) (int, error) {
				h.c.Send(make([]byte, total), nil)
				if half {
					h.c.CloseWrite()
				}
				return 0, errTest
			}
			_, nc := acceptOne(t, l, network, h)
			nc.Write([]byte("x"))
			if taken, err := slow(nc, closed); err != errTest || taken == total {
				t.Errorf("half=%v: closed with %v after the peer had taken %d of %d bytes", half, err, taken, total)
			}
			nc.Close()
		}
	})
}

func TestCloseWriteDoesNotWaitForEver(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{LingerTimeout: 50 * time.Millisecond})
		closed := make(chan error, 1)
		c, _ := acceptOne(t, l, network, &handler{close: func(err error) { closed <- err }})
		c.Send(make([]byte, 15<<20), nil)
		c.CloseWrite()
		if err := await(t, closed); err != ErrLinger {
			t.Error(err)
		}
	})
}

func TestCloseFromWithinEveryCallback(t *testing.T) {
	for _, how := range []string{"Close", "Abort", "CloseWrite"} {
		for _, where := range []string{"open", "bytes", "eof", "drain", "timer", "maker"} {
			t.Run(how+" in "+where, func(t *testing.T) {
				l := runLoop(t, Options{})
				closed := make(chan error, 2)
				inside := false
				h := &handler{}
				h.close = func(err error) {
					if inside {
						t.Error("OnClose within another callback")
					}
					closed <- err
				}
				act := func(c *Conn) {
					inside = true
					defer func() { inside = false }()
					c.Send([]byte("bye"), nil)
					switch how {
					case "Close":
						c.Close(errTest)
					case "Abort":
						c.Abort(errTest)
					default:
						c.CloseWrite()
					}
				}
				at := func(place string) func() {
					if place != where {
						return nil
					}
					return func() { act(h.c) }
				}
				h.open, h.eof, h.drain = at("open"), at("eof"), at("drain")
				h.bytes = func(p []byte) (int, error) {
					switch where {
					case "bytes":
						act(h.c)
					case "drain":
						h.c.Send(p, nil)
					case "timer":
						h.c.After(0, func() { act(h.c) })
					}
					return len(p), nil
				}
				ln := listen(t, l, "unix", func(c *Conn) Handler {
					h.c = c
					if where == "maker" {
						act(c)
					}
					return h
				}, ListenOptions{})
				nc := dialNet(t, ln)
				nc.Write([]byte("x"))
				if where == "eof" || how == "CloseWrite" {
					halfClose(t, nc)
				}
				p, _ := io.ReadAll(nc)
				if how != "Abort" && !strings.HasSuffix(string(p), "bye") {
					t.Errorf("peer got %q", p)
				}
				nc.Close()
				err := await(t, closed)
				if how != "CloseWrite" && err != errTest {
					t.Errorf("closed with %v", err)
				}
				onLoop(t, l, func() {})
				if len(closed) > 0 {
					t.Error("OnClose twice")
				}
			})
		}
	}
}

func TestWriteFailureIsToldAtTheEnd(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 1)
	sent := make(chan error, 1)
	h := &handler{close: func(err error) { closed <- err }}
	h.eof = func() {
		_, err := h.c.Send(make([]byte, 1<<20), nil)
		sent <- err
	}
	_, nc := acceptOne(t, l, "unix", h)
	nc.Close()
	if err := await(t, sent); err != nil {
		t.Error(err)
	}
	if err := await(t, closed); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}
