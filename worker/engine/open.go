package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// What the queue says; Open makes a BusyError of both.
var (
	errFull = errors.New("engine: queue is full")
	errAged = errors.New("engine: waited too long")
)

// Open opens a session on the least loaded worker of the next loop in turn, or
// of another loop if there nobody is free. While nobody is, it waits its turn.
// A worker that refuses before anything was sent to it is passed over for the
// next one; afterwards nothing is ever sent twice.
//
// It fails with a *BusyError when the queue is full or the request has waited
// too long, ErrClosed, ctx's cause, or session.ErrTooLarge.
func (e *Engine) Open(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
	if o.Handler != nil {
		return nil, ErrHandler
	}
	if e.opt.HTTP != nil {
		return nil, ErrPlain
	}
	if e.refusing.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if e.queue.waiting.Load() == 0 { // nobody is overtaken
		if s, err := e.try(o, anyLane); s != nil || err != nil {
			return s, err
		}
	}
	begun := time.Now()
	e.stats.queued.Add(1)
	s, err := e.queue.wait(ctx, &waiter{open: o})
	if err != errFull {
		e.waits.Observe(time.Since(begun))
	}
	switch err {
	case errFull:
		e.stats.full.Add(1)
		return nil, e.busy(o.Label, 0)
	case errAged:
		e.stats.aged.Add(1)
		return nil, e.busy(o.Label, max(time.Since(begun), 1))
	}
	return s, err
}

// Loops are those that the engine's channels live on, in order; OpenOn names
// one by its index. Nil before Start and on systems without loops.
func (e *Engine) Loops() (loops []*loop.Loop) {
	e.setup.Lock()
	defer e.setup.Unlock()
	for _, l := range e.lanes {
		if l.loop != nil {
			loops = append(loops, l.loop)
		}
	}
	return loops
}

// OpenOn is Open for a handler on loop i: there it is called, and the session's
// channel lives. It never waits. If nobody is free it returns neither session
// nor error, and later is called on the loop, once, with what came of the wait;
// unless cancel is called before, on the loop too, which takes the request out of
// the queue and reports whether it was in there.
func (e *Engine) OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (s *session.Session, cancel func() bool, err error) {
	if e.opt.HTTP != nil {
		return nil, nil, ErrPlain
	}
	if e.refusing.Load() {
		return nil, nil, ErrClosed
	}
	l := e.lanes[i]
	if e.queue.waiting.Load() == 0 { // nobody is overtaken
		if s, err := e.try(o, i); s != nil || err != nil {
			return s, nil, err
		}
	}
	e.stats.queued.Add(1)
	begun := time.Now()
	w := &waiter{open: o}
	w.done = func(s *session.Session, err error) {
		w.stop()
		e.waits.Observe(time.Since(begun))
		later(s, err)
	}
	remove, err := e.queue.enter(i, w)
	if err == errFull {
		e.stats.full.Add(1)
		err = e.busy(o.Label, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	t := l.loop.After(e.tuning().Queue.Age, func() {
		if remove() {
			e.stats.aged.Add(1)
			e.waits.Observe(time.Since(begun))
			later(nil, e.busy(o.Label, max(time.Since(begun), 1)))
		}
	})
	w.stop = func() { t.Stop() }
	return nil, func() bool {
		t.Stop()
		removed := remove()
		if removed {
			e.waits.Observe(time.Since(begun))
		}
		return removed
	}, nil
}

// try opens a session if somebody is free, on a lane or on any; nil and nil if
// nobody is.
func (e *Engine) try(o session.OpenOptions, lane int) (*session.Session, error) {
	var tried []*channel
	var turn uint64
	if lane == anyLane {
		turn = e.turn.Add(1)
	} else {
		turn = e.lanes[lane].turn.Add(1)
	}
	for {
		var ch *channel
		if lane == anyLane {
			ch = e.pick(tried, uint(turn))
		} else {
			ch = e.lanes[lane].least(tried, uint(turn))
		}
		if ch == nil {
			return nil, nil
		}
		s, err := ch.mux.Open(o)
		switch {
		case err == nil:
			e.stats.opened.Add(1)
			if len(tried) > 0 {
				e.stats.retried.Add(1)
			}
			return s, nil
		case errors.Is(err, session.ErrTooLarge):
			return nil, err
		}
		// Draining, full, or lost: nothing of this request was sent.
		tried = append(tried, ch)
	}
}

// pick returns the channel to try next: the least loaded one of the lane whose
// turn it is, else of the following ones.
func (e *Engine) pick(tried []*channel, turn uint) *channel {
	n := uint(len(e.lanes))
	for i := range n {
		if ch := e.lanes[(turn+i)%n].least(tried, turn/n); ch != nil {
			return ch
		}
	}
	return nil
}

// busy is the error of a request that nobody could take. One a second is logged.
func (e *Engine) busy(label string, waited time.Duration) *BusyError {
	b := &BusyError{Waited: waited, retry: time.Second, origin: e.origin}
	next := time.Duration(1<<63 - 1)
	g := e.serving()
	b.Suspended = g.isSuspended()
	for _, s := range g.workers() {
		if c := s.current(); c != nil && c.serves() {
			b.Online++
		}
		if d, ok := s.resting(); ok {
			next = min(next, d)
		}
	}
	if b.Online == 0 && next != 1<<63-1 {
		// Nothing will change before the next start.
		b.retry = max(b.retry, (next+time.Second-1)/time.Second*time.Second)
	}
	e.oftenBusy.Do(func() {
		e.log.Warn("engine: a request was refused: no worker was free", "suspended", b.Suspended, "request", strings.Clone(label), "waited", waited, "online", b.Online,
			"full", e.stats.full.Load(), "aged", e.stats.aged.Load())
	})
	return b
}
