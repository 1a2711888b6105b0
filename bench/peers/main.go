// Peers measures what Heddle costs beside what people use today: CPU time per
// request, requests per second, latency and memory of bare net/http, of heddle
// run with its shipped defaults, also with workers of Cocaine's dialects and as
// --http before plain HTTP, of heddle proxy before heddle run --locator, and of
// nginx, HAProxy and httputil.ReverseProxy before the same program.
//
//	go run ./bench/peers
//	go run ./bench/peers -rounds 1 -d 1s -stacks bare,heddle2 -workloads get-64,echo
//	go run ./bench/peers -json >figures.json
//
// Run by root on Debian it installs the peers that are missing, unless
// -install=false; on a machine with an init system Debian starts nginx and
// haproxy then, as it does for everybody. Without them it says so and goes on.
//
// Every stack is started anew for each workload and every answer of one request
// checked byte for byte. Then the stacks are loaded in turns, in rounds that
// begin with another stack each, by wrk -t1. HEAD and fan-out, which wrk cannot,
// have loaders of our own that take more of the machine; HTTP/2 has h2load. The
// table has the medians of the rounds and their ratio to net/http alone.
//
//   - CPU: user and system time of all processes of the stack over the requests
//     answered. Opening the connections and the requests cut off at the end are
//     in it; the loader is not. Of fan-out, it is per event at one client.
//     Own is the part of the process that clients talk to, where that is heddle.
//   - Peak: the sum of the processes' highest resident set sizes during the load.
//     Pages that several processes share count for each.
//   - nginx has as many worker processes, and haproxy as many threads, as heddle
//     has loops by default: one per four CPUs. -threads says otherwise.
//
// It fails if a request failed, net/http/fcgi excepted, or if heddle served
// HTTP/1.1 elsewhere than on its loops.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
	"github.com/heddle-go/heddle/worker/engine"
)

// files is how many descriptors each process may need, the proxies most.
const files = 20000

type options struct {
	rounds, threads   int
	d                 time.Duration
	stacks, workloads string
	json, install     bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, each loading every stack once")
	flag.DurationVar(&o.d, "d", 5*time.Second, "length of one load, in whole seconds")
	flag.StringVar(&o.stacks, "stacks", "", "comma list of bare, heddle1, heddle2, v1, v0, http1, proxy, nginx, haproxy, fcgi, reverseproxy; empty: all")
	flag.StringVar(&o.workloads, "workloads", "", "comma list of get-1, get-64, get-512, browser, pipeline, head, h2, echo, down-64k, down-10m, up-10m, sse; empty: all")
	flag.IntVar(&o.threads, "threads", engine.DefaultLoops(), "nginx's worker processes and haproxy's threads")
	flag.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flag.BoolVar(&o.install, "install", true, "install missing programs, if root on Debian")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/peers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.rounds < 1 || o.d < time.Second || o.d%time.Second != 0 || o.threads < 1 {
		return errors.New("at least one round, of whole seconds, and one thread are needed")
	}
	chosenKinds, err := choose(o.stacks, kinds, func(k kind) string { return k.key })
	if err != nil {
		return err
	}
	chosenLoads, err := choose(o.workloads, workloads, func(w workload) string { return w.key })
	if err != nil {
		return err
	}
	if o.install {
		var programs []string
		for _, k := range chosenKinds {
			programs = append(programs, k.needs)
		}
		for _, w := range chosenLoads {
			programs = append(programs, w.by.program())
		}
		install(ctx, programs)
	}
	chosenKinds = slices.DeleteFunc(slices.Clone(chosenKinds), func(k kind) bool { return missing(k.name, k.needs) })
	chosenLoads = slices.DeleteFunc(slices.Clone(chosenLoads), func(w workload) bool { return missing(w.name, w.by.program()) })
	if len(chosenKinds) == 0 || len(chosenLoads) == 0 {
		return errors.New("nothing is left to measure")
	}
	if err := stack.Files(files); err != nil {
		fmt.Fprintln(os.Stderr, "bench/peers:", err)
	}
	// Twice what it ought to take, and what building takes.
	bound := 5*time.Minute + 2*time.Duration(len(chosenLoads)*len(chosenKinds))*(5*time.Second+time.Duration(o.rounds)*(o.d+2*time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not done within %v", bound))
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./bench/peers/app", "./bench/peers/reverseproxy"); err != nil {
		return err
	}

	b := &bench{dir: dir, o: o, kinds: chosenKinds}
	for _, w := range chosenLoads {
		if err := b.measure(ctx, w); err != nil {
			b.problem(fmt.Errorf("%s: %w", w.key, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.progress("")
	if len(b.results) > 0 {
		if err := b.print(); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		b.problem(err)
	}
	return errors.Join(b.problems...)
}

// missing says so on standard error. What needs no program is not.
func missing(what, program string) bool {
	if program == "" {
		return false
	}
	if _, err := onPath(program); err != nil {
		fmt.Fprintf(os.Stderr, "bench/peers: without %q: %v\n", what, err)
		return true
	}
	return false
}

// print writes what has been measured.
func (b *bench) print() error {
	if b.o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		return e.Encode(b.results)
	}
	fmt.Printf("wrk -t1 -d%v, medians of %d rounds, nginx and haproxy with %d threads, %d CPUs, %s\n\n", b.o.d, b.o.rounds, b.o.threads, runtime.NumCPU(), runtime.Version())
	return writeTable(os.Stdout, b.results)
}
