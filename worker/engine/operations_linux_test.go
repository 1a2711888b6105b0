package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
)

// two is a second release.
var two = Program{Path: "/bin/worker", Release: "r2"}

// release asks which release answers.
func release(t *testing.T, e *Engine) string {
	t.Helper()
	got, err := ask(t, e, "release")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// shape is the workers' part of the status in short: "0 online r1 x2" …
func shape(e *Engine) string {
	var list []string
	for _, w := range e.Status().Workers {
		list = append(list, fmt.Sprintf("%d %s %s", w.Index, w.State, w.Release))
	}
	return strings.Join(list, ", ")
}

func wantShape(t *testing.T, e *Engine, want string) {
	t.Helper()
	synctest.Wait()
	if got := shape(e); got != want {
		t.Errorf("workers: %s\nwant: %s", got, want)
	}
}

// playing makes a world in which the n-th process of each release plays as the
// table says ("r2/1"), or that of an index ("r2@-1").
func playing(plays map[string]func(p *fakeProcess)) *fakeWorld {
	var mu sync.Mutex
	count := make(map[string]int)
	return &fakeWorld{born: func(p *fakeProcess) {
		rel := lookup(p.spec.env, envRelease)
		mu.Lock()
		count[rel]++
		play := plays[fmt.Sprintf("%s/%d", rel, count[rel])]
		if at := plays[rel+"@"+lookup(p.spec.env, envIndex)]; at != nil {
			play = at
		}
		mu.Unlock()
		if play == nil {
			play = func(p *fakeProcess) { p.work("") }
		}
		play(p)
	}}
}

// startsIn plays a good worker that takes so long to start.
func startsIn(d time.Duration) func(p *fakeProcess) {
	return func(p *fakeProcess) {
		time.Sleep(d)
		p.work("")
	}
}

func TestDeploy(t *testing.T) {
	for _, loops := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			var deaths deathsOf
			slowly := startsIn(3 * time.Second)
			w := playing(map[string]func(*fakeProcess){"r2@1": slowly})
			e := newFake(t, w, Options{Release: "r1", Workers: 2, Standbys: 1, Loops: loops, OnDeath: deaths.on})
			start(t, e)
			wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1")
			s := open(t, e, "hang")
			deployed := make(chan (<-chan struct{}))
			go func() {
				drained, err := e.Deploy(t.Context(), two, DeployOptions{})
				if err != nil {
					t.Error(err)
				}
				deployed <- drained
			}()
			time.Sleep(2 * time.Second)
			wantShape(t, e, "0 online r1, 0 starting r2, 1 online r1, 1 starting r2, -1 suspended r1, -1 suspended r2")
			if st := e.Status(); st.Operation != "a deploy of r2" || st.Release != "r1" {
				t.Errorf("status %+v", st)
			}
			for range 20 {
				if got := release(t, e); got != "r1" {
					t.Fatalf("%s answers before the switch", got)
				}
			}
			drained := <-deployed
			for range 20 {
				if got := release(t, e); got != "r2" {
					t.Fatalf("%s answers after the switch", got)
				}
			}
			time.Sleep(time.Second)
			if isClosed(drained) {
				t.Error("drained before the old session has ended")
			}
			synctest.Wait()
			if got := shape(e); !strings.Contains(got, " draining r1") || strings.Count(got, "r1") != 1 {
				t.Errorf("workers: %s", got)
			}
			s.Cancel(errors.New("enough"))
			<-drained
			wantShape(t, e, "0 online r2, 1 online r2, -1 suspended r2")
			if all := deaths.wait(t, 3); len(all) != 3 || !all[0].Expected || !all[1].Expected || !all[2].Expected || len(all[0].Lost)+len(all[1].Lost)+len(all[2].Lost) > 0 {
				t.Errorf("deaths %+v", all)
			}
		})
	}
}

// A worker that dies after a deploy returns as the release that is deployed, one
// that dies during it as the old one.
func TestReturnsAsItsRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowly := startsIn(5 * time.Second)
		w := playing(map[string]func(*fakeProcess){"r2/1": slowly})
		e := newFake(t, w, Options{Release: "r1", Workers: 1})
		start(t, e)
		time.Sleep(2 * time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := e.Deploy(t.Context(), two, DeployOptions{})
			done <- err
		}()
		time.Sleep(time.Second)
		w.proc(1).die(exit{code: 3})
		time.Sleep(time.Second)
		if got := release(t, e); got != "r1" {
			t.Errorf("%s answers during the deploy", got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		w.proc(2).die(exit{code: 3})
		time.Sleep(time.Second)
		if got := release(t, e); got != "r2" {
			t.Errorf("%s answers after the deploy", got)
		}
		wantShape(t, e, "0 online r2")
	})
}

