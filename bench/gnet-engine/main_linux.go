// Gnet-engine walks into the traps of gnet's stock engine (gnet.Run with an
// EventHandler), shows what our loop does in the same situation, and compares
// what both cost.
//
//	go run . [-rounds 5] [-d 2s] [-json]
//
// Each trap is tried in a process of its own, on either side. The traps are those
// of LIBRARIES.md, section 1, of which DESIGN D1 makes its reason; it fails when
// one is gone, since then that reason should be reconsidered, or when our loop
// falls into one. With -rounds 0 that is all. Then servers on both, in processes
// of their own, are loaded in turns by the same client; CPU is the server's, user
// and system, and the medians of the rounds are shown.
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
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
)

func main() {
	if err := serveRole(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/gnet-engine:", child.Role(), err)
		os.Exit(1)
	}
	if child.Role() != "" {
		return
	}
	rounds := flag.Int("rounds", 5, "rounds, each loading both sides once per workload; 0: the traps only")
	d := flag.Duration("d", 2*time.Second, "length of one load")
	asJSON := flag.Bool("json", false, "write the findings and medians as JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *d, *asJSON); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench/gnet-engine:", err)
		os.Exit(1)
	}
}

// serveRole is main in a child.
func serveRole() error {
	switch child.Role() {
	case "":
		return nil
	case "trial":
		return serveTrial(os.Args[1], os.Args[2])
	case "server":
		return serveLoad(os.Args[1], os.Args[2], os.Args[3])
	}
	return errors.New("is no role")
}

func run(ctx context.Context, rounds int, d time.Duration, asJSON bool) error {
	if rounds < 0 || d <= 0 {
		return errors.New("rounds of some length are needed")
	}
	limit := time.Duration(len(traps)*(tries+1))*trialTime + time.Duration(2*(rounds+1)*len(workloads()))*(d+time.Second)
	ctx, cancel := context.WithTimeout(ctx, limit) // which kills the children
	defer cancel()
	if !asJSON {
		fmt.Printf("gnet v2.10.0's engine beside our loop, %d CPUs, %s\n\n", runtime.NumCPU(), runtime.Version())
	}
	findings, err := tryTraps(ctx)
	if !asJSON {
		if err := writeTraps(os.Stdout, findings); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	var costs []comparison
	if rounds > 0 {
		if costs, err = compare(ctx, rounds, d); err != nil {
			return err
		}
	}
	if asJSON {
		err = json.NewEncoder(os.Stdout).Encode(struct {
			Traps []finding
			Costs []comparison
		}{findings, costs})
	} else if rounds > 0 {
		fmt.Printf("\none loop, %d rounds of %v\n\n", rounds, d)
		err = writeCosts(os.Stdout, costs)
	}
	if err != nil {
		return err
	}
	return verdict(findings)
}
