package engine

import (
	"fmt"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// This file is what a child's goroutine does: facts and time move it through
// the table of states.go.

// advance does the first thing that the facts call for in the present state,
// and says whether there may be more.
func (c *child) advance() bool {
	f := c.told()
	c.asked = c.asked || f.drain || f.kill
	if f.kill {
		return c.kill("")
	}
	switch c.life.Current() {
	case stateStarting:
		switch {
		case f.refused != "":
			return c.stop(f.refused)
		case f.drain && c.plain != nil:
			return c.dismiss()
		case f.leaving && c.plain != nil:
			return c.stop(stopsEarly)
		case f.drain:
			return c.stop("")
		case f.greeted > 0 || f.answers:
			return c.move(eventGreet)
		}
	case stateGreeted:
		switch {
		case f.closed > 0 && c.plain == nil:
			return c.leave(leaveGrace, f)
		case f.drain && c.plain != nil:
			return c.dismiss()
		case f.leaving && c.plain != nil:
			return c.stop(stopsEarly)
		case f.drain:
			return c.terminate("the engine is shutting down")
		case f.ended != "":
			return c.leave(c.e.tuning().KillDelay, f)
		case f.broken && c.plain != nil:
			return c.stop(fmt.Sprintf("said broken (%q) before it was online", f.why))
		case f.broken:
			c.because(fmt.Sprintf("said broken (%q) before it was online", f.why))
			return c.terminate("broken before it was online")
		case c.plain != nil:
			return f.answers && !f.waits && c.stand()
		case f.online:
			return c.stand()
		}
	case stateReady, stateSuspended, stateOnline, stateBroken:
		switch {
		case f.closed > 0 && c.plain == nil:
			return c.leave(leaveGrace, f)
		case f.ended != "":
			return c.leave(c.e.tuning().KillDelay, f)
		case f.drain || f.leaving:
			return c.drain()
		case f.broken && c.move(eventBreak):
			c.logger().Warn("engine: worker asks to be replaced", "why", f.why)
			close(c.broken)
			return true
		case f.want == wantServe && !c.serves():
			return c.serve()
		case f.want == wantHold && (c.serves() || c.life.Current() == stateReady):
			return c.hold()
		}
	case stateDraining, stateTerminating:
		if c.plain != nil {
			return c.sessions() == 0 && c.dismiss()
		}
		if c.foreign && c.life.Current() == stateDraining {
			switch {
			case f.closed > 0:
				return c.leave(leaveGrace, f)
			case f.ended != "":
				return c.leave(c.e.tuning().KillDelay, f)
			}
			return c.sessions() == 0 && c.terminate("it has finished what it had")
		}
		if c.foreign && f.ended != "" { // its answer, upon which real runtimes kill it, and some rely on that
			return c.leave(leaveGrace, f)
		}
		if f.closed == len(c.channels) {
			return c.leave(c.e.tuning().ShutdownTimeout, f)
		}
	case stateStopping, stateDumping:
		if f.leaving { // its answer to SIGTERM
			c.sendDrain()
		}
	}
	return false
}

// stand: the worker is online by its own word, and waits to be given the work.
func (c *child) stand() bool {
	c.deadline = time.Time{}
	if c.foreign {
		wait(c.process().named(), leaveGrace) // a program can be faster than its guardian's word
	}
	now := c.e.now()
	for _, ch := range c.all() {
		ch.beat.Store(now)
	}
	c.mu.Lock()
	c.readied = time.Now()
	c.mu.Unlock()
	event := eventReady
	if c.suspended {
		event = eventSuspend
	}
	c.move(event)
	c.logger().Info("engine: worker is ready", "pid", c.shown(), "after", time.Since(c.begun), "suspended", c.suspended)
	c.e.tellWorker(WorkerOnline, c, nil)
	close(c.ready)
	return true
}

// serve gives the worker sessions, on each channel behind the word that resumes
// it.
func (c *child) serve() bool {
	if c.came.IsZero() {
		c.came = time.Now()
	}
	c.letGo()
	if c.plain != nil {
		c.e.leases.join(c)
	} else {
		for _, ch := range c.all() {
			ch.lane.join(ch)
		}
	}
	c.join(true)
	c.move(eventOnline) // not from broken
	c.e.queue.release()
	return true
}

// letGo ends a hold.
func (c *child) letGo() {
	if !c.onHold {
		return
	}
	c.onHold = false
	frame := codec.AppendResume(nil, int64(c.place()))
	if c.foreign {
		frame = nil // it was not told
	}
	if c.plain != nil {
		c.announce(func(p *plainChild) { p.held = false }, func(m *session.Mux) error { return m.Unhold(frame) })
		return
	}
	for _, ch := range c.all() {
		_ = ch.mux.Unhold(frame) // an error: the channel has ended
	}
}

// hold takes the worker out of choice and suspends it, on each channel behind
// the last session.
func (c *child) hold() bool {
	c.onHold = true
	frame := codec.AppendControl(nil, heddle.CtlSuspend)
	if c.foreign {
		frame = nil // it knows no such thing, and simply gets nothing
	}
	if c.plain != nil {
		c.announce(func(p *plainChild) { p.held = true }, func(m *session.Mux) error { return m.Hold(frame) })
	} else {
		for _, ch := range c.all() {
			ch.lane.leave(ch)
			_ = ch.mux.Hold(frame) // an error: the channel has ended
		}
	}
	c.e.leases.leave(c)
	c.join(false)
	c.move(eventSuspend) // not from broken
	return true
}

// join notes whether the worker gets sessions.
func (c *child) join(joined bool) {
	c.mu.Lock()
	c.joined = joined
	c.changedLocked()
	c.mu.Unlock()
}

// serveNoMore takes the worker out of choice, once.
func (c *child) serveNoMore() {
	if c.outDone {
		return
	}
	c.outDone = true
	for _, ch := range c.all() {
		ch.lane.leave(ch)
	}
	c.e.leases.leave(c)
	c.join(false)
	if !c.came.IsZero() {
		c.served = time.Since(c.came)
	}
	if at := c.readyAt(); !at.IsZero() {
		c.stood = time.Since(at)
	}
	if f := c.told(); c.foreign && (f.unfit || f.fault != nil) {
		c.stood = 0 // however long it was good for: the next one is to be waited for
	}
	close(c.out)
}

// drain lets the worker finish what it has.
func (c *child) drain() bool {
	c.serveNoMore()
	if c.onHold && c.place() != standbyIndex && c.sessions() > 0 {
		c.letGo() // it may hold some of what it is to finish
	}
	c.sendDrain()
	c.deadline = time.Now().Add(c.e.tuning().DrainTimeout)
	return c.move(eventDrain)
}

// sendDrain tells the worker on every channel, behind the last invoke, that no
// more will come.
func (c *child) sendDrain() {
	if c.drained {
		return
	}
	c.drained = true
	if c.foreign {
		c.finish()
		return
	}
	frame := c.drainFrame()
	if c.plain != nil {
		c.announce(func(p *plainChild) { p.drained = true }, func(m *session.Mux) error { return m.Drain(frame) })
		return
	}
	for _, ch := range c.all() {
		say := func() { _ = ch.link.Do(func() { _ = ch.mux.Drain(frame) }) } // errors: the channel has ended
		if ch.lane.index == 0 {
			c.afterMessages(say)
		} else {
			say()
		}
	}
}

// terminate tells the worker to leave now.
func (c *child) terminate(why string) bool {
	c.serveNoMore()
	if all := c.all(); len(all) > 0 {
		_ = all[0].mux.SendControl(c.terminateFrame(why)) // an error: the channel has ended
	}
	c.deadline = time.Now().Add(c.e.tuning().ShutdownTimeout)
	return c.move(eventTerminate)
}

// leave waits for the death of a process whose channels have ended, or that
// said it leaves.
func (c *child) leave(within time.Duration, f facts) bool {
	c.serveNoMore()
	switch {
	case f.fault != nil:
		c.because(f.fault.Error())
		within = 0 // it was we who ended the channel: no sign that it leaves
	case f.ended != "" && !c.asked:
		c.because(f.ended)
	}
	c.deadline = time.Now().Add(within)
	return c.move(eventLeave)
}

// dump asks a worker that is stuck for its goroutines, before anything harder.
// What it writes from now on is kept apart.
func (c *child) dump(why string) bool {
	c.because(why)
	c.serveNoMore()
	within := c.dumpGrace()
	if c.foreign || c.dumped || !c.move(eventDump) {
		return c.stop("")
	}
	c.dumped = true
	c.deadline = time.Now().Add(within)
	c.tail.dump()
	c.signal("SIGQUIT", func() error { return c.process().dump(c.greeter()) })
	return true
}

// dumps says whether SIGQUIT is sure to make it write its goroutines: to other programs it
// may mean anything.
func (c *child) dumps() bool { return c.plain == nil && !c.foreign }

// dumpGrace is how long a worker may take to write its goroutines.
func (c *child) dumpGrace() time.Duration { return min(dumpGrace, c.e.tuning().KillDelay/2) }

// stop sends SIGTERM to the group.
func (c *child) stop(why string) bool {
	c.stopped = true
	c.because(why)
	c.serveNoMore()
	c.deadline = time.Now().Add(c.e.tuning().KillDelay)
	if !c.dumped && c.dumps() {
		c.deadline = c.deadline.Add(-c.dumpGrace()) // which comes before the kill
	}
	if !c.move(eventStop) {
		return false
	}
	c.signal("SIGTERM", c.process().terminate)
	return true
}

// kill sends SIGKILL to the group.
func (c *child) kill(why string) bool {
	c.because(why)
	c.serveNoMore()
	if !c.move(eventKill) {
		return false
	}
	c.stopped = true
	c.deadline = time.Now().Add(killGrace)
	c.signal("SIGKILL", c.process().kill)
	return true
}

func (c *child) signal(name string, send func() error) {
	c.e.stats.signalled.Add(1)
	if err := send(); err != nil {
		c.logger().Error("engine: "+name, "err", err)
	}
}

// because keeps the first reason.
func (c *child) because(why string) {
	if c.reason == "" {
		c.reason = why
	}
}

func (c *child) process() process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proc
}

