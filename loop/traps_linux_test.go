package loop

import (
	"bytes"
	"errors"
	"fmt"
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

// Each test here is named after a way in which event loops lose something.

func TestLastFrameBeforeCloseIsDelivered(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		for _, pending := range []bool{false, true} {
			t.Run(fmt.Sprintf("pending=%v", pending), func(t *testing.T) {
				l := runLoop(t, Options{})
				const rounds = 1000
				type result struct {
					got string
					err error
				}
				results := make(chan result, rounds)
				backlog := make([]byte, 640<<10)
				var behind atomic.Int64 // rounds with output that waits
				ln := listen(t, l, network, func(c *Conn) Handler {
					h := &handler{}
					var got []byte
					h.open = func() {
						if pending { // more than the socket takes
							unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10)
							c.Send(backlog, nil)
						}
					}
					h.bytes = func(p []byte) (int, error) {
						c.Send([]byte("a reply nobody waits for"), nil)
						if c.Queued() > 1000 {
							behind.Add(1)
						}
						got = append(got, p...)
						return len(p), nil
					}
					h.eof = func() { c.Close(nil) }
					h.close = func(err error) { results <- result{string(got), err} }
					return h.make(c)
				}, ListenOptions{})
				lost := 0
				for i := range rounds {
					nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					if tc, ok := nc.(*net.TCPConn); ok && pending {
						tc.SetReadBuffer(4 << 10)
					}
					if pending { // the peer will close with input it has not read, the hardest case
						nc.SetReadDeadline(time.Now().Add(patience))
						io.ReadFull(nc, make([]byte, 1))
					}
					// Two writes make it likely that the loop writes to a closed peer between them.
					fmt.Fprint(nc, "first ")
					want := fmt.Sprintf("first last words %d", i)
					fmt.Fprintf(nc, "last words %d", i)
					nc.Close()
					if r := await(t, results); r.got != want {
						lost++
						t.Logf("round %d: got %q, want %q (closed with %v)", i, r.got, want, r.err)
					}
				}
				if n := behind.Load(); pending && n < rounds/2 {
					t.Errorf("output was pending in %d of %d rounds", n, rounds)
				}
				if lost > 0 {
					t.Errorf("%d of %d last frames lost", lost, rounds)
				}
			})
		}
	})
}

func TestLastFrameWeSendBeforeCloseIsDelivered(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		const rounds = 1000
		answer := bytes.Repeat([]byte("x"), 1000)
		ln := listen(t, l, network, func(c *Conn) Handler {
			h := &handler{}
			h.bytes = func(p []byte) (int, error) { // refuses, with input still on its way
				c.Send(answer, []byte("end"))
				c.Close(nil)
				return 1, nil
			}
			return h.make(c)
		}, ListenOptions{})
		request := make([]byte, 30_000)
		for i := range rounds {
			nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := nc.Write(request); err != nil {
					break
				}
			}
			got, err := io.ReadAll(nc)
			nc.Close()
			if len(got) != len(answer)+3 || err != nil {
				t.Fatalf("round %d: got %d bytes and %v, want %d", i, len(got), err, len(answer)+3)
			}
		}
	})
}

func TestReplyAfterHalfCloseArrivesWhole(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		reply := pattern(8 << 20)
		closed := make(chan error, 1)
		drained := make(chan int, 100)
		h := &handler{close: func(err error) { closed <- err }}
		h.eof = func() {
			if _, err := h.c.Send(reply, nil); err != nil {
				t.Error(err)
			}
			h.c.CloseWrite()
		}
		h.drain = func() { drained <- h.c.Queued() }
		_, nc := acceptOne(t, l, network, h)
		halfClose(t, nc)
		got, err := io.ReadAll(nc)
		if err != nil || !bytes.Equal(got, reply) {
			t.Errorf("got %d bytes and %v, want %d", len(got), err, len(reply))
		}
		if err := await(t, closed); err != nil {
			t.Errorf("closed with %v", err)
		}
		if left := await(t, drained); left != 0 {
			t.Errorf("OnDrain with %d bytes left", left)
		}
		if w := h.c.Written(); w != int64(len(reply)) {
			t.Errorf("Written %d, want %d", w, len(reply))
		}
	})
}

