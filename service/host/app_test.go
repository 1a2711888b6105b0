//go:build linux

package host

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// everyWorker runs f with an app of each kind of worker.
func everyWorker(t *testing.T, o Options, f func(t *testing.T, k workerKind, r *rig, c *Cloud)) {
	for _, k := range workerKinds {
		t.Run(k.name, func(t *testing.T) {
			r := newRig(t, k)
			f(t, k, r, r.app(o))
		})
	}
}

// idle waits until nothing is left of any call.
func idle(t *testing.T, r *rig, c *Cloud) {
	t.Helper()
	wait(t, func() bool { return r.mux.Sessions() == 0 && r.end.Sessions() == 0 && c.pending.used.Load() == 0 },
		fmt.Sprintf("no session and nothing that waits: %d, %d, %d", r.mux.Sessions(), r.end.Sessions(), c.pending.used.Load()))
}

// TestEnqueue calls an app from either dialect, and on unix sockets, too.
func TestEnqueue(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "echo")
		for _, chunk := range []string{"one", "", strings.Repeat("long", 5000)} {
			p.call(1, 0, chunk)
			p.want(1, write1, chunk)
		}
		p.call(1, close1)
		p.want(1, close1)
		p.call(2, 0, "echo", "tag", "unused")
		p.call(3, 0, "echo") // two at once
		p.call(3, 0, "three")
		p.want(3, write1, "three")
		p.call(2, 0, "two")
		p.want(2, write1, "two")
		p.call(2, error1, []any{42, 1}, "the client's own")
		var e []any
		p.args(2, error1, &e) // the worker says it again
		if !strings.Contains(fmt.Sprint(e), "the client's own") {
			t.Errorf("got %v", e)
		}
		p.call(3, close1)
		p.want(3, close1)

		v0 := to(t, c, "app", heddle.V0)
		for range 3 {
			v0.call(7, 0, "echo", "blob")
			v0.want(7, chunk0, "blob")
			v0.want(7, choke0)
		}
		v0.call(8, 0, "echo", "", "tag")
		v0.want(8, chunk0, "")
		v0.want(8, choke0)
		idle(t, r, c)
	})
	t.Run("unix", func(t *testing.T) {
		r := newRig(t, workerKinds[1])
		c := r.app(Options{Locator: "unix:" + filepath.Join(t.TempDir(), "l")})
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "echo")
		p.call(1, 0, "one")
		p.want(1, write1, "one")
		v0 := to(t, c, "app", heddle.V0)
		v0.call(0, 0, "echo", "blob")
		v0.want(0, chunk0, "blob")
	})
}

// TestEnqueueHTTP: of Heddle's own workers clients of v0 get what theirs would say.
func TestEnqueueHTTP(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		v0 := to(t, c, "app", heddle.V0)
		v0.call(1, 0, "http", "request")
		for i, chunk := range []string{"head", "one", "two"} {
			if k.heddle && i > 0 {
				chunk = packed(t, chunk)
			}
			v0.want(1, chunk0, chunk)
		}
		v0.want(1, choke0)
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "http")
		for _, chunk := range []string{"head", "one", "two"} {
			p.want(1, write1, chunk)
		}
		p.want(1, close1)
	})
}

// A busyError is what the engine says when nobody is free.
type busyError struct{}

func (busyError) Error() string             { return "busy" }
func (busyError) RetryAfter() time.Duration { return time.Second }

// TestEnqueueErrors: each in the dialect's words.
func TestEnqueueErrors(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		p, v0 := to(t, c, "app", heddle.V1), to(t, c, "app", heddle.V0)
		n := uint64(0)
		fails := func(event string, v1 []any, msg string, code0 int, msg0 string) {
			t.Helper()
			n++
			v0.call(n, 0, event, "blob")
			v0.want(n, error0, code0, msg0)
			v0.want(n, choke0)
			p.call(n, 0, event)
			p.want(n, error1, v1, msg)
			p.call(n, 0, "a late chunk, which is nobody's mistake")
			p.call(n, close1)
		}
		fails("fail", []any{42, 77}, "boom", 77, "boom")
		if k.dialect == heddle.V1 {
			fails("none", []any{42, 200}, "no handler", -100, "no handler")
		}
		r.setQueue(false, busyError{})
		fails("echo", []any{0x52ff, 1}, "the queue is full", 2, "the queue is full")
		r.setQueue(false, errors.New("closed"))
		fails("echo", []any{12, 32}, "the application has been stopped: Broken pipe", 2, "the engine is not active")
		r.setQueue(false, fmt.Errorf("%w", session.ErrTooLarge))
		fails("echo", []any{12, 90}, "the request is too large for the app's workers", 2, "the request is too large for the app's workers")
		r.setQueue(false, nil)
		idle(t, r, c)

		// The worker's death ends all that it had.
		v0.call(100, 0, "wait", "blob")
		p.call(100, 0, "wait")
		p.call(101, 0, "die")
		v0.want(100, error0, 2, "slave has unexpectedly disconnected")
		v0.want(100, choke0)
		for range 2 {
			f, raw, err := p.next()
			if err != nil || f.Type != error1 || !bytes.Contains(raw, []byte("slave has been discarded")) {
				t.Errorf("got %v, %q", err, raw)
			}
		}
		idle(t, r, c)
	})
}

