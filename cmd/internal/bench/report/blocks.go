package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// maxBlocks is how many blocks the intervals of a run make at most. Longer blocks
// hide less that what follows one another is alike.
const maxBlocks = 50

// A block is some intervals in a row: what is drawn when a run is drawn again.
type block struct {
	seconds           float64
	requests, answers float64
	errors            float64
	sum               float64 // of latencies, nanoseconds
	cells             []cell
}

// A cell counts the latencies of one value.
type cell struct {
	index int32 // of the value, in sample.values
	n     int64
}

// A sample is a side of a comparison.
type sample struct {
	runs   [][]block
	blocks int // of all runs
}

// values are all latencies that occur, in order; shared by both sides.
type values struct {
	all   []int64
	index map[int64]int32
}

// collect cuts runs into blocks; latencies are by value until v knows all of them.
func collect(sides [2][]*bench.Result) (both [2]sample, v values, err error) {
	type counted map[int64]int64
	var maps [2][][]counted
	seen := make(map[int64]bool)
	for s, runs := range sides {
		for _, r := range runs {
			if !r.Kept() {
				return both, v, ErrNotKept
			}
			list := measured(r)
			each := max((len(list)+maxBlocks-1)/maxBlocks, 1)
			var blocks []block
			var latencies []counted
			for i := range list {
				if i%each == 0 && len(list)-i >= (each+1)/2 { // a short rest belongs to the last
					blocks = append(blocks, block{})
					latencies = append(latencies, make(counted))
				}
				b, l, it := &blocks[len(blocks)-1], latencies[len(latencies)-1], &list[i]
				h, err := it.Distribution()
				if err != nil {
					return both, v, err
				}
				b.seconds += it.Length.Seconds()
				b.requests += float64(it.Requests)
				b.errors += float64(it.Errors)
				for _, bar := range h.Distribution() {
					if bar.Count > 0 {
						l[bar.To] += bar.Count
						seen[bar.To] = true
						b.answers += float64(bar.Count)
						b.sum += float64(bar.Count) * float64(bar.From+bar.To) / 2
					}
				}
			}
			both[s].runs = append(both[s].runs, blocks)
			both[s].blocks += len(blocks)
			maps[s] = append(maps[s], latencies)
		}
	}
	v.index = make(map[int64]int32, len(seen))
	for x := range seen {
		v.all = append(v.all, x)
	}
	slices.Sort(v.all)
	for i, x := range v.all {
		v.index[x] = int32(i)
	}
	for s := range both {
		for r := range both[s].runs {
			for b := range both[s].runs[r] {
				for x, n := range maps[s][r][b] {
					both[s].runs[r][b].cells = append(both[s].runs[r][b].cells, cell{v.index[x], n})
				}
			}
		}
	}
	return both, v, nil
}

// measured are the intervals in which requests were sent and counted, whole ones: the
// last may be shorter, down to half.
func measured(r *bench.Result) (list []bench.Interval) {
	end := r.Warmup + r.Measured
	longest := time.Duration(0)
	for i := range r.Intervals {
		longest = max(longest, r.Intervals[i].Length)
	}
	for i := range r.Intervals {
		v := r.Intervals[i]
		if !v.Warmup && v.Length > 0 && v.Start+v.Length/2 <= end && v.Length >= longest/2 && v.Histogram != "" {
			list = append(list, v)
		}
	}
	return list
}

// comparable says in what A and B differ that is no difference of the server's.
func comparable(sides [2][]*bench.Result) (notes []string) {
	first := sides[0][0]
	say := func(format string, args ...any) {
		note := fmt.Sprintf(format, args...)
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	for s, runs := range sides {
		for i, r := range runs {
			name := fmt.Sprintf("%c%d", 'A'+s, i+1)
			m, f := &r.Model, &first.Model
			if m.Kind != f.Kind || m.Conns != f.Conns || m.Pipeline != f.Pipeline || m.Reconnect != f.Reconnect || m.Think != f.Think || m.Poisson != f.Poisson || !slices.Equal(m.Stages, f.Stages) {
				say("%s had another model than A1: what differs may be the load", name)
			}
			if !slices.Equal(r.Names, first.Names) {
				say("%s sent other requests than A1", name)
			}
			if r.Cut {
				say("%s was cut short", name)
			}
			for _, w := range r.Warnings() {
				say("%s: %s", name, w)
			}
		}
	}
	if first.Model.Kind == bench.Closed {
		say("closed model: coordinated omission is possible in both")
	}
	return notes
}