func TestDeployFails(t *testing.T) {
	dies := func(p *fakeProcess) {
		time.Sleep(time.Second)
		p.spec.output(Stderr, "no configuration", false)
		p.die(exit{code: 9})
	}
	hangs := func(p *fakeProcess) { p.workOn(badOffline, func(int) {}) }
	readyAndDies := func(p *fakeProcess) {
		p.work("")
		time.Sleep(2 * time.Second)
		p.die(exit{code: 8})
	}
	slowly := startsIn(5 * time.Second)
	breaks := func(p *fakeProcess) { p.work(badBrokenEarly) }
	for name, tt := range map[string]struct {
		plays map[string]func(*fakeProcess)
		want  string
	}{
		"exits":         {map[string]func(*fakeProcess){"r2/2": dies}, "exited with status 9"},
		"standby exits": {map[string]func(*fakeProcess){"r2@-1": dies}, "exited with status 9"},
		"hangs":         {map[string]func(*fakeProcess){"r2/1": hangs}, "not online within 1m0s"},
		"dies waiting":  {map[string]func(*fakeProcess){"r2/1": readyAndDies, "r2/2": slowly, "r2/3": slowly}, "exited with status 8"},
		"broken":        {map[string]func(*fakeProcess){"r2/1": breaks}, `said broken ("not well") before it was online`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := playing(tt.plays)
				e := newFake(t, w, Options{Release: "r1", Workers: 2, Standbys: 1})
				start(t, e)
				before := e.Status().Workers
				_, err := e.Deploy(t.Context(), two, DeployOptions{})
				var se *StartError
				if !errors.As(err, &se) || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want a StartError with %q", err, tt.want)
				}
				wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1")
				for i, w := range e.Status().Workers {
					if w.Pid != before[i].Pid {
						t.Errorf("worker %d is another process", w.Index)
					}
				}
				if got := release(t, e); got != "r1" {
					t.Errorf("%s answers", got)
				}
				// And they are watched as ever.
				time.Sleep(2 * time.Second)
				w.proc(1).die(exit{code: 3})
				time.Sleep(2 * time.Second)
				wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1")
				if _, err := e.Deploy(t.Context(), Program{Path: "/bin/worker", Release: "r3"}, DeployOptions{}); err != nil {
					t.Errorf("next deploy: %v", err)
				}
				time.Sleep(time.Second)
				wantShape(t, e, "0 online r3, 1 online r3, -1 suspended r3")
			})
		})
	}
}

func TestDeployWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowly := startsIn(5 * time.Second)
		w := playing(map[string]func(*fakeProcess){"r2/1": slowly})
		e := newFake(t, w, Options{Release: "r1", Workers: 1})
		start(t, e)
		ctx, cancel := context.WithCancelCause(t.Context())
		changed := errors.New("changed my mind")
		time.AfterFunc(2*time.Second, func() {
			var ce *ConflictError
			if _, err := e.Deploy(t.Context(), two, DeployOptions{}); !errors.As(err, &ce) || ce.Doing != "a deploy of r2" {
				t.Errorf("a second deploy: %v", err)
			}
			if err := e.Scale(t.Context(), 3, -1); !errors.As(err, &ce) {
				t.Errorf("a scale: %v", err)
			}
			if err := e.Suspend(t.Context()); !errors.As(err, &ce) {
				t.Errorf("a suspend: %v", err)
			}
			cancel(changed)
		})
		_, err := e.Deploy(ctx, two, DeployOptions{})
		var we *WithdrawnError
		if !errors.Is(err, changed) || !errors.As(err, &we) || we.Slow == nil || !strings.Contains(err.Error(), "changed my mind; worker 0: not online yet: no handshake came from it") {
			t.Fatalf("got %v", err)
		}
		wantShape(t, e, "0 online r1")
		if _, err := e.Deploy(t.Context(), two, DeployOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// The engine ends in the middle of a deploy.
func TestShutdownDuringDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowly := startsIn(5 * time.Second)
		w := playing(map[string]func(*fakeProcess){"r2/1": slowly})
		e := newFake(t, w, Options{Release: "r1", Workers: 1})
		start(t, e)
		done := make(chan error, 1)
		go func() {
			_, err := e.Deploy(t.Context(), two, DeployOptions{})
			done <- err
		}()
		time.Sleep(time.Second)
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("deploy: %v", err)
		}
		if _, err := e.Deploy(t.Context(), two, DeployOptions{}); !errors.Is(err, ErrClosed) {
			t.Errorf("deploy afterwards: %v", err)
		}
	})
}

