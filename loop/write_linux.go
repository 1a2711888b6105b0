package loop

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// onTurn does what c was put into the dirty list for.
func (c *Conn) onTurn() {
	c.mu.Lock()
	f := c.flags.And(^uint32(flagArmed))
	cause := c.cause
	c.mu.Unlock()
	switch {
	case c.stage == stageDead:
	case c.stage == stageNew: // startDial and open look at the orders themselves
	case f&flagAbort != 0:
		c.finish(cause)
	case c.stage == stageConnecting:
		if c.overBeforeOpen(f) {
			c.finish(cause)
		}
	default:
		c.write()
		c.settle()
	}
}

// write gives the kernel what is queued, up to writeMax bytes.
func (c *Conn) write() {
	x := &c.loop.io
	drained := false
	for total := 0; !c.dead && c.stage == stageOpen && c.flags.Load()&flagAbort == 0; {
		c.mu.Lock()
		f := c.flags.Load()
		pieces, files := c.out.gather(x.pieces[:0], writeMax)
		if f&flagBlocked != 0 || total >= writeMax {
			if len(pieces) > 0 && f&flagBlocked == 0 && c.armLocked() {
				defer c.loop.enqueue(c) // more next turn
			}
			pieces = nil
		}
		c.mu.Unlock()
		if len(pieces) == 0 {
			break
		}
		want := 0
		for _, p := range pieces {
			want += len(p.b)
		}
		n, err := x.send(int(c.fd), pieces, files)
		c.loop.stats.writes.Add(1)
		switch {
		case err == nil || err == unix.EAGAIN:
		case len(files) > 0 && !peerLeft(err):
			c.refused(files, err)
			continue
		default:
			c.writeFailed(err)
			return
		}
		c.mu.Lock()
		c.out.advance(pieces, n)
		if n < want {
			c.flags.Or(flagBlocked)
		}
		if c.flags.Load()&flagAbove != 0 && int(c.out.queued.Load()) <= c.lowWater {
			c.flags.And(^uint32(flagAbove))
			drained = true
		}
		c.mu.Unlock()
		clear(pieces)
		if n > 0 {
			closeAll(files)
			total += n
			c.wrote += uint32(n)
			c.loop.stats.bytesWritten.Add(uint64(n))
		}
	}
	if drained && c.telling() {
		c.callDrain()
	}
}

// peerLeft tells errors of a connection from those of a message.
func peerLeft(err error) bool {
	return err == unix.EPIPE || err == unix.ECONNRESET || err == unix.ENOTCONN
}

// refused drops the frame whose descriptors the kernel would not send.
func (c *Conn) refused(files []int, err error) {
	c.mu.Lock()
	frame := c.out.refuse()
	c.mu.Unlock()
	closeAll(files)
	err = os.NewSyscallError("sendmsg", err)
	if h, ok := c.handler.(RefuseHandler); !ok {
		c.Abort(fmt.Errorf("%w: %w", ErrFiles, err))
	} else if c.telling() {
		c.callRefuse(h, frame, err)
	}
}

// writeFailed gives up the write side. The connection goes on until its input has
// been read to the end: the peer may have said something before it left.
func (c *Conn) writeFailed(err error) {
	if c.dead {
		return
	}
	c.dead = true
	c.failure = os.NewSyscallError("write", err)
	c.mu.Lock()
	c.flags.Or(flagShut)
	c.lost = c.out.queued.Load() > 0
	files := c.out.drop()
	c.flags.And(^uint32(flagBlocked))
	c.mu.Unlock()
	closeAll(files)
	c.loop.touch(c)
}

// settle brings c up to date with what its callbacks and orders have left behind:
// kept-back bytes to give again, half-closes that are due, the end, and what the
// descriptor is registered for.
func (c *Conn) settle() {
	if c.stage != stageOpen || c.flags.Load()&flagAbort != 0 {
		return // onTurn will end it
	}
	if c.redeliver && !c.paused {
		c.redeliver = false
		if c.kept != nil && c.telling() {
			c.deliver(c.kept.unread())
			if c.stage != stageOpen {
				return
			}
		}
	}
	f := c.flags.Load()
	if f&(flagHalf|flagClose) != 0 {
		if c.out.queued.Load() > 0 {
			c.linger()
		} else {
			c.halfClose()
		}
	}
	switch {
	case f&flagClose != 0 && (c.halfShut || c.dead):
		if c.rested() {
			c.finish(c.verdict())
			return
		}
	case c.eof && (c.halfShut || c.dead):
		c.finish(c.failure) // nil if all was written
		return
	}
	want := interestOf(c.reading(), c.flags.Load()&flagBlocked != 0)
	if want != c.interest {
		if err := c.register(want); err != nil {
			c.finish(fmt.Errorf("loop: %w", err))
		}
	}
}

// verdict is what OnClose is told at the end of an orderly close.
func (c *Conn) verdict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil && (c.lost || c.out.queued.Load() > 0) {
		if c.failure != nil {
			return c.failure
		}
		return ErrLinger
	}
	return c.cause
}

// linger watches over the delivery of what is queued on a closing connection: some of
// it has to leave in each LingerTimeout, or all of it in one if OnBytes failed.
func (c *Conn) linger() {
	if c.timer != nil {
		return
	}
	c.lingering = c.wrote
	c.timer = c.newTimer(c.loop.opt.LingerTimeout, func() {
		if c.lingering != c.wrote && !c.faulted {
			c.timer = nil
			c.linger()
			return
		}
		c.mu.Lock()
		err := c.cause
		c.mu.Unlock()
		if err == nil {
			err = ErrLinger
		}
		c.finish(err)
	})
}

// halfClose shuts the write side down, all that was queued having left.
func (c *Conn) halfClose() {
	if c.halfShut || c.dead {
		return
	}
	c.halfShut = true
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR) // ENOTCONN: the peer was faster
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// rested says whether a connection that has delivered everything may be closed. A
// TCP socket closed with unread input, or getting some later, sends a reset, and
// that may destroy what the peer has not read yet: so input is discarded for a
// while. A unix socket loses nothing, but with unread input its peer would see
// ECONNRESET where the end should be; shut down, it gets no more, and what it has is
// discarded here and now.
func (c *Conn) rested() bool {
	if c.eof || c.dead {
		return true
	}
	if c.unix {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
		for range unixDiscardReads {
			if c.read(); c.eof || c.stage != stageOpen {
				break
			}
		}
		return true
	}
	if c.timer == nil {
		c.timer = c.newTimer(c.loop.opt.DiscardTimeout, func() { c.finish(c.verdict()) })
	}
	return c.deaf
}

// unixDiscardReads bounds how often a closing unix socket is read to be emptied. Two
// reads empty one of the usual size.
const unixDiscardReads = 64
