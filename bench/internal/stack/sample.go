package stack

import (
	"fmt"
	"slices"
	"time"
)

// A Sample is what one load of a stack cost and brought.
type Sample struct {
	CPU    float64       // µs, user and system, of all processes, per request
	Own    float64       // of it, that of the process that was started
	Rate   float64       // requests per second
	P50    time.Duration // from request to answer
	P99    time.Duration
	Peak   int64 // bytes, the sum of the processes' highest resident set sizes
	Failed int   // requests
}

// Sample measures s while load runs, which tells how many requests it made.
func (s *Stack) Sample(load func() (Load, error)) (Sample, error) {
	_ = s.ForgetPeaks() // where we may not, the peak is that since the start
	before, err := s.CPU()
	if err != nil {
		return Sample{}, err
	}
	l, err := load()
	if err != nil {
		return Sample{}, err
	}
	after, err := s.CPU()
	if err != nil {
		return Sample{}, err
	}
	peak, err := s.Memory()
	if err != nil {
		return Sample{}, err
	}
	if l.Requests == 0 {
		return Sample{}, fmt.Errorf("no request was answered, and %d failed", l.Failed())
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(l.Requests) }
	return Sample{
		CPU: each(after.All() - before.All()), Own: each(after.Daemon - before.Daemon),
		Rate: l.Rate, P50: l.P50, P99: l.P99, Peak: peak.All(), Failed: l.Failed(),
	}, nil
}

// Median takes each column on its own. Failures add up.
func Median(samples []Sample) Sample {
	m := Sample{
		CPU:  mid(samples, func(s Sample) float64 { return s.CPU }),
		Own:  mid(samples, func(s Sample) float64 { return s.Own }),
		Rate: mid(samples, func(s Sample) float64 { return s.Rate }),
		P50:  mid(samples, func(s Sample) time.Duration { return s.P50 }),
		P99:  mid(samples, func(s Sample) time.Duration { return s.P99 }),
		Peak: mid(samples, func(s Sample) int64 { return s.Peak }),
	}
	for _, s := range samples {
		m.Failed += s.Failed
	}
	return m
}

func mid[N ~int64 | ~float64](samples []Sample, column func(Sample) N) N {
	if len(samples) == 0 {
		return 0
	}
	var v []N
	for _, s := range samples {
		v = append(v, column(s))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