// overdue says whether the state has lasted too long, or the worker has been
// silent too long.
func (c *child) overdue() bool { return c.next() <= 0 }

// next is how long until then.
func (c *child) next() time.Duration {
	d := time.Duration(1<<63 - 1)
	if !c.deadline.IsZero() {
		d = time.Until(c.deadline)
	}
	if !c.checkup.IsZero() {
		d = min(d, time.Until(c.checkup))
	}
	_, left := c.silent()
	switch {
	case left > 0:
		c.doubt = time.Time{}
	case !c.doubt.IsZero():
		left = time.Until(c.doubt)
	}
	return min(d, left)
}

// silent returns the channel that has been without a heartbeat for longest,
// and how long it may still be. Only who is ready, and until it is told to leave, has to beat.
func (c *child) silent() (loop int, left time.Duration) {
	left = 1<<63 - 1
	switch c.life.Current() {
	case stateReady, stateSuspended, stateOnline, stateBroken, stateDraining:
	default:
		return 0, left
	}
	for _, ch := range c.all() {
		if ch.closed.Load() {
			continue
		}
		if d := c.e.tuning().HeartbeatTimeout - time.Duration(c.e.now()-ch.beat.Load()); d < left {
			loop, left = ch.lane.index, d
		}
	}
	return loop, left
}

