package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/figures"
)

// compare prints what the generators cost and how many requests they make.
func compare(ctx context.Context, tools map[string]string, s *child.Child, p plan, to io.Writer) error {
	url, err := tell(s, behaviour{})
	if err != nil {
		return err
	}
	var there []generator
	for _, g := range generators {
		if tools[g.program] != "" {
			there = append(there, g)
		}
	}
	rows := [][]string{{"connections", "generator", "CPU µs/request", "ratio", "requests/s", "ratio", "of a processor"}}
	for _, conns := range p.conns {
		got := make([][]report, len(there))
		for round := range p.rounds {
			for i := range there {
				i = (i + round) % len(there)
				r, err := there[i].run(ctx, tools, load{url: url, conns: conns, d: p.d})
				if err != nil {
					return err
				}
				got[i] = append(got[i], r)
				fmt.Fprintf(os.Stderr, "\r%d connections, round %d of %d: %-30s", conns, round+1, p.rounds, there[i].name)
			}
		}
		for i, g := range there {
			rows = append(rows, row(strconv.Itoa(conns), g.name, got[i], got[0], there[0].program == "wrk"))
		}
	}
	fmt.Fprintf(os.Stderr, "\r%-60s\r", "")
	fmt.Fprintf(to, "one thread each, %v, medians of %d rounds, ratios to wrk, %d CPUs, %s\n\n", p.d, p.rounds, runtime.NumCPU(), runtime.Version())
	return figures.Markdown(to, rows, 2)
}

// row is a generator's, beside those of the one that ratios are to, if based.
func row(conns, name string, got, base []report, based bool) []string {
	ratio := func(of func(r report) float64) string {
		if !based {
			return ""
		}
		var all []float64
		for i := range got {
			all = append(all, of(got[i])/of(base[i]))
		}
		return fmt.Sprintf("%.2f", figures.Median(all, func(f float64) float64 { return f }))
	}
	rate := func(r report) float64 { return r.rate }
	return []string{
		conns, name,
		figures.Digits(figures.Median(got, report.cpuEach)), ratio(report.cpuEach),
		figures.Digits(figures.Median(got, rate)), ratio(rate),
		fmt.Sprintf("%.0f %%", figures.Median(got, func(r report) float64 { return r.cpuEach() * r.rate / 1e4 })),
	}
}

// paceRate is a second's requests.
const paceRate = 20_000

// holdPace prints how far from the schedule heddle bench's requests leave.
func holdPace(ctx context.Context, tools map[string]string, s *child.Child, p plan, to io.Writer) error {
	url, err := tell(s, behaviour{})
	if err != nil {
		return err
	}
	cases := []struct {
		name string
		more []string
	}{
		{"constant", nil}, {"constant, two loops", []string{"-t", "2"}}, {"Poisson", []string{"--poisson"}},
	}
	got := make([][]report, len(cases))
	for range p.rounds {
		for i, c := range cases {
			g := generator{name: c.name, program: "heddle", args: func(l load) []string { return append(heddleArgs(l), c.more...) }, parse: parseHeddle}
			r, err := g.run(ctx, tools, load{url: url, conns: 64, d: p.d, rate: paceRate})
			if err != nil {
				return err
			}
			got[i] = append(got[i], r)
		}
	}
	rows := [][]string{{"arrivals", "p50", "p99", "p99.9", "p99.99", "most", "best p99.9", "CPU µs/request", "answers/s"}}
	for i, c := range cases {
		cells := []string{c.name}
		at := func(name string) func(r report) float64 {
			return func(r report) float64 { return float64(r.late[name]) }
		}
		for _, name := range []string{"p50", "p99", "p99.9", "p99.99", "max"} {
			cells = append(cells, figures.Duration(time.Duration(figures.Median(got[i], at(name)))))
		}
		best := got[i][0].late["p99.9"]
		for _, r := range got[i] {
			best = min(best, r.late["p99.9"])
		}
		rows = append(rows, append(cells, figures.Duration(best), figures.Digits(figures.Median(got[i], report.cpuEach)),
			figures.Digits(figures.Median(got[i], func(r report) float64 { return r.rate }))))
	}
	fmt.Fprintf(to, "%d requests/s on 64 connections, %v, medians of %d rounds: how long after they were due requests left\n\n", paceRate, p.d, p.rounds)
	return figures.Markdown(to, rows, 1)
}
