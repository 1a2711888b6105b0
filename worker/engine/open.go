package engine

import (
	"context"
	"errors"
	"time"

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
	if e.refusing.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if e.queue.waiting.Load() == 0 { // nobody is overtaken
		if s, err := e.try(o); s != nil || err != nil {
			return s, err
		}
	}
	begun := time.Now()
	e.stats.queued.Add(1)
	s, err := e.queue.wait(ctx, o)
	switch err {
	case errFull:
		e.stats.full.Add(1)
		return nil, e.busy(0)
	case errAged:
		e.stats.aged.Add(1)
		return nil, e.busy(max(time.Since(begun), 1))
	}
	return s, err
}

// try opens a session if somebody is free; nil and nil if nobody is.
func (e *Engine) try(o session.OpenOptions) (*session.Session, error) {
	var tried []*channel
	turn := e.turn.Add(1)
	for {
		ch := e.pick(tried, uint(turn))
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

// busy is the error of a request that nobody could take.
func (e *Engine) busy(waited time.Duration) *BusyError {
	b := &BusyError{Waited: waited, retry: time.Second}
	next := time.Duration(1<<63 - 1)
	for _, s := range e.slots {
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
	return b
}
