package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
)

func open(t *testing.T, e *Engine, event string) *session.Session {
	t.Helper()
	s, err := e.Open(t.Context(), session.OpenOptions{Event: event})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Sessions go to the least loaded worker, and each loop has its turn.
func TestLeastLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 3, Loops: 2})
		start(t, e)
		for range 12 {
			open(t, e, "hang")
		}
		for _, c := range e.living() {
			for _, ch := range c.all() {
				if n := ch.mux.Load(); n != 2 {
					t.Errorf("worker %d has %d sessions on loop %d, want 2", c.index, n, ch.lane.index)
				}
			}
		}
		for i, st := range e.Status().Workers {
			if st.Index != i || st.Sessions != 4 || st.State != "online" || st.Pid == 0 || len(st.ID) != 36 {
				t.Errorf("status %+v", st)
			}
		}
	})
}

// A channel with more than HighWater queued is not chosen.
func TestHighWater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 2})
		start(t, e)
		w.mu.Lock()
		full := w.ends[0] // the engine's end of the first connection
		w.mu.Unlock()
		full.Stall(true)
		if _, err := full.Send(nil, make([]byte, session.HighWater)); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if got, err := ask(t, e, "echo"); got != "first" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	})
}

// Who waits is served first come, first served, as soon as somebody is free.
func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Concurrency: 1})
		start(t, e)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				s, err := e.Open(t.Context(), session.OpenOptions{Event: "slow 1s", Last: true})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				if got, err := answer(s); got != "at last" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
			synctest.Wait()
		}
		if st := e.Stats(); st.Waiting != 5 || st.Sessions != 1 || st.Queued != 5 {
			t.Errorf("stats %+v", st)
		}
		all.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4 5]" {
			t.Errorf("order %s", got)
		}
	})
}

// Concurrency counts on each loop by itself.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 2, Loops: 2, Concurrency: 3, Queue: QueueOptions{Len: 1, Age: time.Second}})
		start(t, e)
		for range 12 {
			open(t, e, "hang")
		}
		begun := time.Now()
		_, err := e.Open(t.Context(), session.OpenOptions{Event: "echo"})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.RetryAfter() != time.Second || time.Since(begun) != time.Second || busy.Online != 2 {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

func TestQueueLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Concurrency: 1, Queue: QueueOptions{Len: 2, Age: 5 * time.Second}})
		start(t, e)
		first := open(t, e, "hang")
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 3)
		for _, c := range []context.Context{ctx, t.Context()} {
			go func() {
				_, err := e.Open(c, session.OpenOptions{Event: "echo"})
				errs <- err
			}()
		}
		synctest.Wait()
		_, err := e.Open(t.Context(), session.OpenOptions{Event: "echo"})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Waited != 0 || err.Error() != "engine: every worker is busy and the queue is full" {
			t.Errorf("third: got %v", err)
		}
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
		if err := <-errs; !errors.As(err, &busy) || busy.Waited != 5*time.Second {
			t.Errorf("aged: got %v", err)
		}
		if st := e.Stats(); st.Full != 1 || st.Aged != 1 || st.Waiting != 0 || st.Queued != 3 {
			t.Errorf("stats %+v", st)
		}
		// The one that holds the worker goes: there is room again, and nobody
		// else was given it.
		first.Cancel(nil)
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// While no worker is online requests wait; Retry-After says until when.
func TestNobodyOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		w.born = func(p *fakeProcess) {
			p.work("")
			if p.n < 3 {
				time.Sleep(10 * time.Millisecond)
				p.die(exit{code: 1})
			}
		}
		e := newFake(t, w, Options{Backoff: BackoffOptions{Min: 30 * time.Second, Max: time.Hour}})
		start(t, e)
		time.Sleep(time.Second)
		_, err := ask(t, e, "echo")
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Online != 0 || busy.RetryAfter() < 3*time.Second || busy.RetryAfter() > 20*time.Second {
			t.Fatalf("got %v, %+v", err, busy)
		}
		if st := e.Status().Workers; len(st) != 1 || st[0].State != "dead" {
			t.Errorf("status %+v", st)
		}
		time.Sleep(2 * time.Minute)
		until(t, "the third process serves", func() bool { return w.count() == 3 && e.Stats().Online == 1 })
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A shutdown still serves who waits, and Close fails them.
func TestQueueAtTheEnd(t *testing.T) {
	for _, at := range []string{"shutdown", "close"} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{}
			e := newFake(t, w, Options{Concurrency: 1})
			start(t, e)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					got, err := ask(t, e, "slow 1s")
					switch {
					case at == "shutdown" && (got != "at last" || err != nil):
						t.Errorf("%s: got %q, %v", at, got, err)
					case at == "close" && !errors.Is(err, ErrClosed) && !errors.Is(err, session.ErrLost):
						t.Errorf("%s: got %q, %v", at, got, err)
					}
				})
			}
			synctest.Wait()
			if at == "close" {
				_ = e.Close()
			} else if err := e.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			all.Wait()
		})
	}
}