// So many old generations are kept waiting for long sessions, and no more.
func TestGenerationsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFake(t, &fakeWorld{}, Options{Release: "r0", Workers: 1, DrainTimeout: time.Hour})
		start(t, e)
		for i := range maxGenerations - 1 {
			open(t, e, "hang")
			if _, err := e.Deploy(t.Context(), Program{Path: "/bin/worker", Release: fmt.Sprintf("r%d", i+1)}, DeployOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		open(t, e, "hang")
		if _, err := e.Deploy(t.Context(), two, DeployOptions{}); err == nil || !strings.Contains(err.Error(), "wait until an old one has drained") {
			t.Errorf("got %v", err)
		}
	})
}

func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dies := func(p *fakeProcess) { p.die(exit{code: 9}) }
		w := playing(map[string]func(*fakeProcess){"r1/6": dies})
		e := newFake(t, w, Options{Release: "r1", Workers: 1})
		start(t, e)
		if err := e.Scale(t.Context(), 3, 1); err != nil {
			t.Fatal(err)
		}
		wantShape(t, e, "0 online r1, 1 online r1, 2 online r1, -1 suspended r1")
		s := open(t, e, "slow 5s")
		begun := time.Now()
		if err := e.Scale(t.Context(), 1, 0); err != nil {
			t.Fatal(err)
		}
		wantShape(t, e, "0 online r1")
		if got, err := answer(s); got != "at last" || err != nil {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
		// A failure takes back what was added.
		var se *StartError
		if err := e.Scale(t.Context(), 3, -1); !errors.As(err, &se) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(time.Second)
		wantShape(t, e, "0 online r1")
		if st := e.Status(); st.Wanted != 1 || st.Standbys != 0 {
			t.Errorf("status %+v", st)
		}
		for _, bad := range [][2]int{{0, -1}, {MaxWorkers + 1, 0}, {1, MaxStandbys + 1}} {
			if err := e.Scale(t.Context(), bad[0], bad[1]); err == nil {
				t.Errorf("scale to %v was done", bad)
			}
		}
		// The next release has as many.
		if err := e.Scale(t.Context(), 2, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Deploy(t.Context(), two, DeployOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantShape(t, e, "0 online r2, 1 online r2")
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dies := func(p *fakeProcess) { p.die(exit{code: 9}) }
		w := playing(map[string]func(*fakeProcess){"r1/9": dies})
		e := newFake(t, w, Options{Release: "r1", Workers: 3, Standbys: 1})
		start(t, e)
		pids := func() (list []int) {
			for _, w := range e.Status().Workers {
				list = append(list, w.Pid)
			}
			return list
		}
		before := pids()
		var steps []string
		if err := e.Restart(t.Context(), Selector{}, func(done, of int) { steps = append(steps, fmt.Sprintf("%d/%d", done, of)) }); err != nil {
			t.Fatal(err)
		}
		wantShape(t, e, "0 online r1, 1 online r1, 2 online r1, -1 suspended r1")
		after := pids()
		for i := range before {
			if slices.Contains(before, after[i]) {
				t.Errorf("process %d is there still", after[i])
			}
		}
		if got := strings.Join(steps, " "); got != "0/4 1/4 2/4 3/4 4/4" {
			t.Errorf("steps %s", got)
		}
		// The first successor of these does not get ready: nobody is touched.
		sel, err := ParseSelector("1-2")
		if err != nil {
			t.Fatal(err)
		}
		var se *StartError
		if err := e.Restart(t.Context(), sel, nil); !errors.As(err, &se) || se.Index != 1 {
			t.Fatalf("got %v", err)
		}
		wantShape(t, e, "0 online r1, 1 online r1, 2 online r1, -1 suspended r1")
		if got := pids(); !slices.Equal(got, after) {
			t.Errorf("pids %v, want %v", got, after)
		}
		if err := e.Restart(t.Context(), sel, nil); err != nil {
			t.Fatal(err)
		}
		if got := pids(); got[0] != after[0] || got[1] == after[1] || got[2] == after[2] || got[3] != after[3] {
			t.Errorf("pids %v, had %v", got, after)
		}
		var none *NoMatchError
		sel, _ = ParseSelector("7")
		if err := e.Restart(t.Context(), sel, nil); !errors.As(err, &none) {
			t.Errorf("got %v", err)
		}
	})
}