func TestPausedPeerFillsOnlyTheSocketBuffers(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		closed := make(chan error, 1)
		resumed := make(chan struct{})
		var got atomic.Int64
		h := &handler{close: func(err error) { closed <- err }}
		h.open = func() { h.c.Pause() }
		h.bytes = func(p []byte) (int, error) { got.Add(int64(len(p))); return len(p), nil }
		h.eof = func() { close(resumed) }
		c, nc := acceptOne(t, l, network, h)

		nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		sent, err := nc.Write(make([]byte, 64<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a paused peer sent %d bytes, then %v", sent, err)
		}
		if sent > 16<<20 || got.Load() != 0 {
			t.Errorf("paused: %d bytes sent, %d delivered", sent, got.Load())
		}
		before := l.Stats().Events
		time.Sleep(50 * time.Millisecond) // a wrong registration would spin now
		if n := l.Stats().Events - before; n > 20 {
			t.Errorf("%d events while paused", n)
		}
		halfClose(t, nc)
		onLoop(t, l, c.Resume)
		await(t, resumed)
		if got.Load() != int64(sent) {
			t.Errorf("%d bytes sent, %d delivered after Resume", sent, got.Load())
		}
	})
}

func TestPausedPeersLeavingIsNoticed(t *testing.T) {
	pausedConn := func(t *testing.T, l *Loop, network string) (*handler, net.Conn, chan error) {
		closed := make(chan error, 1)
		h := &handler{close: func(err error) { closed <- err }}
		opened := make(chan struct{})
		h.open = func() { h.c.Pause(); close(opened) }
		_, nc := acceptOne(t, l, network, h)
		await(t, opened)
		return h, nc, closed
	}
	t.Run("unix", func(t *testing.T) {
		l := runLoop(t, Options{})
		_, nc, closed := pausedConn(t, l, "unix")
		nc.Write([]byte("unread"))
		nc.Close()
		if err := await(t, closed); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("closed with %v", err)
		}
	})
	t.Run("tcp reset", func(t *testing.T) {
		l := runLoop(t, Options{})
		_, nc, closed := pausedConn(t, l, "tcp")
		nc.(*net.TCPConn).SetLinger(0)
		nc.Close()
		if err := await(t, closed); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("closed with %v", err)
		}
	})
	t.Run("half-close comes after Resume", func(t *testing.T) {
		l := runLoop(t, Options{})
		h, nc, closed := pausedConn(t, l, "tcp")
		var got buffer
		eof := make(chan string, 1)
		onLoop(t, l, func() {
			h.bytes = got.Write
			h.eof = func() { eof <- got.String() }
		})
		nc.Write([]byte("before"))
		halfClose(t, nc)
		select {
		case <-eof:
			t.Error("OnEOF while paused")
		case err := <-closed:
			t.Errorf("closed with %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		onLoop(t, l, h.c.Resume)
		if s := await(t, eof); s != "before" {
			t.Errorf("got %q", s)
		}
		_, _ = h.c.Send([]byte("after"), nil)
		h.c.Close(nil)
		if p, err := io.ReadAll(nc); string(p) != "after" || err != nil {
			t.Errorf("peer got %q, %v", p, err)
		}
		await(t, closed)
	})
	for _, network := range networks {
		t.Run("OnLeave "+network, func(t *testing.T) {
			l := runLoop(t, Options{})
			h := &leaveHandler{left: make(chan bool, 10)}
			var got buffer
			eof := make(chan string, 1)
			h.open = func() { h.c.Pause() }
			h.bytes = got.Write
			h.eof = func() { eof <- got.String() }
			ln := listen(t, l, network, func(c *Conn) Handler { h.c = c; return h }, ListenOptions{})
			nc := dialNet(t, ln)
			nc.Write([]byte("last words"))
			halfClose(t, nc)
			if await(t, h.left) {
				t.Error("half-closed, told gone")
			}
			if network == "unix" {
				nc.Close()
				if !await(t, h.left) {
					t.Error("gone, told half-closed")
				}
			}
			onLoop(t, l, h.c.Resume)
			if s := await(t, eof); s != "last words" {
				t.Errorf("got %q", s)
			}
		})
	}
}

type leaveHandler struct {
	handler
	left chan bool
}

func (h *leaveHandler) OnLeave(gone bool) { h.left <- gone }

func TestAcceptingSurvivesRunningOutOfDescriptors(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		t.Run("waiting", func(t *testing.T) { runOutOfDescriptors(t, network, false) })
		t.Run("refusing", func(t *testing.T) { runOutOfDescriptors(t, network, true) })
	})
}