// A Mux that refuses before anything was sent is passed over.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 2})
		start(t, e)
		first := (*e.lanes[0].serving.Load())[0]
		if err := first.mux.Drain(nil); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if got, err := ask(t, e, "echo"); got != "first" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if n := e.Stats().Retried; n < 1 || n > 4 {
			t.Errorf("%d retried", n)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{})
		if _, err := ask(t, e, "echo"); !errors.Is(err, ErrClosed) {
			t.Errorf("before Start: %v", err)
		}
		start(t, e)
		if _, err := e.Open(t.Context(), session.OpenOptions{Event: "echo", First: make([]byte, session.MaxHead+1)}); !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("large head: %v", err)
		}
		if _, err := e.Open(t.Context(), session.OpenOptions{Event: "echo", Handler: noHandler{}}); !errors.Is(err, ErrHandler) {
			t.Errorf("handler: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Open(ctx, session.OpenOptions{Event: "echo"}); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: %v", err)
		}
	})
}

type noHandler struct{ session.Handler }

// Every session that had no answer when its worker died is named; one whose
// answer was complete is not.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{}
		e := newFake(t, w, Options{Loops: 3, OnDeath: deaths.on})
		start(t, e)
		done := open(t, e, "echo") // complete, and not read
		if err := done.Finish([]byte("x")); err != nil {
			t.Fatal(err)
		}
		type key struct {
			loop int
			id   uint64
		}
		want := make(map[key]string)
		var hung []*session.Session
		for i := range 10 {
			s, err := e.Open(t.Context(), session.OpenOptions{Event: "hang", Label: "request " + fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			hung = append(hung, s)
			for loop, ch := range e.living()[0].all() {
				if s.Mux() == ch.mux {
					want[key{loop, s.ID()}] = "request " + fmt.Sprint(i)
				}
			}
		}
		synctest.Wait()
		w.proc(1).die(exit{code: -1, signal: "SIGKILL"})
		d := deaths.wait(t, 1)[0]
		if d.Reason != "was killed by SIGKILL" || d.ExitCode != -1 || d.Signal != "SIGKILL" || len(d.Lost) != len(want) {
			t.Errorf("death %+v", d)
		}
		for _, l := range d.Lost {
			if l.Event != "hang" || l.RequestID == "" || l.RequestID != want[key{l.Loop, l.ID}] {
				t.Errorf("lost %+v", l)
			}
			delete(want, key{l.Loop, l.ID})
		}
		for _, s := range hung {
			if _, err := answer(s); !errors.Is(err, session.ErrLost) {
				t.Errorf("got %v", err)
			}
		}
		if got, err := answer(done); got != "x" || err != nil {
			t.Errorf("the complete one: %q, %v", got, err)
		}
		if n := e.Stats().Lost; n != 10 {
			t.Errorf("%d lost", n)
		}
	})
}
