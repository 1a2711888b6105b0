package engine

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
)

// newLooped returns a started engine whose lanes have loops.
func newLooped(t *testing.T, w *fakeWorld, o Options) *Engine {
	t.Helper()
	w.loops = true
	e := newFake(t, w, o)
	start(t, e)
	return e
}

// A turn is one OpenOn and what came of it.
type turn struct {
	lane   int
	s      *session.Session // opened at once
	cancel func() bool
	err    error
	came   chan opened // what later was called with
	calls  atomic.Int32
	ended  chan error // what the session ended with
}

func (a *turn) OnMessage(*session.Session, session.Message) {}
func (a *turn) OnWritable(*session.Session)                 {}
func (a *turn) OnEnd(_ *session.Session, err error)         { a.ended <- err }

// goroutine is the number of the one that calls.
func goroutine() string {
	b := make([]byte, 64)
	id, _, _ := strings.Cut(strings.TrimPrefix(string(b[:runtime.Stack(b, false)]), "goroutine "), " ")
	return id
}

// onLane runs f on a lane's loop and waits for it.
func onLane(t *testing.T, e *Engine, lane int, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := e.lanes[lane].loop.Do(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// openOn is OpenOn, where it has to be called.
func openOn(t *testing.T, e *Engine, lane int, event string) *turn {
	t.Helper()
	a := &turn{lane: lane, came: make(chan opened, 2), ended: make(chan error, 1)}
	onLane(t, e, lane, func() {
		home, within := goroutine(), true
		a.s, a.cancel, a.err = e.OpenOn(lane, session.OpenOptions{Event: event, First: []byte("first"), Last: true, Handler: a}, func(s *session.Session, err error) {
			if within || goroutine() != home {
				t.Errorf("later is called within OpenOn (%v), or not on loop %d", within, lane)
			}
			if a.calls.Add(1) > 1 || (s == nil) == (err == nil) {
				t.Errorf("call %d of later has %v and %v", a.calls.Load(), s, err)
			}
			if a.cancel() {
				t.Errorf("lane %d: cancel says true, and its turn has come", lane)
			}
			a.came <- opened{s, err}
		})
		within = false
	})
	if n := btoi(a.s != nil) + btoi(a.cancel != nil) + btoi(a.err != nil); n != 1 {
		t.Errorf("OpenOn returned %v, %v", a.s, a.err)
	}
	return a
}

func btoi(b bool) int { return map[bool]int{true: 1}[b] }

// get waits for what comes of the turn.
func (a *turn) get(t *testing.T) opened {
	t.Helper()
	select {
	case r := <-a.came:
		return r
	case <-time.After(time.Minute):
		t.Fatal("later is never called")
		panic("unreachable")
	}
}

// laneOf is the lane on whose channel s is.
func laneOf(e *Engine, s *session.Session) int {
	for _, l := range e.lanes {
		for _, c := range e.living() {
			for _, ch := range c.all() {
				if ch.lane == l && ch.mux == s.Mux() {
					return l.index
				}
			}
		}
	}
	return -1
}

// A session for a loop is on that loop's channels, and of these on the least
// loaded.
func TestOpenOn(t *testing.T) {
	e := newLooped(t, &fakeWorld{}, Options{Workers: 2, Loops: 3})
	if n := len(e.Loops()); n != 3 {
		t.Fatalf("%d loops", n)
	}
	for i := range 12 {
		lane := i % 2 // the third has none
		if a := openOn(t, e, lane, "hang"); a.s == nil || laneOf(e, a.s) != lane {
			t.Errorf("got %v, %v on lane %d", a.s, a.err, lane)
		}
	}
	for _, c := range e.living() {
		for _, ch := range c.all() {
			if n, want := ch.mux.Load(), [...]int{3, 3, 0}[ch.lane.index]; n != want {
				t.Errorf("worker %d has %d sessions on loop %d, want %d", c.index, n, ch.lane.index, want)
			}
		}
	}
	if st := e.Stats(); st.Opened != 12 || st.Queued != 0 {
		t.Errorf("stats %+v", st)
	}
	a := &turn{}
	onLane(t, e, 0, func() {
		a.s, a.cancel, a.err = e.OpenOn(0, session.OpenOptions{Event: "echo", First: make([]byte, session.MaxHead+1), Handler: a}, nil)
	})
	if !errors.Is(a.err, session.ErrTooLarge) || a.s != nil || a.cancel != nil {
		t.Errorf("large head: %v", a.err)
	}
}

// Who waits on a lane is served there, first come first served; cancel takes it
// out, until its turn has come.
func TestOpenOnWaits(t *testing.T) {
	e := newLooped(t, &fakeWorld{}, Options{Loops: 2, Concurrency: 1})
	first := openOn(t, e, 0, "hang")
	second, third, fourth := openOn(t, e, 0, "hang"), openOn(t, e, 0, "hang"), openOn(t, e, 0, "hang")
	if first.s == nil || second.cancel == nil || third.cancel == nil || fourth.cancel == nil {
		t.Fatalf("got %+v", []*turn{first, second, third, fourth})
	}
	if st := e.Stats(); st.Waiting != 3 || st.Queued != 3 || st.Sessions != 1 {
		t.Errorf("stats %+v", st)
	}
	// The other lane has somebody free, and need not wait for this one.
	other := openOn(t, e, 1, "hang")
	if other.s == nil {
		if r := other.get(t); r.err != nil || laneOf(e, r.s) != 1 {
			t.Errorf("the other lane: %v", r.err)
		}
	}
	var yes, no bool
	onLane(t, e, 0, func() { yes, no = third.cancel(), third.cancel() })
	if !yes || no {
		t.Errorf("cancel says %v, and then %v", yes, no)
	}
	if n := e.Stats().Waiting; n != 2 {
		t.Errorf("%d wait", n)
	}
	first.s.Cancel(nil)
	r := second.get(t)
	if r.err != nil || laneOf(e, r.s) != 0 {
		t.Fatalf("the second: %v on lane %d", r.err, laneOf(e, r.s))
	}
	onLane(t, e, 0, func() { no = second.cancel() })
	if no || len(fourth.came) != 0 {
		t.Errorf("cancel says %v; %d", no, len(fourth.came))
	}
	r.s.Cancel(nil)
	if r := fourth.get(t); r.err != nil || laneOf(e, r.s) != 0 {
		t.Errorf("the fourth: %v", r.err)
	}
	if n := third.calls.Load(); n != 0 {
		t.Errorf("later of the cancelled one is called %d times", n)
	}
	if st := e.Stats(); st.Waiting != 0 || st.Aged != 0 || st.Full != 0 {
		t.Errorf("stats %+v", st)
	}
}

// Every line counts toward the queue's length, and age ends the wait.
func TestOpenOnLimits(t *testing.T) {
	const age = 150 * time.Millisecond
	e := newLooped(t, &fakeWorld{}, Options{Loops: 2, Concurrency: 1, Queue: QueueOptions{Len: 3, Age: age}})
	for lane := range 2 {
		if a := openOn(t, e, lane, "hang"); a.s == nil {
			t.Fatal(a.err)
		}
	}
	begun := time.Now()
	anyone := make(chan error, 1)
	go func() { // ends with its age
		_, err := e.Open(t.Context(), session.OpenOptions{Event: "hang"})
		anyone <- err
	}()
	until(t, "one waits for any lane", func() bool { return e.Stats().Waiting == 1 })
	waiting := []*turn{openOn(t, e, 0, "hang"), openOn(t, e, 1, "hang")}
	full := openOn(t, e, 0, "hang")
	var busy *BusyError
	if !errors.As(full.err, &busy) || busy.Waited != 0 || busy.Online != 1 || busy.RetryAfter() != time.Second || full.cancel != nil {
		t.Errorf("got %v", full.err)
	}
	var yes bool
	onLane(t, e, 1, func() { yes = waiting[1].cancel() })
	again := openOn(t, e, 1, "hang") // its place is free
	if !yes || again.cancel == nil {
		t.Fatalf("cancel says %v; then %v", yes, again.err)
	}
	for i, a := range []*turn{waiting[0], again} {
		r := a.get(t)
		if !errors.As(r.err, &busy) || busy.Waited < age || time.Since(begun) < age {
			t.Errorf("%d: got %v after %v", i, r.err, time.Since(begun))
		}
		var late bool
		onLane(t, e, a.lane, func() { late = a.cancel() })
		if late {
			t.Error("cancel says true, after the wait")
		}
	}
	if err := <-anyone; !errors.As(err, &busy) {
		t.Errorf("got %v", err)
	}
	if st := e.Stats(); st.Full != 1 || st.Aged != 3 || st.Waiting != 0 || st.Queued != 5 {
		t.Errorf("stats %+v", st)
	}
	if waiting[1].calls.Load()+full.calls.Load() != 0 {
		t.Error("later is called of one that did not wait")
	}
}

// While every worker is dead requests wait, and the next worker serves them; or
// they learn that nobody is online.
func TestOpenOnWithoutWorkers(t *testing.T) {
	w := &fakeWorld{}
	var hold atomic.Bool
	hold.Store(true)
	w.born = func(p *fakeProcess) {
		for p.n > 1 && hold.Load() && !isClosed(p.gone) {
			time.Sleep(time.Millisecond)
		}
		p.work("")
	}
	e := newLooped(t, w, Options{Loops: 2, Queue: QueueOptions{Age: 200 * time.Millisecond}, Backoff: BackoffOptions{Min: time.Millisecond}})
	lost := openOn(t, e, 1, "hang")
	w.proc(1).die(exit{code: -1, signal: "SIGKILL"})
	if err := <-lost.ended; !errors.Is(err, session.ErrLost) {
		t.Errorf("got %v", err)
	}
	until(t, "nobody is online", func() bool { return e.Stats().Online == 0 })
	a := openOn(t, e, 0, "hang")
	var busy *BusyError
	if r := a.get(t); !errors.As(r.err, &busy) || busy.Online != 0 {
		t.Errorf("got %v", r.err)
	}
	var all []*turn
	for lane := range 2 {
		for range 5 {
			all = append(all, openOn(t, e, lane, "hang"))
		}
	}
	hold.Store(false)
	for _, a := range all {
		if r := a.get(t); r.err != nil || laneOf(e, r.s) != a.lane {
			t.Errorf("lane %d: got %v", a.lane, r.err)
		}
	}
}

// At the end whoever waits is told, once, on its loop; a shutdown still serves
// them.
func TestOpenOnAtTheEnd(t *testing.T) {
	for _, at := range []string{"shutdown", "close"} {
		e := newLooped(t, &fakeWorld{}, Options{Loops: 2, Concurrency: 1})
		var all []*turn
		for i := range 6 {
			all = append(all, openOn(t, e, i%2, "slow 20ms"))
		}
		if at == "close" {
			_ = e.Close()
		} else if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for i, a := range all[2:] {
			r := a.get(t)
			if at == "close" != errors.Is(r.err, ErrClosed) || at != "close" && r.err != nil {
				t.Errorf("%s, %d: got %v", at, i, r.err)
			}
		}
		if s, cancel, err := e.OpenOn(0, session.OpenOptions{Event: "echo", Handler: all[0]}, nil); s != nil || cancel != nil || err != ErrClosed {
			t.Errorf("%s: then got %v", at, err)
		}
	}
}

// Nobody starves: not a lane for another, nor those that any lane may serve; each
// line is served in its order, and everybody once, also if many give up.
func TestOpenOnFairly(t *testing.T) {
	const each, lanes = 60, 3
	w := &fakeWorld{}
	e := newLooped(t, w, Options{Workers: 2, Loops: lanes, Concurrency: 1})
	var mu sync.Mutex
	served := make([][]int, lanes)
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for i := range each {
				a := &turn{lane: lane, ended: make(chan error, 1)}
				wg.Add(1)
				over := func() { wg.Done() }
				come := func(s *session.Session, err error) {
					if err != nil || laneOf(e, s) != lane || a.calls.Add(1) > 1 {
						t.Errorf("lane %d, %d: %v, call %d", lane, i, err, a.calls.Load())
						over()
						return
					}
					mu.Lock()
					served[lane] = append(served[lane], i)
					mu.Unlock()
					go func() { <-a.ended; over() }() // ends with the session
				}
				onLane(t, e, lane, func() {
					s, cancel, err := e.OpenOn(lane, session.OpenOptions{Event: "slow 1ms", First: []byte("first"), Last: true, Handler: a}, come)
					switch {
					case s != nil || err != nil:
						come(s, err)
					case rand.IntN(4) == 0:
						delay := time.Duration(rand.IntN(20)) * time.Millisecond
						e.lanes[lane].loop.After(delay, func() {
							if cancel() {
								if a.calls.Add(1) > 1 {
									t.Errorf("lane %d, %d: cancelled and served", lane, i)
								}
								over()
							}
						})
					}
				})
			}
		})
	}
	for i := range each {
		wg.Go(func() {
			if got, err := ask(t, e, "slow 1ms"); got != "at last" || err != nil {
				t.Errorf("any lane, %d: got %q, %v", i, got, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }() // ends with the requests
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("somebody waits for ever: %+v", e.Stats())
	}
	for lane, list := range served {
		for i := range list[1:] {
			if list[i] > list[i+1] {
				t.Errorf("lane %d served %v", lane, list)
				break
			}
		}
	}
	if st := e.Stats(); st.Waiting != 0 || st.Sessions != 0 {
		t.Errorf("stats %+v", st)
	}
}
