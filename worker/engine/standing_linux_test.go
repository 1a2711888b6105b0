package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// notes are a log that is read while it is written.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// A worker that says online again, in whatever state, changes nothing; one that
// says it on another channel than the first ends itself only.
func TestOnlineAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		var deaths deathsOf
		w := &fakeWorld{}
		e := newFake(t, w, Options{
			Release: "r1", Workers: 2, Standbys: 1, Loops: 2, OnDeath: deaths.on,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		start(t, e)
		every := func() {
			for i := range w.count() {
				w.proc(i + 1).mini().online(0)
			}
			synctest.Wait()
		}
		every()
		every()
		wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1")
		if err := e.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		every()
		wantShape(t, e, "0 suspended r1, 1 suspended r1, -1 suspended r1")
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "says once more that it is online"); n != 3 {
			t.Errorf("%d lines about it, want one for each worker:\n%s", n, &log)
		}

		// One that is draining.
		s := open(t, e, "slow 3s")
		done := make(chan error, 1)
		go func() { done <- e.Restart(t.Context(), Selector{}, nil) }()
		time.Sleep(time.Second)
		if got := shape(e); strings.Count(got, "draining") != 1 {
			t.Errorf("workers: %s", got)
		}
		for i := range w.count() {
			if p := w.proc(i + 1); p.alive() {
				p.mini().online(0)
			}
		}
		synctest.Wait()
		if got := shape(e); strings.Count(got, "draining") != 1 || strings.Count(got, "online") != 2 {
			t.Errorf("workers: %s", got)
		}
		if got, err := answer(s); got != "at last" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, d := range deaths.wait(t, 3) {
			if !d.Expected {
				t.Errorf("death %+v", d)
			}
		}

		// On the wrong channel.
		before := e.Status().Workers
		for i := range w.count() {
			if p := w.proc(i + 1); p.pid() == before[0].Pid {
				p.mini().online(1)
			}
		}
		time.Sleep(10 * time.Second)
		after := e.Status().Workers
		if len(after) != 3 || after[0].State != "online" || after[0].Restarts != before[0].Restarts+1 || after[1].Pid != before[1].Pid {
			t.Errorf("status %+v\nbefore %+v", after, before)
		}
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// Resume is for those that have an index: standbys stay as they are.
func TestResumeLeavesStandbys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Release: "r1", Workers: 2, Standbys: 2, Suspended: true})
		start(t, e)
		wantShape(t, e, "0 suspended r1, 1 suspended r1, -1 suspended r1, -1 suspended r1")
		for range 2 { // the second is a no-op
			if err := e.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1, -1 suspended r1")
		}
		for i := range w.count() {
			p := w.proc(i + 1)
			if standby := lookup(p.spec.env, envIndex) == "-1"; p.mini().suspended() != standby {
				t.Errorf("process %d: suspended %v, standby %v", i, p.mini().suspended(), standby)
			}
		}
	})
}

// A worker that asks to be replaced answers all that it is given until its
// successor serves, and the status and the log say why it goes.
func TestBrokenLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			if p.n > 1 {
				time.Sleep(5 * time.Second)
			}
			p.work("")
		}}
		e := newFake(t, w, Options{Release: "r1", OnDeath: deaths.on, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		start(t, e)
		time.Sleep(2 * time.Second)
		s := open(t, e, "slow 8s")
		w.proc(1).mini().breaks("it leaks")
		for i := range 700 {
			time.Sleep(10 * time.Millisecond)
			if got, err := ask(t, e, "echo"); got != "first" || err != nil {
				t.Fatalf("request %d: %q, %v", i, got, err)
			}
			if i == 100 {
				if st := e.Status().Workers[0]; st.State != "broken" || st.Reason != "it leaks" {
					t.Errorf("status %+v", st)
				}
			}
		}
		if w.count() != 2 {
			t.Errorf("%d processes", w.count())
		}
		if got, err := answer(s); got != "at last" || err != nil {
			t.Errorf("what it had: %q, %v", got, err)
		}
		if d := deaths.wait(t, 1)[0]; !d.Expected || len(d.Lost) > 0 {
			t.Errorf("death %+v", d)
		}
		if !strings.Contains(log.String(), `msg="engine: worker asks to be replaced"`) || !strings.Contains(log.String(), `why="it leaks"`) {
			t.Errorf("log:\n%s", &log)
		}
	})
}