// expire goes on to the next, harder step. False: there is none.
func (c *child) expire() bool {
	now := time.Now()
	if loop, left := c.silent(); left <= 0 {
		switch {
		case c.doubt.IsZero():
			// Perhaps it is we who were stopped, and its heartbeats wait to
			// be read.
			c.doubt = now.Add(doubtGrace)
		case !now.Before(c.doubt):
			return c.dump(fmt.Sprintf("hung: no heartbeat on channel %d for %v", loop, c.e.tuning().HeartbeatTimeout))
		}
	}
	if !c.checkup.IsZero() && !now.Before(c.checkup) {
		c.lookWhetherTired()
	}
	if c.deadline.IsZero() || now.Before(c.deadline) {
		return true
	}
	switch c.life.Current() {
	case stateStarting, stateGreeted:
		if c.plain != nil {
			return c.stop(c.lateDoors()) // SIGQUIT may mean anything to it
		}
		return c.dump(c.lateStart())
	case stateDraining:
		if c.plain != nil {
			return c.stop(fmt.Sprintf("did not finish its requests within %v", c.e.tuning().DrainTimeout))
		}
		c.because(fmt.Sprintf("did not finish its sessions within %v", c.e.tuning().DrainTimeout))
		return c.terminate("drain timed out")
	case stateTerminating:
		return c.stop(fmt.Sprintf("did not leave within %v of terminate", c.e.tuning().ShutdownTimeout))
	case stateLeaving:
		if c.told().ended != "" {
			return c.stop("said that it leaves and did not")
		}
		return c.stop("closed its channel and did not leave")
	case stateStopping:
		if !c.dumped && c.dumps() {
			return c.dump("")
		}
		return c.kill("")
	case stateDumping:
		if c.stopped {
			return c.kill("")
		}
		return c.stop("")
	}
	return false
}

// lateStart says what a worker that is not online in time has not done.
func (c *child) lateStart() string {
	return fmt.Sprintf("not online within %v of its start: %s", c.e.tuning().StartTimeout, c.awaited())
}

// awaited is what a worker that is not online has not done.
func (c *child) awaited() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, ch := range c.channels {
		if ch != nil {
			n++
		}
	}
	switch {
	case c.hinted != "":
		return c.hinted
	case c.plain != nil && c.facts.answers:
		return silentOnline
	case c.plain != nil && c.proc == nil:
		return "it is being started"
	case c.plain != nil:
		return "it does not answer yet: " + c.plain.doors.report()
	case n == 0 && c.foreign:
		return "no handshake came from it: it has to be a Cocaine worker, which dials the path behind --endpoint"
	case c.foreign:
		return "it greeted and sent no heartbeat"
	case n == 0:
		return "no handshake came from it"
	case n < len(c.channels):
		return fmt.Sprintf("only %d of its %d channels greeted", n, len(c.channels))
	}
	return "it greeted and never said that it is online (a program that calls worker.ManualOnline must call worker.ReportOnline)"
}