// TestEnqueueWaits: a call waits for a worker, with what its client says meanwhile.
func TestEnqueueWaits(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		r.setQueue(true, nil)
		p, gone, v0 := to(t, c, "app", heddle.V1), to(t, c, "app", heddle.V1), to(t, c, "app", heddle.V0)
		p.call(1, 0, "echo")
		p.call(1, 0, "one")
		p.call(1, 0, "two")
		p.call(1, close1)
		p.call(2, 65533) // ping: all before it was heard
		p.want(2, value1)
		v0.call(1, 0, "echo", "blob")
		gone.call(1, 0, "echo")
		gone.call(1, 0, "of who does not wait")
		gone.call(2, 65533)
		gone.want(2, value1)
		gone.nc.Close()
		wait(t, func() bool { return c.services["app"].doors[heddle.V1].open() == 1 }, "the client is gone")
		wait(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.waiting) == 3 }, "three wait")
		r.free()
		p.want(1, write1, "one")
		p.want(1, write1, "two")
		p.want(1, close1)
		v0.want(1, chunk0, "blob")
		v0.want(1, choke0)
		idle(t, r, c)
	})
}

// TestEnqueueSlowClient: who reads nothing holds nobody else up, costs no more than
// the limits say, and gets all of it in order once he reads.
func TestEnqueueSlowClient(t *testing.T) {
	const chunks = 3000 // 24 MiB
	everyWorker(t, Options{Blob: 32 << 20}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		slow, other := to(t, c, "app", heddle.V1), to(t, c, "app", heddle.V1)
		slow.call(1, 0, fmt.Sprint("stream ", chunks-1))
		slow.call(1, close1)
		for i := range uint64(50) {
			other.call(i+1, 0, "echo")
			other.call(i+1, 0, "quick")
			other.want(i+1, write1, "quick")
			other.call(i+1, close1)
			other.want(i+1, close1)
		}
		for i := range chunks {
			f, _, err := slow.next()
			if err != nil || f.Session != 1 || f.Type != write1 || !bytes.HasPrefix(f.Args[4:], []byte(fmt.Sprintf("%08d", i))) {
				t.Fatalf("chunk %d: got %v, %.40q", i, err, f.Args)
			}
		}
		slow.want(1, close1)
		idle(t, r, c)
	})
}

// TestEnqueueSlowWorker: what a worker does not take waits, up to the limit.
func TestEnqueueSlowWorker(t *testing.T) {
	const limit = 4 << 20
	everyWorker(t, Options{Blob: limit}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		r.setQueue(true, nil)
		defer r.setQueue(false, nil)
		p := to(t, c, "app", heddle.V1)
		chunk := strings.Repeat("x", 100_000)
		p.call(1, 0, "deaf")
		for range 30 {
			p.call(1, 0, chunk)
		}
		p.call(1, close1)
		p.call(2, 0, "deaf")
		for range 60 { // over the limit
			p.call(2, 0, chunk)
		}
		p.want(2, error1, []any{12, 105}, errSlow.Msg)
		r.free()
		p.want(1, write1, fmt.Sprint(30*len(chunk)))
		p.want(1, close1)
		p.call(3, 65533)
		p.want(3, value1)
		p.call(2, close1) // that call's own direction was open still
		idle(t, r, c)
	})
}

// TestEnqueueHeaders: a caller's headers go with the invoke, his trace in front.
func TestEnqueueHeaders(t *testing.T) {
	for _, k := range workerKinds[1:] {
		t.Run(k.name, func(t *testing.T) {
			r := newRig(t, k)
			c := r.app(Options{})
			p := to(t, c, "app", heddle.V1)
			own := codec.Header{Name: []byte("authorization"), Value: []byte("me")}
			for i, hs := range [][]codec.Header{
				{own},
				append([]codec.Header{own}, session.Trace{TraceID: 1, SpanID: 2, ParentID: 3}.Headers()...),
			} {
				p.send(codec.AppendHeaders(codec.AppendMethod(nil, heddle.V1, uint64(i+1), 0, pack(t, []any{"echo"})), 0, hs))
				p.call(uint64(i+1), close1)
				p.want(uint64(i+1), close1)
			}
			zero, id := strings.Repeat("00", 8), func(n int) string { return fmt.Sprintf("%02x%s", n, strings.Repeat("00", 7)) }
			want := []string{"trace_id=" + zero, "span_id=" + zero, "parent_id=" + zero, "authorization=6d65",
				"trace_id=" + id(1), "span_id=" + id(2), "parent_id=" + id(3), "authorization=6d65"}
			r.mu.Lock()
			defer r.mu.Unlock()
			if !slices.Equal(r.seen, want) {
				t.Errorf("got %v, want %v", r.seen, want)
			}
		})
	}
}