func runOutOfDescriptors(t *testing.T, network string, refuse bool) {
	var log buffer
	l := runLoop(t, Options{AcceptPause: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	opened := make(chan struct{}, 100)
	ln := listen(t, l, network, func(c *Conn) Handler {
		h := &handler{open: func() { opened <- struct{}{} }}
		h.eof = func() { c.Close(nil) }
		return h.make(c)
	}, ListenOptions{Refuse: refuse})
	onLoop(t, l, func() {}) // it listens, and has its spare descriptor

	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// A socket for the client, then none for the server.
	domain, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: ln.Addr().String()})
	if network == "tcp" {
		domain, sa = unix.AF_INET, &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fd), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
	defer restore()
	// Lower numbers that are free would still be given: use them up.
	var filler []int
	for {
		n, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		filler = append(filler, n)
	}
	defer closeAll(filler)
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	done := func() bool { return l.Stats().AcceptPauses >= 2 }
	if refuse {
		done = func() bool { return l.Stats().Refused == 1 }
	}
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("accepting went on: %+v", l.Stats())
		}
	}
	if n := l.Stats().Accepted; n != 0 {
		t.Fatalf("accepted %d", n)
	}
	if refuse {
		var b [1]byte
		if n, err := unix.Read(fd, b[:]); n > 0 || err != unix.ECONNRESET && !(network == "unix" && err == nil) {
			t.Errorf("the one too many read %d bytes and %v", n, err)
		}
		if s := log.String(); strings.Count(s, "a connection was refused") != 1 || !strings.Contains(s, "too many open files") {
			t.Errorf("logged %q", s)
		}
	}
	restore()
	if refuse {
		dialNet(t, ln) // the next one is welcome again
		await(t, opened)
		return
	}
	await(t, opened) // the very connection that waited
}

func TestWriteToAClosedConnectionReachesNobody(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		conns := make(chan *Conn, 1)
		closed := make(chan error, 1)
		ln := listen(t, l, network, func(c *Conn) Handler {
			h := &handler{close: func(err error) { closed <- err }}
			h.eof = func() { c.Close(nil) }
			conns <- c
			return h.make(c)
		}, ListenOptions{})
		for range 100 {
			first := dialNet(t, ln)
			a := await(t, conns)
			first.Close()
			await(t, closed)
			second := dialNet(t, ln) // gets the number of the first
			b := await(t, conns)
			if _, err := a.Send([]byte("SECRET for A"), nil); err != ErrClosed {
				t.Fatalf("Send on a closed connection: %v", err)
			}
			if err := a.SendControl([]byte("SECRET for A")); err != ErrClosed {
				t.Fatalf("SendControl on a closed connection: %v", err)
			}
			a.Close(nil)
			a.Abort(nil)
			a.CloseWrite()
			b.Send([]byte("for B"), nil)
			b.Close(nil)
			got, err := io.ReadAll(second)
			if string(got) != "for B" || err != nil {
				t.Fatalf("B got %q, %v", got, err)
			}
			second.Close()
			await(t, closed)
		}
	})
}

func TestNumberUsedAgainInOneBatchGetsNoStaleEvent(t *testing.T) {
	// All peers speak and leave at once, while others connect: the loop sees closes
	// and accepts in the same batches. Every connection must see its own bytes only.
	l := runLoop(t, Options{})
	const peers = 400
	results := make(chan string, peers)
	ln := listen(t, l, "unix", func(c *Conn) Handler {
		h := &handler{}
		var got []byte
		h.bytes = func(p []byte) (int, error) {
			got = append(got, p...)
			return len(p), nil
		}
		h.eof = func() { c.Abort(errTest) }
		h.close = func(error) { results <- string(got) }
		return h.make(c)
	}, ListenOptions{})
	var wg sync.WaitGroup
	for i := range peers {
		wg.Go(func() {
			nc, err := net.Dial("unix", ln.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(nc, "peer %d", i)
			nc.Close()
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for range peers {
		s := await(t, results)
		if seen[s] || !strings.HasPrefix(s, "peer ") {
			t.Errorf("saw %q (again: %v)", s, seen[s])
		}
		seen[s] = true
	}
}

func TestBusySendersDoNotKeepTheLoopFromReading(t *testing.T) {
	l := runLoop(t, Options{})
	sink := &handler{}
	out, drain := acceptOne(t, l, "unix", sink)
	go io.Copy(io.Discard, drain) // ends when the loop closes the connection
	echo := &handler{}
	echo.bytes = func(p []byte) (int, error) { echo.c.Send(p, nil); return len(p), nil }
	_, nc := acceptOne(t, l, "unix", echo)

	var stop atomic.Bool
	var tasks atomic.Int64 // queued
	var wg sync.WaitGroup
	frame := make([]byte, 140)
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if out.Queued() < 8<<20 {
					out.Send(frame, nil)
				}
				if tasks.Add(1) < 10_000 {
					l.Do(func() { tasks.Add(-1) })
				} else {
					tasks.Add(-1)
				}
			}
		})
	}
	buf := make([]byte, 4)
	for range 30 { // few: on one processor the senders get most of the time
		if _, err := nc.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, buf); err != nil {
			t.Fatalf("the loop did not answer: %v", err)
		}
	}
	stop.Store(true)
	wg.Wait()
	out.Abort(nil)
}