// Suspended workers get nothing, what comes waits, and who dies meanwhile is
// replaced by a suspended one.
func TestSuspend(t *testing.T) {
	for _, standbys := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{}
			e := newFake(t, w, Options{Release: "r1", Workers: 2, Standbys: standbys, Loops: 2, Queue: QueueOptions{Age: 20 * time.Second}})
			start(t, e)
			s := open(t, e, "slow 3s")
			if err := e.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for n := range w.count() {
				if !w.proc(n + 1).mini().suspended() {
					t.Errorf("worker %d was not told", n)
				}
			}
			if st := e.Status(); !st.Suspended || !strings.HasPrefix(shape(e), "0 suspended r1, 1 suspended r1") {
				t.Errorf("status %+v", st)
			}
			if got, err := answer(s); got != "at last" || err != nil {
				t.Errorf("what it had: %q, %v", got, err)
			}
			var answered atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				if got, err := ask(t, e, "echo"); got != "first" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				answered.Store(true)
			}()
			time.Sleep(5 * time.Second)
			w.proc(1).die(exit{code: 3})
			w.proc(2).die(exit{code: 3})
			time.Sleep(5 * time.Second)
			if answered.Load() {
				t.Error("answered while suspended")
			}
			if got := shape(e); !strings.HasPrefix(got, "0 suspended r1, 1 suspended r1") {
				t.Errorf("workers: %s", got)
			}
			if err := e.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-done
			synctest.Wait()
			if got, err := ask(t, e, "held"); got != "false" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			if err := e.Resume(t.Context()); err != nil { // a no-op
				t.Error(err)
			}
			// Nobody comes: held no longer than the queue allows.
			if err := e.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
			var busy *BusyError
			if _, err := ask(t, e, "echo"); !errors.As(err, &busy) || !busy.Suspended || busy.Waited < 20*time.Second {
				t.Errorf("got %v", err)
			}
			// A release that is deployed meanwhile serves.
			if _, err := e.Deploy(t.Context(), two, DeployOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := release(t, e); got != "r2" {
				t.Errorf("%s answers", got)
			}
			// And one that is deployed suspended does not.
			if _, err := e.Deploy(t.Context(), Program{Path: "/bin/worker", Release: "r3"}, DeployOptions{Suspended: true}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if got := shape(e); !strings.HasPrefix(got, "0 suspended r3, 1 suspended r3") {
				t.Errorf("workers: %s", got)
			}
			if err := e.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := release(t, e); got != "r3" {
				t.Errorf("%s answers", got)
			}
		})
	}
}

func TestStartSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Release: "r1", Workers: 1, Suspended: true})
		start(t, e)
		wantShape(t, e, "0 suspended r1")
		if got := lookup(w.proc(1).spec.env, envSuspended); got != "1" {
			t.Errorf("%s=%q", envSuspended, got)
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantShape(t, e, "0 online r1")
		if got := release(t, e); got != "r1" {
			t.Errorf("%s answers", got)
		}
	})
}

// A standby takes the place of a dead worker at once, and another one is started.
func TestPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) {
			time.Sleep(3 * time.Second)
			p.work("")
		}}
		e := newFake(t, w, Options{Release: "r1", Workers: 1, Standbys: 1})
		start(t, e)
		if a, b := lookup(w.proc(1).spec.env, envIndex), lookup(w.proc(2).spec.env, envIndex); a+b != "0-1" && a+b != "-10" {
			t.Errorf("indexes %s and %s", a, b)
		}
		for range 3 {
			time.Sleep(10 * time.Second)
			st := e.Status().Workers
			for i := range w.count() {
				if p := w.proc(i + 1); p.pid() == st[0].Pid {
					p.die(exit{code: -1, signal: "SIGKILL"})
				}
			}
			synctest.Wait()
			begun := time.Now()
			if got := release(t, e); got != "r1" || time.Since(begun) > 100*time.Millisecond {
				t.Errorf("%s after %v", got, time.Since(begun))
			}
			now := e.Status().Workers
			if now[0].Pid != st[1].Pid || now[0].Index != 0 || now[0].Standby || now[0].State != "online" {
				t.Errorf("status %+v, was %+v", now, st)
			}
		}
		time.Sleep(10 * time.Second)
		wantShape(t, e, "0 online r1, -1 suspended r1")
		if s := e.Stats(); s.Promoted != 3 || s.Standbys != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A broken worker serves until the standby does; a standby that is broken or dead
