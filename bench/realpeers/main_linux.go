// Realpeers runs real Cocaine programs against ours and prints what was seen:
// workers under heddle run, our worker under real runtimes, and real clients and
// proxies.
//
//	go run ./bench/realpeers -peers DIR
//
// DIR has the programs and peers.toml, which says how each is started. Neither is
// in the repository; docs/peers.md says what peers.toml looks like and holds the
// last table that was seen. A peer that is not there is said and is no failure. It
// fails when a check did, unless peers.toml expects that of the peer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "peers", "", "directory of the real programs and of peers.toml")
	flag.StringVar(&o.page, "write", "", "page whose table is written anew, such as docs/peers.md")
	only := flag.String("only", "", "run only the peers whose names match this regular expression")
	flag.DurationVar(&o.patience, "patience", 2*time.Minute, "how long one peer may take")
	flag.DurationVar(&o.quiet, "quiet", 25*time.Second, "how long a worker is left alone to see that heartbeats keep it; more than the 20s that some frameworks wait between two")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if o.only, err = regexp.Compile(*only); err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/realpeers:", err)
		os.Exit(1)
	}
}

type options struct {
	dir      string
	page     string // "": none
	only     *regexp.Regexp
	patience time.Duration
	quiet    time.Duration
}

// A rig is what every check may use.
type rig struct {
	o      options
	heddle string // the executable
	worker string // our worker, for real runtimes
	dir    string // temporary, ours, and short: it holds sockets
}

func run(ctx context.Context, o options, w io.Writer) error {
	if o.dir == "" {
		return errors.New("-peers names the directory of the real programs (make real-peers PEERS=DIR)")
	}
	if o.page != "" && o.only.String() != "" {
		return errors.New("-write is for the whole table, and -only leaves peers out")
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	peers, err := readPeers(filepath.Join(dir, "peers.toml"), dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "heddle-rp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := stack.Build(ctx, tmp, "./cmd/heddle", "./bench/realpeers/worker"); err != nil {
		return err
	}
	r := &rig{o: o, heddle: filepath.Join(tmp, "heddle"), worker: filepath.Join(tmp, "worker"), dir: tmp}
	all := slices.Clone(peers)
	peers = slices.DeleteFunc(peers, func(p *peer) bool { return !o.only.MatchString(p.Name) })
	var t table
	for _, p := range peers {
		for _, run := range r.runs(p, all) {
			begin := len(t)
			fmt.Fprintf(os.Stderr, "%s, %s ...\n", p.Name, run.with)
			if why := p.missing(); why != "" {
				t = append(t, line{peer: p, with: run.with, check: "all", seen: why, verdict: absent})
			} else {
				t = append(t, r.play(ctx, p, run)...)
			}
			for _, l := range t[begin:] {
				fmt.Fprintf(os.Stderr, "    %-20s %s%s\n", l.check, l.mark(), l.seen)
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
		}
	}
	if err := t.print(w); err != nil {
		return err
	}
	if o.page != "" {
		if err := t.write(o.page, peers, time.Now()); err != nil {
			return err
		}
	}
	return t.failed()
}

// A play is one kind of encounter: what the peer meets, and the checks of it.
type play struct {
	with   string
	checks func(ctx context.Context, p *peer, note notes) error
}

// notes takes what a check has seen. A check that failed says so by its error.
type notes func(check, seen string, err error)

// runs are the encounters of a peer.
func (r *rig) runs(p *peer, all []*peer) []play {
	switch p.Kind {
	case kindWorker:
		return []play{{"heddle run --dialect " + p.Dialect, r.workerChecks}}
	case kindRuntime:
		return []play{{"our worker of two events", r.runtimeChecks}, {"our httpcompat.ListenAndServe", r.httpProgramChecks}, {"heddle proxy and our worker", r.ownProxyChecks}}
	case kindClient:
		plays := []play{{"servicetest " + p.Dialect, r.modelChecks}, {ourCloud, r.clientOfOurs}}
		for _, rt := range all {
			if rt.Kind == kindRuntime && rt.Dialect == p.Dialect && rt.missing() == "" {
				plays = append(plays, play{rt.Name, func(ctx context.Context, p *peer, note notes) error { return r.clientOfRuntime(ctx, p, rt, note) }})
			}
		}
		return plays
	}
	plays := []play{{ourCloud, r.proxyOfOurs}}
	for _, rt := range all {
		if rt.Kind == kindRuntime && rt.Dialect == p.Dialect && rt.missing() == "" {
			plays = append(plays, play{rt.Name + " and our worker", func(ctx context.Context, p *peer, note notes) error { return r.proxyChecks(ctx, p, rt, note) }})
		}
	}
	return plays
}

// play plays one of them, in its own directory and in bounded time.
func (r *rig) play(ctx context.Context, p *peer, run play) (lines []line) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.patience, fmt.Errorf("the peer took more than %v", r.o.patience))
	defer cancel()
	note := func(check, seen string, err error) {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			err = errors.New(r.scrub(err.Error()))
		}
		lines = append(lines, p.judge(run.with, check, r.scrub(seen), err))
	}
	if err := run.checks(ctx, p, note); err != nil {
		note("start", "", err)
	}
	return lines
}

var portOf = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// scrub takes out what is another one in each run.
func (r *rig) scrub(s string) string {
	s = regexp.MustCompile(regexp.QuoteMeta(r.dir)+`/\w+`).ReplaceAllString(s, "SCRATCH")
	return portOf.ReplaceAllString(s, "127.0.0.1:PORT")
}

// oneLine is s without line ends, and not too long.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "…"
	}
	return s
}
