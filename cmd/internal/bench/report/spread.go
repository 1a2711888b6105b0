package report

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A step of a distribution: so many latencies are no longer than that.
type cumulated struct {
	value time.Duration
	count int64
}

// distributionOf are the latencies of h in order, one entry for each value that it
// tells apart.
func distributionOf(h *hdrhistogram.Histogram) (list []cumulated) {
	n := int64(0)
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			n += b.Count
			list = append(list, cumulated{time.Duration(b.To), n})
		}
	}
	return list
}

// spread draws the distribution: latencies by the share of answers that came sooner,
// on an axis on which each further nine takes as much room as the one before.
func spread(list []cumulated) chart {
	c := chart{ID: "spread", Title: "Distribution of latencies", Note: "each further nine takes as much room; latency logarithmic"}
	if len(list) == 0 {
		_, c.Y = logTimes(time.Millisecond, time.Second)
		c.Series = []series{{"latency", "s1", ""}}
		return c
	}
	total := float64(list[len(list)-1].count)
	nines := max(math.Log10(total), 1)
	y, ticks := logTimes(list[0].value, list[len(list)-1].value)
	c.Y = ticks
	for n := 0; float64(n) <= nines; n++ {
		c.X = append(c.X, tick{100 * float64(n) / nines, percentileLabel(n)})
	}
	var p pen
	last := math.Inf(-1)
	before := 0.0 // share of those that are shorter
	for i, s := range list {
		v := y.share(float64(s.value))
		x := min(-math.Log10(1-before)/nines, 1)
		share := float64(s.count) / total
		if x-last >= 1.0/side || i == len(list)-1 {
			p.point(x, v)
			last = x
		}
		before = share
	}
	p.point(1, y.share(float64(list[len(list)-1].value)))
	c.Series = []series{{"latency", "s1", p.b.String()}}
	return c
}
