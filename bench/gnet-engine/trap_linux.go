package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"golang.org/x/sys/unix"
)

// A trap is a way in which an event loop loses something, and how to walk into
// it. The same is tried on both sides.
type trap struct {
	name    string
	section string // of LIBRARIES.md
	reason  bool   // DESIGN D1 names it
	try     func(t *trial) (outcome, error)
	dies    string // what it means when the process dies; empty: it must not
}

// An outcome is what a side did.
type outcome struct {
	Saw     string
	Trapped bool
}

func outcomef(trapped bool, format string, args ...any) (outcome, error) {
	return outcome{fmt.Sprintf(format, args...), trapped}, nil
}

var sides = map[string]func() side{"gnet": newGnet, "loop": newLoop}

// traps are in the order of the table. Those that D1 gives as its reason come
// first.
var traps = []trap{
	{"reading cannot be paused", "1.9", true, tryPause, ""},
	{"no word when output has drained", "1.3", true, tryDrain, ""},
	{"input is lost when a write fails before it is read", "1.6", true, tryLastWords, ""},
	{"input is lost behind output that waits", "1.6", true, tryLastWordsPending, ""},
	{"unsent bytes are dropped by Close", "1.3", true, tryClose, ""},
	{"serving ends when descriptors run out", "1.5", true, tryDescriptors, ""},
	{"passed descriptors are swallowed", "1.9", true, tryPassed, ""},

	{"output has no limit", "1.3", false, tryLimit, ""},
	{"a reply after the peer's half-close is cut", "1.6", false, tryHalfClose, ""},
	{"what is read into the outbox and flushed stalls", "1.3", false, tryFlush, ""},
	{"a write to a closed connection reaches another", "1.3", false, tryStale, ""},
	{"the address of a closed connection is nil", "1.3", false, tryAddress, ""},
	{"a slice that was sent must not change until it has left", "1.3", false, tryKept, ""},
	{"slices given to one write are altered", "1.3", false, tryAltered, ""},
	{"looking at a growing message copies it each time", "1.3", false, tryGrowing, ""},
	{"OnClose runs inside a write", "1.2", false, tryInside, ""},
	{"a panic in a callback ends the process", "1.2", false, tryPanic, "the process died"},
	{"tasks that queue more keep the loop from reading", "1.6", false, tryStarve, ""},
	{"no timers", "1.3", false, tryTimer, ""},
	{"dialling from a callback never ends", "1.4", false, tryDialInside, ""},
	{"nothing can be dialled when it says that it has started", "1.2", false, tryEarly, ""},
	{"listening deletes a directory", "1.5", false, tryDirectory, ""},
	{"listening takes a live socket's path", "1.5", false, tryLive, ""},
	{"a unix path is read as a URL", "1.5", false, tryURL, ""},
	{"an abstract name becomes a file's", "1.5", false, tryAbstract, ""},
	{"several loops listen on several ports", "1.5", false, tryPorts, ""},
	{"stopping takes half a second", "1.7", false, tryStop, ""},
}

// A finding is what a trap did on both sides.
type finding struct {
	Trap       string
	Section    string // of LIBRARIES.md
	Reason     bool   // DESIGN D1 names it
	Gnet, Loop outcome
}

// tryTraps walks into each trap on both sides, each time in a process of its
// own, which gets trialTime. On a busy machine timing may hide one, so gnet's has
// to be seen once in so many tries; our loop has one.
func tryTraps(ctx context.Context) ([]finding, error) {
	var all []finding
	for _, tr := range traps {
		f, err := tr.both(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (tr trap) both(ctx context.Context) (f finding, err error) {
	f = finding{Trap: tr.name, Section: tr.section, Reason: tr.reason}
	for try := 0; try < tries && !f.Gnet.Trapped; try++ {
		if f.Gnet, err = tr.on(ctx, "gnet"); err != nil {
			return f, fmt.Errorf("%q on gnet: %w", tr.name, err)
		}
	}
	if f.Loop, err = tr.on(ctx, "loop"); err != nil {
		return f, fmt.Errorf("%q on the loop: %w", tr.name, err)
	}
	return f, nil
}

const (
	tries     = 3
	trialTime = 15 * time.Second
)

func (tr trap) on(ctx context.Context, name string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "heddle-trap")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	c, err := child.Start(ctx, "trial", name, dir)
	if err != nil {
		return outcome{}, err
	}
	defer c.Stop()
	var o outcome
	if err = c.Ask(tr.name, &o); err != nil && tr.dies != "" && ctx.Err() == nil {
		return outcome{tr.dies, true}, nil
	}
	return o, err
}

// A trial is one trap on one side.
type trial struct {
	side  side
	dir   string     // that is ours
	peers []net.Conn // all of them, lest the collector close one
}

// patience is how long a trial waits for what should happen at once.
const patience = 2 * time.Second

var errLate = errors.New("waited too long")

// discard is where our loop logs the panics that it is made to recover.
var discard = slog.New(slog.DiscardHandler)

// serveTrial is main in a child.
func serveTrial(name, dir string) error {
	return child.Serve(func(request json.RawMessage) (any, error) {
		var wanted string
		if err := json.Unmarshal(request, &wanted); err != nil {
			return nil, err
		}
		for _, tr := range traps {
			if tr.name != wanted {
				continue
			}
			if tr.dies != "" { // its last words are expected
				if null, err := unix.Open(os.DevNull, unix.O_WRONLY, 0); err == nil {
					_ = unix.Dup3(null, 2, 0)
				}
			}
			t := &trial{side: sides[name](), dir: dir}
			o, err := tr.try(t)
			runtime.KeepAlive(t)
			return o, err
		}
		return nil, errors.New("no such trap")
	})
}

func (t *trial) path() string { return filepath.Join(t.dir, "s") }

// serve starts the side at t.path.
func (t *trial) serve(cb callbacks) error { return t.side.serve("unix", t.path(), cb) }

func (t *trial) dial() (*net.UnixConn, error) {
	nc, err := net.Dial("unix", t.path())
	if err != nil {
		return nil, err
	}
	t.peers = append(t.peers, nc)
	return nc.(*net.UnixConn), nil
}

// one starts the side with cb and connects to it once. The connection of the
// side comes from its open callback, which runs after cb's.
func (t *trial) one(cb callbacks) (*net.UnixConn, conn, error) {
	conns := make(chan conn, 1)
	open := cb.open
	cb.open = func(c conn) {
		if open != nil {
			open(c)
		}
		conns <- c
	}
	if err := t.serve(cb); err != nil {
		return nil, nil, err
	}
	nc, err := t.dial()
	if err != nil {
		return nil, nil, err
	}
	c, err := await(conns)
	return nc, c, err
}

// await waits for a value, no longer than patience.
func await[T any](ch <-chan T) (T, error) {
	select {
	case v := <-ch:
		return v, nil
	case <-time.After(patience):
		var zero T
		return zero, errLate
	}
}

// on runs fn on c's loop and waits for it.
func on(c conn, fn func()) error {
	done := make(chan struct{})
	c.do(func() { defer close(done); fn() })
	_, err := await(done)
	return err
}

// readAll reads until the end, or until nothing has come for a second, and
// returns how much there was.
func readAll(nc net.Conn) (int, error) {
	buf := make([]byte, 64<<10)
	for total := 0; ; {
		_ = nc.SetReadDeadline(time.Now().Add(time.Second))
		n, err := nc.Read(buf)
		if total += n; err != nil {
			return total, err
		}
	}
}

// mib is n bytes in MiB.
func mib(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
