// Idle measures what connections cost that do nothing: by how much the
// resident memory of heddle's daemon grows, and that of bare net/http.
//
//	go run ./bench/idle
//	go run ./bench/idle -n 50000
//
// Two kinds of clients are held open: those that have had one answer, and
// those that have never said a word. The memory is read while all of them are
// there. They come from several addresses of 127.0.0.0/8, since one has too few
// ports for many; each side needs a descriptor for each, so ulimit -n may have
// to be raised. It fails if a connection in heddle's daemon costs more than
// -goal, or if heddle served a request elsewhere than on its loops.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	n := flag.Int("n", 10000, "connections")
	workers := flag.Int("workers", 2, "heddle's workers")
	goal := flag.Float64("goal", 10<<20/10000., "bytes that a connection may cost heddle's daemon; 0: no goal")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *n, *workers, *goal); err != nil {
		fmt.Fprintln(os.Stderr, "bench/idle:", err)
		stop()
		os.Exit(1)
	}
}

// A growth is the resident memory of one stack without and with its clients.
type growth struct {
	before, after stack.Memory
}

func (g growth) perConnection(n int) float64 {
	return float64(g.after.Daemon-g.before.Daemon) / float64(n)
}

func run(ctx context.Context, n, workers int, goal float64) error {
	if n < 1 || n > mostClients {
		return fmt.Errorf("between 1 and %d connections", mostClients)
	}
	if err := stack.Files(n + 1000); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("not done within 10 minutes"))
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./bench/peers/app"); err != nil {
		return err
	}
	bare := func() (*stack.Stack, error) {
		addr, err := stack.FreeAddr()
		if err != nil {
			return nil, err
		}
		return stack.Start(ctx, "net/http", "http://"+addr+"/", filepath.Join(dir, "app"), "-listen", addr)
	}
	heddle := func() (*stack.Stack, error) { return stack.Heddle(ctx, dir, "app", workers) }

	fmt.Printf("%d connections, %d workers, %d CPUs, %s\n\n", n, workers, runtime.NumCPU(), runtime.Version())
	rows := [][]string{{"clients", "stack", "before, MiB", "after, MiB", "grew by, MiB", "bytes each", "workers grew by, MiB"}}
	var missed error
	for _, k := range []struct {
		clients string
		ask     bool
	}{{"had one answer", true}, {"never said a word", false}} {
		for _, start := range []func() (*stack.Stack, error){bare, heddle} {
			s, err := start()
			if err != nil {
				return err
			}
			g, err := hold(ctx, s, n, k.ask)
			if err == nil {
				err = s.StayedOnLoop(ctx)
			}
			name, words := s.Name, s.LastWords()
			s.Stop()
			if err != nil {
				return fmt.Errorf("%s, clients that %s: %w\n%s", name, k.clients, errors.Join(err, context.Cause(ctx)), words)
			}
			each := g.perConnection(n)
			rows = append(rows, []string{
				k.clients, name, mib(g.before.Daemon), mib(g.after.Daemon), mib(g.after.Daemon - g.before.Daemon),
				figures.Digits(each), mib(g.after.Others - g.before.Others),
			})
			if name == "heddle" && goal > 0 && n >= 10_000 && each > goal {
				missed = errors.Join(missed, fmt.Errorf("a connection that %s costs %.0f bytes, more than %.0f", k.clients, each, goal))
			}
		}
	}
	if err := figures.Markdown(os.Stdout, rows, 2); err != nil {
		return err
	}
	return missed
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

// settle is how long the daemon has to finish with the last client. It is
// shorter than any time-out of heddle's.
const settle = time.Second

// hold opens n connections, reads the memory and closes them.
func hold(ctx context.Context, s *stack.Stack, n int, ask bool) (growth, error) {
	var g growth
	var err error
	if g.before, err = s.Resident(); err != nil {
		return g, err
	}
	clients, err := connect(ctx, s.Addr(), n, ask)
	defer closeAll(clients)
	if err != nil {
		return g, err
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return g, ctx.Err()
	}
	if g.after, err = s.Resident(); err != nil {
		return g, err
	}
	open, err := s.Descriptors()
	if err == nil && open < n {
		err = fmt.Errorf("only %d descriptors are open: clients were turned away", open)
	}
	return g, err
}
