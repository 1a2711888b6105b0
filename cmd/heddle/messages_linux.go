package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

// This file is how clients of the control socket reach workers by messages and
// requests (docs/messaging.md). They are peers of a hub that has no handlers of its own
// and sends everything on; the workers of each app are peers of their engine's hub.
// So no client can speak for a worker, and no worker reaches the control socket.

// newHub makes the hub of the control socket.
func (d *daemon) newHub() *ipc.Hub {
	h := ipc.NewHub(ipc.HubOptions{Logger: d.log})
	h.SetRouter(&ipc.Router{
		Message: func(ctx context.Context, to string, m *ipc.Received) (ipc.Delivery, error) {
			defer d.relays.Add(-1)
			d.relays.Add(1)
			r, sel, err := d.routerOf(to)
			if err != nil {
				return ipc.Delivery{}, err
			}
			return r.Message(ctx, sel, m)
		},
		Request: func(ctx context.Context, to string, q *ipc.Question, first, gap time.Duration) error {
			defer d.relays.Add(-1)
			d.relays.Add(1)
			r, sel, err := d.routerOf(to)
			if err != nil {
				return err
			}
			err = r.Request(ctx, sel, q, first, gap)
			if errors.Is(err, os.ErrDeadlineExceeded) { // of Question.Answer; a worker's is an answer
				err = errSlowAsker
			}
			return err
		},
	})
	return h
}

// routerOf is what sends on to the app that "APP/SELECTOR" or, where there is but one,
// "SELECTOR" names.
func (d *daemon) routerOf(to string) (r *ipc.Router, selector string, err error) {
	name, selector, named := strings.Cut(to, "/")
	if !named {
		name, selector = "", to
	}
	a, err := d.appNamed(name)
	if err != nil {
		return nil, "", relayRefusal(err)
	}
	e, err := d.serving(a)
	if err != nil {
		return nil, "", relayRefusal(err)
	}
	return e.Router(), selector, nil
}

// serving is the app's engine while something may be said to its workers.
func (d *daemon) serving(a *app) (*engine.Engine, error) {
	e := a.supervised()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e != nil && d.state == stateServing {
		return e, nil
	}
	return nil, errNotServing
}

// errSlowAsker ends a request whose replies nobody reads.
var errSlowAsker = errors.New("the replies were not read in time, and the request was ended at the workers")

// errNotServing is told to whoever has something for workers too early or too late.
var errNotServing = &failure{code: exitRefused, err: errors.New("the daemon does not serve: it starts, or is stopping")}

// relayRefusal is err as clients of the hub are told it.
func relayRefusal(err error) error {
	e := &session.Error{Category: heddle.CategoryOverseer, Code: heddle.CodeQueueFull, Msg: err.Error()}
	var f *failure
	if errors.As(err, &f) {
		e.Msg = f.err.Error()
		if f.code == exitUsage {
			e.Category, e.Code = heddle.CategoryFramework, ipc.CodeSelector
			e.Msg += "; " + strings.TrimPrefix(f.try, "try: ")
		}
	}
	return e
}

// endMessages waits until what was sent on has ended: the workers have, so that only
// clients are waited for, and not for long. Before the control socket is closed.
func (d *daemon) endMessages() {
	for end := time.Now().Add(controlWait); d.relays.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// closeHub ends the hub. The control socket is closed: done before, it would cut off
// whoever waits there for what becomes of heddle stop.
func (d *daemon) closeHub() {
	ctx, cancel := context.WithTimeout(context.Background(), controlWait)
	defer cancel()
	if err := d.hub.Close(ctx); err != nil {
		d.log.Warn("control socket", "err", fmt.Errorf("messages: %w", err))
	}
}
