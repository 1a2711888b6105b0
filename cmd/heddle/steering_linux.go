package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/heddle-go/heddle/worker/engine"
)

// What is here goes on when its command leaves: half a restart is nothing that
// anybody wants.

// steer carries out do as the operation called doing.
func (lc *lifecycle) steer(ctx context.Context, a *asker, verb, doing string, do func(ctx context.Context, op *operation, e supervisor) (*result, error)) (*result, error) {
	e, err := lc.supervisor()
	if err != nil {
		return nil, err
	}
	work, cancel := context.WithCancelCause(lc.base)
	op := &operation{verb: verb, doing: doing, pid: a.order.Pid}
	if verb == topicScale || verb == topicRestart { // which wait for workers
		op.cancel = cancel
	}
	if err := lc.turns.begin(ctx, op, false, nil); err != nil {
		cancel(nil)
		lc.log.Warn(verb+" refused", "pid", op.pid, "err", err)
		return nil, lc.refusal(verb, err)
	}
	lc.log.Info(doing+" begins", "pid", op.pid)
	lc.notify(noticeBegan, "%s", doing)
	type answer struct {
		res *result
		err error
	}
	ended := make(chan answer, 1)
	lc.works.Go(func() { // ends with the operation, which lc.close cancels
		defer cancel(nil)
		res, err := do(work, op, e)
		if err != nil {
			lc.log.Warn(doing+" failed", "err", reasonOf(err))
			lc.notify(noticeFailed, "%s: %s", doing, reasonOf(err))
		} else {
			lc.log.Info(doing + " is done")
			lc.notify(noticeDone, "%s", doing)
		}
		lc.turns.end(op)
		ended <- answer{res, err}
	})
	select {
	case got := <-ended:
		var start *engine.StartError
		if errors.As(got.err, &start) {
			got.res = &result{Release: lc.releases.serving().Name, State: releaseFailed}
		}
		return got.res, lc.steerFailure(verb, got.err)
	case <-ctx.Done():
		return nil, context.Cause(ctx) // nobody hears it
	}
}

// steerFailure is what a person reads of err; nil for nil.
func (lc *lifecycle) steerFailure(verb string, err error) error {
	if err == nil {
		return nil
	}
	var (
		start      *engine.StartError
		none       *engine.NoMatchError
		superseded *supersededError
		f          *failure
	)
	switch {
	case errors.As(err, &superseded):
		return &failure{code: exitRefused, err: fmt.Errorf("the %s was superseded by %s", verb, superseded.by), fine: lc.still(), try: "try: heddle status"}
	case errors.As(err, &f):
		return f
	case errors.As(err, &none):
		return lc.noWorker(none.Selector)
	case errors.As(err, &start):
		r := lc.releases.serving()
		fine := lc.still()
		if verb == topicRestart {
			fine += " The worker in question, and those after it, are as they were."
		} else {
			fine += " The workers that were there serve on."
		}
		return startFailure(start, &r, exitRefused, fine)
	}
	if refused := lc.refusal(verb, err); refused != err {
		return refused
	}
	return &failure{code: exitError, err: fmt.Errorf("%s: %w", verb, err), fine: lc.still(), try: "try: heddle status"}
}

func (lc *lifecycle) noWorker(selector string) error {
	return &failure{code: exitRefused, err: fmt.Errorf("no worker is %s", selector), fine: "nothing was changed.", try: "try: heddle status, which lists them"}
}

// scale answers the topic scale.
func (lc *lifecycle) scale(ctx context.Context, a *asker) (*result, error) {
	o := &a.order
	if o.Workers == 0 || o.Workers < -1 || o.Workers > engine.MaxWorkers || o.Standbys < -1 || o.Standbys > engine.MaxStandbys {
		return nil, &failure{code: exitUsage, err: fmt.Errorf("%s and %s: want from 1 to %d, and at most %d", noun(o.Workers, "worker"), noun(o.Standbys, "standby"), engine.MaxWorkers, engine.MaxStandbys), fine: "nothing was changed."}
	}
	doing := "a scale to " + noun(o.Workers, "worker")
	switch {
	case o.Workers < 0:
		doing = "a scale to " + noun(o.Standbys, "standby")
	case o.Standbys >= 0:
		doing += " and " + noun(o.Standbys, "standby")
	}
	return lc.steer(ctx, a, topicScale, doing, func(ctx context.Context, op *operation, e supervisor) (*result, error) {
		if err := e.Scale(ctx, o.Workers, o.Standbys); err != nil {
			return nil, err
		}
		return &result{Release: lc.releases.serving().Name, State: stateOf(e)}, nil
	})
}

// restart answers the topic restart.
func (lc *lifecycle) restart(ctx context.Context, a *asker) (*result, error) {
	o := &a.order
	sel, err := engine.ParseSelector(o.Selector)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err, fine: "nothing was changed."}
	}
	doing := "a restart"
	if o.Selector != "" {
		doing += " of " + o.Selector
	}
	return lc.steer(ctx, a, topicRestart, doing, func(ctx context.Context, op *operation, e supervisor) (*result, error) {
		if len(sel.Pick(e.Status().Workers)) == 0 {
			return nil, lc.noWorker(o.Selector)
		}
		replaced := 0
		err := e.Restart(ctx, sel, func(done, of int) {
			replaced = of
			lc.turns.report(op, "replacing %d/%d", done, of)
			a.say(event{Event: eventReplacing, Done: done, Of: of})
		})
		if err != nil {
			return nil, err
		}
		return &result{Release: lc.releases.serving().Name, State: stateOf(e), Replaced: replaced}, nil
	})
}

// suspend answers the topic suspend.
func (lc *lifecycle) suspend(ctx context.Context, a *asker) (*result, error) {
	return lc.steer(ctx, a, topicSuspend, "a suspend", func(ctx context.Context, _ *operation, e supervisor) (*result, error) {
		if err := e.Suspend(ctx); err != nil {
			return nil, err
		}
		return &result{Release: lc.releases.serving().Name, State: stateSuspended}, nil
	})
}

// resume answers the topic resume.
func (lc *lifecycle) resume(ctx context.Context, a *asker) (*result, error) {
	return lc.steer(ctx, a, topicResume, "a resume", func(ctx context.Context, _ *operation, e supervisor) (*result, error) {
		if err := e.Resume(ctx); err != nil {
			return nil, err
		}
		return &result{Release: lc.releases.serving().Name, State: stateOf(e)}, nil
	})
}

// stateOf is what the release that has the work does.
func stateOf(e supervisor) string {
	if e.Status().Suspended {
		return stateSuspended
	}
	return releaseServing
}