// is replaced and never promoted.
func TestPromotionOfBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := playing(nil)
		var deaths deathsOf
		e := newFake(t, w, Options{Release: "r1", Workers: 1, Standbys: 1, OnDeath: deaths.on})
		start(t, e)
		time.Sleep(2 * time.Second)
		byPid := func(pid int) *fakeProcess {
			for i := range w.count() {
				if p := w.proc(i + 1); p.pid() == pid {
					return p
				}
			}
			t.Fatal("no such process")
			return nil
		}
		standby := e.Status().Workers[1].Pid
		byPid(standby).mini().breaks("not well")
		time.Sleep(2 * time.Second)
		st := e.Status().Workers
		if st[1].Pid == standby || st[1].State != "suspended" {
			t.Errorf("status %+v", st)
		}
		s := open(t, e, "slow 3s")
		byPid(st[0].Pid).mini().breaks("out of sorts")
		time.Sleep(time.Second)
		now := e.Status().Workers
		if now[0].Pid != st[0].Pid || now[0].State != "draining" || now[0].Reason != "out of sorts" || now[1].Pid != st[1].Pid || now[1].State != "online" {
			t.Errorf("status %+v, was %+v", now, st)
		}
		if got, err := answer(s); got != "at last" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		time.Sleep(time.Second)
		wantShape(t, e, "0 online r1, -1 suspended r1")
		for _, d := range deaths.wait(t, 2) {
			if !d.Expected || len(d.Lost) > 0 {
				t.Errorf("death %+v", d)
			}
		}
	})
}

// Workers that have done enough get their successors one after the other.
func TestRecycle(t *testing.T) {
	for name, tt := range map[string]struct {
		o    RecycleOptions
		work func(e *Engine)
		why  string
	}{
		"requests": {RecycleOptions{Requests: 10}, func(e *Engine) {
			for range 25 {
				_, _ = ask(t, e, "echo")
			}
		}, "requests"},
		"age":    {RecycleOptions{Age: time.Minute}, func(*Engine) { time.Sleep(time.Minute) }, "1m"},
		"memory": {RecycleOptions{Memory: 1 << 30}, func(*Engine) {}, "2048 MiB resident"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var deaths deathsOf
				w := &fakeWorld{born: func(p *fakeProcess) {
					if p.n > 2 {
						time.Sleep(4 * time.Second)
					}
					p.work("")
				}, size: func(pid int) int64 {
					if pid <= firstPid+20 {
						return 2 << 30
					}
					return 1 << 20
				}}
				e := newFake(t, w, Options{Release: "r1", Workers: 2, Recycle: tt.o, OnDeath: deaths.on})
				start(t, e)
				tt.work(e)
				starting := 0
				for range 15 {
					time.Sleep(time.Second)
					st := shape(e)
					if n := strings.Count(st, "starting"); n > 1 {
						t.Errorf("workers: %s", st)
					} else {
						starting += n
					}
					if n := strings.Count(st, "online"); n < 2 {
						t.Errorf("workers: %s", st)
					}
				}
				if starting == 0 {
					t.Error("nobody was replaced")
				}
				for _, d := range deaths.wait(t, 2)[:2] {
					if !d.Expected || len(d.Lost) > 0 {
						t.Errorf("death %+v", d)
					}
				}
				if s := e.Stats(); s.Recycled != 2 || w.count() != 4 {
					t.Errorf("stats %+v of %d processes", s, w.count())
				}
			})
		})
	}
}

