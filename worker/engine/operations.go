package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// This file is what changes a running engine's workers: one operation at a time.

// Limits of Scale.
const (
	MaxWorkers  = 10_000
	MaxStandbys = 1_000
)

// maxGenerations is how many may have workers at once: the serving one, and
// those whose long sessions still go on.
const maxGenerations = 8

// A ConflictError refuses an operation because another one is under way.
type ConflictError struct {
	Doing string // "a deploy of r3"
}

func (e *ConflictError) Error() string {
	return "engine: " + e.Doing + " is under way"
}

// A WithdrawnError says that a deploy's context has ended before its workers were
// ready, and what the first of them that was not was waited for.
type WithdrawnError struct {
	Cause error       // the context's
	Slow  *StartError // of a worker that lived; nil: all were ready
}

func (e *WithdrawnError) Error() string {
	if e.Slow == nil {
		return e.Cause.Error()
	}
	return fmt.Sprintf("%v; %s: %s", e.Cause, e.Slow.Worker(), e.Slow.Death.Reason)
}

func (e *WithdrawnError) Unwrap() error { return e.Cause }

// slow is the first worker that is not ready yet, as if it had died of it.
func (g *generation) slow() *StartError {
	for _, s := range g.all() {
		c := s.current()
		if c == nil || isClosed(c.ready) || c.isOut() {
			continue
		}
		d := Death{Index: s.index, ID: c.id, Pid: c.pid(), Release: c.release(), Reason: "not online yet: " + c.awaited(), Stderr: c.tail.all(), Greeted: len(c.all()) > 0}
		return g.startError(s.index, d)
	}
	return nil
}

// DeployOptions say how a release begins.
type DeployOptions struct {
	Suspended bool // its workers hold back until Resume; requests wait in the queue
}

// operate books the one operation that may be under way; Start is one.
func (e *Engine) operate(format string, args ...any) (end func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped || e.current == nil:
		return nil, ErrClosed
	case e.doing != "":
		return nil, &ConflictError{Doing: e.doing}
	}
	e.doing = fmt.Sprintf(format, args...)
	return func() {
		e.mu.Lock()
		e.doing = ""
		e.mu.Unlock()
	}, nil
}

// serving is the generation that has the work; nil before Start has made one.
func (e *Engine) serving() *generation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

// Operation names what is under way, as a ConflictError does; "" for nothing.
func (e *Engine) Operation() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.doing
}

// Deploy starts p's workers beside the present ones. When all of them are ready
// they get the work, or stand suspended, and the others finish what they have;
// drained is closed once the last of those has left.
//
// If Deploy fails the present workers serve on, undisturbed, and p's are gone:
// with a *StartError for the first of p's that ended before it was ready, a
// *ConflictError, ErrClosed, a *WithdrawnError with ctx's cause, or what is wrong
// with the program's file.
func (e *Engine) Deploy(ctx context.Context, p Program, o DeployOptions) (drained <-chan struct{}, err error) {
	if p.Path, err = filepath.Abs(p.Path); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if e.opt.world == nil {
		if err := checkExecutable(p.Path); err != nil {
			return nil, err
		}
	}
	if (p.HTTP == nil) != (e.opt.HTTP == nil) {
		return nil, ErrPlain
	}
	if p.HTTP, err = p.HTTP.withDefaults(); err != nil {
		return nil, err
	}
	if err := p.User.Check(); err != nil {
		return nil, err
	}
	end, err := e.operate("a deploy of %s", p.Release)
	if err != nil {
		return nil, err
	}
	defer end()
	at, err := e.gateOf(p.User)
	if err != nil {
		return nil, err
	}
	g := e.newGeneration(p, at, o.Suspended)
	workers, standbys, err := e.keep(g)
	if err != nil {
		return nil, err
	}
	if err = g.start(ctx, workers, standbys); err == nil {
		err = g.activate()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = &WithdrawnError{Cause: context.Cause(ctx), Slow: g.slow()}
		}
		<-g.retire()
		return nil, err
	}
	e.mu.Lock()
	old := e.current
	e.current = g
	e.mu.Unlock()
	return old.retire(), nil
}

// keep makes g one of those that Status shows and the engine's end ends.
func (e *Engine) keep(g *generation) (workers, standbys int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return 0, 0, ErrClosed
	case len(e.generations) >= maxGenerations:
		return 0, 0, fmt.Errorf("engine: %d releases have workers at once, which is the most: wait until an old one has drained", len(e.generations))
	}
	e.generations = append(e.generations, g)
	return e.workers, e.standbys, nil
}

// drop forgets a generation without workers.
func (e *Engine) drop(g *generation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generations = slices.DeleteFunc(e.generations, func(x *generation) bool { return x == g })
}

