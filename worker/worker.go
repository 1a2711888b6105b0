package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// A Worker serves the sessions that one engine gives it.
type Worker struct {
	// Immutable after New.
	options Options
	launch  Launch
	log     *slog.Logger

	handlers  atomic.Pointer[map[string]Handler] // copied by Handle; never changed in place
	fallback  atomic.Pointer[Handler]
	lifecycle *lifecycle // fired under mu, read anywhere
	events    events
	counters  counters
	standing  *standing // shared by the Workers of the process's own launch

	mu   sync.Mutex
	life *life // the present one, or the last; its fields are guarded by mu
}

// New returns a Worker that is not connected yet. ErrNotLaunched: Options name
// no Launch, and no engine started this process. ErrHTTP: one did, under --http.
func New(o Options) (*Worker, error) {
	if o.Launch == nil && launched.launch != nil && launched.launch.HTTP {
		return nil, ErrHTTP
	}
	return newWorker(o)
}

func newWorker(o Options) (*Worker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var s *standing
	if o.Launch == nil {
		if launched.err != nil {
			return nil, launched.err
		}
		if launched.launch == nil {
			return nil, ErrNotLaunched
		}
		o.Launch, s = launched.launch, launched.standing
	} else {
		s = newStanding(o.Launch)
	}
	if o.ManualOnline {
		s.setManual()
	}
	w := &Worker{options: o, launch: *o.Launch, log: o.Logger, lifecycle: newLifecycle(), standing: s}
	if err := w.launch.check(); err != nil && o.Dial == nil {
		return nil, err
	}
	w.log = w.log.With("worker", w.launch.Index)
	w.handlers.Store(&map[string]Handler{})
	w.life = newEnded(w)
	return w, nil
}

// Handle has h answer the sessions of event from now on, in place of whoever
// did before; nil is nobody.
func (w *Worker) Handle(event string, h Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := maps.Clone(*w.handlers.Load())
	if h == nil {
		delete(m, event)
	} else {
		m[event] = h
	}
	w.handlers.Store(&m)
}

// HandleFallback has h answer the sessions of every event that has no handler
// of its own; nil is nobody.
func (w *Worker) HandleFallback(h Handler) {
	if h == nil {
		w.fallback.Store(nil)
		return
	}
	w.fallback.Store(&h)
}

// Launch is who this worker is, as it was started; Index follows what the
// engine has said since.
func (w *Worker) Launch() Launch { return w.launch }

// State is where the worker is in its Lifecycle: one of the State constants.
func (w *Worker) State() string { return w.lifecycle.current() }

// Listen connects, as Connect does, if the worker is closed; otherwise it does
// nothing.
func (w *Worker) Listen(ctx context.Context) error {
	if err := w.Connect(ctx); err != nil && err != ErrConnected {
		return err
	}
	return nil
}

// Connect dials the engine and returns once it has welcomed the worker on every
// channel: the worker serves from then on. It is online too, unless the program
// wants to say that itself (ReportOnline) or has said that it is broken.
// ErrConnected: the worker is not closed. After a failure it is closed again.
func (w *Worker) Connect(ctx context.Context) error {
	w.mu.Lock()
	if !w.lifecycle.fireLocked(eventConnect) {
		w.mu.Unlock()
		return ErrConnected
	}
	l := newLife(w)
	w.life = l
	w.standing.begin(w)
	w.mu.Unlock()

	if err := l.begin(); err != nil {
		l.end(eventFail, err)
		<-l.done
		return l.reason()
	}
	t := time.NewTimer(w.options.ConnectTimeout)
	defer t.Stop()
	var err error
	select {
	case <-l.ready:
		return nil
	case <-l.done:
		return l.reason()
	case <-ctx.Done():
		err = fmt.Errorf("worker: connect: %w", context.Cause(ctx))
	case <-t.C:
		err = fmt.Errorf("worker: connect: no welcome within %v: %w", w.options.ConnectTimeout, context.DeadlineExceeded)
	}
	if !l.end(eventFail, err) {
		select {
		case <-l.ready: // at the last moment
			return nil
		default:
		}
	}
	<-l.done
	return l.reason()
}

// Run connects if the worker is closed and serves until its life has ended. It
// returns nil after an ordered end (drained or terminated), the error of
// Connect, ErrDisowned, ErrDeadline, or an error that wraps ErrLost. When ctx
// ends, and on SIGTERM, it asks the engine to drain the worker and goes on
// serving until that is done, at most Options.ShutdownTimeout; before it is
// online the worker leaves by itself. It ignores SIGINT: a terminal's Ctrl-C is
// for the engine.
//
// Before it returns it waits, at most Options.TerminateTimeout, for handlers
// whose sessions were lost; their contexts have ended.
func (w *Worker) Run(ctx context.Context) error {
	signals := w.watchSignals()
	defer signals.stop()
	if err := w.Listen(ctx); err != nil {
		return err
	}
	l := w.current()
	if signals.termed.Load() { // perhaps before there was a life to end
		l.leave("SIGTERM", w.options.ShutdownTimeout)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		l.leave("stopped", w.options.ShutdownTimeout)
		<-l.done
	}
	l.settle(w.options.TerminateTimeout)
	err := l.reason()
	_ = w.Close()
	if w.launch.Heddle && w.options.Launch == launched.launch && (errors.Is(err, ErrLost) || errors.Is(err, ErrDisowned)) {
		endGroup(orphanGrace)
	}
	return err
}

