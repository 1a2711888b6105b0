// Lifecycle plays the life of a daemon under eight kinds of traffic at once and
// says what that cost: a row per kind of requests sent, answered well, lost,
// refused, answered by a worker that should have had no work any more, and
// served twice.
//
//	go run ./bench/lifecycle [flags] SCENARIO
//
// The traffic is keep-alive and closing GET and POST, uploads with a length and
// chunked, downloads, server-sent events and WebSockets, over sockets that never
// retry (bench/internal/traffic). Every answer is checked to its last byte. The
// app (bench/lifecycle/app) is built twice, as programs A and B.
//
//	deploys    --count deploys in a row, of A and B by turns. Nothing is lost;
//	           what is sent after a deploy has returned is answered by the new
//	           workers; no worker stays.
//	mix        for --duration: deploy, rollback, scale, restart, suspend and
//	           resume, and a worker that calls itself broken, at random (--seed).
//	           Nothing is lost; suspension makes requests wait.
//	kills      kill -9 of a worker each second, for --duration. What is lost is
//	           what the log names as the dead workers', nothing is served twice,
//	           and the daemon's memory and descriptors come back.
//	bad        releases that leave at once, panic, hang and do not build: exit
//	           codes 3, 3, 3 and 1, the old workers stay, nothing is lost.
//	promotion  kill -9 of the one worker, --count times, with a standby and
//	           without: from the last answer of the dead one to the first of the
//	           next. With a standby that is below --goal, nine times of ten.
//	daemon     kill -9 of the daemon, --count times: when the workers have gone,
//	           when a new daemon serves; nothing is left behind.
//
// With -http the app is a plain program, which knows nothing of Heddle; -via node has
// one in JavaScript (bench/lifecycle/app.js) do the same. It cannot call itself
// broken, nor be told of a drain.
//
// The exit code is 0 if the promise was kept, 5 if not, 1 if that cannot be told
// and 2 for a wrong command line. (go run makes 1 of all but 0: build the command
// where the difference matters.) It needs Linux.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	exitError  = 1
	exitUsage  = 2
	exitBroken = 5
)

// A plan is what the flags say.
type plan struct {
	scenario string
	count    int           // 0: the scenario's own
	duration time.Duration // 0: the scenario's own
	seed     uint64
	workers  int
	standbys int
	load     int
	goal     time.Duration
	dumps    bool
	json     bool
	log      string
	flags    string
	http     bool
	via      string
}

// A scenario is one of the stories.
type scenario struct {
	name     string
	count    int
	duration time.Duration
	play     func(ctx context.Context, r *rig) error
}

var scenarios = []scenario{
	{name: "deploys", count: 50, play: deploys},
	{name: "mix", duration: 60 * time.Second, play: mix},
	{name: "kills", duration: 60 * time.Second, play: kills},
	{name: "bad", play: bad},
	{name: "promotion", count: 20, play: promotion},
	{name: "daemon", count: 3, play: killDaemon},
}

// mostTime bounds a run, beyond its --duration.
const mostTime = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench/lifecycle:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.duration+mostTime, errors.New("it takes too long"))
	defer cancel()
	rep, err := play(ctx, p, s, stderr)
	if rep != nil {
		if werr := rep.write(stdout, p.json); werr != nil {
			err = cmp.Or(err, werr)
		}
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "bench/lifecycle:", err)
		return exitError
	case len(rep.Broken) > 0:
		fmt.Fprintf(stderr, "bench/lifecycle: %s broke its promise:\n  %s\n", s.name, strings.Join(rep.Broken, "\n  "))
		return exitBroken
	}
	return 0
}

// parse takes flags before and after the scenario's name.
func parse(args []string, stderr io.Writer) (plan, scenario, error) {
	var p plan
	fs := flag.NewFlagSet("lifecycle", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&p.count, "count", 0, "deploys (50), promotions (20) or daemons killed (3)")
	fs.DurationVar(&p.duration, "duration", 0, "length of mix and kills (1m)")
	fs.Uint64Var(&p.seed, "seed", 0, "what chance begins with (default: anew each time; printed)")
	fs.IntVar(&p.workers, "workers", 2, "workers; promotion has one")
	fs.IntVar(&p.standbys, "standbys", 1, "standbys of mix and promotion; 0: promotion goes without only")
	fs.IntVar(&p.load, "load", 1, "this many times the clients: 24")
	fs.DurationVar(&p.goal, "goal", 50*time.Millisecond, "gap of nine promotions of ten at most")
	fs.BoolVar(&p.dumps, "goroutines", false, "kills: count the daemon's goroutines by SIGQUIT, for daemons that survive it")
	fs.BoolVar(&p.json, "json", false, "print JSON")
	fs.StringVar(&p.log, "log", "", "file for the daemon's log")
	fs.StringVar(&p.flags, "run", "", "more flags of heddle run, blanks between them")
	fs.BoolVar(&p.http, "http", false, "the app serves plain HTTP, under heddle run --http")
	fs.StringVar(&p.via, "via", "port", "with -http: listen, port or socket, the address that the app takes; or node, another app")
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: lifecycle [flags] SCENARIO\nscenarios: %s\n", strings.Join(names(), ", "))
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return p, scenario{}, err
	}
	if fs.NArg() > 0 {
		p.scenario = fs.Arg(0)
		if err := fs.Parse(fs.Args()[1:]); err != nil {
			return p, scenario{}, err
		}
	}
	if fs.NArg() > 0 || p.scenario == "" {
		return p, scenario{}, fmt.Errorf("want one scenario of %s", strings.Join(names(), ", "))
	}
	if !slices.Contains([]string{"listen", "port", "socket", "node"}, p.via) {
		return p, scenario{}, fmt.Errorf("-via %q: want listen, port, socket or node", p.via)
	}
	if p.count < 0 || p.duration < 0 || p.workers < 1 || p.standbys < 0 || p.load < 1 || p.goal <= 0 {
		return p, scenario{}, errors.New("a number is too small")
	}
	for _, s := range scenarios {
		if s.name == p.scenario {
			p.count, p.duration = cmp.Or(p.count, s.count), cmp.Or(p.duration, s.duration)
			p.seed = cmp.Or(p.seed, rand.Uint64()>>32)
			return p, s, nil
		}
	}
	return p, scenario{}, fmt.Errorf("there is no scenario %q; want one of %s", p.scenario, strings.Join(names(), ", "))
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}
