package histogram

import (
	"sync"
	"testing"
	"time"
)

// A bound belongs to its bucket, and what is a nanosecond longer to the next.
func TestBounds(t *testing.T) {
	for i, b := range Bounds {
		if i > 0 && b <= Bounds[i-1] {
			t.Errorf("bound %d, %v, is not above %v", i, b, Bounds[i-1])
		}
		for d, want := range map[time.Duration]int{b: i, b + 1: i + 1} {
			var h Histogram
			var s Snapshot
			h.Observe(d)
			h.AddTo(&s)
			if s.Buckets[want] != 1 || s.Count() != 1 || s.Sum != d {
				t.Errorf("%v: got %+v, want 1 in bucket %d", d, s, want)
			}
		}
	}
	var h Histogram
	var s Snapshot
	h.Observe(-time.Second)
	h.AddTo(&s)
	if s.Buckets[0] != 1 || s.Sum != 0 {
		t.Errorf("-1s: got %+v, want 1 in bucket 0", s)
	}
}

func TestCumulative(t *testing.T) {
	var h Histogram
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, d := range []time.Duration{0, time.Millisecond, 2 * time.Minute} {
				h.Observe(d)
			}
		})
	}
	wg.Wait()
	var one, s Snapshot
	h.AddTo(&one)
	s.Add(&one)
	got := s.Cumulative()
	for _, tt := range []struct {
		bound float64
		want  uint64
	}{{0.0001, 4}, {0.0005, 4}, {0.001, 8}, {60, 8}} {
		if got[tt.bound] != tt.want {
			t.Errorf("up to %v s: got %d, want %d", tt.bound, got[tt.bound], tt.want)
		}
	}
	if s.Count() != 12 {
		t.Errorf("got %d in all, want 12", s.Count())
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Second) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Observe(700 * time.Microsecond)
	}
}