// orphanGrace is how long a program may still live once its engine is gone and
// its sessions have ended.
const orphanGrace = 10 * time.Second

// Shutdown asks the engine to send no new sessions, serves those that it has
// and still gets, and returns when the worker has left: nil, or why its life
// ended otherwise. When ctx ends first the worker leaves anyway, its sessions
// are lost, and the error wraps ctx's.
//
// A plain Cocaine runtime cannot be asked: the worker leaves as soon as it has
// no session.
func (w *Worker) Shutdown(ctx context.Context) error {
	l := w.current()
	l.leave("shutdown", 0)
	select {
	case <-l.done:
		return l.reason()
	case <-ctx.Done():
		l.abandon(fmt.Errorf("%w: %w", ErrDeadline, context.Cause(ctx)))
		<-l.done
		return l.reason()
	}
}

// Terminate tells the engine that this worker ends, and leaves: what was
// written is still sent, sessions that are open fail. In dialect v0 code 1 is
// a normal end, and 2 keeps the whole app from being used. ErrClosed: the
// worker is not connected.
func (w *Worker) Terminate(code int64, reason string) error {
	return w.current().terminate(code, reason)
}

// ReportOnline is the program's word that it is ready, which a worker with
// ManualOnline waits for. It counts for every life of the worker: given before
// Connect has returned, it is passed on as soon as that may be. Once is enough,
// again is harmless. ErrClosed: the worker's life has ended.
func (w *Worker) ReportOnline() error {
	_, again := w.standing.setOnline()
	return w.reportOnline(again)
}

func (w *Worker) reportOnline(again bool) error {
	if again {
		w.log.Debug("online was reported before", "state", w.State())
	}
	return w.current().reportOnline()
}

// ReportBroken asks a Heddle engine to replace this worker, which serves on
// until it is drained. One that is not online yet will not be. The first reason
// stays; given before Connect has returned, it is passed on as soon as that may
// be. errors.ErrUnsupported is wrapped: a Cocaine runtime cannot be asked.
// ErrClosed: the worker's life has ended.
func (w *Worker) ReportBroken(reason string) error {
	if !w.launch.Heddle {
		return errPlainBroken
	}
	_, again := w.standing.setBroken(reason)
	return w.reportBroken(again)
}

func (w *Worker) reportBroken(again bool) error {
	if again {
		w.log.Debug("broken was reported before", "state", w.State())
	}
	return w.current().reportBroken()
}

// Suspended says whether the engine holds work back: from the start if it was
// launched so, until every channel is resumed.
func (w *Worker) Suspended() bool { return !w.standing.resumed.isOpen() }

// Resumed returns a channel that is closed while the worker is not suspended. A
// later suspension has a new channel.
func (w *Worker) Resumed() <-chan struct{} { return w.standing.resumed.opened() }

// AwaitResume returns once the worker is not suspended, or with an error that
// wraps ctx's cause. The end of the worker's life does not end the wait.
func (w *Worker) AwaitResume(ctx context.Context) error { return w.standing.awaitResume(ctx) }

// Draining returns a channel that is closed once no new work comes: the engine
// drains the worker or ends it, or its life has ended otherwise. A life that
// begins later has a new channel.
func (w *Worker) Draining() <-chan struct{} { return w.standing.ending.opened() }

// Index says which of the app's workers this is, from 0. A standby is -1 until
// the engine resumes it in another's place.
func (w *Worker) Index() int { return int(w.standing.index.Load()) }

// Close ends the worker at once: what is unsent is dropped, contexts of
// sessions end. It waits for the channels to be gone, not for handlers, also when
// another Close has begun that.
func (w *Worker) Close() error {
	l := w.current()
	l.end(eventClose, ErrClosed) // false: it is closed, or being closed
	<-l.done
	return nil
}

// Done is closed when the worker's life has ended: all channels are gone. A
// new life, begun by Connect, has a new one; before the first it is closed.
func (w *Worker) Done() <-chan struct{} { return w.current().done }

// Err is why the worker's life has ended, as Run returns it; nil before that
// and after an ordered end.
func (w *Worker) Err() error { return w.current().reason() }

// Stats returns a snapshot of what the worker has done. Any goroutine.
func (w *Worker) Stats() Stats {
	c := &w.counters
	s := Stats{
		State: w.State(), Served: c.served.Load(), Panics: c.panics.Load(), Unhandled: c.unhandled.Load(), Refused: c.refused.Load(),
		Beats: c.beats.Load(), Answers: c.answers.Load(), Ignored: c.ignored.Load(),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Running, s.Waiting, s.Parked, s.Goroutines = w.life.pool.counts()
	s.Buffered = w.life.budget.Used()
	for _, c := range w.life.channels {
		if c.up && !c.gone {
			s.Channels++
			s.Sessions += c.mux.Sessions()
		}
	}
	return s
}

func (w *Worker) current() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}
