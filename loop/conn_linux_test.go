package loop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestCallbacksInOrder(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		var mu sync.Mutex
		var calls []string
		note := func(format string, args ...any) {
			mu.Lock()
			calls = append(calls, fmt.Sprintf(format, args...))
			mu.Unlock()
		}
		closed := make(chan struct{})
		h := &handler{
			open:  func() { note("open") },
			bytes: func(p []byte) (int, error) { note("bytes %s", p); return len(p), nil },
			eof:   func() { note("eof") },
			drain: func() { note("drain") },
			close: func(err error) { note("close %v", err); close(closed) },
		}
		c, nc := acceptOne(t, l, network, h)
		nc.Write([]byte("hi"))
		halfClose(t, nc)
		called := func(want int) {
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
				mu.Lock()
				n := len(calls)
				mu.Unlock()
				if n >= want {
					return
				}
			}
		}
		called(3)
		c.Send([]byte("yo"), nil)
		io.ReadFull(nc, make([]byte, 2))
		called(4)
		c.Close(nil)
		c.Close(errTest) // only the first counts
		await(t, closed)
		want := []string{"open", "bytes hi", "eof", "drain", "close <nil>"}
		onLoop(t, l, func() {})
		if !slices.Equal(calls, want) {
			t.Errorf("got %q, want %q", calls, want)
		}
	})
}

func TestKeptBackBytesComeAgain(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		// Frames of a length and as many bytes, read in pieces of any size; the loop's
		// buffer is smaller than many of them.
		l := runLoop(t, Options{ReadBuffer: 10_000})
		frames := []int{0, 1, 100, 9_999, 3, 10_001, 70_000, 5, 300_000, 0, 1 << 20, 12}
		var got []int
		done := make(chan struct{})
		h := &handler{}
		h.bytes = func(p []byte) (n int, err error) {
			for len(p) >= 4 {
				size := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
				if len(p) < 4+size {
					break
				}
				if !bytes.Equal(p[4:4+size], pattern(size)) {
					t.Errorf("frame %d is broken", len(got))
				}
				got = append(got, size)
				p = p[4+size:]
				n += 4 + size
			}
			return n, nil
		}
		h.eof = func() { close(done) }
		_, nc := acceptOne(t, l, network, h)
		var all []byte
		for _, size := range frames {
			all = append(all, byte(size>>16), byte(size>>8), byte(size), 0)
			all = append(all, pattern(size)...)
		}
		for i := 1; len(all) > 0; i = i*3%5003 + 1 {
			n := min(i, len(all))
			if _, err := nc.Write(all[:n]); err != nil {
				t.Fatal(err)
			}
			all = all[n:]
		}
		halfClose(t, nc)
		await(t, done)
		if !slices.Equal(got, frames) {
			t.Errorf("got %v, want %v", got, frames)
		}
	})
}

func TestKeepLimit(t *testing.T) {
	l := runLoop(t, Options{KeepLimit: 1000})
	closed := make(chan error, 1)
	h := &handler{bytes: func(p []byte) (int, error) { return 0, nil }, close: func(err error) { closed <- err }}
	_, nc := acceptOne(t, l, "unix", h)
	nc.Write(make([]byte, 1000))
	nc.Write(make([]byte, 1))
	if err := await(t, closed); err != ErrKept {
		t.Error(err)
	}
}

func TestOnBytesErrorDeliversWhatWasSaid(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		closed := make(chan error, 1)
		h := &handler{close: func(err error) { closed <- err }}
		h.bytes = func(p []byte) (int, error) {
			h.c.Send([]byte("you broke the rules"), nil)
			return 0, errTest
		}
		_, nc := acceptOne(t, l, network, h)
		nc.Write([]byte("x"))
		if p, err := io.ReadAll(nc); string(p) != "you broke the rules" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		nc.Close()
		if err := await(t, closed); err != errTest {
			t.Error(err)
		}
	})
}

