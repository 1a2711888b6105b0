package bench

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Stage is a part of a run in which the rate goes in a straight line from one
// value to another.
type Stage struct {
	Duration time.Duration `json:"duration_ns"`
	From     float64       `json:"from"` // requests per second
	To       float64       `json:"to"`
}

// count returns how many requests are due in the first x of the stage.
func (s Stage) count(x time.Duration) float64 {
	t, d := x.Seconds(), s.Duration.Seconds()
	return s.From*t + (s.To-s.From)*t*t/(2*d)
}

// when returns how far into the stage the n-th request is due, 0 <= n < count(Duration).
func (s Stage) when(n float64) time.Duration {
	slope := (s.To - s.From) / s.Duration.Seconds()
	// The root of slope/2·t² + From·t = n that also holds where slope is 0.
	root := math.Sqrt(max(s.From*s.From+2*slope*n, 0))
	if s.From+root == 0 {
		return 0
	}
	return min(time.Duration(2*n/(s.From+root)*float64(time.Second)), s.Duration)
}

// A Pace says when requests should leave. It has no state: what it says depends on
// nothing but its arguments, so a schedule can be computed again from a report.
type Pace struct {
	stages  []Stage
	ends    []float64 // requests due up to the end of each stage
	poisson bool
	seed    uint64
	length  time.Duration // of all stages
}

// Limits of what a Pace takes.
const (
	maxStages = 1000
	maxRate   = 10_000_000         // requests per second
	maxLength = 7 * 24 * time.Hour // of a run
)

// NewPace returns the pace of stages, one after the other. Poisson arrivals come at
// these rates on average, the gaps between them drawn with seed; else they are evenly
// spaced.
func NewPace(stages []Stage, poisson bool, seed uint64) (*Pace, error) {
	if len(stages) == 0 || len(stages) > maxStages {
		return nil, fmt.Errorf("bench: %d stages; want 1 to %d", len(stages), maxStages)
	}
	p := &Pace{stages: stages, poisson: poisson, seed: seed}
	total := 0.0
	for i, s := range stages {
		switch {
		case s.Duration <= 0 || s.Duration > maxLength:
			return nil, fmt.Errorf("bench: stage %d lasts %v; want up to %v", i+1, s.Duration, maxLength)
		case !(s.From >= 0 && s.From <= maxRate && s.To >= 0 && s.To <= maxRate): // NaN, too
			return nil, fmt.Errorf("bench: stage %d: want rates from 0 to %d requests a second", i+1, maxRate)
		}
		total += s.count(s.Duration)
		p.length += s.Duration
		p.ends = append(p.ends, total)
	}
	if p.length > maxLength {
		return nil, fmt.Errorf("bench: the stages last %v; want up to %v", p.length, maxLength)
	}
	if total == 0 {
		return nil, errors.New("bench: nothing is due in any stage")
	}
	return p, nil
}

// Length returns how long all stages last.
func (p *Pace) Length() time.Duration { return p.length }

// Due returns when request n, counted from 0, should leave after the start, given
// when the one before should have; ok is false if no more is due.
func (p *Pace) Due(last time.Duration, n uint64) (due time.Duration, ok bool) {
	if !p.poisson {
		return p.at(float64(n))
	}
	// A Poisson process of any rate is one of rate 1 on another clock, which
	// shows how many are due.
	at := p.count(last) - math.Log1p(-unit(mix(mix(p.seed)+n)))
	if due, ok = p.at(at); due < last {
		due = last // by rounding
	}
	return due, ok
}

// after returns when the step-th request after n is due, given when n is. It is what
// Due says of each of them.
func (p *Pace) after(last time.Duration, n, step uint64) (due time.Duration, ok bool) {
	if !p.poisson {
		return p.at(float64(n + step))
	}
	for ok = true; ok && step > 0; step-- {
		n++
		last, ok = p.Due(last, n)
	}
	return last, ok
}

// Rate returns the requests per second that are due around t.
func (p *Pace) Rate(t time.Duration) float64 {
	for _, s := range p.stages {
		if t < s.Duration {
			return s.From + (s.To-s.From)*float64(t)/float64(s.Duration)
		}
		t -= s.Duration
	}
	return 0
}

// count returns how many requests are due before t.
func (p *Pace) count(t time.Duration) (n float64) {
	for i, s := range p.stages {
		if t < s.Duration {
			return n + s.count(t)
		}
		t -= s.Duration
		n = p.ends[i]
	}
	return n
}

// at returns when the n-th is due; n may lie between two.
func (p *Pace) at(n float64) (time.Duration, bool) {
	var start time.Duration
	before := 0.0
	for i, s := range p.stages {
		if n < p.ends[i] {
			return start + s.when(n-before), true
		}
		start += s.Duration
		before = p.ends[i]
	}
	return 0, false
}

// mix makes one number of another, any change of which changes half its bits
// (the finalizer of SplitMix64: Steele, Lea, Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit returns a number from 0 up to, not including, 1.
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// ParseStages reads stages with commas between them: 10s:1000 holds 1000 requests per
// second for 10 s, 10s:0-1000 goes there in a straight line, and 10s:-1000 from where
// the stage before ended.
func ParseStages(text string) ([]Stage, error) {
	var stages []Stage
	last := 0.0
	for part := range strings.SplitSeq(text, ",") {
		fail := func(want string) ([]Stage, error) {
			return nil, fmt.Errorf("bench: stage %q: want %s, as in 10s:1000 or 30s:1000-5000", part, want)
		}
		length, rates, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			return fail("DURATION:RATE or DURATION:FROM-TO")
		}
		d, err := time.ParseDuration(length)
		if err != nil || d <= 0 {
			return fail("a duration")
		}
		from, to, ramp := strings.Cut(rates, "-")
		if !ramp {
			to = from
		}
		s := Stage{Duration: d, From: last}
		if from != "" {
			if s.From, err = parseRate(from); err != nil {
				return fail("a number of requests per second")
			}
		}
		if s.To, err = parseRate(to); err != nil {
			return fail("a number of requests per second")
		}
		last = s.To
		if stages = append(stages, s); len(stages) > maxStages {
			return nil, fmt.Errorf("bench: more than %d stages", maxStages)
		}
	}
	return stages, nil
}

func parseRate(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err == nil && !(f >= 0 && f <= maxRate) {
		err = strconv.ErrRange
	}
	return f, err
}
