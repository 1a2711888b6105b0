package engine

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A queue holds the requests that wait for a worker, first come first served,
// no more than limit of them and none longer than age.
type queue struct {
	// Immutable.
	limit int
	age   time.Duration
	try   func(session.OpenOptions) (*session.Session, error) // nil, nil: nobody is free

	waiting atomic.Int64 // length of line, for those who need no more

	mu    sync.Mutex
	line  list.List // of *waiter
	shut  error     // why nobody may wait any more; nil while they may
	empty chan struct{}
}

// A waiter is one request in the queue.
type waiter struct {
	open session.OpenOptions
	done chan opened // one message: what came of it
}

type opened struct {
	s   *session.Session
	err error
}

// wait has the request wait for its turn. It fails with errFull or errAged,
// which the engine turns into a BusyError, ctx's error, or what shut said.
func (q *queue) wait(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
	q.mu.Lock()
	switch {
	case q.shut != nil:
		q.mu.Unlock()
		return nil, q.shut
	case q.line.Len() >= q.limit:
		q.mu.Unlock()
		return nil, errFull
	}
	w := &waiter{open: o, done: make(chan opened, 1)}
	at := q.line.PushBack(w)
	q.waiting.Add(1)
	q.releaseLocked() // who was busy a moment ago may not be any more
	q.mu.Unlock()

	timer := time.NewTimer(q.age)
	defer timer.Stop()
	var err error
	select {
	case r := <-w.done:
		return r.s, r.err
	case <-timer.C:
		err = errAged
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case r := <-w.done: // its turn came meanwhile
		return r.s, r.err
	default:
	}
	q.removeLocked(at)
	return nil, err
}

// release lets the requests go that somebody is free for. Any goroutine; cheap
// while nobody waits.
func (q *queue) release() {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	q.releaseLocked()
	q.mu.Unlock()
}

func (q *queue) releaseLocked() {
	for {
		at := q.line.Front()
		if at == nil {
			return
		}
		w := at.Value.(*waiter)
		s, err := q.try(w.open)
		if s == nil && err == nil {
			return
		}
		q.removeLocked(at)
		w.done <- opened{s, err}
	}
}

func (q *queue) removeLocked(at *list.Element) {
	q.line.Remove(at)
	q.waiting.Add(-1)
	if q.empty != nil && q.line.Len() == 0 {
		close(q.empty)
		q.empty = nil
	}
}

// close lets nobody wait any more; who waits already may go on. The channel is
// closed once nobody does.
func (q *queue) close(err error) (empty <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shut == nil {
		q.shut = err
	}
	if q.line.Len() == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	return q.empty
}

// fail ends everybody's waiting with err, and lets nobody wait any more.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shut = err
	for at := q.line.Front(); at != nil; at = q.line.Front() {
		w := at.Value.(*waiter)
		q.removeLocked(at)
		w.done <- opened{nil, err}
	}
}
