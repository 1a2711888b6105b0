package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An operation is what changes releases or workers; one is under way at a time.
type operation struct {
	verb    string
	doing   string // "a deploy of r3"; set by begin for what makes a release
	pid     int    // of the command that asked
	release string // that it makes; set by begin
	since   time.Time

	// For what makes a release, else nil: names it, and what it does.
	reserve func() (release, doing string)
	// Ends it, before it has switched; nil: it cannot be superseded.
	cancel context.CancelCauseFunc

	done chan struct{} // closed by turns.end

	progress string // guarded by turns.mu
}

// Turns let one operation at a time have its way.
type turns struct {
	mu    sync.Mutex
	now   *operation // nil: none
	next  *operation // waits for now's end, having superseded it
	ended error      // why there are no more; nil while there are
}

// A busyError refuses an operation because of another one.
type busyError struct {
	verb, doing string
	pid         int
	since       time.Time
	supersede   bool // could be superseded
}

func (e *busyError) Error() string { return e.doing + " is under way" }

// A supersededError is why a deploy ended for another one.
type supersededError struct{ by string }

func (e *supersededError) Error() string { return "superseded by " + e.by }

// errStopping refuses operations of a daemon that stops.
var errStopping = errors.New("the daemon is stopping")

// begin makes op the one under way, or says why it may not be: *busyError,
// errStopping or ctx's cause. With supersede it ends the deploy that is under
// way, and waits for whatever else is.
func (t *turns) begin(ctx context.Context, op *operation, supersede bool, waiting func(doing string)) error {
	op.since, op.done = time.Now(), make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		switch {
		case t.ended != nil:
			return t.ended
		case ctx.Err() != nil:
			if t.next == op {
				t.next = nil
			}
			return context.Cause(ctx)
		case t.now == nil && (t.next == nil || t.next == op):
			t.admitLocked(op)
			t.now, t.next = op, nil
			return nil
		case !supersede:
			other := t.now
			if other == nil {
				other = t.next
			}
			return &busyError{op.verb, other.doing, other.pid, other.since, other.cancel != nil}
		}
		if t.next != op {
			t.admitLocked(op)
			if t.next != nil {
				t.next.cancel(&supersededError{op.release})
			}
			t.next = op
			continue
		}
		now := t.now
		if now.cancel != nil {
			now.cancel(&supersededError{op.release})
		}
		doing := now.doing
		t.mu.Unlock()
		if waiting != nil {
			waiting(doing)
			waiting = nil
		}
		select {
		case <-now.done:
		case <-ctx.Done():
		}
		t.mu.Lock()
	}
}

// admitLocked gives op its release's name, once.
func (t *turns) admitLocked(op *operation) {
	if op.reserve != nil && op.release == "" {
		op.release, op.doing = op.reserve()
	}
}

// end lets the next operation begin.
func (t *turns) end(op *operation) {
	t.mu.Lock()
	t.now = nil
	t.mu.Unlock()
	close(op.done)
}

// withdraw ends the deploy of release, if it has not switched.
func (t *turns) withdraw(release string, why error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range []*operation{t.now, t.next} {
		if op != nil && op.cancel != nil && op.release == release {
			op.cancel(why)
			return true
		}
	}
	return false
}

// close refuses further operations and ends a deploy that is under way.
func (t *turns) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = errStopping
	for _, op := range []*operation{t.now, t.next} {
		if op != nil && op.cancel != nil {
			op.cancel(errStopping)
		}
	}
}

// report says how far op is.
func (t *turns) report(op *operation, format string, args ...any) {
	t.mu.Lock()
	op.progress = fmt.Sprintf(format, args...)
	t.mu.Unlock()
}

// status is what is under way, nil for nothing.
func (t *turns) status() *operationStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		return nil
	}
	return &operationStatus{Doing: t.now.doing, Since: t.now.since, Pid: t.now.pid, Progress: t.now.progress}
}