// TestEnqueueTimeout: a caller says how long he waits.
func TestEnqueueTimeout(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		p := to(t, c, "app", heddle.V1)
		for i, event := range []string{"wait", "echo"} {
			h := codec.Header{Name: []byte("request_timeout"), Value: []byte("\x32\x00\x00\x00\x00\x00\x00\x00")} // 50 ms
			p.send(codec.AppendHeaders(codec.AppendMethod(nil, heddle.V1, uint64(i+1), 0, pack(t, []any{event})), 0, []codec.Header{h}))
			p.want(uint64(i+1), error1, []any{0x51ff, 3}, "invocation has timed out")
		}
		r.end.Abort(nil) // plain workers are not told
		idle(t, r, c)
	})
}

// TestEnqueueBad: what is no call of an app's ends a connection of v1.
func TestEnqueueBad(t *testing.T) {
	r := newRig(t, workerKinds[1])
	c := r.app(Options{})
	for _, args := range [][]any{{}, {5}, {"echo", 5}, {nil}} {
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, args...)
		p.wantEnd()
	}
	for _, args := range [][]any{{}, {5}, {nil}, {[]any{}}} {
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "wait")
		p.call(1, 0, args...)
		p.wantEnd()
	}
	for _, id := range []uint64{3, 99} {
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "wait")
		p.call(1, id)
		p.wantEnd()
	}
	v0 := to(t, c, "app", heddle.V0)
	v0.call(1, 0, "echo")
	v0.want(1, error0, 1, "argument sequence length mismatch - expected at least 2, got 1")
	v0.want(1, choke0)
	v0.call(1, 0, "echo", []any{"blob"})
	v0.want(1, error0, 1, badArgs)
	v0.want(1, choke0)
	r.end.Abort(nil) // a worker of v1 is not told that a caller has left
	idle(t, r, c)
}

// TestThousandStreams: a client opens a thousand streams and leaves.
func TestThousandStreams(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
			p := to(t, c, "app", d)
			for i := range uint64(1000) {
				args := []any{"stream"}
				if d == heddle.V0 {
					args = append(args, "blob")
				}
				p.send(codec.AppendMethod(nil, d, i+1, 0, pack(t, args)))
			}
			if _, _, err := p.next(); err != nil {
				t.Fatal(err)
			}
			wait(t, func() bool { return r.mux.Sessions() > 900 }, "most of them are open")
			p.nc.Close()
			if k.heddle {
				idle(t, r, c)
			} else {
				wait(t, func() bool { return c.pending.used.Load() == 0 && c.services["app"].doors[d].open() == 0 }, "nothing waits")
			}
			// And others are served.
		}
		p := to(t, c, "app", heddle.V1)
		p.call(1, 1)
		var info []map[string]any
		p.args(1, value1, &info)
		if got := fmt.Sprint(info); got != "[map[name:app state:running]]" {
			t.Errorf("got %s", got)
		}
	})
}

// TestLargeFirst: a first chunk may have whatever a frame has, though a head of Heddle's
// has at most a MiB.
func TestLargeFirst(t *testing.T) {
	everyWorker(t, Options{}, func(t *testing.T, k workerKind, r *rig, c *Cloud) {
		first := to(t, c, "app", heddle.V0) // a worker's first frame is a small one
		first.call(1, 0, "echo", "small")
		first.chunks(1)
		for _, n := range []int{session.MaxHead, session.MaxHead + 1, 10 << 20} {
			blob := strings.Repeat("0123456789abcde\n", n/16+1)[:n]
			p := to(t, c, "app", heddle.V1)
			p.call(1, 0, "echo")
			p.call(1, 0, blob)
			p.call(1, close1)
			if got := strings.Join(p.chunks(1), ""); got != blob {
				t.Errorf("%d bytes: got %d", n, len(got))
			}
			v0 := to(t, c, "app", heddle.V0)
			v0.call(1, 0, "echo", blob)
			if got := strings.Join(v0.chunks(1), ""); got != blob {
				t.Errorf("v0, %d bytes: got %d", n, len(got))
			}
		}
		idle(t, r, c)
	})
}
