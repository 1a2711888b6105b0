package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// obeys is a plain process that leaves on SIGTERM.
func obeys(p *fakeProcess) {
	select {
	case <-p.term:
		p.die(exit{code: -1, signal: "SIGTERM"})
	case <-p.gone:
	}
}

// doorsOf are the n-th process's (from 0).
func (w *fakeWorld) doorsOf(n int) *fakeDoors {
	for {
		w.mu.Lock()
		if len(w.doored) > n {
			defer w.mu.Unlock()
			return w.doored[n]
		}
		w.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

func (d *fakeDoors) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// newPlain returns an engine of plain workers in w.
func newPlain(t *testing.T, w *fakeWorld, o Options) *Engine {
	t.Helper()
	o.HTTP = new(PlainHTTP)
	if w.born == nil {
		w.born = obeys
	}
	return newFake(t, w, o)
}

func acquire(t *testing.T, e *Engine, label string) *Upstream {
	t.Helper()
	u, err := e.Acquire(t.Context(), label)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestPlainDeploy: the old worker is asked to leave when its request is done, and
// by no other signal than SIGTERM.
func TestPlainDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{}
		e := newPlain(t, w, Options{OnDeath: deaths.on, Args: []string{"-p", "{port}", "--unix={socket}"}})
		start(t, e)
		first := w.proc(1)
		if got := first.spec.args; !slices.Equal(got, []string{"worker", "-p", "1", "--unix=/run/1.s"}) {
			t.Errorf("arguments %q", got)
		}
		for _, want := range []string{"PORT=1", "HEDDLE_SOCKET=/run/1.s", "LISTEN_FDS=1", "NOTIFY_SOCKET=/run/1.n", "HEDDLE_RELEASE=1"} {
			if !slices.Contains(first.spec.env, want) {
				t.Errorf("without %s: %q", want, first.spec.env)
			}
		}
		u := acquire(t, e, "long")
		if network, address := u.door.network, u.door.address; network+" "+address != "fake PORT/1" {
			t.Errorf("it answers at %s %s", network, address)
		}
		drained, err := e.Deploy(t.Context(), Program{Path: "/bin/worker", Release: "2", HTTP: new(PlainHTTP)}, DeployOptions{})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-u.Retired():
		default:
			t.Error("the old worker may still be given requests")
		}
		if v := acquire(t, e, "new"); v.Release != "2" {
			t.Errorf("release %s answers", v.Release)
		} else {
			v.Give(false)
		}
		time.Sleep(20 * time.Second)
		if got := first.got(); got != nil {
			t.Errorf("signals %q while it has a request", got)
		}
		u.Give(false)
		<-drained
		if got := first.got(); len(got) != 1 || !strings.HasPrefix(got[0], "SIGTERM after 20") {
			t.Errorf("signals %q", got)
		}
		d := deaths.wait(t, 1)[0]
		if !d.Expected || d.Signal != "SIGTERM" || len(d.Lost) > 0 {
			t.Errorf("death %+v", d)
		}
		if s := e.Stats(); s.Signalled != 0 || s.Opened != 2 || s.Expected != 1 {
			t.Errorf("stats %+v", s)
		}
		if !w.doorsOf(0).isClosed() || w.doorsOf(1).isClosed() {
			t.Error("the dead one's addresses are to go, and only those")
		}
	})
}

// TestPlainStubborn: a request that does not end, and a program deaf to SIGTERM.
func TestPlainStubborn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) { <-p.gone }}
		e := newPlain(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		acquire(t, e, "endless")
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"SIGTERM after 30s", "SIGKILL after 35s"}
		if got := w.proc(1).got(); !slices.Equal(got, want) {
			t.Errorf("signals %q, want %q", got, want)
		}
		d := deaths.wait(t, 1)[0]
		if len(d.Lost) != 1 || d.Lost[0].RequestID != "endless" || !strings.Contains(d.Reason, "did not finish its requests within 30s") {
			t.Errorf("death %+v", d)
		}
	})
}

