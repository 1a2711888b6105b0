package engine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A world starts processes and gives lanes their sockets. Tests have one of
// their own.
type world interface {
	// start runs a process. Its output goes to s.output, from at most one
	// goroutine per stream.
	start(s spec) (process, error)

	// group returns the process group of a process.
	group(pid int) (int, error)

	// descends says whether one process is another's child, or its child's, and so on.
	descends(pid, from int) bool

	// memory is how many bytes a process has resident.
	memory(pid int) (int64, error)

	// doors makes the addresses that the n-th plain process is told of, and tells
	// what is written to its NOTIFY_SOCKET, by whomever of the process's user, also
	// before it returns.
	doors(e *Engine, n uint64, at *gate, heard func(d *doors, words string)) (*doors, error)

	// gate makes the place where workers of another user find the engine.
	gate(e *Engine, u *User) (*gate, error)

	// knock asks for path at a door. Nil: it answered, in HTTP.
	knock(ctx context.Context, d *door, path string) error

	// groupMemory is how many bytes the processes of a group have resident; pages
	// that they share count for each.
	groupMemory(group int) (int64, error)

	// listen gives a lane its loop and its endpoint.
	listen(e *Engine, l *lane) error

	// close is called when no process is left, and none will be started.
	close()
}

// A spec says what to run.
type spec struct {
	path   string
	args   []string // with the name first
	env    []string
	dir    string
	files  []*os.File // descriptors from 3 on; closed once the process has them, or could not be started
	user   *User      // whom it runs as; nil: this process's
	guard  bool       // by a guardian: see package guard
	over   func()     // called when a guardian says that the program has ended, which comes before its own end
	output func(s Stream, text string, more bool)
}

// drainPipes is how long a dead worker's pipes are read: a grandchild that
// left its group may hold them for ever.
const drainPipes = 200 * time.Millisecond

// A process is one that we started, the leader of its own group.
type process interface {
	pid() int

	// main is the process that was meant: under a guardian that is not the leader,
	// but it seems so until named is closed.
	main() int
	named() <-chan struct{}

	// exited is closed once the process has ended; until reap its number is
	// not used again.
	exited() <-chan struct{}

	// terminate and kill signal the whole group; a guardian that is there kills
	// beyond it. They do nothing once reap was called.
	terminate() error
	kill() error

	// dump asks the process of the group that has this number, or the leader if
	// it is 0, for its goroutines: SIGQUIT.
	dump(pid int) error

	// reap waits for the process, which has exited, after it has killed what
	// is left of its group. Its pipes are read on for at most drainPipes; drained
	// is closed when nothing more will come.
	reap() exit
	drained() <-chan struct{}
}

// An exit is how a process ended.
type exit struct {
	code   int    // -1 when a signal ended it
	signal string // such as "SIGKILL"
}

func (x exit) String() string {
	if x.signal != "" {
		return "was killed by " + x.signal
	}
	return fmt.Sprintf("exited with status %d", x.code)
}

// The variables that tell a worker who it is.
const (
	envProtocol = "HEDDLE_PROTOCOL"
	envEndpoint = "HEDDLE_ENDPOINT"
	envUUID     = "HEDDLE_UUID"
	envIndex    = "HEDDLE_INDEX"
	envApp      = "HEDDLE_APP"
	envRelease  = "HEDDLE_RELEASE"

	envSuspended = "HEDDLE_SUSPENDED"
	envHTTP      = "HEDDLE_HTTP"
	envLocator   = "HEDDLE_LOCATOR"
)

// An identity is what a worker is told of itself.
type identity struct {
	app       string
	endpoint  string
	id        string
	index     int // standbyIndex: none yet
	workers   int // that there are to be
	suspended bool
	plain     bool
	foreign   bool // it is told by its arguments, see foreign.go

	locator string // "": it is told of none
}

// environment is each worker's share of the processors, then the program's, and what a worker must know; of variables that come
// twice the last counts.
func environment(p *Program, w identity) []string {
	var all []string
	if n := share(runtime.GOMAXPROCS(0), w.workers); n > 0 {
		all = append(all, "GOMAXPROCS="+strconv.Itoa(n))
	}
	base := p.Environ
	if base == nil {
		base = p.User.Environ(os.Environ())
	}
	all = append(append(all, base...), p.Env...)
	if p.Dir != "" {
		all = append(all, "PWD="+p.Dir)
	}
	if w.foreign {
		return withoutOurs(lasting(all))
	}
	all = append(all,
		envProtocol+"=1", envEndpoint+"="+w.endpoint, envUUID+"="+w.id, envIndex+"="+strconv.Itoa(w.index),
		envApp+"="+w.app, envRelease+"="+p.Release, envSuspended+"="+map[bool]string{true: "1"}[w.suspended],
		envHTTP+"="+map[bool]string{true: "1"}[w.plain])
	if w.locator != "" {
		all = append(all, envLocator+"="+w.locator)
	}
	return lasting(all)
}

// lasting is all without the variables that others of the same name follow.
func lasting(all []string) []string {
	last := make(map[string]int, len(all))
	for i, kv := range all {
		k, _, _ := strings.Cut(kv, "=")
		last[k] = i
	}
	env := all[:0]
	for i, kv := range all {
		if k, _, _ := strings.Cut(kv, "="); last[k] == i {
			env = append(env, kv)
		}
	}
	return env
}

// share is how many of the processors a Go worker is told to use, 0 for all: at
// least two, one for its loop and one for its handlers, since several workers that
// may each use the whole machine wake threads for one another's work (see
// docs/performance.md).
func share(processors, workers int) int {
	if workers < 2 {
		return 0
	}
	n := max(2, (processors+workers-1)/workers)
	if n >= processors {
		return 0
	}
	return n
}
