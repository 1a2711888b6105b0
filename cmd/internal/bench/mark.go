package bench

import (
	"slices"
	"strings"
	"time"
)

// A Mark is something that became of the server during a run, for the time axis.
type Mark struct {
	At   time.Duration `json:"at_ns"` // since Started
	Kind string        `json:"kind"`  // one word: began, switched, done, failed, died, …
	Text string        `json:"text"`
}

// Limits of marks.
const (
	maxMarks    = 1000
	maxMarkText = 300 // bytes
)

// AddMark puts a mark where it belongs in time. One from outside of the run is left
// out, and one beyond the limit counted.
func (r *Result) AddMark(at time.Time, kind, text string) {
	m := Mark{At: at.Sub(r.Started), Kind: clean(kind), Text: clean(text)}
	switch {
	case m.At < 0 || m.At > r.End():
	case len(r.Marks) >= maxMarks:
		r.MarksDropped++
	default:
		i, _ := slices.BinarySearchFunc(r.Marks, m.At+1, func(m Mark, at time.Duration) int { return int(m.At - at) })
		r.Marks = slices.Insert(r.Marks, i, m)
	}
}

// End is when the run was over, since Started: the last answers had been awaited.
func (r *Result) End() time.Duration {
	end := r.Warmup + r.Measured
	if n := len(r.Intervals); n > 0 {
		end = max(end, r.Intervals[n-1].Start+r.Intervals[n-1].Length)
	}
	return end
}

// clean makes of what others wrote one short line without control characters.
func clean(s string) string {
	s = withPrintable(strings.ToValidUTF8(s, "?"), ' ')
	if len(s) > maxMarkText {
		s = strings.ToValidUTF8(s[:maxMarkText], "") + "…"
	}
	return s
}