// TestPlainSilent: the error says what was tried where.
func TestPlainSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{knocks: func(told string, _ time.Duration) error {
			switch told {
			case "PORT":
				return syscall.ECONNREFUSED
			case "LISTEN_FDS":
				return context.DeadlineExceeded
			}
			return fmt.Errorf("%w: %q", errRubbish, "SSH-2.0")
		}}
		e := newPlain(t, w, Options{StartTimeout: 7 * time.Second})
		err := e.Start(t.Context())
		if err == nil {
			t.Fatal("it started")
		}
		for _, want := range []string{
			"no answer within 7s of its start: LISTEN_FDS: accepted and silent; PORT: refused; HEDDLE_SOCKET: answered, but not in HTTP: \"SSH-2.0\"",
			"was killed by SIGTERM", "LISTEN_FDS), on PORT",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s in it", err, want)
			}
		}
		if got := w.proc(1).got(); !slices.Equal(got, []string{"SIGTERM after 7s"}) {
			t.Errorf("signals %q", got)
		}
	})
}

// TestPlainKnocks: often at first, seldom later, often again once it says READY=1.
func TestPlainKnocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{knocks: func(_ string, since time.Duration) error {
			if since > 3*time.Second {
				return nil
			}
			return syscall.ENOENT
		}}
		e := newPlain(t, w, Options{})
		go func() {
			time.Sleep(3*time.Second - time.Millisecond)
			w.doorsOf(0).heard("READY=1\nSTATUS=up")
		}()
		began := time.Now()
		start(t, e)
		if took := time.Since(began); took > 3*time.Second+2*leastPause {
			t.Errorf("ready after %v", took)
		}
		if n := w.doorsOf(0).tries["PORT"]; n < 30 || n > 45 {
			t.Errorf("%d knocks in 3 s", n)
		}
		id := e.Status().Workers[0].ID
		w.doorsOf(0).heard("STOPPING=1")
		for e.Status().Workers[0].ID == id || e.Status().Workers[0].State != "online" {
			time.Sleep(time.Millisecond)
		}
	})
}

// TestPlainForetold: who is of the workers' user can write to a NOTIFY_SOCKET as
// soon as that is there, before the program is.
func TestPlainForetold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{foretold: "READY=1"}
		e := newPlain(t, w, Options{})
		start(t, e)
		if got := e.Status().Workers[0].State; got != "online" {
			t.Errorf("state %s, want online", got)
		}
	})
}

// TestPlainStopsEarly: who says that it is stopping before it was ready is not waited for.
func TestPlainStopsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{knocks: func(string, time.Duration) error { return syscall.ECONNREFUSED }}
		e := newPlain(t, w, Options{})
		time.AfterFunc(time.Second, func() { w.doorsOf(0).heard("STOPPING=1") })
		began := time.Now()
		err := e.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), stopsEarly) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// TestPlainCrashLeaving: who crashes when it is asked to leave has not left as
// expected.
func TestPlainCrashLeaving(t *testing.T) {
	for signal, want := range map[string]bool{"SIGTERM": true, "SIGSEGV": false} {
		synctest.Test(t, func(t *testing.T) {
			var deaths deathsOf
			w := &fakeWorld{born: func(p *fakeProcess) {
				select {
				case <-p.term:
					p.die(exit{code: -1, signal: signal})
				case <-p.gone:
				}
			}}
			e := newPlain(t, w, Options{OnDeath: deaths.on})
			start(t, e)
			if err := e.Restart(t.Context(), Selector{}, nil); err != nil {
				t.Fatal(err)
			}
			if d := deaths.wait(t, 1)[0]; d.Expected != want {
				t.Errorf("%+v, want expected %v", d, want)
			}
		})
	}
}

// TestPlainCrash: whose answer broke off a moment before its worker's death, and
// who still waits for one, are lost; others are not.
func TestPlainCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{}
		e := newPlain(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		time.Sleep(2 * time.Second)
		early, fine, broken, waiting, whole := acquire(t, e, "early"), acquire(t, e, "fine"), acquire(t, e, "broken"), acquire(t, e, "waiting"), acquire(t, e, "whole")
		early.Give(true)
		fine.Give(false)
		time.Sleep(2 * time.Second)
		broken.Give(true)
		if n := e.Status().Workers[0].Sessions; n != 2 {
			t.Errorf("%d sessions", n)
		}
		w.proc(1).die(exit{code: 3})
		time.Sleep(10 * time.Millisecond)
		whole.Give(false) // the rest of its answer was still in the socket
		d := deaths.wait(t, 1)[0]
		var lost []string
		for _, l := range d.Lost {
			lost = append(lost, l.RequestID)
		}
		if !slices.Equal(lost, []string{"broken", "waiting"}) || d.Expected || d.ExitCode != 3 || e.Stats().Lost != 2 {
			t.Errorf("lost %q, death %+v", lost, d)
		}
		waiting.Give(true)
		u := acquire(t, e, "next")
		if u.ID() == early.ID() {
			t.Error("a dead worker is given requests")
		}
		u.Give(false)
	})
}

