// Calls measures what a call costs on a session, without HTTP, and as a call of
// package service (one value, or a stream each way, in plain dialect v1), beside
// net/rpc (gob), grpc-go and yamux (a stream for each call) over a unix socket:
// the server sends back what it was sent.
//
//	go run . [-rounds 5] [-d 2s] [-inflight N] [-size BYTES] [-json] [-profile DIR]
//
// Server and client of each stack are processes of their own, with one
// connection between them, and are loaded in turns. CPU per call is the user and
// system time of both over the calls made. Every reply is compared with its
// request. The medians of the rounds are shown, and the ratio of the CPU to
// that of the first stack: sessions with callbacks on the loop, both ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
)

// A plan is what the flags say.
type plan struct {
	rounds int
	d      time.Duration // length of one load
	flight []int         // calls in flight
	size   []int         // bytes each way
	json   bool

	profiles string // directory
}

func main() {
	if role := child.Role(); role != "" {
		if err := serveRole(role, os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintf(os.Stderr, "bench/calls: %s of %s: %v\n", role, os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	var p plan
	flag.IntVar(&p.rounds, "rounds", 5, "rounds, each loading every stack once per case")
	flag.DurationVar(&p.d, "d", 2*time.Second, "length of one load")
	flight := flag.Int("inflight", 0, "calls in flight; 0: 1, then 64")
	size := flag.Int("size", 0, "bytes each way; 0: 128, then 16384")
	flag.BoolVar(&p.json, "json", false, "write the medians as JSON")
	flag.StringVar(&p.profiles, "profile", "", "write a CPU profile of each process into this `directory`")
	flag.Parse()
	p.flight, p.size = either(*flight, 1, 64), either(*size, 128, 16<<10)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rows, err := run(ctx, p)
	if err == nil {
		err = p.write(rows)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench/calls:", err)
		os.Exit(1)
	}
}

// either is what was asked for, or all of others.
func either(asked int, others ...int) []int {
	if asked != 0 {
		return []int{asked}
	}
	return others
}

func (p plan) write(rows []row) error {
	if p.json {
		return json.NewEncoder(os.Stdout).Encode(rows)
	}
	fmt.Printf("echo over a unix socket, one connection, %d rounds of %v, %d CPUs, %s\n\n", p.rounds, p.d, runtime.NumCPU(), runtime.Version())
	return writeTable(os.Stdout, rows)
}

// A pair is the two processes of a stack.
type pair struct{ server, client *child.Child }

// startup is how long the processes may take to get ready and to end, in all.
const startup = 20 * time.Second

func run(ctx context.Context, p plan) ([]row, error) {
	if p.rounds < 1 || p.d <= 0 || slices.Min(p.flight) < 1 || slices.Min(p.size) < leastBody || slices.Max(p.size) > longest {
		return nil, fmt.Errorf("at least one round of some length, one call in flight and %d to %d bytes are needed", leastBody, longest)
	}
	cases := len(p.flight) * len(p.size)
	limit := startup + time.Duration((p.rounds+1)*cases*len(stacks))*(p.d+p.d/2+200*time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, limit) // which kills the children
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	pairs := make([]pair, len(stacks))
	for i, s := range stacks {
		path := filepath.Join(dir, fmt.Sprint(i))
		for _, side := range []struct {
			role string
			c    **child.Child
		}{{"server", &pairs[i].server}, {"client", &pairs[i].client}} {
			c, err := child.Start(ctx, side.role, s.name, path, p.profiles)
			if err != nil {
				return nil, err
			}
			defer c.Stop()
			*side.c = c
			if _, err := ask(c, request{}); err != nil { // it is ready when it answers
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}

	var rows []row
	for _, size := range p.size {
		for _, flight := range p.flight {
			samples := make([][]sample, len(stacks))
			for round := range p.rounds + 1 {
				for i := range stacks {
					i = (i + round) % len(stacks) // none is always first
					load := request{Flight: flight, Size: size, For: p.d}
					if round == 0 {
						load.For = min(p.d/4, 300*time.Millisecond) // to warm up
					}
					got, err := measure(pairs[i], load)
					if err != nil {
						return nil, fmt.Errorf("%s, %d in flight, %d B: %w", stacks[i].name, flight, size, err)
					}
					if round > 0 {
						samples[i] = append(samples[i], got)
					}
				}
			}
			for i, s := range stacks {
				m := median(samples[i])
				rows = append(rows, row{s.name, flight, size, m, m.CPU / median(samples[0]).CPU})
			}
		}
	}
	return rows, nil
}

func measure(p pair, load request) (sample, error) {
	before, err := ask(p.server, request{})
	if err != nil {
		return sample{}, err
	}
	got, err := ask(p.client, load)
	if err != nil {
		return sample{}, err
	}
	after, err := ask(p.server, request{})
	if err != nil {
		return sample{}, err
	}
	if got.Calls == 0 {
		return sample{}, errors.New("no call was answered")
	}
	calls := float64(got.Calls)
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	server := after.CPU - before.CPU
	return sample{
		CPU:    micro(got.CPU+server) / calls,
		Server: micro(server) / calls,
		Rate:   calls / got.Took.Seconds(),
		P50:    micro(got.P50),
		P99:    micro(got.P99),
	}, nil
}

func ask(c *child.Child, r request) (reply, error) {
	var a reply
	err := c.Ask(r, &a)
	return a, err
}
