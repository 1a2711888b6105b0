package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// byPid is the process with this number.
func (w *fakeWorld) byPid(pid int) *fakeProcess { return w.proc((pid - firstPid) / 10) }

// A standby that is to be restarted takes the place of a worker that dies, or is
// broken, meanwhile: before its turn, or while its successor starts. It is replaced
// there.
func TestRestartOfPromoted(t *testing.T) {
	for name, goes := range map[string]func(p *fakeProcess){
		"dies":   func(p *fakeProcess) { p.die(exit{code: 3}) },
		"breaks": func(p *fakeProcess) { p.mini().breaks("whim") },
	} {
		for after := range 17 {
			synctest.Test(t, func(t *testing.T) {
				w := &fakeWorld{born: startsIn(5 * time.Second)}
				e := newFake(t, w, Options{Release: "r1", Workers: 2, Standbys: 1})
				start(t, e)
				time.Sleep(2 * time.Second)
				before := e.Status().Workers
				time.AfterFunc(time.Duration(after)*time.Second, func() {
					for _, st := range e.Status().Workers {
						if st.Index == 1 && st.State == "online" {
							goes(w.byPid(st.Pid))
						}
					}
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := e.Restart(ctx, Selector{}, nil); err != nil {
					t.Fatalf("%s after %d s: %v", name, after, err)
				}
				time.Sleep(10 * time.Second)
				wantShape(t, e, "0 online r1, 1 online r1, -1 suspended r1")
				for _, st := range e.Status().Workers {
					if slices.ContainsFunc(before, func(b WorkerStatus) bool { return b.ID == st.ID }) {
						t.Errorf("%s after %d s: %+v was not restarted", name, after, st)
					}
				}
			})
		}
	}
}

// A worker that waited for the others of its release is recycled as any other.
func TestRecycleAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) {
			if p.n == 2 {
				time.Sleep(4 * time.Second)
			}
			p.work("")
		}}
		e := newFake(t, w, Options{Workers: 2, Recycle: RecycleOptions{Age: time.Minute}})
		start(t, e)
		time.Sleep(90 * time.Second)
		if s := e.Stats(); s.Recycled != 2 {
			t.Errorf("%d workers were recycled, want 2", s.Recycled)
		}
	})
}

// Standbys that die are not kept.
func TestWarmForgetsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 1, Standbys: 1})
		start(t, e)
		for range 20 {
			time.Sleep(2 * time.Second)
			w.byPid(e.Status().Workers[1].Pid).die(exit{code: 3})
		}
		time.Sleep(2 * time.Second)
		g := e.current
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.warm) != 1 {
			t.Errorf("%d standbys may be promoted, want 1", len(g.warm))
		}
	})
}

// A worker of a new release that ends while it waits for the others fails the
// deploy, also if its process is not gone yet when the last of them is ready.
func TestDeployWhileOneLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaves := func(p *fakeProcess) {
			p.workOn("", func(int) {})
			time.Sleep(2 * time.Second)
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, b := range p.ends {
				b.Abort(nil)
			}
		}
		slowly := func(p *fakeProcess) {
			time.Sleep(2500 * time.Millisecond)
			p.work("")
		}
		w := playing(map[string]func(*fakeProcess){"r2/1": leaves, "r2/2": slowly})
		e := newFake(t, w, Options{Release: "r1", Workers: 2})
		start(t, e)
		var se *StartError
		if _, err := e.Deploy(t.Context(), two, DeployOptions{}); !errors.As(err, &se) || !strings.Contains(err.Error(), "did not leave") {
			t.Errorf("got %v, want a StartError", err)
		}
		wantShape(t, e, "0 online r1, 1 online r1")
	})
}

// Nothing changes the workers before Start has returned.
func TestOperationsDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) {
			time.Sleep(5 * time.Second)
			p.work("")
		}}
		e := newFake(t, w, Options{Release: "r1", Workers: 2})
		time.AfterFunc(time.Second, func() {
			_, derr := e.Deploy(t.Context(), two, DeployOptions{})
			for _, err := range []error{e.Scale(t.Context(), 1, -1), e.Restart(t.Context(), Selector{}, nil), e.Suspend(t.Context()), e.Resume(t.Context()), derr} {
				if ce := (*ConflictError)(nil); !errors.As(err, &ce) {
					t.Errorf("got %v, want a ConflictError", err)
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Start(ctx); err != nil {
			t.Fatal(err)
		}
		wantShape(t, e, "0 online r1, 1 online r1")
		if err := e.Scale(t.Context(), 1, -1); err != nil {
			t.Error(err)
		}
	})
}

// When Scale has returned the new workers serve.
func TestScaleServes(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			e := newFake(t, &fakeWorld{}, Options{Release: "r1", Workers: 1})
			start(t, e)
			if err := e.Scale(t.Context(), 4, -1); err != nil {
				t.Fatal(err)
			}
			if got, want := shape(e), "0 online r1, 1 online r1, 2 online r1, 3 online r1"; got != want {
				t.Fatalf("workers: %s\nwant: %s", got, want)
			}
		})
	}
}

// A worker that is to be recycled waits for its turn. It is replaced meanwhile if
// it is broken, or is to be restarted.
func TestReplacedBeforeItsTurn(t *testing.T) {
	for _, why := range []string{"broken", "restart"} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &fakeWorld{}
				e := newFake(t, w, Options{Release: "r1", Workers: 2, Recycle: RecycleOptions{Age: time.Minute}})
				start(t, e)
				first := e.current.workers()[0].current()
				e.current.turn <- struct{}{} // somebody has the turn
				time.Sleep(65 * time.Second)
				second := e.Status().Workers[1]
				begun := time.Now()
				if why == "broken" {
					w.byPid(second.Pid).mini().breaks("not well")
				} else {
					sel, err := ParseSelector("1")
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if err := e.Restart(ctx, sel, nil); err != nil {
						t.Errorf("restart: %v", err)
					}
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				list := e.Status().Workers
				if now := list[len(list)-1]; now.Pid == second.Pid || now.State != "online" || first.isOut() {
					t.Errorf("after %v: %+v", time.Since(begun), list)
				}
				<-e.current.turn
			})
		})
	}
}
