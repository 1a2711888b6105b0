package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// PlainHTTP makes a program's workers plain: programs that know nothing of
// sessions and serve HTTP at an address that they are told of. An engine's
// programs are all plain or none is.
//
// Each process is told of three addresses of its own, fresh at every start:
//
//   - descriptor 3 is a unix socket that listens, and LISTEN_FDS=1, LISTEN_PID and
//     LISTEN_FDNAMES=http say so, as systemd does (sd_listen_fds(3)),
//   - PORT is a TCP port, free on 127.0.0.1 and ::1, which {port} in Args is
//     replaced by,
//   - HEDDLE_SOCKET is the path of a unix socket that does not exist yet, for
//     {socket} in Args.
//
// The first that answers a request to Health, with whatever status, is the one
// that is used, and the worker is ready. A connection that is accepted means
// nothing: the kernel accepts those of descriptor 3.
//
// NOTIFY_SOCKET (sd_notify(3)) is given too. READY=1 has the addresses asked at
// once and often; the worker is ready when one answers. STOPPING=1 has the worker
// replaced.
//
// A Go program may attach, too, by package worker: then it is ready only when it
// has said online as well, may say that it is broken, and is told of suspension
// and drain. HEDDLE_HTTP=1 beside HEDDLE_PROTOCOL and HEDDLE_ENDPOINT has that
// package open no session worker.
type PlainHTTP struct {
	Health string // path that is asked for; default "/"
}

// withDefaults fills in what is missing and refuses what cannot be.
func (h *PlainHTTP) withDefaults() (*PlainHTTP, error) {
	if h == nil {
		return nil, nil
	}
	out := *h
	setDefault(&out.Health, "/")
	return &out, out.Check()
}

// Check fails with an ErrHealth if Health cannot be a path.
func (h PlainHTTP) Check() error {
	if h.Health == "" || strings.HasPrefix(h.Health, "/") && !strings.ContainsFunc(h.Health, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
		return nil
	}
	return fmt.Errorf("%w; got %q", ErrHealth, h.Health)
}

// A plainChild is what a child has that is no session worker.
type plainChild struct {
	doors *doors // written before the child has a process

	// Goroutine run only.
	stop  context.CancelFunc // of the search for a door
	found chan struct{}      // closed when that has ended

	mu   sync.Mutex
	door *door // that answers; nil: none yet

	// Guarded by the child's mu: what one that attaches is told.
	held    bool // it is to hold its work back
	drained bool // it gets no new work

	// Guarded by the engine's leases.mu.
	open   map[uint64]*Upstream // requests that it has, by their numbers
	given  uint64
	shut   time.Time     // until when nobody is sent there, because somebody could not connect
	broken []brokenLease // that have come to nothing, lately
	idle   time.Time     // when it was asked to leave, with no request; zero: it had some, or was not
	ended  time.Time     // by its guardian's word, which may itself take long to end; zero: not yet
}

// A brokenLease is a request whose answer broke off.
type brokenLease struct {
	LostSession
	at time.Time
}

// spec is what a plain child runs, and makes its doors.
func (c *child) plainSpec() (s spec, err error) {
	p := &c.g.program
	if c.plain.doors, err = c.e.world.doors(c.e, c.e.doorCount.Add(1), c.g.gate, c.heard); err != nil {
		return s, err
	}
	d := c.plain.doors
	fill := strings.NewReplacer("{port}", d.port, "{socket}", d.socket)
	s = spec{
		path:   p.Path,
		args:   []string{filepath.Base(p.Path)},
		env:    plainEnvironment(p, c.identity(), d),
		dir:    c.e.dirOf(p),
		files:  []*os.File{d.listener},
		user:   p.User,
		guard:  true,
		over:   func() { c.e.leases.over(c) },
		output: c.output,
	}
	for _, a := range p.Args {
		s.args = append(s.args, fill.Replace(a))
	}
	return s, nil
}

