package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// drain finishes the requests that are being answered, for at most the drain
// time-out, then ends the workers. A second signal cuts it short.
func (d *daemon) drain(sig signals) error {
	d.mu.Lock()
	d.state = stateDraining
	timeout := d.drainTimeout
	d.mu.Unlock()
	d.life.stop()
	d.engine.RefuseHeld()
	again := "a second signal"
	if d.term {
		again = "Ctrl-C again"
	}
	d.out.Printf("draining: requests may take %v to finish; %s stops at once", timeout, again)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	late := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	drained := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends when drained is closed, at the latest
		select {
		case <-sig.hard:
			cancel(errInterrupted)
		case <-drained:
		}
	})
	lost := d.engine.Stats().Lost
	ferr := d.front.Shutdown(ctx)
	cut := "no request was"
	if ferr != nil {
		if cut = "1 request was"; d.front.Active() != 1 {
			cut = fmt.Sprintf("%d requests were", d.front.Active())
		}
		d.front.Close()
	}
	eerr := d.engine.Shutdown(ctx)
	close(drained)
	wg.Wait()

	cause := context.Cause(ctx)
	switch {
	case ferr != nil && errors.Is(cause, errInterrupted):
		return &failure{code: exitError, err: fmt.Errorf("stopped at once, as asked; %s cut off", cut), fine: "nothing is left running."}
	case ferr != nil:
		return &failure{
			code: exitTimeout,
			err:  fmt.Errorf("%s cut off, not having finished within %v", cut, timeout),
			fine: "every other request was answered; nothing is left running.",
			try:  "try: heddle run with a longer --drain-timeout",
		}
	case d.engine.Stats().Lost > lost:
		return &failure{
			code: exitError,
			err:  fmt.Errorf("a worker died while draining, and the requests it had were lost; the log names them"),
			fine: "every other request was answered; nothing is left running.",
		}
	case eerr != nil:
		d.log.Warn("workers did not leave in time and were killed; every request had been answered", "err", eerr)
	}
	if lost > 0 {
		d.out.Printf("stopped: every request taken was answered, but for %d that workers died with, as logged", lost)
		return nil
	}
	d.out.Printf("stopped: every request taken was answered")
	return nil
}

// answerStop answers the topic stop: it is a first signal, and says how the
// daemon ended.
func (d *daemon) answerStop(ctx context.Context, a *asker) (*result, error) {
	o := &a.order
	d.mu.Lock()
	if o.Timeout > 0 && d.state != stateDraining {
		d.drainTimeout = o.Timeout
	}
	d.mu.Unlock()
	d.log.Info("stop", "pid", o.Pid)
	d.sig.ask(fmt.Errorf("%w (heddle stop%s)", errInterrupted, by(o.Pid)))
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last := -1
	for {
		if n := d.active(); n != last {
			last = n
			a.say(event{Event: eventDraining, Done: n})
		}
		select {
		case <-d.ended:
			d.mu.Lock()
			err := d.outcome
			d.mu.Unlock()
			return &result{Release: d.life.releases.serving().Name, State: stateStopped}, err
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx) // nobody hears it; the daemon stops all the same
		}
	}
}

// active is how many requests are under way, 0 before the front serves.
func (d *daemon) active() int {
	d.mu.Lock()
	starting := d.state == stateStarting
	d.mu.Unlock()
	if starting {
		return 0
	}
	return int(d.front.Active()) // written before the state was
}

// dumpRequests writes what SIGQUIT asks for.
func (d *daemon) dumpRequests(w io.Writer) {
	d.mu.Lock()
	e := d.engine
	d.mu.Unlock()
	if e == nil {
		fmt.Fprintln(w, "the workers have not been started")
		return
	}
	e.DumpRequests(w)
}
