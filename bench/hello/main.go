// Hello measures what a GET of 14 bytes costs: heddle's front with its
// workers, beside the same handler on net/http alone.
//
//	go run ./bench/hello
//
// Both stacks run for the whole time and are loaded in turns by wrk, which
// must be installed. CPU per request is the user and system time of all the
// processes of a stack over the requests it answered. The medians of the
// rounds are compared.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds, each loading both stacks once")
	duration := flag.Duration("d", 5*time.Second, "length of one load, in whole seconds")
	conns := flag.Int("c", 64, "connections")
	workers := flag.Int("workers", 2, "heddle's workers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *duration, *conns, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "bench/hello:", err)
		os.Exit(1)
	}
}

// A sample is one load of one stack.
type sample struct {
	cpu    float64 // µs of CPU time per request, of all processes
	worker float64 // of it, what the workers used
	rate   float64 // requests per second
}

func run(ctx context.Context, rounds int, d time.Duration, conns, workers int) error {
	if rounds < 1 || d < time.Second {
		return errors.New("at least one round of one second is needed")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("wrk is needed to make the load: %w", err)
	}
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./examples/hello", "./bench/bare"); err != nil {
		return err
	}

	bareAddr, err := stack.FreeAddr()
	if err != nil {
		return err
	}
	bare, err := stack.Start(ctx, "net/http", "http://"+bareAddr+"/", filepath.Join(dir, "bare"), "-addr", bareAddr)
	if err != nil {
		return err
	}
	defer bare.Stop()
	addr, err := stack.FreeAddr()
	if err != nil {
		return err
	}
	heddle, err := stack.Start(ctx, "heddle", "http://"+addr+"/", filepath.Join(dir, "heddle"), "run",
		"--name", "bench-hello", "--workers", strconv.Itoa(workers), "--listen", addr, "--control", filepath.Join(dir, "control.sock"),
		"--admin", "unix:"+filepath.Join(dir, "admin.sock"), filepath.Join(dir, "hello")) // what it costs to count is part of it
	if err != nil {
		return err
	}
	defer heddle.Stop()

	fmt.Printf("GET of 14 bytes, wrk -t1 -c%d -d%v, %d workers, %d CPUs, %s\n\n", conns, d, workers, runtime.NumCPU(), runtime.Version())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "round\tstack\tCPU µs/request\tof it workers\trequests/s\tfailed\t")
	stacks := []*stack.Stack{bare, heddle}
	samples := make([][]sample, len(stacks))
	for _, s := range stacks {
		if _, err := stack.Wrk(ctx, s.URL, conns, time.Second); err != nil { // warm up
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	failed := 0
	for round := range rounds {
		for i := range stacks {
			i = (i + round) % len(stacks) // neither is always first
			s := stacks[i]
			got, load, err := measure(ctx, s, conns, d)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			samples[i] = append(samples[i], got)
			failed += load.Failed()
			fmt.Fprintf(table, "%d\t%s\t%.2f\t%.2f\t%.0f\t%d\t\n", round+1, s.Name, got.cpu, got.worker, got.rate, load.Failed())
		}
	}
	b, h := median(samples[0]), median(samples[1])
	fmt.Fprintf(table, "median\t%s\t%.2f\t%.2f\t%.0f\t\t\n", bare.Name, b.cpu, b.worker, b.rate)
	fmt.Fprintf(table, "median\t%s\t%.2f\t%.2f\t%.0f\t\t\n", heddle.Name, h.cpu, h.worker, h.rate)
	fmt.Fprintf(table, "ratio\theddle : net/http\t%.2f\t\t%.2f\t\t\n", h.cpu/b.cpu, h.rate/b.rate)
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed", failed)
	}
	return nil
}

func measure(ctx context.Context, s *stack.Stack, conns int, d time.Duration) (sample, stack.Load, error) {
	before, err := s.CPU()
	if err != nil {
		return sample{}, stack.Load{}, err
	}
	load, err := stack.Wrk(ctx, s.URL, conns, d)
	if err != nil {
		return sample{}, load, err
	}
	after, err := s.CPU()
	if err != nil {
		return sample{}, load, err
	}
	if load.Requests == 0 {
		return sample{}, load, errors.New("no request was answered")
	}
	daemon, others := after.Daemon-before.Daemon, after.Others-before.Others
	return sample{
		cpu:    float64((daemon + others).Microseconds()) / float64(load.Requests),
		worker: float64(others.Microseconds()) / float64(load.Requests),
		rate:   load.Rate,
	}, load, nil
}

// median takes each column on its own.
func median(samples []sample) sample {
	return sample{
		cpu:    figures.Median(samples, func(s sample) float64 { return s.cpu }),
		worker: figures.Median(samples, func(s sample) float64 { return s.worker }),
		rate:   figures.Median(samples, func(s sample) float64 { return s.rate }),
	}
}
