package engine

import (
	"fmt"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// This file is what concerns plain programs that attach: one of their processes, of
// its own accord and at any time, opens a channel as a session worker does, for the
// words that are no sessions. Nothing waits for one that does not. It may end
// before the program does, and another process below the guardian may be the next.

// silentOnline is of a program that answers in HTTP and is not online.
const silentOnline = "it answers, but has attached and never said that it is online (a program that calls worker.ManualOnline must call worker.ReportOnline)"

// wishes are what a plain program that attaches now is to know.
func (c *child) wishes() (held, drained bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plain.held, c.plain.drained
}

// announce changes the wishes and says so to whoever is attached. The loop that
// says it has sent the welcome before: so nobody misses a change, and who attaches
// meanwhile may hear it twice.
func (c *child) announce(change func(*plainChild), say func(*session.Mux) error) {
	c.mu.Lock()
	change(c.plain)
	c.mu.Unlock()
	for _, ch := range c.all() {
		_ = ch.link.Do(func() { _ = say(ch.mux) }) // errors: the channel has ended
	}
}

// ownsLocked says why a process is none that may greet for the child.
func (c *child) ownsLocked(pid int) error {
	if c.plain != nil {
		if !c.e.world.descends(pid, c.proc.pid()) {
			return fmt.Errorf("pid %d is none of worker %d's processes", pid, c.index)
		}
		return nil
	}
	group, err := c.e.world.group(pid)
	switch {
	case c.foreign && c.e.world.descends(pid, c.proc.pid()): // perhaps by way of a script that made it lead a group
		return nil
	case err != nil:
		return fmt.Errorf("process group of pid %d: %w", pid, err)
	case group != c.proc.pid():
		return fmt.Errorf("pid %d is not in the process group of worker %d", pid, c.index)
	}
	return nil
}

// vacateLocked forgets a plain program's channel that has ended, so that there may
// be another. On the channels' loop.
func (c *child) vacateLocked() {
	if c.plain == nil || c.channels[0] == nil || !c.channels[0].closed.Load() {
		return
	}
	c.channels[0], c.peer = nil, 0
	c.facts.closed--
	c.facts.online, c.facts.again = false, false
}

// isAttached says whether a plain program has a channel that is open.
func (c *child) isAttached() bool {
	for _, ch := range c.all() {
		if !ch.closed.Load() {
			return true
		}
	}
	return false
}

// detached is told that a plain program's channel has ended. If the program outlives
// it and does not attach again soon, that is logged, and nothing waits for its word.
func (c *child) detached(err error) {
	time.AfterFunc(leaveGrace, func() {
		if c.isAttached() {
			return
		}
		c.tell(func(f *facts) { f.waits = false })
		if !c.isOut() {
			c.logger().Warn("engine: program's channel has ended; it serves on, and hears of no suspension or drain", "pid", c.shown(), "err", err)
		}
	})
}

// drainFrame tells a worker that no new work comes, and how long it may take.
func (c *child) drainFrame() []byte {
	return codec.AppendDrain(nil, uint64(c.e.tuning().DrainTimeout.Milliseconds()))
}
