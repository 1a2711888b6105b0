//go:build linux

package host

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// atSocket gives options of a cloud at unix sockets, which hold little themselves.
func atSocket(t *testing.T, o Options) Options {
	o.Locator = "unix:" + filepath.Join(t.TempDir(), "l")
	o.Storage = t.TempDir()
	return o
}

// queued is what waits for all clients of a service.
func queued(c *Cloud, service string, d heddle.Dialect) (n int) {
	door := c.find(service).doors[d]
	door.mu.Lock()
	defer door.mu.Unlock()
	for of := range door.conns {
		n += of.link.Queued()
	}
	return n
}

// TestUntakenInSum: what all clients together leave untaken has a bound. A call for
// whose answer there is no room gets an error; the others have theirs whole.
func TestUntakenInSum(t *testing.T) {
	const blob, most, clients = 4 << 20, 16 << 20, 12
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		lines := newLogged()
		c := start(t, atSocket(t, Options{Pending: most, Blob: blob, Logger: slog.New(slog.NewTextHandler(lines, nil))}))
		honest := keep(t, c, d)
		honest.ok(write, "c", "k", strings.Repeat("x", blob))
		var all []*keeper
		for range clients {
			k := keep(t, c, d)
			k.n++
			k.call(k.n, read, "c", "k")
			k.wantHeld()
			all = append(all, k)
		}
		if n := queued(c, "storage", d); n > most+clients*freeHeld {
			t.Errorf("%d bytes wait, want at most %d", n, most)
		}
		lines.want(t, "a call is refused", "service=storage", "too much waits")
		honest.ok(find, "c", []any{"t"}) // what is small goes on
		whole, refused := 0, 0
		for _, k := range all {
			f, _, err := k.next()
			switch {
			case err != nil:
				t.Fatal(err)
			case d == heddle.V1 && f.Type == error1:
				var e []any
				unpack(t, string(f.Args), &e)
				if code := e[0].([]any); code[0] != int64(heddle.CategoryGeneric) || code[1] != int64(105) { // ENOBUFS
					t.Errorf("got %v", e)
				}
				refused++
			case d == heddle.V0 && f.Type == error0:
				var e []any
				unpack(t, string(f.Args), &e)
				if e[0] != int64(heddle.CodeV0Resource) {
					t.Errorf("got %v", e)
				}
				refused++
			case len(f.Args) < blob:
				t.Errorf("got %d bytes of arguments", len(f.Args))
			default:
				whole++
			}
			if d == heddle.V0 {
				k.want(k.n, choke0)
			}
		}
		if refused == 0 || whole < most/blob-1 {
			t.Errorf("%d calls were refused, %d answered", refused, whole)
		}
		wait(t, func() bool { return c.pending.used.Load() == 0 }, "nothing is held")
		honest.ok(read, "c", "k")
	})
}

// wantHeld waits for the first byte of an answer, and leaves it.
func (k *keeper) wantHeld() {
	k.t.Helper()
	b := make([]byte, 1)
	_ = k.nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := k.nc.Read(b); err != nil {
		k.t.Fatal(err)
	}
	k.buf = append(k.buf, b...)
}

// TestHalfFramesInSum: nor have halves of frames. Those for whose rest there is no
// memory wait, and one goes on.
func TestHalfFramesInSum(t *testing.T) {
	const blob, most, clients = 4 << 20, 64 << 20, 40
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		c := start(t, atSocket(t, Options{Pending: most, Blob: blob}))
		frame := codec.AppendMethod(nil, d, 1, write, pack(t, []any{"c", "k", strings.Repeat("x", blob)}))
		var wg sync.WaitGroup
		var sent, half, done atomic.Int64
		goOn := make(chan struct{})
		for range clients {
			p := to(t, c, "storage", d)
			wg.Go(func() { // ends with the connection, at the latest with the test
				for rest := frame[:len(frame)-1]; len(rest) > 0; {
					n, err := p.nc.Write(rest[:min(len(rest), 16<<10)])
					if rest = rest[n:]; err != nil {
						t.Error(err)
						return
					}
					sent.Add(int64(n))
				}
				half.Add(1)
				<-goOn
				if _, err := p.nc.Write(frame[len(frame)-1:]); err != nil {
					t.Error(err)
				}
				f, _, err := p.next()
				switch refused := f.Type == error1 && d == heddle.V1 || f.Type == error0 && d == heddle.V0; {
				case err != nil || refused && !strings.Contains(string(f.Args), "too much waits"):
					t.Errorf("got %v, message %d %.80q", err, f.Type, f.Args)
				case !refused: // as one is while too many others wait for the disk
					done.Add(1)
				}
			})
		}
		wait(t, func() bool { return half.Load() > 0 && !c.pending.left(most/4) }, "little memory is left")
		honest := keep(t, c, d)
		honest.ok(write, "c", "small", "small")
		honest.ok(read, "c", "small")
		// The budget counts them twice, and one goes on. Each may have what was read at once,
		// and what his socket holds.
		if n := sent.Load(); n > most/2+2*blob+clients*(512<<10) {
			t.Errorf("%d bytes were taken of %d", n, clients*len(frame))
		}
		close(goOn)
		wg.Wait()
		if n := done.Load(); n < clients/2 {
			t.Errorf("%d of %d had their turn", n, clients)
		}
		wait(t, func() bool { return c.pending.used.Load() == 0 }, "nothing is held")
	})
}

