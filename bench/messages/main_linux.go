// Messages measures what a message between two processes costs: with session/ipc, its frames and its JSON and also through
// a hub to workers in a third process; with the real socket-ipc on node; and with a plain loop of package net and
// encoding/json, in one run.
//
//	go run ./bench/messages
//
// Each system has a server in one process and all clients in another, on a unix socket. The clients send texts of
// 128 bytes and of 16 KiB: one way, as fast as the socket takes them, until the last one has been counted by the
// server; or acknowledged, one at a time for each client. CPU per message is user and system time of all processes.
// It needs node and npm, which installs the package once; without them that system is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/internal/nodepeer"
)

// A load is what the clients of a system send.
type load struct {
	Ack      bool
	Size     int           // of a message's text, bytes
	Count    int           // messages at most, all clients together
	Duration time.Duration // at most
}

// A tally is what became of it. Sent may go a little over the load's count: the clients look at it before they send.
type tally struct{ Sent, Arrived int }

// A system is one that is measured: its processes and their connections.
type system interface {
	run(load) (tally, error)     // returns when all that was sent has arrived
	cpu() (time.Duration, error) // of all processes, since they began
	stop()
}

// systems are measured in turns.
var systems = []struct {
	name  string
	start func(ctx context.Context, dir string, clients int) (system, error)
}{
	{"socket-ipc 0.4 on node", startNode},
	{"net + encoding/json", startPlain},
	{"session/ipc", startOurs(modeFrames)},
	{"session/ipc, through a hub to 8 workers", startOurs(modeRelay)},
	{"session/ipc, JSON of socket-ipc", startOurs(modeJSON)},
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds, each loading all systems in every way")
	duration := flag.Duration("d", time.Second, "length of one load at most")
	count := flag.Int("n", 200_000, "messages in one load at most")
	clients := flag.Int("c", 64, "clients")
	flag.Parse()
	if err := roles(*rounds, *duration, *count, *clients); err != nil {
		fmt.Fprintln(os.Stderr, "bench/messages:", err)
		os.Exit(1)
	}
}

func roles(rounds int, d time.Duration, count, clients int) error {
	switch child.Role() {
	case rolePlainServer:
		return servePlain(flag.Arg(0))
	case roleServer:
		return serveOurs(flag.Arg(0), flag.Arg(1))
	case roleWorkers:
		return workOurs(context.Background(), flag.Arg(0))
	case rolePlainClient, roleClients:
		n, err := strconv.Atoi(flag.Arg(flag.NArg() - 1))
		if err != nil {
			return err
		}
		if child.Role() == rolePlainClient {
			return askPlain(flag.Arg(0), n)
		}
		return askOurs(context.Background(), flag.Arg(0), flag.Arg(1), n)
	}
	if rounds < 1 || d < 10*time.Millisecond || d > time.Minute || count < 1 || clients < 1 || clients > 1000 {
		return errors.New("needed are a round, loads of 10 ms to a minute, a message, and 1 to 1,000 clients")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, rounds, load{Count: count, Duration: d}, clients)
}

// A sample is one load on one system.
type sample struct{ cpu, rate float64 } // µs per message; messages per second

func run(ctx context.Context, rounds int, l load, clients int) error {
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var names []string
	var running []system
	for _, s := range systems {
		started, err := s.start(ctx, dir, clients)
		if errors.Is(err, nodepeer.ErrMissing) {
			fmt.Fprintf(os.Stderr, "left out, %s: %v\n", s.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer started.stop()
		names, running = append(names, s.name), append(running, started)
	}

	fmt.Printf("%d clients, loads of %v or %d messages at most, medians of %d rounds in turns, %d CPUs, %s\n\n", clients, l.Duration, l.Count, rounds, runtime.NumCPU(), runtime.Version())
	rows := [][]string{{"system", "message", "way", "CPU µs/message", "messages/s"}}
	for _, l.Size = range []int{128, 16 << 10} {
		for _, l.Ack = range []bool{false, true} {
			samples := make([][]sample, len(running))
			for round := range rounds {
				for i := range running {
					i = (i + round) % len(running) // none is always first
					got, err := measure(ctx, running[i], l, clients)
					if err != nil {
						return fmt.Errorf("%s, %d bytes: %w", names[i], l.Size, err)
					}
					samples[i] = append(samples[i], got)
				}
			}
			for i := range running {
				m := median(samples[i])
				way := "one way"
				if l.Ack {
					way = "acknowledged"
				}
				rows = append(rows, []string{names[i], fmt.Sprintf("%d B", l.Size), way, figures.Digits(m.cpu), figures.Digits(m.rate)})
			}
		}
	}
	return figures.Markdown(os.Stdout, rows, 3)
}

func measure(ctx context.Context, s system, l load, clients int) (sample, error) {
	if err := ctx.Err(); err != nil {
		return sample{}, err
	}
	warm := l
	warm.Duration /= 5
	earlier, err := s.run(warm)
	if err != nil {
		return sample{}, err
	}
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	t, err := s.run(l)
	took := time.Since(began)
	if err != nil {
		return sample{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	// The server has counted since the connections began.
	if t.Sent == 0 || t.Sent > l.Count+clients || t.Arrived-earlier.Arrived != t.Sent {
		return sample{}, fmt.Errorf("%d messages were sent and %d arrived", t.Sent, t.Arrived-earlier.Arrived)
	}
	return sample{cpu: float64((after - before).Microseconds()) / float64(t.Sent), rate: float64(t.Sent) / took.Seconds()}, nil
}

// median takes each column on its own.
func median(samples []sample) sample {
	return sample{
		cpu:  figures.Median(samples, func(s sample) float64 { return s.cpu }),
		rate: figures.Median(samples, func(s sample) float64 { return s.rate }),
	}
}
