package loop

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// onEvent handles one event of c's descriptor. Input comes before output: a write to
// a peer that has gone would fail, and must not get in the way of its last words.
func (c *Conn) onEvent(events uint32) {
	if c.stage == stageConnecting {
		c.onConnecting(events)
		return
	}
	switch {
	case c.reading():
		if events&^unix.EPOLLOUT != 0 {
			c.read()
		}
	case events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.onLeave(events)
	}
	if c.stage == stageOpen && events&unix.EPOLLOUT != 0 && c.flags.Load()&flagBlocked != 0 {
		c.mu.Lock()
		c.flags.And(^uint32(flagBlocked))
		c.mu.Unlock()
		c.write()
	}
	c.loop.touch(c)
}

// reading says whether input is to be taken.
func (c *Conn) reading() bool {
	if c.eof || c.deaf {
		return false
	}
	return !c.paused || c.flags.Load()&flagClose != 0 // what comes after Close is discarded
}

// keepRoom is the room in bytes that a read into kept-back bytes finds at least.
const keepRoom = 4 << 10

// read takes one buffer of input. There may be more: the poller will say so again,
// after it has been the others' turn.
func (c *Conn) read() {
	l := c.loop
	discard := !c.telling()
	p := l.io.buf
	if c.kept != nil && !discard {
		if len(c.kept.room()) < keepRoom {
			c.kept = c.kept.grown(keepRoom)
		}
		p = c.kept.room()
	}
	if n := int(c.readMost); n > 0 && n < len(p) && !discard {
		p = p[:n]
	}
	n, oob, flags, err := l.io.recv(int(c.fd), p, c.unix)
	l.stats.reads.Add(1)
	l.stats.bytesRead.Add(uint64(n))
	if len(oob) > 0 || flags&unix.MSG_CTRUNC != 0 {
		if err := c.arrive(oob, flags); err != nil {
			c.finish(err)
			return
		}
	}
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		c.readFailed(err)
	case n == 0:
		c.eof = true
		c.keep(nil)
		if c.telling() {
			c.callEOF()
		}
	case discard:
		c.discarded += int32(n)
		c.deaf = int(c.discarded) >= l.opt.DiscardBytes
	case c.kept != nil:
		c.kept.b = c.kept.b[:len(c.kept.b)+n]
		c.deliver(c.kept.unread())
	default:
		c.deliver(p[:n])
	}
}

func (c *Conn) readFailed(err error) {
	if c.flags.Load()&flagClose != 0 {
		c.finish(c.verdict())
		return
	}
	c.finish(os.NewSyscallError("read", err))
}

// deliver lends p, all there is, to the handler and keeps what it leaves.
func (c *Conn) deliver(p []byte) {
	p = p[:len(p):len(p)]
	c.lent = p
	n, err := c.callBytes(p)
	c.lent = nil
	switch {
	case !c.telling(): // closed, aborted or detached by the handler
		c.keep(nil)
		return
	case err == nil && (n < 0 || n > len(p)):
		err = fmt.Errorf("loop: OnBytes consumed %d of %d bytes", n, len(p))
	case err == nil && len(p)-n > c.loop.opt.KeepLimit:
		err = ErrKept
	}
	if err != nil {
		c.keep(nil)
		c.faulted = true
		if c.timer != nil { // lingering since CloseWrite; now there is a total
			c.timer.Stop()
			c.timer = nil
		}
		c.Close(err)
		return
	}
	switch rest := p[n:]; {
	case len(rest) == 0:
		c.keep(nil)
	case c.kept != nil:
		c.kept.off += n
	default:
		s := getSegment(len(rest))
		s.b = append(s.b, rest...)
		c.keep(s)
	}
}

// keep replaces the kept-back bytes, which go back to the pool.
func (c *Conn) keep(s *segment) {
	if c.kept != nil {
		putSegment(c.kept)
	}
	c.kept = s
}

// onLeave handles the peer's half-close or end while its input is not read.
func (c *Conn) onLeave(events uint32) {
	// With our own half-close done, EPOLLHUP says no more than that the peer's came too.
	gone := events&unix.EPOLLERR != 0 || events&unix.EPOLLHUP != 0 && !c.halfShut
	switch {
	case c.eof || !c.telling():
		if gone { // nobody is left to write to
			c.writeFailed(c.socketError(unix.EPIPE))
		}
	default: // paused
		h, ok := c.handler.(LeaveHandler)
		if !ok {
			if gone {
				c.finish(os.NewSyscallError("read", c.socketError(unix.ECONNRESET)))
			}
			return
		}
		if !c.leaving || gone && !c.gone {
			c.leaving, c.gone = true, gone
			c.callLeave(h, gone)
		}
	}
}

// socketError returns and clears the socket's pending error, other if there is none.
func (c *Conn) socketError(other unix.Errno) error {
	if v, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && v != 0 {
		return unix.Errno(v)
	}
	return other
}
