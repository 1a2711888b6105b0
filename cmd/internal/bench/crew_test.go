package bench

import (
	"testing"
	"time"
)

// TestStopped: a run whose process was stopped until long after its end, loops and all,
// has its end when it goes on.
func TestStopped(t *testing.T) {
	w := newCrew(Options{Threads: 1, Duration: time.Millisecond - slack}) // its time is over at once
	time.AfterFunc(50*time.Millisecond, func() { w.over(0) })
	if err := w.wait(t.Context()); err != nil {
		t.Error(err)
	}
}
