package report

import (
	"math"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// maxBins is how many stretches of time a chart tells apart.
const maxBins = 400

// A bin is several intervals in a row, as one. Latencies are the worst of them.
type bin struct {
	start, length     time.Duration
	answers, requests uint64
	errors            uint64
	inFlight          int           // the most at the end of one
	p50, p90, p99     time.Duration // of the interval where it was worst; 0: no answer
	max               time.Duration
}

// binned are the intervals, with as many in each bin as are needed.
func binned(list []bench.Interval) (bins []bin, each int) {
	each = max((len(list)+maxBins-1)/maxBins, 1)
	for i := range list {
		v := &list[i]
		if i%each == 0 {
			bins = append(bins, bin{start: v.Start})
		}
		b := &bins[len(bins)-1]
		b.length += v.Length
		b.answers += v.Answers
		b.requests += v.Requests
		b.errors += v.Errors
		b.inFlight = max(b.inFlight, v.InFlight)
		b.p50, b.p90 = max(b.p50, v.Latency.P50), max(b.p90, v.Latency.P90)
		b.p99, b.max = max(b.p99, v.Latency.P99), max(b.max, v.Latency.Max)
	}
	return bins, each
}

// perSecond is n over the bin's length.
func (b *bin) perSecond(n uint64) float64 {
	if b.length <= 0 {
		return 0
	}
	return float64(n) / b.length.Seconds()
}

// maxDue is the highest rate that a schedule is believed, requests a second.
const maxDue = 1e9

// scheduled is how many requests stages have due before t, on average.
func scheduled(stages []bench.Stage, t time.Duration) (n float64) {
	for _, s := range stages {
		d := min(t, s.Duration)
		if d <= 0 {
			continue
		}
		from, to := min(max(s.From, 0), maxDue), min(max(s.To, 0), maxDue)
		share := float64(d) / float64(s.Duration)
		n += d.Seconds() * (from + (to-from)*share/2)
		t -= s.Duration
	}
	return n
}

// known is d, or -1 if the bin has no answer.
func (b *bin) known(d time.Duration) float64 {
	if d <= 0 {
		return -1
	}
	return float64(d)
}

// extent are the least p50 and the greatest maximum.
func extent(bins []bin) (least, most time.Duration) {
	least = math.MaxInt64
	for i := range bins {
		if b := &bins[i]; b.p50 > 0 {
			least, most = min(least, b.p50), max(most, b.max)
		}
	}
	if most == 0 {
		return time.Millisecond, time.Second
	}
	return least, most
}
