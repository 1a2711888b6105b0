package bench

import (
	"fmt"
	"time"
)

// Thresholds are what a result has to keep to; a nil one is none.
type Thresholds struct {
	MaxMean, MaxP50, MaxP90, MaxP99, MaxP999, MaxLatency *time.Duration
	MaxErrors, MaxLost, MaxDuplicated                    *uint64
	MinRate                                              *float64 // answers per second
}

// Failed names the thresholds that r does not keep to, each with what it has. A
// latency of which there is none fails: nothing was answered.
func (t Thresholds) Failed(r *Result) (list []string) {
	l := &r.Latency
	for _, c := range []struct {
		name string
		most *time.Duration
		got  time.Duration
	}{
		{"max-mean", t.MaxMean, l.Mean}, {"max-p50", t.MaxP50, l.P50}, {"max-p90", t.MaxP90, l.P90},
		{"max-p99", t.MaxP99, l.P99}, {"max-p99.9", t.MaxP999, l.P999}, {"max-latency", t.MaxLatency, l.Max},
	} {
		switch {
		case c.most == nil:
		case l.Count == 0:
			list = append(list, fmt.Sprintf("%s %v: nothing was answered", c.name, *c.most))
		case c.got > *c.most:
			list = append(list, fmt.Sprintf("%s %v: it is %v", c.name, *c.most, short(c.got)))
		}
	}
	for _, c := range []struct {
		name string
		most *uint64
		got  uint64
	}{{"max-errors", t.MaxErrors, r.Errors}, {"max-lost", t.MaxLost, r.Lost}, {"max-duplicated", t.MaxDuplicated, r.Duplicated}} {
		if c.most != nil && c.got > *c.most {
			list = append(list, fmt.Sprintf("%s %d: there are %d", c.name, *c.most, c.got))
		}
	}
	if t.MinRate != nil && r.Rate < *t.MinRate {
		list = append(list, fmt.Sprintf("min-rate %s: it is %s/s", number(*t.MinRate), number(r.Rate)))
	}
	return list
}