func TestResumeGivesKeptBytesAgain(t *testing.T) {
	l := runLoop(t, Options{})
	var seen []string
	paused, done := make(chan struct{}), make(chan struct{})
	h := &handler{}
	h.bytes = func(p []byte) (int, error) {
		seen = append(seen, string(p))
		switch len(seen) {
		case 1:
			h.c.Pause()
			close(paused)
			return 1, nil
		case 3:
			close(done)
		case 2:
			h.c.Pause()
			h.c.Resume() // asks for the rest at once, but not within this call
			return 1, nil
		}
		return len(p), nil
	}
	_, nc := acceptOne(t, l, "unix", h)
	nc.Write([]byte("abc"))
	await(t, paused)
	onLoop(t, l, h.c.Resume)
	await(t, done)
	if want := []string{"abc", "bc", "c"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestOverflow(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 1)
	c, _ := acceptOne(t, l, "unix", &handler{close: func(err error) { closed <- err }})
	c.SetLimit(1 << 20)
	p := make([]byte, 10_000)
	for i := 0; ; i++ {
		if _, err := c.Send(p, nil); err != nil {
			if err != ErrOverflow {
				t.Error(err)
			}
			break
		}
		if i > 1000 {
			t.Fatal("no limit")
		}
	}
	if err := await(t, closed); err != ErrOverflow {
		t.Error(err)
	}
	if _, err := c.Send(p, nil); err != ErrClosed {
		t.Error(err)
	}
	if n := c.Queued(); n != 0 {
		t.Errorf("%d bytes queued on a closed connection", n)
	}
}

func TestLowWater(t *testing.T) {
	l := runLoop(t, Options{})
	drained := make(chan int, 100)
	h := &handler{}
	h.drain = func() { drained <- h.c.Queued() }
	c, nc := acceptOne(t, l, "unix", h)
	c.SetLowWater(100_000)
	c.Send(make([]byte, 50_000), nil) // never above
	c.Send(make([]byte, 4<<20), nil)
	go io.Copy(io.Discard, nc) // ends with the connection
	if n := await(t, drained); n > 100_000 {
		t.Errorf("OnDrain with %d bytes queued", n)
	}
	for end := time.Now().Add(patience); c.Queued() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-drained:
		t.Error("OnDrain again")
	default:
	}
	if want := int64(50_000 + 4<<20); c.Written() != want {
		t.Errorf("Written %d, want %d", c.Written(), want)
	}
	c.Abort(nil)
}

func TestWrittenIsExact(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		c, nc := acceptOne(t, l, network, &handler{})
		var end int64
		for range 300 {
			c.SendControl([]byte("control")) // does not count
			end, _ = c.Send(make([]byte, 9_000), []byte("tail"))
		}
		if want := int64(300 * 9_004); end != want {
			t.Errorf("end %d, want %d", end, want)
		}
		got, err := io.ReadFull(nc, make([]byte, 1_000_000))
		if err != nil {
			t.Fatal(err)
		}
		onLoop(t, l, func() {
			w, q := c.Written(), c.Queued()
			if w < int64(got)-300*7 || w > end || w+int64(q) < end {
				t.Errorf("peer has %d bytes at least: written %d, queued %d, end %d", got, w, q, end)
			}
		})
		io.CopyN(io.Discard, nc, end+300*7-int64(got))
		onLoop(t, l, func() {})
		if c.Written() != end || c.Queued() != 0 {
			t.Errorf("written %d, queued %d, want %d, 0", c.Written(), c.Queued(), end)
		}
	})
}

func TestConcurrentSendersShareWrites(t *testing.T) {
	l := runLoop(t, Options{})
	c, nc := acceptOne(t, l, "unix", &handler{})
	const senders, each = 8, 2000
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				for c.Queued() > 1<<20 {
					time.Sleep(100 * time.Microsecond)
				}
				c.Send(fmt.Appendf(nil, "%d %06d ", s, i), bytes.Repeat([]byte{'a' + byte(s)}, 100))
			}
		})
	}
	next := make([]int, senders)
	buf := make([]byte, 109)
	for range senders * each {
		if _, err := io.ReadFull(nc, buf); err != nil {
			t.Fatal(err)
		}
		var s, i int
		fmt.Sscanf(string(buf), "%d %d", &s, &i)
		if i != next[s] || strings.Trim(string(buf[9:]), string(rune('a'+s))) != "" {
			t.Fatalf("sender %d: got %q, want number %d", s, buf, next[s])
		}
		next[s]++
	}
	wg.Wait()
	t.Logf("%d frames in %d writes, %d wake-ups", senders*each, l.Stats().Writes, l.Stats().Wakeups)
}

func TestOneTurnOneWrite(t *testing.T) {
	l := runLoop(t, Options{})
	c, nc := acceptOne(t, l, "unix", &handler{})
	onLoop(t, l, func() {})
	before := l.Stats()
	onLoop(t, l, func() {
		for range 100 {
			c.Send([]byte("frame"), nil)
		}
	})
	io.ReadFull(nc, make([]byte, 500))
	onLoop(t, l, func() {}) // it has counted
	if n := l.Stats().Writes - before.Writes; n != 1 {
		t.Errorf("%d writes", n)
	}
}

