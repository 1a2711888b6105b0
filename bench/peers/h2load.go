package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// h2load loads url over HTTP/2, with one thread and one request at a time on
// each of conns connections, as wrk does it over HTTP/1.1.
func h2load(ctx context.Context, url string, conns int, d time.Duration, dir string) (stack.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	log := filepath.Join(dir, "h2load.log")
	defer os.Remove(log)
	cmd := exec.CommandContext(ctx, "h2load", "-t1", fmt.Sprintf("-c%d", conns), "-m1", fmt.Sprintf("-D%d", int(d.Seconds())), "--log-file="+log, url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return stack.Load{}, fmt.Errorf("h2load: %w\n%s", err, out)
	}
	times, err := os.ReadFile(log)
	if err != nil {
		return stack.Load{}, fmt.Errorf("h2load: %w", err)
	}
	return parseH2load(out, times)
}

var (
	h2Rate     = regexp.MustCompile(`(?m)^finished in .*, ([\d.]+) req/s`)
	h2Requests = regexp.MustCompile(`(?m)^requests: .* (\d+) succeeded, (\d+) failed`)
)

// parseH2load reads the report and the log, whose lines are the start, the
// status and the duration in µs, with tabs between them. Of those failed,
// h2load counts those errored and timed out, too.
func parseH2load(out, log []byte) (stack.Load, error) {
	rate, requests := h2Rate.FindSubmatch(out), h2Requests.FindSubmatch(out)
	if rate == nil || requests == nil {
		return stack.Load{}, fmt.Errorf("not a report of h2load: %q", out)
	}
	var load stack.Load
	load.Rate, _ = strconv.ParseFloat(string(rate[1]), 64) // digits, by the patterns
	load.Requests, _ = strconv.Atoi(string(requests[1]))
	load.Broken, _ = strconv.Atoi(string(requests[2]))
	var took []time.Duration
	for line := range bytes.Lines(log) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			return load, errors.New("not a log of h2load")
		}
		us, err := strconv.ParseInt(string(fields[2]), 10, 64)
		if err != nil {
			return load, fmt.Errorf("h2load's log: %w", err)
		}
		took = append(took, time.Duration(us)*time.Microsecond)
	}
	load.P50, load.P99 = clock.Percentile(took, 0.5), clock.Percentile(took, 0.99)
	return load, nil
}
