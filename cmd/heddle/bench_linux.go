package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// runBench runs bench until its end, or the first signal; a second one ends the
// process.
func runBench(cmd *cobra.Command, o *benchFlags, limits bench.Thresholds) error {
	create := func(path string) (*os.File, error) {
		if path == "" {
			return nil, nil
		}
		return os.Create(path)
	}
	csv, err := create(o.csv) // before the run, not after an hour of it
	if err != nil {
		return err
	}
	save, err := create(o.save)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	release := context.AfterFunc(ctx, stop)
	defer release()
	if t := &o.target; t.isApp() && t.locator == "" {
		target, leave, err := t.visit(ctx)
		if err != nil {
			return err
		}
		defer leave()
		o.options.Target = target
	}
	live := isTerminal(os.Stderr)
	if live {
		o.options.OnInterval = func(i bench.Interval) { showInterval(os.Stderr, i) }
	}
	log.SetOutput(io.Discard) // net/http complains there about servers that are counted
	o.options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	r, err := bench.Run(ctx, o.options)
	if live {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	return o.report(cmd.OutOrStdout(), r, limits, csv, save)
}

// showInterval writes the live line over the one before.
func showInterval(to io.Writer, i bench.Interval) {
	rate := 0.0
	if i.Length > 0 {
		rate = float64(i.Answers) / i.Length.Seconds()
	}
	warm := ""
	if i.Warmup {
		warm = " (warm-up)"
	}
	fmt.Fprintf(to, "\r\x1b[K%v%s: %.0f/s, p50 %v, p99 %v, %d errors, %d in flight",
		(i.Start + i.Length).Round(100*time.Millisecond), warm, rate,
		i.Latency.P50.Round(time.Microsecond), i.Latency.P99.Round(time.Microsecond), i.Errors, i.InFlight)
}