// TestLateIsEnded: who has had much for longer than Stall goes when others need the
// memory, though he takes a little again and again.
func TestLateIsEnded(t *testing.T) {
	const blob = 8 << 20
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		c := start(t, atSocket(t, Options{Pending: 2*blob + 1<<20, Blob: blob, Stall: 300 * time.Millisecond}))
		honest := keep(t, c, d)
		honest.ok(write, "c", "k", strings.Repeat("x", blob))
		done := make(chan int)
		for i := range 2 {
			late := keep(t, c, d)
			late.call(1, read, "c", "k")
			wait(t, func() bool { return queued(c, "storage", d) > (2*i+1)*blob/2 }, "the answer waits")
			go func() { // ends when its connection has
				n := 0
				for b := make([]byte, 16<<10); ; time.Sleep(20 * time.Millisecond) {
					k, err := late.nc.Read(b)
					if n += k; err != nil {
						done <- n
						return
					}
				}
			}()
		}
		wait(t, func() bool {
			for range 3 {
				k := keep(t, c, d)
				k.call(1, read, "c", "k")
				f, _, err := k.next()
				k.nc.Close()
				if err != nil || len(f.Args) < blob {
					return false
				}
			}
			return true
		}, "somebody else gets his answer")
		n := <-done
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Close(ctx)
		if m := <-done; min(n, m) >= blob {
			t.Errorf("the late ones got %d and %d bytes, all", n, m)
		}
	})
}

// TestOpenCallsInSum: calls that are open cost something, too, with what they were
// opened with.
func TestOpenCallsInSum(t *testing.T) {
	const most = 8 << 20
	c := start(t, atSocket(t, Options{Pending: most, Blob: 1 << 20}))
	must(t, c.Add(Service{Name: "open", Version: 1, V1: []Method{
		Stream(0, "open", 0, session.Streaming, session.Streaming, func(*Call, *None) error { return nil }),
	}}))
	p := to(t, c, "open", heddle.V1)
	for id := uint64(1); id <= 16; id++ {
		p.call(id, 0, strings.Repeat("x", 1<<20)) // which open does not look at
	}
	for last := uint64(0); last < 16; {
		f, _, err := p.next()
		if err != nil || f.Type != error1 || last == 0 && f.Session > most>>20+3 {
			t.Fatalf("got %v, message %d of session %d, want an error", err, f.Type, f.Session)
		}
		last = f.Session
	}
	p.nc.Close()
	wait(t, func() bool { return c.pending.used.Load() == 0 }, "nothing is held")
}

// TestAnswersInFlight: as many answers as methods may be at work are on their way to
// loops, however busy these are.
func TestAnswersInFlight(t *testing.T) {
	l := newLoop(t)
	c := start(t, Options{Loops: []*loop.Loop{l}, Work: 1})
	begun, goOn := make(chan struct{}, 8), make(chan struct{}, 8)
	must(t, c.Add(Service{Name: "works", Version: 1, V1: []Method{Slow(0, "work", 0, func(*Call, *None) (Results, error) {
		begun <- struct{}{}
		<-goOn
		return Results{"x"}, nil
	}), Quick(1, "ping", 0, func(*Call, *None) (Results, error) { return nil, nil })}}))
	var all []*peer
	for range 4 {
		p := to(t, c, "works", heddle.V1)
		p.call(1, 0)
		p.call(2, 1)
		p.want(2, value1) // so the call before it has come, too
		all = append(all, p)
	}
	<-begun
	busy, free := make(chan struct{}), make(chan struct{})
	must(t, l.Do(func() {
		close(busy)
		<-free
	}))
	<-busy
	for range all {
		goOn <- struct{}{}
	}
	select {
	case <-begun:
		t.Error("another one has begun before the loop took the first one's answer")
	case <-time.After(50 * time.Millisecond):
	}
	close(free)
	for _, p := range all {
		p.want(1, value1, "x")
	}
}