// The variables that tell a plain program where to serve.
const (
	envPort        = "PORT"
	envSocket      = "HEDDLE_SOCKET"
	envListenFDs   = "LISTEN_FDS"
	envListenNames = "LISTEN_FDNAMES"
	envNotify      = "NOTIFY_SOCKET"
)

// plainEnvironment is environment for a plain program, without what systemd told
// this process.
func plainEnvironment(p *Program, w identity, d *doors) []string {
	all := environment(p, w)
	env := all[:0]
	for _, kv := range all {
		switch k, _, _ := strings.Cut(kv, "="); k {
		case envPort, envSocket, envListenFDs, "LISTEN_PID", envListenNames, envNotify, "WATCHDOG_USEC", "WATCHDOG_PID":
			continue
		}
		env = append(env, kv)
	}
	return append(env, envPort+"="+d.port, envSocket+"="+d.socket, envListenFDs+"=1", envListenNames+"=http", envNotify+"="+d.notify)
}

// heard is told what was written to the NOTIFY_SOCKET of d, which may not be the
// child's yet. Any goroutine.
func (c *child) heard(d *doors, words string) {
	for line := range strings.SplitSeq(words, "\n") {
		switch strings.TrimSpace(line) {
		case "READY=1":
			d.hurry()
		case "STOPPING=1":
			c.tell(func(f *facts) {
				f.leaving = true
				if f.why == "" {
					f.why = "it said STOPPING=1"
				}
			})
		}
	}
}

// seek looks for a door that answers, until there is one or the child is buried.
func (c *child) seek() {
	ctx, stop := context.WithCancel(context.Background())
	c.plain.stop, c.plain.found = stop, make(chan struct{})
	go func() { // ends when a door has answered, or with stop
		defer close(c.plain.found)
		defer stop()
		d := c.plain.doors.seek(ctx, func(ctx context.Context, d *door) error { return c.e.world.knock(ctx, d, c.g.program.HTTP.Health) })
		if d == nil {
			return
		}
		wait(c.process().named(), leaveGrace) // a program can be faster than its guardian's word
		c.plain.mu.Lock()
		c.plain.door = d
		c.plain.mu.Unlock()
		c.logger().Debug("engine: worker answers", "at", d.address, "told", d.told)
		c.tell(func(f *facts) { f.answers = true })
	}()
}

// answering is where the child does.
func (c *child) answering() *door {
	c.plain.mu.Lock()
	defer c.plain.mu.Unlock()
	return c.plain.door
}

// stopsEarly is of a plain program that is not ready and has said STOPPING=1.
const stopsEarly = "said that it is stopping before it was online"

// dismiss has a plain program leave in order: SIGTERM to its group.
func (c *child) dismiss() bool {
	c.serveNoMore()
	c.sendDrain() // if it was not told yet: by that it knows whose SIGTERM it is
	c.deadline = time.Now().Add(c.e.tuning().KillDelay)
	if !c.move(eventStop) {
		return false
	}
	c.asked, c.stopped = true, true
	c.e.leases.dismissed(c)
	if err := c.process().terminate(); err != nil {
		c.logger().Error("engine: SIGTERM", "err", err)
	}
	return true
}

// closeDoors ends the search and removes the addresses. Requests that the child
// still had have got what it had written by then, or never will: those are lost.
// x is how its process has ended.
func (c *child) closeDoors(x exit) {
	if c.plain.stop != nil {
		c.plain.stop()
		<-c.plain.found
	}
	if c.plain.doors != nil {
		c.plain.doors.close()
	}
	c.e.leases.bury(c, x.signal == "SIGTERM" || x.code == 0 || x.code == 128+int(syscall.SIGTERM))
}

// lateDoors says what was tried of a plain program that does not answer.
func (c *child) lateDoors() string {
	if c.told().answers {
		return fmt.Sprintf("not online within %v of its start: %s", c.e.tuning().StartTimeout, silentOnline)
	}
	return fmt.Sprintf("no answer within %v of its start: %s", c.e.tuning().StartTimeout, c.plain.doors.report())
}
