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

// tellTruth prints percentiles as the generators say they are, and as they are.
func tellTruth(ctx context.Context, tools map[string]string, s *child.Child, to io.Writer) error {
	rows := [][]string{{"server", "says"}}
	for _, p := range percentiles {
		rows[0] = append(rows[0], p.name, "off by")
	}
	for _, c := range truths {
		all := c.computed()
		right := make(map[string]time.Duration)
		cells := []string{c.name, "computed"}
		for _, p := range percentiles {
			right[p.name] = all[int(math.Ceil(p.share*float64(len(all))))-1]
			cells = append(cells, figures.Duration(right[p.name]), "")
		}
		rows = append(rows, cells)
		for _, g := range []struct {
			generator
			name  string
			rate  int
			conns int
		}{
			{generators[1], fmt.Sprintf("heddle bench -r %d", truthRate), truthRate, openConns},
			{generators[1], "heddle bench, closed", 0, truthConns},
			{generators[0], "wrk", 0, truthConns},
			{generators[4], fmt.Sprintf("hey -q, %d/s in all", truthRate), truthRate, truthConns},
		} {
			if tools[g.program] == "" {
				continue
			}
			url, err := tell(s, c.is)
			if err != nil {
				return err
			}
			r, err := g.run(ctx, tools, load{url: url, conns: g.conns, d: truthTook, rate: g.rate})
			if err != nil {
				return err
			}
			cells := []string{"", g.name}
			for _, p := range percentiles {
				if d, ok := r.at[p.name]; ok {
					cells = append(cells, figures.Duration(d), fmt.Sprintf("%+.1f %%", 100*(float64(d)/float64(right[p.name])-1)))
				} else {
					cells = append(cells, "", "")
				}
			}
			rows = append(rows, cells)
		}
	}
	fmt.Fprintf(to, "%v each; closed loops with %d connections\n\n", truthTook, truthConns)
	return figures.Markdown(to, rows, 2)
}
