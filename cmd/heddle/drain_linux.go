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
	d.notices.post(notice{Time: time.Now(), Kind: noticeStopping, Text: "the daemon drains"})
	d.herald.stops(timeout)
	again := "a second signal"
	if d.term {
		again = "Ctrl-C again"
	}
	d.out.Printf("draining: requests may take %v to finish; %s stops at once", timeout, again)
	ctx, stop := drainTime(sig, timeout)
	var node sync.WaitGroup
	if d.node != nil {
		node.Go(func() { d.node.stop(ctx) }) // ends soon after ctx, at the latest
	}
	apps := d.everyone()
	for _, a := range apps {
		a.life.stop()
	}
	if d.edits != nil { // whom a build has held is answered, not refused
		select {
		case <-d.edits.done:
		case <-sig.hard:
		}
	}
	for _, a := range apps {
		if e := a.supervised(); e != nil {
			e.RefuseHeld()
		}
	}
	lost, ended := lostBy(apps), d.node.unfinished()
	ferr := d.front.Shutdown(ctx)
	cut := 0
	if ferr != nil {
		cut = int(d.front.Active())
		d.front.Close()
	}
	node.Wait()
	if all := d.everyone(); len(all) > len(apps) { // one was being started
		apps = all
	}
	eerr := shutdown(ctx, apps)
	stop()
	died := int(lostBy(apps) - lost)
	if ferr == nil { // calls of the cloud's, which the front knows nothing of
		if cut = d.node.unfinished() - ended; eerr != nil {
			cut, died = cut+died, 0
		}
	}
	were := were(cut, "request")
	if cut == 0 {
		were = "no request was"
	}

	cause := context.Cause(ctx)
	switch {
	case (ferr != nil || cut > 0) && errors.Is(cause, errInterrupted):
		return &failure{code: exitError, err: fmt.Errorf("stopped at once, as asked; %s cut off", were), fine: "nothing is left running."}
	case ferr != nil || cut > 0:
		return &failure{
			code: exitTimeout,
			err:  fmt.Errorf("%s cut off, not having finished within %v", were, timeout),
			fine: "every other request was answered; nothing is left running.",
			try:  "try: heddle run with a longer --drain-timeout",
		}
	case died > 0:
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

// lostBy is how many requests workers died with until now.
func lostBy(apps []*app) (n uint64) {
	for _, a := range apps {
		if e := a.supervised(); e != nil {
			n += e.Stats().Lost
		}
	}
	return n
}

// shutdown ends the apps' workers in order, all at once.
func shutdown(ctx context.Context, apps []*app) error {
	errs := make([]error, len(apps))
	var wg sync.WaitGroup
	for i, a := range apps {
		if e := a.supervised(); e != nil {
			wg.Go(func() { errs[i] = e.Shutdown(ctx) }) // ends with ctx
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// answerStop answers the topic stop: it is a first signal, and says how the
// daemon ended.
func (d *daemon) answerStop(ctx context.Context, a *asker, payload []byte) error {
	began := time.Now()
	if err := a.read(payload); err != nil {
		a.end(&result{Name: d.title(), State: stateRefused}, err)
		return nil
	}
	err := d.stop(ctx, a)
	if ctx.Err() != nil {
		return context.Cause(ctx) // nobody hears it; the daemon stops all the same
	}
	res := &result{Name: d.title(), State: stateStopped, Seconds: time.Since(began).Seconds()}
	if all := d.running(); len(all) == 1 {
		res.Release = all[0].life.releases.serving().Name
	}
	a.end(res, err)
	return nil
}

func (d *daemon) stop(ctx context.Context, a *asker) error {
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
			return err
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
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
	for _, a := range d.running() {
		e := a.supervised()
		if e == nil {
			fmt.Fprintf(w, "%s: the workers have not been started\n", a.name)
			continue
		}
		if len(d.o.apps) > 0 {
			fmt.Fprintf(w, "app %s\n", a.name)
		}
		e.DumpRequests(w)
	}
}

// drainTime is the time that a drain may take: it ends after timeout with
// context.DeadlineExceeded for its cause, at a second signal with errInterrupted, and
// by stop, which has to be called.
func drainTime(sig signals, timeout time.Duration) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	late := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	var wg sync.WaitGroup
	wg.Go(func() { // ends with ctx, at the latest
		select {
		case <-sig.hard:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		late.Stop()
		cancel(nil)
		wg.Wait()
	}
}
