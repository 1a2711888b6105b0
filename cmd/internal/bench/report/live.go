package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// maxSpark is how many intervals a live line draws at most.
const maxSpark = 24

// A Live is the line that a terminal shows of a run that goes on.
type Live struct {
	Total time.Duration // of the run; 0: not known

	errors uint64
	rates  []float64 // of the last intervals
	p99s   []float64 // nanoseconds
}

// Add takes the next interval and returns the line in at most width columns.
func (l *Live) Add(i bench.Interval, width int) string {
	rate := 0.0
	if i.Length > 0 {
		rate = float64(i.Answers) / i.Length.Seconds()
	}
	l.errors += i.Errors
	l.rates = keep(l.rates, rate)
	l.p99s = keep(l.p99s, float64(i.Latency.P99))
	at := moment(i.Start + i.Length)
	if l.Total > 0 {
		at += " of " + moment(l.Total)
	}
	if i.Warmup {
		at += ", warming up"
	}
	known := func(d time.Duration) string {
		if i.Latency.Count == 0 {
			return "-"
		}
		return duration(d)
	}
	line := at
	for _, part := range []string{ // what matters most stands first, and what has no room is left out
		digits(rate) + "/s",
		"p99 " + known(i.Latency.P99),
		fmt.Sprintf("%d errors", l.errors),
		"p50 " + known(i.Latency.P50),
		fmt.Sprintf("%d in flight", i.InFlight),
		"rate " + spark(l.rates),
		"p99 " + spark(l.p99s),
	} {
		if utf8.RuneCountInString(line)+2+utf8.RuneCountInString(part) <= width {
			line += "  " + part
		}
	}
	if r := []rune(line); len(r) > width {
		line = string(r[:max(width, 0)])
	}
	return line
}

func keep(list []float64, v float64) []float64 {
	if len(list) >= maxSpark {
		list = append(list[:0], list[len(list)-maxSpark+1:]...)
	}
	return append(list, v)
}

// spark draws values from 0 to their most, a character each.
func spark(list []float64) string {
	const steps = "▁▂▃▄▅▆▇█"
	most := 0.0
	for _, v := range list {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range list {
		n := 0
		if most > 0 {
			n = min(int(v/most*8), 7)
		}
		b.WriteString(steps[3*n : 3*n+3]) // each has three bytes
	}
	return b.String()
}
