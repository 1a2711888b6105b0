package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/looplab/fsm"
)

// How long a child waits for what should come by itself.
const (
	leaveGrace   = time.Second      // for the death of a process that closed a channel
	channelGrace = time.Second      // after a death, for the ends of its channels
	doubtGrace   = time.Second      // for heartbeats that came and were not read yet
	hearGrace    = time.Second      // after an early death, for what it said before and was not read yet
	dumpGrace    = time.Second      // after SIGQUIT, at most half of KillDelay, for a worker to write its goroutines and exit
	killGrace    = 10 * time.Second // after SIGKILL, for the death
)

// A child is one worker, from exec to reaping.
type child struct {
	// Immutable after newChild.
	e         *Engine
	g         *generation
	id        string // uuid
	suspended bool   // it was started so
	foreign   bool   // it speaks Cocaine's plain protocol: see foreign.go
	seat      int    // of a foreign one: the lane that it dials
	begun     time.Time
	tail      tail // of standard error

	wake     chan struct{} // facts have changed
	ready    chan struct{} // closed when it has said that it is online
	promoted chan struct{} // closed when a standby was given an index
	broken   chan struct{} // closed when it asks to be replaced
	tired    chan struct{} // closed when it is to be recycled
	out      chan struct{} // closed when it will get no session any more
	dead     chan struct{} // closed when death is complete

	// Goroutine run only, until dead is closed.
	life     *fsm.FSM
	deadline time.Time // of the state; zero: none
	doubt    time.Time // until when a silent worker has the benefit of it; zero: not silent
	checkup  time.Time // when to look again whether it is to be recycled; zero: never
	came     time.Time // served for the first time
	served   time.Duration
	stood    time.Duration // since it was ready
	outDone  bool
	onHold   bool   // it was told that it is suspended
	dumped   bool   // it was asked for its goroutines
	forget   func() // undoes the note of its process
	drained  bool   // drain was sent
	asked    bool   // the engine wanted it to leave
	stopped  bool   // we sent SIGTERM or SIGKILL
	unborn   error  // why it could not be started
	reason   string // why it has to end, if it is not for its own doing
	death    Death

	finishing atomic.Bool // of a foreign one: it gets no session any more, and its last one's end is waited for

	mu       sync.Mutex
	slot     *slot
	index    int // standbyIndex: none yet
	restarts int // processes that had this index before
	log      *slog.Logger
	readied  time.Time     // when ready was closed
	joined   bool          // it gets sessions
	settled  chan struct{} // closed and renewed when state or joined have changed
	proc     process       // nil until started
	peer     int           // pid that its channels came from; 0: none came yet
	over     bool          // no channel is admitted any more
	held     []func()
	channels []*channel // by loop, or a foreign one's only one; nil: not admitted
	facts    facts
	plain    *plainChild // nil: it serves sessions
	mate     *ipc.Peer   // of the engine's hub; nil before it is one of the living
	hinted   string      // why a handshake was refused
	lostOnes []LostSession
	state    string // of life
	since    time.Time
}

// facts are what a child was told and its goroutine has to act on.
type facts struct {
	knocks  int   // connections from its group that have neither been admitted nor ended
	greeted int   // channels admitted
	closed  int   // of those, ended
	fault   error // why the first of them did, if it was the worker's doing

	online  bool   // it said so
	again   bool   // and once more
	broken  bool   // likewise
	leaving bool   // likewise: drain me
	why     string // of broken or leaving
	ended   string // it said terminate
	unfit   bool   // and that it is no use to start it again at once
	refused string // why its handshake was, if it will not do better
	answers bool   // a plain one: in HTTP
	waits   bool   // a plain one: it has attached and not said that it is online

	want  want // what the engine has it do
	drain bool // the engine wants it to leave, in order
	kill  bool // at once
}

// What the engine may want of a worker that is ready.
type want uint8

const (
	wantWait  want = iota // stand by, as it is
	wantServe             // get sessions
	wantHold              // be suspended
)

func newChild(s *slot, restarts int, id string, suspended bool) *child {
	e := s.e
	c := &child{
		e: e, g: s.g, slot: s, index: s.index, id: id, suspended: suspended, onHold: suspended, restarts: restarts, begun: time.Now(),
		tail:     tail{size: e.opt.StderrLines},
		wake:     make(chan struct{}, 1),
		ready:    make(chan struct{}),
		promoted: make(chan struct{}),
		broken:   make(chan struct{}),
		tired:    make(chan struct{}),
		out:      make(chan struct{}),
		dead:     make(chan struct{}),
		settled:  make(chan struct{}),
		channels: make([]*channel, len(e.lanes)),
	}
	if e.opt.Dialect.foreign() {
		c.foreign, c.seat = true, s.seat()
		c.channels = c.channels[:1]
	}
	if s.g.program.HTTP != nil {
		c.plain = &plainChild{open: make(map[uint64]*Upstream), held: suspended}
	}
	c.log = e.log.With("worker", c.index, "id", id, "release", c.release())
	c.state, c.since = stateStarting, c.begun
	c.life = newLife(func(state string) {
		c.mu.Lock()
		c.state, c.since = state, time.Now()
		c.changedLocked()
		c.mu.Unlock()
	})
	return c
}

// release is the name of the child's.
func (c *child) release() string { return c.g.program.Release }

// place is the child's index, or standbyIndex.
func (c *child) place() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index
}

// home is the slot that the child has.
func (c *child) home() *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slot
}

// logger names the child.
func (c *child) logger() *slog.Logger {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log
}