// Scale changes the number of workers and standbys; -1 leaves one as it is. More
// workers serve as soon as each is ready, and Scale returns when all do; fewer
// finish what they have, those of the highest index, and Scale returns when they
// have left.
//
// If it fails with a *StartError, the ones that were added are gone. When ctx
// ends it is the same, but workers that leave go on doing so.
func (e *Engine) Scale(ctx context.Context, workers, standbys int) error {
	if workers == 0 || workers > MaxWorkers || standbys > MaxStandbys {
		return fmt.Errorf("engine: scale to %d workers and %d standbys: want 1 to %d, and at most %d", workers, standbys, MaxWorkers, MaxStandbys)
	}
	end, err := e.operate("a scale")
	if err != nil {
		return err
	}
	defer end()
	e.mu.Lock()
	g := e.current
	if workers > 0 {
		e.workers = workers
	}
	if standbys >= 0 {
		e.standbys = standbys
	}
	workers, standbys = e.workers, e.standbys
	e.mu.Unlock()
	added, removed := g.resize(workers, standbys)
	if e.run(added) {
		err = g.await(ctx, added)
	} else {
		err = ErrClosed
	}
	if err == nil {
		for _, s := range added {
			if c := s.current(); c != nil && s.index != standbyIndex {
				g.install(s, c) // the slot is about to
				c.settle(s.quit)
			}
		}
	} else {
		left := g.remove(added)
		e.mu.Lock()
		e.workers, e.standbys = left[0], left[1]
		e.mu.Unlock()
		removed = append(removed, added...)
	}
	gone := g.end(removed)
	select {
	case <-gone:
		return err
	case <-ctx.Done():
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	}
}

// resize adds and takes out slots; those are not run, or ended, yet.
func (g *generation) resize(workers, standbys int) (added, removed []*slot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fit := func(list []*slot, n int, index func(i int) int) []*slot {
		if n < len(list) {
			removed = append(removed, list[n:]...)
			return slices.Clone(list[:n])
		}
		for i := len(list); i < n; i++ {
			s := newSlot(g, index(i))
			added = append(added, s)
			list = append(list, s)
		}
		return list
	}
	g.slots = fit(g.slots, workers, func(i int) int { return i })
	g.standbys = fit(g.standbys, standbys, func(int) int { return standbyIndex })
	return added, removed
}

// remove takes slots out, and returns how many workers and standbys are left.
func (g *generation) remove(list []*slot) (left [2]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := func(s *slot) bool { return slices.Contains(list, s) }
	g.slots = slices.DeleteFunc(g.slots, out)
	g.standbys = slices.DeleteFunc(g.standbys, out)
	return [2]int{len(g.slots), len(g.standbys)}
}

// end has the workers of these slots leave. Gone is closed when they have.
func (g *generation) end(list []*slot) (gone <-chan struct{}) {
	g.mu.Lock()
	children := g.e.end(list)
	for _, c := range children {
		g.warm = slices.DeleteFunc(g.warm, func(x *child) bool { return x == c })
	}
	g.mu.Unlock()
	for _, c := range children {
		c.tell(func(f *facts) { f.drain = true })
	}
	done := make(chan struct{})
	go func() { // ends with these workers, which escalation ends
		for _, s := range list {
			<-s.over
		}
		for _, c := range children {
			<-c.dead
		}
		close(done)
	}()
	return done
}

// Restart replaces the workers that sel names, all for its zero value: each gets
// a successor first, one after the other, and then finishes what it has. Progress,
// which may be nil, is told how many have theirs. Restart returns when those that
// were replaced have left.
//
// It stops at the first successor that does not get ready, with a *StartError:
// the worker in question and those after it are as they were.
func (e *Engine) Restart(ctx context.Context, sel Selector, progress func(done, of int)) error {
	end, err := e.operate("a restart")
	if err != nil {
		return err
	}
	defer end()
	g := e.serving()
	var list []*child
	for _, s := range g.all() {
		if c := s.current(); c != nil && sel.Match(c.status()) && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return &NoMatchError{Selector: sel.String()}
	}
	for i, c := range list {
		if progress != nil {
			progress(i, len(list))
		}
		// A standby may be promoted meanwhile: then it is to be replaced there.
		for !c.leaves() {
			if err := c.home().replace(ctx, c); err != nil {
				return err
			}
		}
	}
	if progress != nil {
		progress(len(list), len(list))
	}
	for _, c := range list {
		select {
		case <-c.dead:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// leaves says whether the child has been told to leave, or does.
func (c *child) leaves() bool {
	f := c.told()
	return f.drain || f.kill || c.isOut()
}

// A NoMatchError says that a selector names no worker.
type NoMatchError struct{ Selector string }

func (e *NoMatchError) Error() string {
	return fmt.Sprintf("engine: no worker matches %q", e.Selector)
}

// replace has c replaced in its slot.
func (s *slot) replace(ctx context.Context, c *child) error {
	wish := &successor{old: c, done: make(chan error, 1)}
	select {
	case s.swap <- wish:
	case <-s.over:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-wish.done:
		return err
	case <-ctx.Done(): // the successor comes all the same, or not
		return context.Cause(ctx)
	}
}

// Suspend has every worker hold: it is given no session from when Suspend
// returns, those that it has go on, and requests wait in the queue. ctx bounds
// the wait.
func (e *Engine) Suspend(ctx context.Context) error { return e.hold(ctx, "a suspend", true) }

// Resume gives suspended workers the work again.
func (e *Engine) Resume(ctx context.Context) error { return e.hold(ctx, "a resume", false) }

func (e *Engine) hold(ctx context.Context, doing string, suspended bool) error {
	end, err := e.operate("%s", doing)
	if err != nil {
		return err
	}
	defer end()
	g := e.serving()
	for _, c := range g.hold(suspended) {
		if !c.isReady() {
			continue // it will be told again
		}
		c.settle(ctx.Done())
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// RefuseHeld fails the requests that wait while the workers are suspended, now and
// from now on, with a *BusyError: the engine is about to end, and nobody will
// resume them.
func (e *Engine) RefuseHeld() {
	g := e.serving()
	if g != nil && g.isSuspended() {
		e.queue.fail(&BusyError{Suspended: true, retry: time.Second})
	}
}
