package engine

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/session"
)

// anyLane is a request's that may be given to a worker on any loop.
const anyLane = -1

// A queue holds the requests that wait for a worker, first come first served, no
// more of them and none longer than the options say. Those that are bound to a
// lane wait in a line of their own, which is served on that lane's loop.
type queue struct {
	// Immutable once the engine has started.
	options func() QueueOptions                                             // as they are now
	try     func(o session.OpenOptions, lane int) (*session.Session, error) // nil, nil: nobody is free
	lanes   []*lane

	waiting atomic.Int64 // requests in all lines, for those who need no more

	mu    sync.Mutex
	line  list.List   // of *waiter, for any lane
	bound []boundLine // by lane; made once, since a list that was copied is none
	shut  error       // why nobody may wait any more; nil while they may
	empty chan struct{}
}

// A boundLine is the line of one lane.
type boundLine struct {
	list.List
	called bool // its loop will look at it
}

// A waiter is one request in the queue.
type waiter struct {
	open session.OpenOptions
	take func() bool                         // instead of a session: takes what the request needs, if it is free; nil otherwise
	done func(s *session.Session, err error) // once, with what came of it; for a lane's on its loop, without mu
	stop func()
}

type opened struct {
	s   *session.Session
	err error
}

// bind makes a line for each lane.
func (q *queue) bind(lanes []*lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lanes, q.bound = lanes, make([]boundLine, len(lanes))
}

// wait has the request wait for its turn. It fails with errFull or errAged,
// which the engine turns into a BusyError, ctx's error, or what shut said.
func (q *queue) wait(ctx context.Context, w *waiter) (*session.Session, error) {
	done := make(chan opened, 1)
	w.done = func(s *session.Session, err error) { done <- opened{s, err} }
	remove, err := q.enter(anyLane, w)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(q.options().Age)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.s, r.err
	case <-timer.C:
		err = errAged
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if !remove() { // its turn came meanwhile
		r := <-done
		return r.s, r.err
	}
	return nil, err
}

// enter puts w at the end of its line. Remove takes it out again, unless its
// turn has come.
func (q *queue) enter(lane int, w *waiter) (remove func() bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.shut != nil:
		return nil, q.shut
	case q.waiting.Load() >= int64(q.options().Len):
		return nil, errFull
	}
	at := q.lineOf(lane).PushBack(w)
	q.waiting.Add(1)
	q.releaseLocked() // who was busy a moment ago may not be any more
	return func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		if at.Value == nil {
			return false
		}
		q.removeLocked(q.lineOf(lane), at)
		return true
	}, nil
}

func (q *queue) lineOf(lane int) *list.List {
	if lane == anyLane {
		return &q.line
	}
	return &q.bound[lane].List
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
			break
		}
		w := at.Value.(*waiter)
		var s *session.Session
		var err error
		if w.take != nil {
			if !w.take() {
				break
			}
		} else if s, err = q.try(w.open, anyLane); s == nil && err == nil {
			break
		}
		q.removeLocked(&q.line, at)
		w.done(s, err)
	}
	for i := range q.bound {
		q.callLocked(i)
	}
}

// callLocked has a lane's loop look at the lane's line.
func (q *queue) callLocked(i int) {
	if b := &q.bound[i]; b.Len() > 0 && !b.called {
		b.called = q.lanes[i].loop.Do(func() { q.releaseOn(i) }) == nil // else the loop has ended, and who waits there too
	}
}

// releaseOn is release for those that are bound to lane i. On its loop.
func (q *queue) releaseOn(i int) {
	q.mu.Lock()
	q.bound[i].called = false
	for {
		at := q.bound[i].Front()
		if at == nil {
			break
		}
		w := at.Value.(*waiter)
		s, err := q.try(w.open, i)
		if s == nil && err == nil {
			break
		}
		q.removeLocked(&q.bound[i].List, at)
		q.mu.Unlock()
		w.done(s, err)
		q.mu.Lock()
	}
	q.mu.Unlock()
}

func (q *queue) removeLocked(line *list.List, at *list.Element) {
	line.Remove(at)
	at.Value = nil
	if q.waiting.Add(-1) == 0 && q.empty != nil {
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
	if q.waiting.Load() == 0 {
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
		q.removeLocked(&q.line, at)
		w.done(nil, err)
	}
	for i := range q.bound {
		for at := q.bound[i].Front(); at != nil; at = q.bound[i].Front() {
			w := at.Value.(*waiter)
			q.removeLocked(&q.bound[i].List, at)
			_ = q.lanes[i].loop.Do(func() { w.done(nil, err) }) // an error: the loop has ended, and whoever waited there
		}
	}
}