func TestDetach(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		for _, within := range []bool{true, false} {
			t.Run(fmt.Sprintf("within OnBytes=%v", within), func(t *testing.T) {
				l := runLoop(t, Options{})
				type left struct {
					nc     net.Conn
					unread string
					err    error
				}
				detached := make(chan left, 1)
				h := &handler{close: func(err error) { t.Errorf("OnClose(%v) after Detach", err) }}
				detach := func() {
					nc, unread, err := h.c.Detach()
					detached <- left{nc, string(unread), err}
				}
				h.bytes = func(p []byte) (int, error) {
					if string(p) != "kept" {
						return 0, nil
					}
					if within {
						detach()
						return 1, errTest // ignored
					}
					h.c.Send([]byte("x"), nil)
					if _, _, err := h.c.Detach(); err != ErrBusy {
						t.Errorf("with output: %v", err)
					}
					h.c.After(time.Hour, func() {})
					return 0, nil
				}
				h.drain = func() { detach() }
				c, peer := acceptOne(t, l, network, h)
				peer.Write([]byte("ke"))
				peer.Write([]byte("pt"))
				d := await(t, detached)
				if d.err != nil || d.unread != "kept" {
					t.Fatalf("%+v", d)
				}
				defer d.nc.Close()
				if _, err := c.Send([]byte("x"), nil); err != ErrClosed {
					t.Errorf("Send after Detach: %v", err)
				}
				peer.Write([]byte("question"))
				p := make([]byte, 8)
				if _, err := io.ReadFull(d.nc, p); err != nil || string(p) != "question" {
					t.Errorf("%q, %v", p, err)
				}
				d.nc.Write([]byte("answer"))
				d.nc.Close()
				want := "answer"
				if !within {
					want = "xanswer"
				}
				if p, err := io.ReadAll(peer); string(p) != want || err != nil {
					t.Errorf("peer got %q, %v", p, err)
				}
			})
		}
	})
}

// What OnBytes was given stays as it is until OnBytes returns, also after Detach.
func TestDetachLeavesWhatIsLent(t *testing.T) {
	l := runLoop(t, Options{})
	begun, checked := make(chan struct{}), make(chan bool, 1)
	h := &handler{}
	var nc net.Conn
	h.bytes = func(p []byte) (int, error) {
		if string(p) != "kept" {
			close(begun)
			return 0, nil
		}
		var err error
		if nc, _, err = h.c.Detach(); err != nil {
			t.Error(err)
		}
		for _, size := range segmentSizes { // whoever needs memory next
			s := getSegment(size)
			s.b = append(s.b, "used"...)
			defer putSegment(s)
		}
		checked <- string(p) == "kept"
		return 0, nil
	}
	_, peer := acceptOne(t, l, "unix", h)
	peer.Write([]byte("ke"))
	await(t, begun)
	peer.Write([]byte("pt"))
	if !await(t, checked) {
		t.Error("the slice lent to OnBytes was used again")
	}
	nc.Close()
}

func TestAdopt(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		ln, err := net.Listen(network, testAddr(t, network))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		near, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		h := &handler{}
		h.bytes = func(p []byte) (int, error) {
			h.c.Send(p, []byte("!"))
			h.c.Close(nil)
			return len(p), nil
		}
		if err := l.Adopt(far, h.make); err != nil {
			t.Fatal(err)
		}
		near.Write([]byte("hello"))
		if p, err := io.ReadAll(near); string(p) != "hello!" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		near.Close()
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		if l.Adopt(a, h.make) == nil {
			t.Error("a pipe was adopted")
		}
	})
}

func TestConnIsSmall(t *testing.T) {
	const goal = 600 // bytes
	size := unsafe.Sizeof(Conn{})
	t.Logf("Conn: %d bytes", size)
	if size > goal {
		t.Errorf("%d bytes, at most %d wanted", size, goal)
	}
}

func TestReadLimit(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		sizes := make(chan int, 10)
		ln := listen(t, l, network, func(c *Conn) Handler {
			h := &handler{open: func() { c.SetReadLimit(10) }, eof: func() { c.Close(nil) }}
			h.bytes = func(p []byte) (int, error) {
				sizes <- len(p)
				if len(p) == 5 {
					c.SetReadLimit(0)
				}
				return len(p), nil
			}
			return h.make(c)
		}, ListenOptions{})
		peer := dialNet(t, ln)
		for _, want := range [][]int{{10, 10, 5}, {25}} {
			if _, err := peer.Write(make([]byte, 25)); err != nil {
				t.Fatal(err)
			}
			for _, n := range want {
				if got := await(t, sizes); got != n {
					t.Errorf("OnBytes was given %d bytes, want %d", got, n)
				}
			}
		}
	})
}
