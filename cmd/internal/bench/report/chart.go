package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// side is the length of a chart's coordinate system, on both axes; y grows downwards.
const side = 1000

// A chart is one drawing with its axes. Positions are shares of the width or height,
// in percent, from the left or from the top.
type chart struct {
	ID, Title, Note string
	Series          []series
	X, Y            []tick
	Warm            float64 // how much of the beginning is warm-up
	Flags           []flag
	Hits            []hit
}

// A series is one line.
type series struct {
	Name  string
	Class string // of the style sheet
	Path  string // SVG's, "": nothing to draw
}

type tick struct {
	At    float64
	Label string
}

// A flag is a mark on the time axis.
type flag struct {
	At    float64
	N     string // its number in the table, or those that stand close; "": it has no room for one
	Class string
	Text  string
}

// A hit is a stretch of the time axis and what a pointer is told there.
type hit struct {
	At, Width float64
	Text      string
}

// An axis turns values into shares of its length, 0 to 1.
type axis struct {
	from, to float64
	log      bool // they are logarithms
}

func (a axis) share(v float64) float64 {
	if a.log {
		v = math.Log10(max(v, 1e-300))
	}
	if a.to == a.from {
		return 0
	}
	return min(max((v-a.from)/(a.to-a.from), 0), 1)
}

// fromZero is an axis from 0 to more than most, and its ticks.
func fromZero(most float64, label func(float64) string) (a axis, ticks []tick) {
	most *= 1.04 // a line along the edge is none
	step := niceStep(most / 4)
	a = axis{to: step * max(math.Ceil(most/step), 1)}
	for v := 0.0; v <= a.to*(1+1e-9); v += step {
		ticks = append(ticks, tick{100 * (1 - a.share(v)), label(v)})
	}
	return a, ticks
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*p >= v*(1-1e-9) {
			return f * p
		}
	}
	return 10 * p
}

// logTimes is a logarithmic axis that holds least and most, and its ticks.
func logTimes(least, most time.Duration) (a axis, ticks []tick) {
	least = max(least, 1)
	most = max(most, least)
	a = axis{from: math.Log10(float64(least)), to: math.Log10(float64(most)), log: true}
	if room := 0.4 - (a.to - a.from); room > 0 { // a flat line is drawn in the middle
		a.from, a.to = a.from-room/2, a.to+room/2
	}
	pad := (a.to - a.from) * 0.04
	a.from, a.to = a.from-pad, a.to+pad
	factors := []float64{1, 2, 5}
	if a.to-a.from > 2 {
		factors = factors[:1]
	}
	for e := math.Floor(a.from); e <= a.to; e++ {
		for _, f := range factors {
			if v := f * math.Pow(10, e); math.Log10(v) >= a.from && math.Log10(v) <= a.to {
				ticks = append(ticks, tick{100 * (1 - a.share(v)), duration(time.Duration(math.Round(v)))})
			}
		}
	}
	return a, ticks
}

// timeSteps are the distances of ticks on a time axis.
var timeSteps = []time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// timeTicks are those of an axis that ends at end, which is above 0: at most seven, so
// that a phone has room for them.
func timeTicks(end time.Duration) (ticks []tick) {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if end <= 6*s {
			step = s
			break
		}
	}
	step *= end/(6*step+1) + 1 // beyond the list: several days
	for i := range end/step + 1 {
		ticks = append(ticks, tick{100 * float64(i*step) / float64(end), moment(i * step)})
	}
	return ticks
}

// A pen draws a path.
type pen struct {
	b    strings.Builder
	down bool // the last point belongs to the line
}

func (p *pen) point(x, y float64) {
	c := byte('L')
	if !p.down {
		c = 'M'
	}
	p.down = true
	p.b.WriteByte(c)
	p.b.Write(strconv.AppendFloat(nil, side*x, 'f', 1, 64))
	p.b.WriteByte(' ')
	p.b.Write(strconv.AppendFloat(nil, side*(1-y), 'f', 1, 64))
}

// lift begins anew with the next point.
func (p *pen) lift() { p.down = false }

// steps draws values, each of which holds for its bin; one that is negative is none.
func steps(bins []bin, end time.Duration, y axis, value func(*bin) float64) string {
	var p pen
	for i := range bins {
		b := &bins[i]
		v := value(b)
		if v < 0 {
			p.lift()
			continue
		}
		x := func(at time.Duration) float64 { return along(at, end) }
		p.point(x(b.start), y.share(v))
		p.point(x(b.start+b.length), y.share(v))
	}
	return p.b.String()
}

// along is where at stands on an axis of time that ends at end: 0 to 1.
func along(at, end time.Duration) float64 {
	return min(max(float64(at)/float64(max(end, 1)), 0), 1)
}

// percentileLabel is what stands at 1-10^-n: 90 %, 99.9 %.
func percentileLabel(n int) string {
	switch n {
	case 0:
		return "0 %"
	case 1:
		return "90 %"
	case 2:
		return "99 %"
	}
	return fmt.Sprintf("99.%s %%", strings.Repeat("9", n-2))
}
