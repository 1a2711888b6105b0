package service

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A room shares out what an outbox may still take: many callers who look at it at
// once would otherwise all find it empty, and fill it until it ends the connection.
// Who enters has leave to send so many bytes, and leaves when they are queued. Those
// for whom there is no room wait in turn.
type room struct {
	queued func() int      // bytes in the outbox
	gone   <-chan struct{} // closed when the connection has ended
	most   int             // bytes of one message

	entered atomic.Int64 // bytes that are about to be queued, below claimed; above it how many claims there were
	waiting atomic.Int64 // the length of waiters

	mu      sync.Mutex
	waiters list.List // of *waiter, in turn
}

// A waiter wants to send n bytes.
type waiter struct {
	n    int64
	turn chan struct{} // closed when it has entered
}

// enter waits until n bytes may be queued. Without an error the caller has to
// leave. It fails with codec.ErrTooLarge at once, with ErrTimeout after timeout, if that is above 0, and with the
// cause of ctx. When the connection has ended nobody waits, nor when over's channel
// is closed, if there is one: what is sent then is told why.
func (r *room) enter(ctx context.Context, timeout time.Duration, n int, over func() <-chan struct{}) error {
	if n > r.most {
		return fmt.Errorf("%w: a message of %d bytes, the most is %d", codec.ErrTooLarge, n, r.most)
	}
	if r.waiting.Load() == 0 && r.claim(int64(n)) {
		return nil
	}
	w := &waiter{n: int64(n), turn: make(chan struct{})}
	r.mu.Lock()
	at := r.waiters.PushBack(w)
	r.waiting.Add(1)
	r.mu.Unlock()
	r.wake() // there may have been room since
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	var done <-chan struct{}
	if over != nil {
		done = over()
	}
	var err error
	select {
	case <-w.turn:
		return nil
	case <-r.gone:
	case <-done:
	case <-late:
		err = ErrTimeout
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r.mu.Lock()
	select {
	case <-w.turn: // just now
		if err != nil {
			r.entered.Add(-w.n)
		}
	default:
		r.waiters.Remove(at)
		r.waiting.Add(-1)
		if err == nil {
			r.entered.Add(w.n)
		}
	}
	r.mu.Unlock()
	if err != nil {
		r.wake() // the one behind may be smaller, or have the place
	}
	return err
}

// frameOverhead is more than a message has beside its arguments: numbers, heads, and
// the headers of a context.
const frameOverhead = 64 << 10

// outLimit is how many bytes the outbox has to take: one message of the most beyond
// the mark, and what is said to give calls up.
func (r *room) outLimit() int { return r.most + 2*session.HighWater }

// claimed is where claims are counted in entered. Without that number somebody could
// queue and leave, and another enter, between the two looks below: entered would be as
// it was, and what is queued more.
const claimed = 1 << 40

// claim enters n bytes if there is room: whoever finds less than the mark may go
// over it with one message.
func (r *room) claim(n int64) bool {
	for {
		was := r.entered.Load()
		if was%claimed+int64(r.queued()) >= session.HighWater {
			return false
		}
		if r.entered.CompareAndSwap(was, (was+claimed+n)&(1<<62-1)) {
			return true
		}
	}
}

// leave is of who has entered with n bytes, and has queued them or will not.
func (r *room) leave(n int) {
	r.entered.Add(-int64(n))
	if r.waiting.Load() > 0 {
		r.wake()
	}
}

// wake lets enter whom there is room for. Any goroutine.
func (r *room) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := r.waiters.Front(); at != nil; at = r.waiters.Front() {
		w := at.Value.(*waiter)
		if !r.claim(w.n) {
			return
		}
		r.waiters.Remove(at)
		r.waiting.Add(-1)
		close(w.turn)
	}
}
