// Generators holds heddle bench against wrk, h2load and hey, beside each other
// and against what is known to be true.
//
//	go run ./bench/generators			what a request costs the generator
//	go run ./bench/generators -truth		percentiles, beside the computed ones
//	go run ./bench/generators -pace		how far from the schedule requests leave
//
// Without either flag all generators ask one server, a loop in a process of its
// own, in turns, in rounds that begin with another one each: closed loop, one
// thread each, at 1, 64 and 512 connections. CPU is user and system time of the
// generator's process, from its start to its end, over the answers that it counts;
// the server's is not in it. Ratios are to wrk in the same round, and everything is the
// median of the rounds: on a machine that others use, too, compare ratios.
//
// -truth has a server that sleeps as it is told, so that what a client has to see
// who asks by a schedule can be computed. A round of it takes a minute. How late heddle bench
// says that it was itself stands beside: where that is much, the machine was busy.
//
// hey is built from its module's source into a directory of its own, unless it is there;
// what is missing is named and left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A plan is what the flags say.
type plan struct {
	rounds      int
	d           time.Duration // of one load
	conns       []int
	truth, pace bool
	heddle      string // the program, "": built
}

// files is how many descriptors a process may need.
const files = 4096

func main() {
	if child.Role() == roleServer {
		fail(serve())
		return
	}
	var p plan
	conns := ""
	flag.IntVar(&p.rounds, "rounds", 5, "rounds, each of which runs every generator once per case")
	flag.DurationVar(&p.d, "d", 3*time.Second, "length of one load, in whole seconds")
	flag.StringVar(&conns, "conns", "1,64,512", "comma list of connections")
	flag.BoolVar(&p.truth, "truth", false, "hold percentiles against computed ones instead")
	flag.BoolVar(&p.pace, "pace", false, "say how far from the schedule requests leave instead")
	flag.StringVar(&p.heddle, "heddle", "", "measure this heddle, not one that is built first: a `program`")
	flag.Parse()
	for n := range strings.SplitSeq(conns, ",") {
		c, err := strconv.Atoi(n)
		if err != nil || c < 1 || c > files/2 {
			fail(fmt.Errorf("-conns %s: want numbers of connections up to %d", conns, files/2))
		}
		p.conns = append(p.conns, c)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, p, os.Stdout)
	stop()
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/generators:", err)
		os.Exit(1)
	}
}

// setup is how long building may take.
const setup = 5 * time.Minute

func run(ctx context.Context, p plan, to io.Writer) error {
	if p.rounds < 1 || p.d < time.Second || p.d%time.Second != 0 {
		return errors.New("at least one round, of whole seconds, is needed")
	}
	dir, err := os.MkdirTemp("", "heddle-generators")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Files(files); err != nil {
		fmt.Fprintln(os.Stderr, "bench/generators:", err)
	}
	// Twice what it ought to take.
	bound := setup + 2*time.Duration(p.rounds*(len(p.conns)*len(generators)+len(truths)*len(witnesses)))*(max(p.d, truthTook)+5*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not done within %v", bound))
	defer cancel()
	tools, err := find(ctx, dir, p.heddle)
	if err != nil {
		return err
	}
	s, err := child.Start(ctx, roleServer)
	if err != nil {
		return err
	}
	defer s.Stop()
	switch {
	case p.truth:
		return tellTruth(ctx, tools, s, p, to)
	case p.pace:
		return holdPace(ctx, tools, s, p, to)
	}
	return compare(ctx, tools, s, p, to)
}

// heyVersion is the module's.
const heyVersion = "github.com/rakyll/hey@v0.1.4"

// find returns the path of each program, by name. Heddle has to be there.
func find(ctx context.Context, dir, heddle string) (map[string]string, error) {
	tools := map[string]string{"heddle": heddle}
	if heddle == "" {
		if err := stack.Build(ctx, dir, "./cmd/heddle"); err != nil {
			return nil, err
		}
		tools["heddle"] = filepath.Join(dir, "heddle")
	}
	for _, name := range []string{"wrk", "h2load", "hey"} {
		path, err := exec.LookPath(name)
		if err != nil && name == "hey" {
			path, err = buildHey(ctx, dir)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench/generators: without %s: %v\n", name, err)
			continue
		}
		tools[name] = path
	}
	return tools, nil
}

// buildHey builds hey as anybody would, into dir.
func buildHey(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "install", heyVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir)
	cmd.Dir = dir // it is no dependency of this module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", heyVersion, err, out)
	}
	return filepath.Join(dir, "hey"), nil
}
