// Growth measures how CPU time per request grows, of heddle run with its
// shipped defaults and of bare net/http: with the number of connections, with
// the length of the body, and with the number of workers.
//
//	go run ./bench/growth
//
// It prints a table for docs/performance.md and draws docs/img/growth.svg, or
// what -svg names. wrk -t1 makes the load. The stacks are loaded in turns, in
// rounds, and the medians are shown. Opening the connections counts, so with
// 10,000 of them a short -d makes a request look dear.
//
// It fails if a request failed, or if heddle served one elsewhere than on its
// loops.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	rounds := flag.Int("rounds", 3, "rounds, each measuring every point once")
	d := flag.Duration("d", 2*time.Second, "length of one load, in whole seconds")
	svg := flag.String("svg", "docs/img/growth.svg", "file to draw; empty: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *rounds, *d, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "bench/growth:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, d time.Duration, svg string) error {
	if rounds < 1 || d < time.Second {
		return errors.New("at least one round of one second is needed")
	}
	if err := stack.Files(most + 1000); err != nil {
		return err
	}
	// Twice what it ought to take, and what building takes.
	bound := 5*time.Minute + 2*time.Duration(rounds)*40*(d+3*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not done within %v", bound))
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./bench/peers/app"); err != nil {
		return err
	}
	var curves []curve
	for _, a := range axes {
		c, err := a.measure(ctx, dir, rounds, d)
		if err != nil {
			return fmt.Errorf("%s: %w", a.what, errors.Join(err, context.Cause(ctx)))
		}
		curves = append(curves, c)
	}
	fmt.Printf("wrk -t1 -d%v, medians of %d rounds, %d CPUs, %s\n", d, rounds, runtime.NumCPU(), runtime.Version())
	for _, c := range curves {
		if err := c.table(os.Stdout); err != nil {
			return err
		}
	}
	if svg == "" {
		return nil
	}
	f, err := os.Create(svg)
	if err != nil {
		return err
	}
	if err := draw(f, curves); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
