package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// An axis is a quantity that grows while the others stay.
type axis struct {
	what    string // label
	given   string // the others
	values  []int
	name    func(int) string
	conns   func(int) int
	path    func(int) string
	workers func(int) int
}

// most is the highest number of connections.
const most = 10000

var axes = []axis{
	{
		what: "connections", given: "GET of 14 bytes, 2 workers",
		values: []int{1, 8, 64, 512, 2048, most}, name: count,
		conns: itself, path: always(""), workers: always(2),
	},
	{
		what: "body", given: "GET, 8 connections, 2 workers",
		values: []int{100, 1e3, 10e3, 100e3, 1e6, 10 << 20}, name: size,
		conns: always(8), path: func(n int) string { return fmt.Sprintf("download?n=%d", n) }, workers: always(2),
	},
	{
		what: "workers", given: "GET of 14 bytes, 64 connections",
		values: []int{1, 2, 3, 4, 6, 8}, name: count,
		conns: always(64), path: always(""), workers: itself,
	},
}

func itself(n int) int { return n }

func always[T any](v T) func(int) T { return func(int) T { return v } }

func count(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return figures.Digits(float64(n))
}

func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1e6:
		return fmt.Sprintf("%d MB", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%d kB", n/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// A curve is what came of an axis: for each value the median of either stack.
type curve struct {
	axis
	bare, heddle []stack.Sample
}

// measure loads net/http alone and heddle in turns at every value.
func (a axis) measure(ctx context.Context, dir string, rounds int, d time.Duration) (curve, error) {
	c := curve{axis: a}
	bare, err := startBare(ctx, dir)
	if err != nil {
		return c, err
	}
	defer bare.Stop()
	var heddle *stack.Stack
	defer func() {
		if heddle != nil {
			heddle.Stop()
		}
	}()
	for i, v := range a.values {
		if heddle == nil || a.workers(v) != a.workers(a.values[i-1]) {
			if heddle != nil {
				heddle.Stop()
			}
			if heddle, err = stack.Heddle(ctx, dir, "app", a.workers(v)); err != nil {
				return c, err
			}
		}
		both := []*stack.Stack{bare, heddle}
		samples := make([][]stack.Sample, len(both))
		for _, s := range both {
			if _, err := a.load(ctx, s, v, time.Second); err != nil { // warm up
				return c, err
			}
		}
		for round := range rounds {
			for j := range both {
				j = (j + round) % len(both) // neither is always first
				s, err := a.load(ctx, both[j], v, d)
				if err != nil {
					return c, err
				}
				samples[j] = append(samples[j], s)
			}
		}
		c.bare = append(c.bare, stack.Median(samples[0]))
		c.heddle = append(c.heddle, stack.Median(samples[1]))
	}
	return c, nil
}

func startBare(ctx context.Context, dir string) (*stack.Stack, error) {
	addr, err := stack.FreeAddr()
	if err != nil {
		return nil, err
	}
	return stack.Start(ctx, "net/http", "http://"+addr+"/", filepath.Join(dir, "app"), "-listen", addr)
}

func (a axis) load(ctx context.Context, s *stack.Stack, v int, d time.Duration) (stack.Sample, error) {
	sample, err := s.Sample(func() (stack.Load, error) {
		return stack.Wrk(ctx, s.URL+a.path(v), a.conns(v), d, "--timeout", "10s")
	})
	if err == nil && sample.Failed > 0 {
		err = fmt.Errorf("%d requests failed", sample.Failed)
	}
	if err == nil {
		err = s.StayedOnLoop(ctx)
	}
	if err != nil {
		return sample, fmt.Errorf("%s: %s: %w\n%s", a.name(v), s.Name, err, s.LastWords())
	}
	return sample, nil
}

// table writes Markdown.
func (c curve) table(w io.Writer) error {
	rows := [][]string{{c.what + ": " + c.given, "net/http, CPU µs", "heddle, CPU µs", "ratio", "net/http, per s", "heddle, per s", "ratio"}}
	for i, v := range c.values {
		b, h := c.bare[i], c.heddle[i]
		rows = append(rows, []string{
			c.name(v), figures.Digits(b.CPU), figures.Digits(h.CPU), fmt.Sprintf("%.2f", h.CPU/b.CPU),
			figures.Digits(b.Rate), figures.Digits(h.Rate), fmt.Sprintf("%.2f", h.Rate/b.Rate),
		})
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return figures.Markdown(w, rows, 1)
}
