package engine

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// This file is what concerns workers that were written for Cocaine, with one of its
// frameworks: they are told who they are by their arguments, have one channel, and
// speak one of the plain dialects on it (PROTOCOL 2.4, 3.4).

// A Dialect says what an engine's workers speak.
type Dialect string

const (
	DialectHeddle Dialect = ""   // Heddle's own
	DialectV0     Dialect = "v0" // that of Cocaine 0.10 and 0.11
	DialectV1     Dialect = "v1" // that of Cocaine 0.12
)

// DefaultLocator is where Cocaine's services are looked for unless Options say
// otherwise.
const DefaultLocator = "127.0.0.1:10053"

// ArgsHere is the word of a program's arguments in whose place a worker of Cocaine's
// gets the engine's. Without it they come behind all others.
const ArgsHere = "{cocaine}"

// Check fails if there is no such dialect.
func (d Dialect) Check() error {
	switch d {
	case DialectHeddle, DialectV0, DialectV1:
		return nil
	}
	return fmt.Errorf("%w; got %q", ErrDialect, string(d))
}

// foreign says whether the workers are Cocaine's.
func (d Dialect) foreign() bool { return d != DialectHeddle }

// wire is how the dialect is spoken.
func (d Dialect) wire() heddle.Dialect {
	if d == DialectV0 {
		return heddle.V0
	}
	return heddle.V1
}

// matches refuses a worker whose first frame was in another dialect.
func (d Dialect) matches(spoken heddle.Dialect) error {
	if spoken == d.wire() {
		return nil
	}
	return fmt.Errorf("worker speaks dialect %s and is run with dialect %s: run it with --dialect %[1]s (dialect = \"%[1]s\" in heddle.toml)", spoken, string(d))
}

// The words with which real runtimes end their workers (PROTOCOL 2.4, 3.4).
const (
	terminateNormal   = 1 // v0
	terminateAbnormal = 2 // v0, from a worker: it is no use to start another one
	terminateShutdown = 11

	reasonNormal   = "the engine is shutting down"
	reasonShutdown = "overseer is shutting down"
)

// terminateFrame tells the worker to leave now; why is for our own.
func (c *child) terminateFrame(why string) []byte {
	switch c.e.opt.Dialect {
	case DialectV0:
		return codec.AppendTerminate(nil, heddle.V0, terminateNormal, reasonNormal)
	case DialectV1:
		return codec.AppendTerminate(nil, heddle.V1, terminateShutdown, reasonShutdown)
	}
	return codec.AppendTerminate(nil, heddle.V1, 1, why)
}

// seat is the lane that the slot's next foreign worker dials: they are dealt to
// all, so that each loop has work.
func (s *slot) seat() int {
	n := s.index
	if n == standbyIndex {
		n = int(s.e.seats.Add(1) % uint64(len(s.e.lanes)))
	}
	return n % len(s.e.lanes)
}

// foreignSpec is what a worker of Cocaine's is started with. It is guarded, since
// some outlive their engine (PROTOCOL 7).
func (c *child) foreignSpec() spec {
	p := &c.g.program
	return spec{
		path:   p.Path,
		args:   append([]string{filepath.Base(p.Path)}, c.foreignArgs(p.Args)...),
		env:    environment(p, c.identity()),
		dir:    c.e.dirOf(p),
		user:   p.User,
		guard:  true,
		output: c.output,
	}
}

// foreignArgs are the program's arguments with those that real runtimes give, in
// their order: some frameworks stop at the first that they do not know, and
// workers of dialect v0 know no --protocol.
func (c *child) foreignArgs(args []string) []string {
	ours := []string{"--app", c.e.opt.Name, "--endpoint", strings.TrimPrefix(c.g.endpoint(c.seat), "unix:"), "--locator", c.e.opt.Locator}
	if c.e.opt.Dialect == DialectV1 {
		ours = append(ours, "--protocol", "1")
	}
	ours = append(ours, "--uuid", c.id)
	at := slices.Index(args, ArgsHere)
	if at < 0 {
		return slices.Concat(args, ours)
	}
	return slices.Concat(args[:at], ours, args[at+1:])
}

// withoutOurs is env without what Heddle's own workers are told: a program that
// links Heddle is a worker of Cocaine's here.
func withoutOurs(env []string) []string {
	return slices.DeleteFunc(env, func(kv string) bool {
		switch k, _, _ := strings.Cut(kv, "="); k {
		case envProtocol, envEndpoint, envUUID, envIndex, envApp, envRelease, envSuspended, envHTTP, envLocator:
			return true
		}
		return false
	})
}

// reject ends a worker whose handshake in pid was refused for good, if it is its
// own: it would try again for ever, or do nothing.
func (c *child) reject(pid int, err error) {
	c.hint(err.Error())
	end := func() {
		c.mu.Lock()
		owned := c.proc != nil && c.ownsLocked(pid) == nil
		c.mu.Unlock()
		if owned {
			c.tell(func(f *facts) { f.refused = err.Error() })
		}
	}
	if c.started(end) {
		end()
	}
}

// Free says whether a worker whose channel is on loop i can take a session now, and
// nobody waits. Workers of Heddle's own have a channel on every loop; of Cocaine's
// each has but one.
func (e *Engine) Free(i int) bool {
	return e.queue.waiting.Load() == 0 && e.lanes[i].least(nil, 0) != nil
}

// Serves says whether there is a worker whose channel is on loop i, free or not.
func (e *Engine) Serves(i int) bool {
	p := e.lanes[i].serving.Load()
	return p != nil && len(*p) > 0
}

// finish gives the worker no more sessions; onIdle tells when it has none left.
func (c *child) finish() {
	c.finishing.Store(true)
	for _, ch := range c.all() {
		_ = ch.mux.Drain(nil) // an error: the channel has ended
	}
}

// onIdle: the last session of a worker of Cocaine's has ended. Any goroutine.
func (ch *channel) onIdle() {
	if c := ch.child.Load(); c != nil && c.finishing.Load() {
		c.tell(func(*facts) {})
	}
}
