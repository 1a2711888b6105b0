package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/figures"
)

// A behaviour is what the server does; the zero value answers at once.
type behaviour struct {
	Least   time.Duration // before an answer
	Spread  time.Duration // mean of what is added to it, exponentially distributed
	StallAt time.Duration // after the first request: no answer leaves from then
	Stall   time.Duration // for so long; 0: never
}

// block is how many answers of a server have the distribution exactly.
const block = 1000

// sleep is how long the n-th request waits for its answer: of each block of them the
// i-th quantile of it once, in an order that has no drift.
func (b behaviour) sleep(n int) time.Duration {
	if b.Spread == 0 {
		return b.Least
	}
	i := n % block * 617 % block // 617 has no divisor in common with block: each i comes once
	return b.Least - time.Duration(math.Log1p(-(float64(i)+0.5)/block)*float64(b.Spread))
}

// answerAt is when an answer leaves that would at that time, since the first request.
func (b behaviour) answerAt(at time.Duration) time.Duration {
	if at >= b.StallAt && at < b.StallAt+b.Stall {
		return b.StallAt + b.Stall
	}
	return at
}

// A truth is a case whose latencies can be computed.
type truth struct {
	name string
	is   behaviour
}

var truths = []truth{
	{"sleeps 100 ms and exponentially 100 ms more", behaviour{Least: 100 * time.Millisecond, Spread: 100 * time.Millisecond}},
	{"sleeps 20 ms, stalls for a second", behaviour{Least: 20 * time.Millisecond, StallAt: 5 * time.Second, Stall: time.Second}},
}

const (
	truthRate  = 500             // requests a second
	truthTook  = 8 * time.Second // that is four blocks; an eighth of it is the stall
	truthConns = 50              // of generators that have no schedule: as many as are busy
	openConns  = 1000            // of those that have one: more than are busy in the stall
)

var percentiles = []struct {
	name  string
	share float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}

// computed returns the latencies of requests that are sent as they are due, constant
// rate, in order.
func (c truth) computed() []time.Duration {
	var all []time.Duration
	for n := range truthRate * int(truthTook/time.Second) {
		due := time.Duration(n) * time.Second / truthRate
		all = append(all, c.is.answerAt(due+c.is.sleep(n))-due)
	}
	slices.Sort(all)
	return all
}

// A witness says what it saw of a truth.
type witness struct {
	generator
	name  string
	rate  int
	conns int
}

// witnesses are those whose reports have percentiles.
var witnesses = []witness{
	{generators[1], fmt.Sprintf("heddle bench -r %d", truthRate), truthRate, openConns},
	{generators[1], "heddle bench, closed", 0, truthConns},
	{generators[0], "wrk", 0, truthConns},
	{generators[4], fmt.Sprintf("hey -q, %d/s in all", truthRate), truthRate, truthConns},
}

// tellTruth prints percentiles as the generators say they are, and as they are.
func tellTruth(ctx context.Context, tools map[string]string, s *child.Child, p plan, to io.Writer) error {
	rows := [][]string{{"server", "says"}}
	for _, at := range percentiles {
		rows[0] = append(rows[0], at.name, "off by")
	}
	rows[0] = append(rows[0], "late itself, p99.9")
	for _, c := range truths {
		all := c.computed()
		right := make(map[string]time.Duration)
		cells := []string{c.name, "computed"}
		for _, at := range percentiles {
			right[at.name] = all[int(math.Ceil(at.share*float64(len(all))))-1]
			cells = append(cells, figures.Duration(right[at.name]), "")
		}
		rows = append(rows, append(cells, ""))
		got := make([][]report, len(witnesses))
		for range p.rounds {
			for i, w := range witnesses {
				if tools[w.program] == "" {
					continue
				}
				url, err := tell(s, c.is)
				if err != nil {
					return err
				}
				r, err := w.run(ctx, tools, load{url: url, conns: w.conns, d: truthTook, rate: w.rate})
				if err != nil {
					return err
				}
				got[i] = append(got[i], r)
			}
		}
		for i, w := range witnesses {
			if len(got[i]) > 0 {
				rows = append(rows, testimony(w, got[i], right))
			}
		}
	}
	fmt.Fprintf(to, "%v each, medians of %d rounds; closed loops with %d connections\n\n", truthTook, p.rounds, truthConns)
	return figures.Markdown(to, rows, 2)
}

// testimony is a witness's row.
func testimony(w witness, got []report, right map[string]time.Duration) []string {
	cells := []string{"", w.name}
	for _, p := range percentiles {
		if _, ok := got[0].at[p.name]; !ok {
			cells = append(cells, "", "")
			continue
		}
		d := figures.Median(got, func(r report) float64 { return float64(r.at[p.name]) })
		cells = append(cells, figures.Duration(time.Duration(d)), fmt.Sprintf("%+.1f %%", 100*(d/float64(right[p.name])-1)))
	}
	late := ""
	if w.rate > 0 && got[0].late != nil {
		late = figures.Duration(time.Duration(figures.Median(got, func(r report) float64 { return float64(r.late["p99.9"]) })))
	}
	return append(cells, late)
}
