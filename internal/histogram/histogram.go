// Package histogram counts durations in fixed buckets, at the cost of two
// atomic additions each and without an allocation, for whoever shows them as a
// Prometheus histogram.
package histogram

import (
	"sync/atomic"
	"time"
)

// Bounds are the buckets' upper ends, inclusive; what is longer than the last
// falls into one more bucket. The first is about what a request behind the
// front takes on an idle machine.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
}

// A Histogram counts durations. Its zero value is empty; any goroutine may use
// it.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// Observe counts d; one below zero counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.sum.Add(int64(d))
	h.buckets[i].Add(1)
}

// AddTo adds what was counted until now to s. Observations that happen
// meanwhile may be in the sum and not yet in a bucket.
func (h *Histogram) AddTo(s *Snapshot) {
	for i := range h.buckets {
		s.Buckets[i] += h.buckets[i].Load()
	}
	s.Sum += time.Duration(h.sum.Load())
}

// A Snapshot is what Histograms have counted, together.
type Snapshot struct {
	Buckets [len(Bounds) + 1]uint64 // not cumulative; the last has what is longer than every bound
	Sum     time.Duration
}

// Add adds o to s.
func (s *Snapshot) Add(o *Snapshot) {
	for i, n := range o.Buckets {
		s.Buckets[i] += n
	}
	s.Sum += o.Sum
}

// Count is how many durations there were.
func (s *Snapshot) Count() (n uint64) {
	for _, b := range s.Buckets {
		n += b
	}
	return n
}

// Cumulative is how many durations were at most as long as each bound, which
// is given in seconds.
func (s *Snapshot) Cumulative() map[float64]uint64 {
	m, n := make(map[float64]uint64, len(Bounds)), uint64(0)
	for i, b := range Bounds {
		n += s.Buckets[i]
		m[b.Seconds()] = n
	}
	return m
}
