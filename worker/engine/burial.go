package engine

import (
	"fmt"
	"time"
)

// bury ends the life of a child whose process has exited: the rest of its
// group first, then the process, its pipes, its channels.
func (c *child) bury(proc process) {
	before := c.life.Current()
	f := c.told()
	c.asked = c.asked || f.drain || f.kill
	c.serveNoMore()
	early := before == stateStarting || before == stateGreeted
	if early && c.reason == "" && !c.asked && c.plain == nil {
		c.hear()
	}
	c.e.forget(c)
	x := proc.reap()
	c.forget()
	c.endChannels()
	if c.plain != nil {
		c.closeDoors(x)
	}
	if f := c.told(); f.fault != nil {
		c.because(f.fault.Error()) // the process was faster than the loop
	}
	wait(proc.drained(), drainPipes+100*time.Millisecond) // a blocked Output could hold it up
	c.move(eventDie)
	switch {
	case c.reason != "":
		c.reason += "; " + x.String()
	case early:
		c.reason = x.String() + " before it was online"
		if why := c.hinting(); why != "" {
			c.reason += ": " + why
		}
	default:
		c.reason = x.String()
	}
	c.record(x)
}

// hear waits until the loops have read what a process said before it exited:
// why that was refused is why it exited. Its pid is still its own, so that
// connections can be told to be its. A grandchild may hold them open, so not for
// long.
func (c *child) hear() {
	timer := time.NewTimer(hearGrace)
	defer timer.Stop()
	for _, l := range c.e.lanes {
		if !l.catchUp(timer.C) {
			return
		}
	}
	for c.told().knocks > 0 {
		select {
		case <-c.wake:
		case <-timer.C:
			return
		}
	}
}

// endChannels waits for the ends of the channels: what the worker had written
// still counts. A grandchild may hold the sockets, so not for long.
func (c *child) endChannels() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	all := c.all()
	timer := time.NewTimer(channelGrace)
	defer timer.Stop()
	for c.told().closed < len(all) {
		select {
		case <-c.wake:
		case <-timer.C:
			for _, ch := range all {
				ch.mux.Abort(errOutlived)
			}
			timer.Reset(channelGrace)
			for c.told().closed < len(all) {
				select {
				case <-c.wake:
				case <-timer.C:
					return // the loop itself has ended
				}
			}
		}
	}
}

// abandon gives up a process that SIGKILL does not end (uninterruptible in the
// kernel). It is reaped if it ever dies.
func (c *child) abandon(proc process) {
	c.e.forget(c)
	c.endChannels()
	if c.plain != nil {
		c.closeDoors(exit{code: -1})
	}
	if c.reason != "" {
		c.reason += "; "
	}
	c.reason += fmt.Sprintf("did not die within %v of SIGKILL", killGrace)
	c.move(eventDie)
	c.record(exit{code: -1})
	go func() { // ends when the kernel lets the process go
		<-proc.exited()
		proc.reap()
	}()
}

// wait waits until done is closed, at most d.
func wait(done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// record completes the Death and tells of it.
func (c *child) record(x exit) {
	c.part(nil)
	c.e.forget(c)
	c.mu.Lock()
	lost := c.lostOnes
	c.mu.Unlock()
	f := c.told()
	// A worker that was asked to leave and crashed, or was killed by somebody
	// else, took its sessions with it all the same.
	asked := c.asked && (x.signal == "" || c.stopped && (x.signal == "SIGTERM" || x.signal == "SIGKILL"))
	c.death = Death{
		Index: c.place(), ID: c.id, Pid: c.shown(), Release: c.release(),
		ExitCode: x.code, Signal: x.signal, Err: c.unborn, Reason: c.reason, Greeted: f.greeted > 0 || f.answers, Expected: asked || f.leaving && x.code == 0 && !c.stopped,
		Stderr: c.tail.all(), Dump: c.tail.dumped(), Lost: lost, Uptime: time.Since(c.begun), Served: c.served,
	}
	if c.death.Pid == 0 {
		c.death.Uptime = 0
	}
	if c.unborn == nil {
		c.e.tellWorker(WorkerExited, c, &c.death)
	}
	c.e.died(c.death)
}