func TestPanicClosesTheChannelOnly(t *testing.T) {
	var log buffer
	l := runLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	type step struct {
		name  string
		setup func(h *handler)
	}
	for _, s := range []step{
		{"OnOpen", func(h *handler) { h.open = func() { panic("boom") } }},
		{"OnBytes", func(h *handler) { h.bytes = func([]byte) (int, error) { panic("boom") } }},
		{"OnEOF", func(h *handler) { h.eof = func() { panic("boom") } }},
		{"OnDrain", func(h *handler) {
			h.bytes = func(p []byte) (int, error) { h.c.Send(p, nil); return len(p), nil }
			h.drain = func() { panic("boom") }
		}},
		{"timer", func(h *handler) { h.open = func() { h.c.After(0, func() { panic("boom") }) } }},
		{"Do", func(h *handler) { h.open = func() { h.c.Do(func() { panic("boom") }) } }},
	} {
		t.Run(s.name, func(t *testing.T) {
			closed := make(chan error, 2)
			h := &handler{close: func(err error) { closed <- err }}
			s.setup(h)
			_, nc := acceptOne(t, l, "unix", h)
			nc.Write([]byte("x"))
			halfClose(t, nc)
			if err := await(t, closed); !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "boom") {
				t.Errorf("closed with %v", err)
			}
			if !strings.Contains(log.String(), s.name) || !strings.Contains(log.String(), "traps_linux_test.go") {
				t.Errorf("log has no stack: %s", log.String())
			}
		})
	}
	t.Run("OnClose", func(t *testing.T) {
		h := &handler{close: func(error) { panic("boom") }}
		c, nc := acceptOne(t, l, "unix", h)
		c.Close(nil)
		io.ReadAll(nc)
	})
	t.Run("maker", func(t *testing.T) {
		ln := listen(t, l, "unix", func(*Conn) Handler { panic("boom") }, ListenOptions{})
		if p, err := io.ReadAll(dialNet(t, ln)); len(p) > 0 || err != nil {
			t.Errorf("%q, %v", p, err)
		}
	})
	t.Run("loop's own", func(t *testing.T) {
		onLoop(t, l, func() { l.After(0, func() { panic("boom") }) })
		l.Do(func() { panic("boom") })
	})
	onLoop(t, l, func() {}) // it lives
	for end := time.Now().Add(patience); l.Stats().Panics < 10 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := l.Stats().Panics; n != 10 {
		t.Errorf("%d panics counted", n)
	}
}

func TestUrgentByteDoesNotSpin(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		var got buffer
		seen := make(chan struct{}, 10)
		h := &handler{bytes: func(p []byte) (int, error) { seen <- struct{}{}; return got.Write(p) }}
		_, nc := acceptOne(t, l, network, h)
		nc.Write([]byte("a"))
		await(t, seen)
		raw, _ := nc.(syscall.Conn).SyscallConn()
		raw.Write(func(fd uintptr) bool {
			if err := unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil); err != nil {
				t.Skip(err) // AF_UNIX without it
			}
			return true
		})
		time.Sleep(100 * time.Millisecond)
		if n := l.Stats().Events; n > 100 {
			t.Errorf("%d events", n)
		}
		nc.Write([]byte("b"))
		for end := time.Now().Add(patience); !strings.HasSuffix(got.String(), "b"); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("got %q", got.String())
			}
		}
	})
}
