package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// An attachment is the Worker of a process that serves HTTP by itself.
type attachment struct {
	first sync.Once // of the functions that attach when they are used
	err   error     // what came of that

	mu     sync.Mutex // held while connecting
	worker *Worker    // nil: not attached
}

// Attach connects a program that runs under heddle run --http to its engine: not
// for requests, which go on coming in plain HTTP, but for all else that the two
// have to say. From then on the engine has the process replaced if it says that it
// is broken or sends no heartbeats, and has it know of suspension and drain; the
// process is ready when it answers in HTTP and has said online, which happens here
// unless ManualOnline was called before. Signals stay the program's.
//
// The Worker is the same for every call. Its handlers get sessions that are no
// requests. When the engine has drained it its life has ended, though the process
// has requests to finish: the engine sends SIGTERM when it has none.
//
// Who uses ManualOnline, ReportOnline, ReportBroken, Suspended, Resumed,
// AwaitResume, Draining or Index has attached. Nobody else need.
//
// ErrNotLaunched: the program was started by hand. ErrSessions: it answers
// sessions. Otherwise the errors of Connect; then Attach may be called again.
func Attach(ctx context.Context) (*Worker, error) {
	switch {
	case launched.err != nil:
		return nil, launched.err
	case launched.launch == nil:
		return nil, ErrNotLaunched
	case !launched.launch.HTTP:
		return nil, ErrSessions
	}
	return launched.attached.attach(ctx, Options{})
}

func (a *attachment) attach(ctx context.Context, o Options) (*Worker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.worker != nil {
		return a.worker, nil
	}
	over := func(err error) {
		slog.Default().Warn("worker: not attached any more; this process serves on", "err", err)
	}
	o.OnDisown = func() { over(ErrDisowned) }
	o.OnError = func(err error) {
		if errors.Is(err, ErrLost) { // else it is returned
			over(err)
		}
	}
	w, err := newWorker(o)
	if err != nil {
		return nil, err
	}
	if err := w.Connect(ctx); err != nil {
		return nil, err
	}
	a.worker = w
	return w, nil
}

// use attaches a process that is to, the first time.
func use() error {
	if launched.launch == nil || !launched.launch.HTTP {
		return nil
	}
	a := launched.attached
	a.first.Do(func() {
		began := time.Now()
		if _, a.err = Attach(context.Background()); a.err != nil {
			slog.Default().Error("worker: cannot attach", "after", time.Since(began), "err", a.err)
		}
	})
	return a.err
}