// promote gives a standby the place of s, which restarts others had before.
func (c *child) promote(s *slot, restarts int) {
	c.mu.Lock()
	c.slot, c.index, c.restarts = s, s.index, restarts
	c.log = c.e.log.With("worker", c.index, "id", c.id, "release", c.release())
	c.mu.Unlock()
	close(c.promoted)
	c.logger().Info("engine: standby takes the place")
}

func (c *child) changedLocked() {
	close(c.settled)
	c.settled = make(chan struct{})
}

// settle waits until the child does what is wanted of it, serves no more, or
// stop is closed.
func (c *child) settle(stop <-chan struct{}) {
	for {
		c.mu.Lock()
		ok, changed := c.settledLocked(), c.settled
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-c.out:
			return
		case <-stop:
			return
		}
	}
}

func (c *child) settledLocked() bool {
	switch c.facts.want {
	case wantServe:
		return c.joined && (c.state == stateOnline || c.state == stateBroken)
	case wantHold:
		return !c.joined && (c.state == stateSuspended || c.state == stateBroken)
	}
	return true
}

func (c *child) isReady() bool { return isClosed(c.ready) && !c.isOut() }
func (c *child) isOut() bool   { return isClosed(c.out) }

// readyAt is when it has said that it is online.
func (c *child) readyAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readied
}

// tell changes the facts and wakes the child's goroutine. Any goroutine.
func (c *child) tell(change func(*facts)) {
	c.mu.Lock()
	change(&c.facts)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

func (c *child) told() facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts
}

// run is the child's life. It ends with the process, or killGrace after the
// SIGKILL that could not end that.
func (c *child) run() {
	defer close(c.dead)
	proc, err := c.start()
	if err != nil {
		c.reason = "could not be started: " + c.whyNot(err)
		c.unborn = err
		c.serveNoMore()
		if c.plain != nil {
			c.closeDoors(exit{code: -1})
		}
		c.move(eventDie)
		c.record(exit{code: -1})
		return
	}
	c.deadline = c.begun.Add(c.e.tuning().StartTimeout)
	timer := time.NewTimer(c.e.tuning().StartTimeout)
	defer timer.Stop()
	for {
		select {
		case <-proc.exited():
			c.bury(proc)
			return
		case <-c.wake:
		case <-timer.C:
		}
		for c.advance() {
		}
		c.recycleSoon() // it may be wanted only now
		if c.overdue() && !c.expire() {
			c.abandon(proc)
			return
		}
		timer.Reset(c.next())
	}
}

// lost is told by a channel that it has ended.
func (c *child) lost(ch *channel, err error) {
	if c.plain != nil {
		c.detached(err)
	}
	c.tell(func(f *facts) {
		f.closed++
		if f.fault == nil && !ordinary(err) && c.plain == nil {
			f.fault = fmt.Errorf("channel %d: %w", ch.lane.index, err)
		}
	})
}

// lose is told of a session that had no answer when its channel ended.
func (c *child) lose(ch *channel, s *session.Session) {
	l := LostSession{Loop: ch.lane.index, ID: s.ID(), Event: s.Event(), RequestID: strings.Clone(s.Label()), Untouched: s.Untouched()}
	if l.Untouched {
		c.e.stats.untouched.Add(1)
	} else {
		c.e.stats.lost.Add(1)
	}
	c.mu.Lock()
	c.lostOnes = append(c.lostOnes, l)
	c.mu.Unlock()
}

// sessions is how many are open on all channels.
func (c *child) sessions() (n int) {
	if c.plain != nil {
		return c.e.leases.load(c)
	}
	for _, ch := range c.all() {
		n += ch.mux.Load()
	}
	return n
}

// all are the channels admitted so far.
func (c *child) all() (list []*channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		if ch != nil {
			list = append(list, ch)
		}
	}
	return list
}

// serves says whether it gets new sessions.
func (c *child) serves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// status is the child's part of Status.
func (c *child) status() WorkerStatus {
	n, total := c.sessions(), c.taken()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := WorkerStatus{
		Index: c.index, ID: c.id, State: visible(c.state, !c.facts.drain && !c.facts.kill && !c.facts.leaving),
		Since: c.since, Release: c.release(), Sessions: n, Total: total, Restarts: c.restarts, Standby: c.index == standbyIndex, Ready: c.state == stateReady, Reason: c.facts.why,
	}
	if c.proc != nil {
		w.Pid = c.proc.main()
	}
	if isClosed(c.dead) {
		w.Reason = c.death.Reason
	}
	return w
}

// move changes the state if the table allows it.
func (c *child) move(event string) bool {
	if !c.life.Can(event) {
		return false
	}
	if err := c.life.Event(context.Background(), event); err != nil {
		// Only a broken table can say so (LIBRARIES 3).
		c.logger().Error("engine: worker's state machine", "event", event, "err", err)
		return false
	}
	return true
}

// welcome is the engine's answer to c's handshakes.
func (e *Engine) welcome(c *child, able bool) *heddle.WelcomeInfo {
	w := &heddle.WelcomeInfo{
		Frame:    codec.DefaultFrame,
		Head:     session.MaxHead,
		Sessions: session.DefaultMaxSessions,
		Window:   uint64(e.opt.Window),
		Index:    uint64(max(c.place(), 0)),
		Release:  heddle.Raw(c.release()),

		Suspended: c.suspended,
	}
	if c.plain != nil {
		w.Suspended, _ = c.wishes()
	}
	for _, f := range features {
		w.Features = append(w.Features, heddle.Raw(f))
	}
	if able {
		w.Features = append(w.Features, heddle.Raw(featureIPC))
	}
	for i := range e.lanes {
		w.Endpoints = append(w.Endpoints, heddle.Raw(c.g.endpoint(i)))
	}
	return w
}
