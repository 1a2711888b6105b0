package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// jsonHigh is how many bytes may have arrived and not be read yet before the
// connection is paused.
const jsonHigh = 256 << 10

// A jsonUser is what becomes of the frames of a jsonLink, on its goroutine.
type jsonUser interface {
	take(ctx context.Context, m *jsonwire.Message) // borrows m
	bad(data []byte, err error) error              // of what is no message; an error ends the connection
	finish()                                       // no more frames come
}

// A jsonLink is one connection that speaks a framing of package jsonwire, of either
// side: the loop appends what arrives, one goroutine takes the frames in order.
// OnBytes, OnEOF, OnDrain, OnLeave and OnClose are as in loop.Handler.
type jsonLink struct {
	// Immutable after newJSONLink.
	link     session.Link
	framing  jsonwire.Framing
	queue    int // bytes in the outbox with which senders wait
	ctx      context.Context
	end      context.CancelCauseFunc
	resumeFn func()

	eof bool // the peer has ended what it sends; loop goroutine only

	// The goroutine's.
	user    jsonUser
	scanner *jsonwire.Scanner
	cur     []byte // what it reads from
	off     int

	mu     sync.Mutex
	wake   sync.Cond
	rx     []byte // arrived
	paused bool
	ended  bool          // nothing more arrives
	over   bool          // nothing more can be sent
	room   chan struct{} // closed when the outbox has drained; nil if nobody waits
}

// newJSONLink makes the handler of a connection that run serves; limit is of a
// frame's bytes, queue of those that wait to be sent. ctx is the parent of the
// handlers' contexts, which end with the connection.
func newJSONLink(ctx context.Context, link session.Link, f jsonwire.Framing, limit, queue int) *jsonLink {
	j := &jsonLink{link: link, framing: f, queue: min(max(queue, 1), session.HighWater), resumeFn: link.Resume, scanner: jsonwire.NewScanner(f, limit)}
	j.ctx, j.end = context.WithCancelCause(ctx)
	j.wake.L = &j.mu
	if l, ok := link.(interface{ SetLowWater(int) }); ok {
		l.SetLowWater(j.queue / 2)
	}
	return j
}

// OnBytes takes everything; when that is much, the connection is paused.
func (j *jsonLink) OnBytes(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return len(p), nil
	}
	if j.rx == nil {
		j.rx = getBuffer()
	}
	j.rx = append(j.rx, p...)
	if len(j.rx) >= jsonHigh && !j.paused {
		j.paused = true
		j.link.Pause()
	}
	j.wake.Signal()
	return len(p), nil
}

// OnLeave has what a paused peer sent before it left read: no more comes than
// the kernel holds.
func (j *jsonLink) OnLeave(gone bool) {
	if gone {
		j.link.Resume()
	}
}

// OnEOF: what has come is handled, and answered.
func (j *jsonLink) OnEOF() {
	j.eof = true
	j.mu.Lock()
	j.ended = true
	j.wake.Signal()
	j.mu.Unlock()
}

// OnDrain lets senders go on.
func (j *jsonLink) OnDrain() {
	j.mu.Lock()
	j.roomLocked()
	j.mu.Unlock()
}

func (j *jsonLink) roomLocked() {
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
}

// OnClose: what has come is still handled.
func (j *jsonLink) OnClose(err error) {
	cause := ErrPeerDied
	if err = j.parting(err); err != nil {
		cause = fmt.Errorf("%w: %w", ErrPeerDied, err)
	}
	j.end(cause)
	j.mu.Lock()
	j.ended, j.over = true, true
	j.roomLocked()
	j.wake.Signal()
	j.mu.Unlock()
}

// parting is err, or nil if it only says that the peer has gone: who closes at once
// behind his end is seen as a broken pipe.
func (j *jsonLink) parting(err error) error {
	if j.eof && errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return parting(err)
}

// run takes the frames. It returns when the connection has ended or is being closed.
func (j *jsonLink) run() {
	returned := false
	defer func() {
		if !returned {
			j.link.Abort(errExited) // by a handler; nobody reads on
		}
	}()
	err := j.frames()
	returned = true
	j.mu.Lock()
	j.ended, j.rx = true, nil
	j.mu.Unlock()
	if err == nil {
		j.user.finish()
	}
	j.link.Close(err) // does nothing if it was closed
}

func (j *jsonLink) frames() error {
	var m jsonwire.Message
	for j.fill() {
		for {
			frame, n, err := j.scanner.Next(j.cur[j.off:])
			if err == jsonwire.ErrShort {
				break
			}
			if err != nil {
				_ = j.user.bad(j.cur[j.off:], err) // it tells; where the next frame begins nobody knows
				return err
			}
			if err := j.framing.Decode(frame, &m); err != nil {
				if err := j.user.bad(frame, err); err != nil {
					return err
				}
			} else {
				j.user.take(j.ctx, &m)
			}
			j.off += n
		}
	}
	if j.ctx.Err() == nil && len(j.cur) > j.off {
		_ = j.user.bad(j.cur[j.off:], fmt.Errorf("ipc: the last frame has no end: %w", io.ErrUnexpectedEOF))
	}
	return nil
}

// fill waits for more; false at the end.
func (j *jsonLink) fill() bool {
	if j.off == len(j.cur) {
		putBuffer(j.cur) // none while nothing comes
		j.cur, j.off = nil, 0
	}
	j.mu.Lock()
	for !j.ended && len(j.rx) == 0 {
		j.wake.Wait()
	}
	if len(j.rx) == 0 {
		j.mu.Unlock()
		return false
	}
	if rest := j.cur[j.off:]; len(rest) == 0 {
		j.cur = j.rx
	} else {
		j.cur = append(j.cur[:copy(j.cur, rest)], j.rx...)
		putBuffer(j.rx)
	}
	j.rx, j.off = nil, 0
	resume := j.paused
	j.paused = false
	j.mu.Unlock()
	if resume {
		_ = j.link.Do(j.resumeFn) // fails of a closed connection
	}
	return true
}

// send queues a whole frame, or none if it is nil. With a full outbox it waits until ctx ends, or fails
// with ErrQueueFull if noWait is set.
func (j *jsonLink) send(ctx context.Context, frame []byte, noWait bool) error {
	for {
		j.mu.Lock()
		switch {
		case j.over:
			j.mu.Unlock()
			return context.Cause(j.ctx)
		case j.link.Queued() < j.queue:
			var err error
			if frame != nil {
				_, err = j.link.Send(frame, nil)
			}
			j.mu.Unlock()
			if err != nil {
				return fmt.Errorf("%w: %w", ErrPeerDied, err)
			}
			return nil
		case noWait:
			j.mu.Unlock()
			return ErrQueueFull
		}
		if j.room == nil {
			j.room = make(chan struct{}) // OnDrain needs mu, so it comes later
		}
		room := j.room
		j.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends the connection: in order, with what was sent delivered, for nil.
func (j *jsonLink) Close(err error) {
	if err == nil {
		j.link.Close(nil)
		return
	}
	j.link.Abort(err)
}
