// Stall measures what a stalled download costs its neighbours: the latency of
// a GET of 14 bytes while, in every other round, clients of the same server ask
// for a large body and read nothing after its head. It does so through heddle
// run, whose one worker then carries the stalled and the quick alike, and, in the
// same run, with net/http alone.
//
//	go run ./bench/stall
//
// It fails when a neighbour's request fails or when heddle's p99 with the stall
// is -goal times that without, or more.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A plan is what the flags say.
type plan struct {
	rounds  int
	d       time.Duration // length of one load
	conns   int
	stalled int
	size    int64 // bytes of the stalled body
	workers int
	goal    float64
}

func main() {
	var p plan
	flag.IntVar(&p.rounds, "rounds", 6, "rounds, each without and with the stall for both stacks")
	flag.DurationVar(&p.d, "d", time.Second, "length of one load")
	flag.IntVar(&p.conns, "c", 8, "neighbours' connections")
	flag.IntVar(&p.stalled, "stalled", 1, "stalled downloads at once")
	size := flag.Int64("size", 1024, "MiB of each stalled download")
	flag.IntVar(&p.workers, "workers", 1, "heddle's workers")
	flag.Float64Var(&p.goal, "goal", 2, "heddle's p99 with the stall over that without must be below")
	flag.Parse()
	p.size = *size << 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "bench/stall:", err)
		os.Exit(1)
	}
}

// samples are a stack's latencies, [0] without and [1] with the stall.
type samples [2][]time.Duration

func run(ctx context.Context, p plan) error {
	if p.rounds < 1 || p.d <= 0 || p.conns < 1 || p.stalled < 1 || p.size < 64<<20 || p.workers < 1 {
		return errors.New("at least one round, connection, stalled download of 64 MiB and worker are needed")
	}
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./bench/app"); err != nil {
		return err
	}
	bare, heddle, err := stack.Pair(ctx, dir, "app", p.workers)
	if err != nil {
		return err
	}
	defer bare.Stop()
	defer heddle.Stop()

	stacks := []*stack.Stack{bare, heddle}
	got := map[*stack.Stack]*samples{bare: {}, heddle: {}}
	for _, s := range stacks {
		if _, err := load(ctx, s, p.conns, p.d/2); err != nil { // warm up
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	for round := range p.rounds {
		for k := range 4 {
			k = (k + round) % 4 // none is always first
			s, with := stacks[k/2], k%2
			took, err := measure(ctx, s, p, with)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			got[s][with] = append(got[s][with], took...)
		}
	}

	fmt.Printf("GET of 14 bytes on %d connections, %d rounds of %v each without and with %d stalled download(s) of %d MiB, %d worker(s), %d CPUs, %s\n\n",
		p.conns, p.rounds, p.d, p.stalled, p.size>>20, p.workers, runtime.NumCPU(), runtime.Version())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "stack\tstalled\trequests\tp50\tp99\t")
	for _, s := range stacks {
		for with, stalled := range []int{0, p.stalled} {
			took := got[s][with]
			fmt.Fprintf(table, "%s\t%d\t%d\t%v\t%v\t\n", s.Name, stalled, len(took), micro(clock.Percentile(took, 0.5)), micro(clock.Percentile(took, 0.99)))
		}
		fmt.Fprintf(table, "%s\tratio\t\t%.2f\t%.2f\t\n", s.Name, got[s].ratio(0.5), got[s].ratio(0.99))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r := got[heddle].ratio(0.99); r >= p.goal {
		return fmt.Errorf("the neighbours' p99 grew %.2f times, not less than %g", r, p.goal)
	}
	return nil
}

func (s *samples) ratio(p float64) float64 {
	return float64(clock.Percentile(s[1], p)) / float64(clock.Percentile(s[0], p))
}

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// measure loads s, with the stalled downloads if with is 1.
func measure(ctx context.Context, s *stack.Stack, p plan, with int) ([]time.Duration, error) {
	for range with * p.stalled {
		nc, err := stall(ctx, s.Addr(), p.size)
		if err != nil {
			return nil, err
		}
		defer nc.Close()
	}
	return load(ctx, s, p.conns, p.d)
}

// stall asks for size bytes, reads the head of the answer and nothing more, and
// returns after the buffers on the way had time to fill.
func stall(ctx context.Context, addr string, size int64) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := begin(nc, size); err != nil {
		nc.Close()
		return nil, err
	}
	select {
	case <-time.After(200 * time.Millisecond): // sockets and windows fill
	case <-ctx.Done():
	}
	return nc, ctx.Err()
}

// begin sends the request and reads the head of its answer.
func begin(nc net.Conn, size int64) error {
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(nc, "GET /download?n=%d HTTP/1.1\r\nHost: x\r\n\r\n", size); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return fmt.Errorf("the download's head: %w", err)
	}
	if resp.StatusCode != http.StatusOK || resp.ContentLength != size {
		return fmt.Errorf("the download is %s with %d bytes, want %d", resp.Status, resp.ContentLength, size)
	}
	return nil
}

// load asks on conns connections, each waiting for its answer before it asks
// again, for d, and returns how long each request took.
func load(ctx context.Context, s *stack.Stack, conns int, d time.Duration) ([]time.Duration, error) {
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all []time.Duration // guarded by mu
		bad error           // guarded by mu
	)
	end := time.Now().Add(d)
	for range conns {
		wg.Go(func() { // ends at end, with ctx, or with the first failure
			took, err := neighbour(ctx, s.Addr(), end)
			mu.Lock()
			defer mu.Unlock()
			all, bad = append(all, took...), errors.Join(bad, err)
		})
	}
	wg.Wait()
	if bad == nil && len(all) == 0 {
		bad = errors.New("no request was answered")
	}
	return all, bad
}

func neighbour(ctx context.Context, addr string, end time.Time) ([]time.Duration, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if err := nc.SetDeadline(end.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	br := bufio.NewReader(nc)
	var took []time.Duration
	for time.Now().Before(end) && ctx.Err() == nil {
		start := time.Now()
		if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil {
			return nil, err
		}
		if n != 14 || resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("a neighbour got %s and %d bytes", resp.Status, n)
		}
		took = append(took, time.Since(start))
	}
	return took, ctx.Err()
}
