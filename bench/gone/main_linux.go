// Gone measures how soon a handler knows, by its context, that its client has
// gone: by a reset and by a half-close, through heddle run and, in the same
// run, with net/http alone.
//
//	go run ./bench/gone
//
// It fails when a handler was not told at all, when a client that half-closed
// did not get its answer, or when heddle's p99 is above -goal.
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
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	n := flag.Int("n", 1000, "clients of each kind, one after the other")
	workers := flag.Int("workers", 2, "heddle's workers")
	goal := flag.Duration("goal", 5*time.Millisecond, "heddle's p99 at most")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *workers, *goal); err != nil {
		fmt.Fprintln(os.Stderr, "bench/gone:", err)
		os.Exit(1)
	}
}

// A way is how a client goes.
type way struct {
	name  string
	leave func(c *net.TCPConn) error
	// answered says whether the handler's answer must still arrive.
	answered bool
}

var ways = []way{
	{name: "reset", leave: func(c *net.TCPConn) error {
		if err := c.SetLinger(0); err != nil {
			return err
		}
		return c.Close()
	}},
	{name: "half-close", leave: (*net.TCPConn).CloseWrite, answered: true},
}

func run(ctx context.Context, n, workers int, goal time.Duration) error {
	if n < 1 || workers < 1 {
		return errors.New("at least one client and one worker are needed")
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
	ear, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ear.Close()

	stacks := []*stack.Stack{bare, heddle}
	samples := make(map[string][]time.Duration)
	for i := range n {
		for _, w := range ways {
			for k := range stacks {
				s := stacks[(i+k)%len(stacks)] // neither is always first
				took, err := sample(ctx, s.Addr(), ear, i, w)
				if err != nil {
					return fmt.Errorf("%s, %s %d: %w", s.Name, w.name, i, err)
				}
				samples[s.Name+w.name] = append(samples[s.Name+w.name], took)
			}
		}
	}

	fmt.Printf("how soon the handler knew that its client was gone, %d clients of each kind, %d workers, %d CPUs, %s\n\n", n, workers, runtime.NumCPU(), runtime.Version())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "by\tstack\tp50\tp99\tmost\t")
	var late []string
	for _, w := range ways {
		for _, s := range stacks {
			took := samples[s.Name+w.name]
			p99 := clock.Percentile(took, 0.99)
			fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%v\t\n", w.name, s.Name, micro(clock.Percentile(took, 0.5)), micro(p99), micro(clock.Percentile(took, 1)))
			if s == heddle && p99 > goal {
				late = append(late, fmt.Sprintf("by %s the p99 is %v", w.name, micro(p99)))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if late != nil {
		return fmt.Errorf("%s, above %v", strings.Join(late, "; "), goal)
	}
	return nil
}

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// sample asks, waits until the handler waits, goes, and returns how long after
// that the handler knew.
func sample(ctx context.Context, addr string, ear net.PacketConn, id int, w way) (time.Duration, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	end := time.Now().Add(5 * time.Second)
	if err := errors.Join(nc.SetDeadline(end), ear.SetReadDeadline(end)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(nc, "GET /gone?id=%d&to=%s HTTP/1.1\r\nHost: x\r\n\r\n", id, ear.LocalAddr()); err != nil {
		return 0, err
	}
	if _, err := hear(ear, "here", id); err != nil {
		return 0, fmt.Errorf("waiting for the handler: %w", err)
	}
	start := clock.Now()
	if err := w.leave(nc.(*net.TCPConn)); err != nil {
		return 0, err
	}
	knew, err := hear(ear, "gone", id)
	if err != nil {
		return 0, fmt.Errorf("the handler was not told: %w", err)
	}
	if w.answered {
		if err := answered(nc, id); err != nil {
			return 0, err
		}
	}
	return time.Duration(knew - start), nil
}

// answered reads the answer that a client gets who has half-closed.
func answered(nc net.Conn, id int) error {
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return fmt.Errorf("no answer after the half-close: %w", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("gone %d", id); err != nil || string(got) != want {
		return fmt.Errorf("after the half-close: got %q, %v, want %q", got, err, want)
	}
	return nil
}

// hear waits for the handler's word about id and returns the time it told, if
// any.
func hear(ear net.PacketConn, word string, id int) (int64, error) {
	var p [128]byte
	for {
		n, _, err := ear.ReadFrom(p[:])
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(p[:n]))
		if len(f) < 2 || f[0] != word || f[1] != strconv.Itoa(id) {
			continue // of a client before
		}
		if len(f) < 3 {
			return 0, nil
		}
		return strconv.ParseInt(f[2], 10, 64)
	}
}
