package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimersFireInOrder(t *testing.T) {
	l := runLoop(t, Options{})
	const n = 200
	type shot struct{ want, got int64 } // on the loop's clock
	shots := make(chan shot, n)
	onLoop(t, l, func() {
		for range n {
			d := time.Duration(rand.IntN(50)) * time.Millisecond
			var tm *Timer
			tm = l.After(d, func() { shots <- shot{tm.when, l.now()} })
		}
		for range n { // stopped ones do not fire
			tm := l.After(time.Duration(rand.IntN(50))*time.Millisecond, func() { t.Error("a stopped timer fired") })
			if !tm.Stop() || tm.Stop() {
				t.Error("Stop")
			}
		}
	})
	var last int64
	for range n {
		s := await(t, shots)
		if s.got < s.want {
			t.Errorf("%v came at %v", s.want, s.got)
		}
		if s.want < last {
			t.Errorf("%v came after %v's", s.want, last)
		}
		last = s.want
	}
}

func TestTimerReset(t *testing.T) {
	l := runLoop(t, Options{})
	fired := make(chan string, 10)
	onLoop(t, l, func() {
		early := l.After(time.Hour, func() { fired <- "early" })
		early.Reset(time.Millisecond)
		var late *Timer
		late = l.After(time.Millisecond, func() {
			if now := l.now(); now < late.when {
				t.Errorf("fired at %d, renewed to %d", now, late.when)
			}
			fired <- "late"
		})
		renewals := 0
		var renew func()
		renew = func() {
			if late.index >= 0 { // on a slow machine it may have fired
				late.Reset(50 * time.Millisecond)
			}
			if renewals++; renewals < 10 {
				l.After(time.Millisecond, renew)
			} else {
				fired <- "renewed"
			}
		}
		renew()
		var again *Timer
		again = l.After(0, func() {
			if again != nil {
				again.Reset(0) // a fired timer runs again
				again = nil
				return
			}
			fired <- "again"
		})
	})
	got := map[string]int{}
	for range 4 {
		got[await(t, fired)]++
	}
	for _, s := range []string{"early", "late", "renewed", "again"} {
		if got[s] != 1 {
			t.Errorf("%s fired %d times", s, got[s])
		}
	}
}

func TestConnTimersEndWithIt(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 1)
	h := &handler{close: func(err error) { closed <- err }}
	h.open = func() {
		h.c.After(0, func() { h.c.After(time.Millisecond, func() { h.c.Abort(errTest) }) })
		h.c.After(time.Hour, func() { t.Error("fired") })
		stop := h.c.After(0, func() { t.Error("fired though stopped") })
		stop()
		stop()
	}
	acceptOne(t, l, "unix", h)
	if err := await(t, closed); err != errTest {
		t.Error(err)
	}
	onLoop(t, l, func() {
		if h.c.After(0, func() { t.Error("fired after the end") }); l.Stats().Timers != 0 {
			t.Errorf("%d timers left", l.Stats().Timers)
		}
	})
}
