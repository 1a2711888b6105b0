// Sse measures server-sent events: the time from the handler's Flush to the
// event's first byte at the client, through heddle run and, in the same run,
// with net/http alone.
//
//	go run ./bench/sse
//
// Each event carries the machine's monotonic clock as the handler read it right
// before the Flush; the client reads the same clock when its read returns. It
// fails when events are missing or heddle's p99 is above -goal.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	rounds := flag.Int("rounds", 4, "rounds, each listening to both stacks once")
	n := flag.Int("n", 1000, "events in each")
	every := flag.Duration("every", 2*time.Millisecond, "from one event to the next")
	workers := flag.Int("workers", 2, "heddle's workers")
	goal := flag.Duration("goal", time.Millisecond, "heddle's p99 at most")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *n, *every, *workers, *goal); err != nil {
		fmt.Fprintln(os.Stderr, "bench/sse:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, n int, every time.Duration, workers int, goal time.Duration) error {
	if rounds < 1 || n < 1 || every <= 0 || workers < 1 {
		return errors.New("rounds, events, their distance and workers must be more than none")
	}
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./bench/app"); err != nil {
		return err
	}
	bare, heddle, err := stack.Pair(ctx, dir, "app", workers)
	if err != nil {
		return err
	}
	defer bare.Stop()
	defer heddle.Stop()

	stacks := []*stack.Stack{bare, heddle}
	samples := make(map[*stack.Stack][]time.Duration)
	for round := range rounds {
		for i := range stacks {
			s := stacks[(i+round)%len(stacks)] // neither is always first
			got, err := listen(ctx, s, n, every)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			samples[s] = append(samples[s], got...)
		}
	}

	fmt.Printf("from the handler's Flush to the event's first byte at the client, %d events, one each %v, %d workers, %d CPUs, %s\n\n", rounds*n, every, workers, runtime.NumCPU(), runtime.Version())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "stack\tp50\tp99\tmost\t")
	for _, s := range stacks {
		fmt.Fprintf(table, "%s\t%v\t%v\t%v\t\n", s.Name, micro(clock.Percentile(samples[s], 0.5)), micro(clock.Percentile(samples[s], 0.99)), micro(clock.Percentile(samples[s], 1)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if p99 := clock.Percentile(samples[heddle], 0.99); p99 > goal {
		return fmt.Errorf("the p99 is %v, above %v", micro(p99), goal)
	}
	return nil
}

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// listen takes n events from s and returns how long each was on its way.
func listen(ctx context.Context, s *stack.Stack, n int, every time.Duration) ([]time.Duration, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(30*time.Second + 2*time.Duration(n)*every)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(nc, "GET /events?n=%d&every=%v HTTP/1.1\r\nHost: x\r\n\r\n", n, every); err != nil {
		return nil, err
	}
	stamped := &stamping{Conn: nc}
	resp, err := http.ReadResponse(bufio.NewReader(stamped), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	samples := make([]time.Duration, 0, n)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // the empty line after an event
		}
		sent, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, time.Duration(stamped.last-sent))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(samples) != n {
		return nil, fmt.Errorf("%d events of %d arrived", len(samples), n)
	}
	return samples, nil
}

// A stamping connection remembers when its last read returned. Events are so
// small and far apart that this is the read which brought the event's first
// byte; where it is a later one, the event counts as later than it was.
type stamping struct {
	net.Conn
	last int64 // clock.Now after the last Read
}

func (s *stamping) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.last = clock.Now()
	return n, err
}
