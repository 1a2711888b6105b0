package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/clock"
)

// A stack is one way to make calls.
type stack struct {
	name  string
	serve func(path string) error           // returns once calls are accepted, which then goes on
	dial  func(path string) (loader, error) // connects
}

var stacks = []stack{
	{"heddle, on the loop", serveLoop, dialLoop},
	{"heddle, goroutines", serveBlocking, dialBlocking},
	{"heddle, service value", serveService, dialValue},
	{"heddle, service stream", serveService, dialStream},
	{"net/rpc, gob", serveRPC, dialRPC},
	{"grpc-go", serveGRPC, dialGRPC},
	{"yamux", serveYamux, dialYamux},
}

// A loader keeps flight calls of size bytes in the air for d and returns how
// long each took, in took's memory. It fails with the first call that does, or
// whose reply is not its request.
type loader func(flight, size int, d time.Duration, took []time.Duration) ([]time.Duration, error)

// A request asks a client to load its server, and any process for its CPU time.
type request struct {
	Flight, Size int
	For          time.Duration // 0: no load
}

type reply struct {
	CPU      time.Duration // the client's during the load; otherwise since its start
	Took     time.Duration
	Calls    int
	P50, P99 time.Duration
}

// patience is how long a load may last beyond its time before its process gives
// up; a lost reply would otherwise be waited for for ever.
const patience = 10 * time.Second

// serveRole is main in a child: path is the socket's, and profiles the directory
// that a CPU profile is written to, empty for none.
func serveRole(role, name, path, profiles string) error {
	if profiles != "" {
		safe := strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(name)
		f, err := os.Create(filepath.Join(profiles, safe+"-"+role+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, s := range stacks {
		if s.name != name {
			continue
		}
		var load loader
		var err error
		if role == "server" {
			err = s.serve(path)
		} else {
			load, err = s.dial(path)
		}
		if err != nil {
			return err
		}
		var took []time.Duration
		return child.Serve(func(b json.RawMessage) (any, error) {
			var r request
			if err := json.Unmarshal(b, &r); err != nil {
				return nil, err
			}
			if r.For == 0 {
				return reply{CPU: child.CPU()}, nil
			}
			watchdog := time.AfterFunc(r.For+patience, func() {
				fmt.Fprintf(os.Stderr, "bench/calls: %s: a call has not ended after %v\n", name, patience)
				os.Exit(1)
			})
			defer watchdog.Stop()
			before, start := child.CPU(), time.Now()
			took, err = load(r.Flight, r.Size, r.For, took[:0])
			a := reply{CPU: child.CPU() - before, Took: time.Since(start), Calls: len(took)}
			a.P50, a.P99 = clock.Percentile(took, 0.5), clock.Percentile(took, 0.99)
			return a, err
		})
	}
	return fmt.Errorf("no such stack")
}
