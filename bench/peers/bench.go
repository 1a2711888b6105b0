package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A bench goes through the workloads.
type bench struct {
	dir      string // the programs, and a directory for each stack
	o        options
	kinds    []kind
	results  []result
	problems []error // any of which makes the run fail
}

// A contender is a stack under one workload.
type contender struct {
	kind
	stack   *stack.Stack
	samples []stack.Sample
	err     error // why it is out of the race
}

// measure starts the stacks, loads them with w in turns, and stops them.
func (b *bench) measure(ctx context.Context, w workload) error {
	dir, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	kinds := slices.DeleteFunc(slices.Clone(b.kinds), func(k kind) bool { return w.by == byH2load && !k.http2 || w.by == byFanOut && k.whole })
	all := make([]*contender, len(kinds))
	defer func() {
		var wg sync.WaitGroup
		for _, c := range all {
			if c != nil && c.stack != nil {
				wg.Go(c.stack.Stop)
			}
		}
		wg.Wait()
	}()
	for i, k := range kinds {
		b.progress(fmt.Sprintf("%s: %s starts", w.key, k.key))
		all[i] = &contender{kind: k}
		all[i].err = b.ready(ctx, all[i], w, dir)
	}
	for round := range b.o.rounds {
		for i := range all {
			c := all[(i+round)%len(all)] // none is always first
			if c.err != nil {
				continue
			}
			b.progress(fmt.Sprintf("%s: round %d of %d, %s", w.key, round+1, b.o.rounds, c.key))
			c.err = b.load(ctx, c, w, dir)
		}
		if ctx.Err() != nil {
			return nil // what is not whole is not shown
		}
	}
	b.conclude(w, all)
	return nil
}

// ready starts c, checks an answer and warms it up.
func (b *bench) ready(ctx context.Context, c *contender, w workload, parent string) error {
	dir, err := os.MkdirTemp(parent, c.key)
	if err != nil {
		return err
	}
	if c.stack, err = c.start(ctx, place{built: b.dir, dir: dir, threads: b.o.threads}); err != nil {
		return err
	}
	if err := w.check(ctx, c.stack); err != nil {
		return err
	}
	if w.by == byFanOut {
		return nil // its clients come first, and are not counted
	}
	_, err = w.sample(ctx, c.stack, dir, time.Second)
	return err
}

func (b *bench) load(ctx context.Context, c *contender, w workload, dir string) error {
	s, err := w.sample(ctx, c.stack, dir, b.o.d)
	if err != nil {
		return err
	}
	c.samples = append(c.samples, s)
	if w.by == byH2load || c.whole && w.body != nil {
		return nil // net/http's, by design
	}
	return c.stack.StayedOnLoop(ctx)
}

// conclude takes the medians, and what went wrong.
func (b *bench) conclude(w workload, all []*contender) {
	var base *result
	for _, c := range all {
		if len(c.samples) > 0 {
			r := newResult(w, c.kind, stack.Median(c.samples), base)
			b.results = append(b.results, r)
			if c.key == bare {
				base = &r
			}
			if r.Failed > 0 && !c.frail {
				b.problem(fmt.Errorf("%s: %s: %d requests failed", w.key, c.key, r.Failed))
			}
		}
		if c.err != nil {
			err := fmt.Errorf("%s: %s: %w", w.key, c.key, c.err)
			if c.stack != nil {
				if words := c.stack.LastWords(); words != "" {
					err = errors.Join(err, fmt.Errorf("its last words:\n%s", words))
				}
			}
			if c.frail {
				b.progress("")
				fmt.Fprintln(os.Stderr, "bench/peers:", err)
			} else {
				b.problem(err)
			}
		}
	}
}

func (b *bench) problem(err error) { b.problems = append(b.problems, err) }

// progress shows a line on a terminal, in the place of the last.
func (b *bench) progress(line string) {
	if st, err := os.Stderr.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
	}
}