// Whatever is done to the workers in whatever order, no request is lost.
func TestOperationsLoseNothing(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			w := &fakeWorld{born: func(p *fakeProcess) {
				time.Sleep(time.Duration(p.n%7) * 100 * time.Millisecond)
				if p.n%11 == 10 && p.n > 4 {
					p.die(exit{code: 6}) // some never get ready
					return
				}
				p.work("")
			}}
			e := newFake(t, w, Options{
				Release: "r0", Workers: 2, Standbys: 1, Loops: 2, Queue: QueueOptions{Age: time.Minute}, Backoff: BackoffOptions{Max: time.Second},
			})
			start(t, e)
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			var asked atomic.Int64
			for i := range 8 {
				event := []string{"echo", "slow 30ms", "slow 500ms", "slow 3s"}[i%4]
				wg.Go(func() {
					for ctx.Err() == nil {
						if got, err := ask(t, e, event); err != nil {
							t.Errorf("seed %d: %s: %q, %v", seed, event, got, err)
						}
						asked.Add(1)
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			for i := range 40 {
				var err error
				switch rnd.IntN(8) {
				case 0, 1:
					_, err = e.Deploy(t.Context(), Program{Path: "/bin/worker", Release: fmt.Sprintf("r%d", i+1)}, DeployOptions{Suspended: rnd.IntN(4) == 0})
				case 2:
					err = e.Scale(t.Context(), 1+rnd.IntN(4), rnd.IntN(3))
				case 3:
					err = e.Restart(t.Context(), Selector{}, nil)
				case 4:
					err = e.Suspend(t.Context())
				case 5:
					err = e.Resume(t.Context())
				case 6:
					for _, st := range e.Status().Workers {
						if p := w.proc((st.Pid - firstPid) / 10); rnd.IntN(3) == 0 && st.State == "online" {
							p.mini().breaks("whim")
						}
					}
				case 7: // one that has nothing to lose
					for _, st := range e.Status().Workers {
						if st.Standby && st.State == "suspended" {
							w.proc((st.Pid - firstPid) / 10).die(exit{code: 5})
							break
						}
					}
				}
				var se *StartError
				if err != nil && !errors.As(err, &se) && !strings.Contains(err.Error(), "has drained") {
					t.Errorf("seed %d: %v", seed, err)
				}
				if rnd.IntN(3) == 0 {
					if err := e.Resume(t.Context()); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			}
			if err := e.Resume(t.Context()); err != nil {
				t.Error(err)
			}
			stop()
			wg.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			st := e.Status()
			online := 0
			for _, w := range st.Workers {
				if w.State == "online" && w.Release == st.Release {
					online++
				}
			}
			if online != st.Wanted || len(st.Workers) != st.Wanted+st.Standbys || asked.Load() < 100 {
				t.Errorf("seed %d: %d asked, status %+v", seed, asked.Load(), st)
			}
			if s := e.Stats(); s.Lost > 0 {
				t.Errorf("seed %d: stats %+v", seed, s)
			}
		})
	}
}

func TestConflictAndSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFake(t, &fakeWorld{}, Options{})
		if err := e.Suspend(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("before Start: %v", err)
		}
		start(t, e)
		s := open(t, e, "hang")
		var b strings.Builder
		e.DumpRequests(&b)
		if !strings.Contains(b.String(), "\thang  (loop 0, session 2)") || !strings.Contains(b.String(), "queue: 0 requests") {
			t.Errorf("dump: %s", b.String())
		}
		s.Cancel(session.ErrCanceled)
	})
}

// What waits for suspended workers is told at once that nobody will come.
func TestRefuseHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFake(t, &fakeWorld{}, Options{Queue: QueueOptions{Age: time.Hour}})
		start(t, e)
		e.RefuseHeld() // nobody is suspended
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if err := e.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := ask(t, e, "echo")
			done <- err
		}()
		synctest.Wait()
		begun := time.Now()
		e.RefuseHeld()
		var busy *BusyError
		if err := <-done; !errors.As(err, &busy) || !busy.Suspended || time.Since(begun) > 0 {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		if _, err := ask(t, e, "echo"); !errors.As(err, &busy) {
			t.Errorf("got %v", err)
		}
		if err := e.Shutdown(t.Context()); err != nil || time.Since(begun) > time.Second {
			t.Errorf("shutdown: %v after %v", err, time.Since(begun))
		}
	})
}

// What is tuned holds for the workers and requests that are there.
func TestTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Release: "r1", Workers: 1, DrainTimeout: time.Hour})
		start(t, e)
		tuning := Tuning{
			Queue: QueueOptions{Len: 1, Age: 7 * time.Second}, StartTimeout: time.Minute, HeartbeatTimeout: time.Minute, DrainTimeout: 3 * time.Second, ShutdownTimeout: time.Second, KillDelay: time.Second,
			Recycle: RecycleOptions{Age: 10 * time.Second},
		}
		if err := e.Tune(Tuning{}); err == nil {
			t.Error("a tuning without limits was taken")
		}
		if err := e.Tune(tuning); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		if w.count() != 2 || e.Stats().Recycled != 1 {
			t.Errorf("%d processes, %+v", w.count(), e.Stats())
		}
		if err := e.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var busy *BusyError
		if _, err := ask(t, e, "echo"); !errors.As(err, &busy) || time.Since(begun).Round(time.Second) != 7*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		open(t, e, "hang")
		begun = time.Now()
		if err := e.Restart(t.Context(), Selector{}, nil); err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