// TestPlainLeaves: an answer that ended by the end of its connection, just before its
// worker was asked to leave and did, has not broken off; if the worker crashed
// instead, it may have.
func TestPlainLeaves(t *testing.T) {
	for code, want := range map[int]int{0: 0, 143: 0, 3: 1} {
		synctest.Test(t, func(t *testing.T) {
			var deaths deathsOf
			w := &fakeWorld{born: func(p *fakeProcess) {
				select {
				case <-p.term:
					time.Sleep(5 * time.Millisecond)
					p.die(exit{code: code})
				case <-p.gone:
				}
			}}
			e := newPlain(t, w, Options{OnDeath: deaths.on})
			start(t, e)
			u := acquire(t, e, "ended by its connection's end")
			time.AfterFunc(time.Millisecond, func() {
				time.Sleep(time.Millisecond)
				u.Give(true)
			})
			if err := e.Restart(t.Context(), Selector{}, nil); err != nil {
				t.Fatal(err)
			}
			if d := deaths.wait(t, 1)[0]; len(d.Lost) != want {
				t.Errorf("exit code %d: lost %+v, want %d", code, d.Lost, want)
			}
		})
	}
}

// TestPlainQueue: while nobody serves requests wait, first come first served, and
// no longer than they may.
func TestPlainQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newPlain(t, w, Options{Suspended: true, Concurrency: 1, Queue: QueueOptions{Len: 2, Age: 3 * time.Second}})
		start(t, e)
		_, err := e.Acquire(t.Context(), "aged")
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Waited != 3*time.Second || !busy.Suspended {
			t.Errorf("got %v", err)
		}
		order := make(chan string, 2)
		for _, label := range []string{"a", "b"} {
			go func() {
				u, err := e.Acquire(t.Context(), label)
				if err != nil {
					t.Error(err)
					return
				}
				order <- label
				time.Sleep(time.Second)
				u.Give(false)
			}()
			synctest.Wait()
		}
		if _, err := e.Acquire(t.Context(), "full"); !errors.As(err, &busy) || busy.Waited != 0 {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Acquire(ctx, "gone"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		began := time.Now()
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if first, second := <-order, <-order; first != "a" || second != "b" || time.Since(began) < time.Second {
			t.Errorf("served %s, then %s, after %v", first, second, time.Since(began))
		}
		time.Sleep(2 * time.Second)
		st := e.Stats()
		if n := st.Waits.Count(); n != 3 { // aged, a, b; the others were turned away at once
			t.Errorf("%d waits were measured, want 3", n)
		}
		if _, err := e.Deploy(t.Context(), Program{Path: "/bin/worker"}, DeployOptions{}); !errors.Is(err, ErrPlain) {
			t.Errorf("a deploy of a session worker: %v", err)
		}
	})
}

// TestPlainStandbyAndRecycle: both work as they do for workers with sessions.
func TestPlainStandbyAndRecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newPlain(t, w, Options{Standbys: 1, Recycle: RecycleOptions{Requests: 2}})
		start(t, e)
		time.Sleep(2 * time.Second)
		pid := e.Status().Workers[0].Pid
		for _, p := range []*fakeProcess{w.proc(1), w.proc(2)} {
			if p.pid() == pid {
				p.die(exit{code: 1})
			}
		}
		synctest.Wait()
		u := acquire(t, e, "a") // the standby has it
		u.Give(false)
		if s := e.Stats(); s.Promoted != 1 {
			t.Errorf("stats %+v", s)
		}
		acquire(t, e, "b").Give(false)
		time.Sleep(5 * time.Second)
		if s := e.Stats(); s.Recycled != 1 || s.Standbys != 1 || s.Online != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}
