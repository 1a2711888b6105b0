package session

import (
	"context"
	"sync"
	"time"
)

// A sessionContext is a session's context. It is a type of its own because a
// request's context is made for every request: this one is part of the
// Session and allocates a channel only when somebody asks for Done.
type sessionContext struct {
	base context.Context // values only; may be nil
	of   *Session        // whose it is, for ever; its headers are values, too

	mu    sync.Mutex
	done  chan struct{}
	err   error // context.Canceled once cancelled
	cause error
	after map[*afterFunc]struct{}
}

type afterFunc struct{ f func() }

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Deadline reports none: a session has no end of its own.
func (c *sessionContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c *sessionContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			c.done = closedChan
		} else {
			c.done = make(chan struct{})
		}
	}
	return c.done
}

func (c *sessionContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value knows the session's headers and its trace, and leaves other keys to the
// channel's context.
func (c *sessionContext) Value(key any) any {
	switch key.(type) {
	case traceKey:
		if t := traceOf(c.of.headers); t != (Trace{}) {
			return t
		}
	case headersKey:
		if hs := c.of.headers; len(hs) > 0 {
			return hs
		}
	}
	if c.base == nil {
		return nil
	}
	return c.base.Value(key)
}

// AfterFunc lets package context derive contexts from this one without a
// goroutine for each.
func (c *sessionContext) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // ends when f does, as context.AfterFunc has it
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{})
	}
	c.after[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[a]
		delete(c.after, a)
		return waiting
	}
}

// cancel ends the context; the first cause stays.
func (c *sessionContext) cancel(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.cause = context.Canceled, cause
	if c.done != nil {
		close(c.done)
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for a := range after {
		go a.f() // ends when f does, as context.AfterFunc has it
	}
}
