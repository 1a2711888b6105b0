package bench

import (
	"strings"
	"testing"
	"time"
)

// TestMarks: in the order of time, within the run, short, and not without end.
func TestMarks(t *testing.T) {
	r := &Result{Started: time.Unix(1000, 0), Warmup: time.Second, Measured: 8 * time.Second, Intervals: []Interval{{Start: 9 * time.Second, Length: time.Second}}}
	for _, at := range []time.Duration{5, 2, 0, 10, 2} {
		r.AddMark(r.Started.Add(at*time.Second), "died", at.String())
	}
	r.AddMark(r.Started.Add(-1), "died", "before")
	r.AddMark(r.Started.Add(10*time.Second+1), "died", "after")
	var got []time.Duration
	for _, m := range r.Marks {
		got = append(got, m.At/time.Second)
	}
	if want := []time.Duration{0, 2, 2, 5, 10}; len(got) != len(want) || got[0] != 0 || got[1] != 2 || got[2] != 2 || got[3] != 5 || got[4] != 10 {
		t.Errorf("got %d, want %d", got, want)
	}
	r.AddMark(r.Started, "x\ny", "\x1b[31m"+strings.Repeat("ä", maxMarkText))
	if m := r.Marks[1]; m.Kind != "x y" || !strings.HasPrefix(m.Text, " [31mä") || len(m.Text) > maxMarkText+len("…") || !strings.HasSuffix(m.Text, "ä…") {
		t.Errorf("got %q", m)
	}
	for range maxMarks {
		r.AddMark(r.Started, "died", "again")
	}
	if len(r.Marks) != maxMarks || r.MarksDropped != 6 {
		t.Errorf("%d marks and %d dropped", len(r.Marks), r.MarksDropped)
	}
}
