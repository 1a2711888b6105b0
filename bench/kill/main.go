// Kill measures what the death of a worker costs: under load it kills one of
// heddle's workers with SIGKILL, counts the requests that failed, and tells how
// soon a new worker was online in its place.
//
//	go run ./bench/kill
//
// At most one request per connection can have been with the worker that died,
// so more failures than connections are an error. wrk must be installed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	duration := flag.Duration("d", 6*time.Second, "length of the load, in whole seconds")
	after := flag.Duration("after", 2*time.Second, "when to kill, from the load's start")
	conns := flag.Int("c", 64, "connections")
	workers := flag.Int("workers", 2, "heddle's workers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *duration, *after, *conns, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "bench/kill:", err)
		os.Exit(1)
	}
}

// status is what this program needs of heddle status --json.
type status struct {
	Workers []worker `json:"workers"`
}

type worker struct {
	Index int    `json:"index"`
	PID   int    `json:"pid"`
	State string `json:"state"`
}

func run(ctx context.Context, d, after time.Duration, conns, workers int) error {
	if d < time.Second || after >= d {
		return errors.New("the kill must come within the load, which lasts at least a second")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("wrk is needed to make the load: %w", err)
	}
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./examples/hello"); err != nil {
		return err
	}
	addr, err := stack.FreeAddr()
	if err != nil {
		return err
	}
	heddle, control := filepath.Join(dir, "heddle"), filepath.Join(dir, "control.sock")
	s, err := stack.Start(ctx, "heddle", "http://"+addr+"/", heddle, "run",
		"--name", "bench-kill", "--workers", strconv.Itoa(workers), "--listen", addr, "--control", control, filepath.Join(dir, "hello"))
	if err != nil {
		return err
	}
	defer s.Stop()
	first, err := readStatus(ctx, heddle, control)
	if err != nil {
		return err
	}
	victim, err := pick(first)
	if err != nil {
		return err
	}

	type outcome struct {
		load stack.Load
		err  error
	}
	loaded := make(chan outcome, 1)
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Ends with wrk, after d or when loadCtx is cancelled.
	go func() {
		l, err := stack.Wrk(loadCtx, s.URL, conns, d)
		loaded <- outcome{l, err}
	}()

	select {
	case <-time.After(after):
	case <-ctx.Done():
		return ctx.Err()
	}
	proc, err := os.FindProcess(victim.PID)
	if err != nil {
		return err
	}
	if err := proc.Kill(); err != nil {
		return fmt.Errorf("killing worker %d, pid %d: %w", victim.Index, victim.PID, err)
	}
	killed := time.Now()
	next, polls, err := awaitSuccessor(ctx, heddle, control, victim)
	if err != nil {
		return err
	}
	took := time.Since(killed)
	o := <-loaded
	if o.err != nil {
		return o.err
	}

	fmt.Printf("wrk -t1 -c%d -d%v on %d workers; worker %d (pid %d) killed after %v\n", conns, d, workers, victim.Index, victim.PID, after)
	fmt.Printf("requests answered   %d (%.0f/s)\n", o.load.Requests, o.load.Rate)
	fmt.Printf("not 2xx or 3xx      %d\n", o.load.Non2xx)
	fmt.Printf("broken connections  %d\n", o.load.Broken)
	fmt.Printf("timed out           %d\n", o.load.Timeouts)
	fmt.Printf("new worker online   %v after the kill (pid %d; seen by poll %d of heddle status)\n", took.Round(time.Millisecond), next.PID, polls)
	if failed := o.load.Failed(); failed > conns {
		return fmt.Errorf("%d requests failed, more than the %d that can have been in flight", failed, conns)
	}
	return nil
}

func readStatus(ctx context.Context, heddle, control string) (status, error) {
	var st status
	out, err := exec.CommandContext(ctx, heddle, "status", "--json", "--control", control).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return st, fmt.Errorf("heddle status: %w: %s", err, exit.Stderr)
		}
		return st, fmt.Errorf("heddle status: %w", err)
	}
	if err := json.Unmarshal(out, &st); err != nil {
		return st, fmt.Errorf("heddle status --json: %w: %q", err, out)
	}
	return st, nil
}

func pick(st status) (worker, error) {
	for _, w := range st.Workers {
		if w.State == "online" && w.PID > 1 {
			return w, nil
		}
	}
	return worker{}, fmt.Errorf("no worker is online: %+v", st.Workers)
}

// awaitSuccessor polls until another process is online under the victim's
// index, and tells how many polls that took.
func awaitSuccessor(ctx context.Context, heddle, control string, victim worker) (worker, int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for polls := 1; ; polls++ {
		st, err := readStatus(ctx, heddle, control)
		if err != nil {
			return worker{}, polls, err
		}
		for _, w := range st.Workers {
			if w.Index == victim.Index && w.PID != victim.PID && w.State == "online" {
				return w, polls, nil
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return worker{}, polls, fmt.Errorf("no new worker was online in time: %+v", st.Workers)
		}
	}
}
