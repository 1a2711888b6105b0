package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/heddle-go/heddle/worker/engine"
)

// TestSteer: scale, restart, suspend and resume as the engine is asked, and how
// its errors read.
func TestSteer(t *testing.T) {
	var asked []string
	var fail error
	f := &fakeEngine{other: func(_ context.Context, what string) error {
		asked = append(asked, what)
		return fail
	}}
	c := newFake(t, f)
	for _, tt := range []struct {
		topic string
		order order
		fail  error
		code  int
		asked string
		text  string
	}{
		{topicScale, order{Workers: 4, Standbys: -1}, nil, exitOK, "scale 4 -1", ""},
		{topicScale, order{Workers: -1, Standbys: 0}, nil, exitOK, "scale -1 0", ""},
		{topicScale, order{Workers: 0, Standbys: -1}, nil, exitUsage, "", "0 workers"},
		{topicScale, order{Workers: -2, Standbys: -1}, nil, exitUsage, "", ""},
		{topicScale, order{Workers: 10_001, Standbys: -1}, nil, exitUsage, "", ""},
		{topicScale, order{Workers: 9, Standbys: -1}, &engine.StartError{Index: 8, Death: engine.Death{Reason: "could not be started: resource temporarily unavailable"}}, exitRefused, "scale 9 -1", "r1: worker 8 of ./app did not get ready: could not be started: resource temporarily unavailable\nr1 still serves. The workers that were there serve on."},
		{topicRestart, order{}, nil, exitOK, "restart ", ""},
		{topicRestart, order{Selector: "0"}, nil, exitOK, "restart 0", ""},
		{topicRestart, order{Selector: "$11"}, nil, exitOK, "restart $11", ""},
		{topicRestart, order{Selector: "7"}, nil, exitRefused, "", "no worker is 7\nnothing was changed."},
		{topicRestart, order{Selector: "0,what"}, nil, exitUsage, "", `"what" in a selector`},
		{topicRestart, order{}, &engine.StartError{}, exitRefused, "restart ", "The worker in question, and those after it, are as they were."},
		{topicSuspend, order{}, nil, exitOK, "suspend", ""},
		{topicResume, order{}, nil, exitOK, "resume", ""},
		{topicResume, order{}, errors.New("odd"), exitError, "resume", "resume: odd\nr1 still serves."},
		{topicResume, order{}, &engine.ConflictError{Doing: "a deploy of r9"}, exitRefused, "resume", "a deploy of r9 is under way"},
	} {
		asked, fail = nil, tt.fail
		res, code, text := c.ask(t.Context(), tt.topic, tt.order)
		if code != tt.code || strings.Join(asked, ",") != tt.asked || !strings.Contains(text, tt.text) {
			t.Errorf("%s %+v: got %+v, %d, %s, asked %q", tt.topic, tt.order, res, code, text, asked)
		}
	}
	if _, code, text := c.ask(t.Context(), topicRollback, order{Release: "r9"}); code != exitRefused || !strings.Contains(text, "there is no release r9\nr1 still serves. there are: r1.") {
		t.Errorf("rollback: got %d, %s", code, text)
	}
}

// TestSteerDetached: they go on when the command has gone, and end with the
// daemon.
func TestSteerDetached(t *testing.T) {
	began := make(chan struct{})
	ended := make(chan error, 1)
	f := &fakeEngine{other: func(ctx context.Context, what string) error {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}}
	c := newFake(t, f)
	ctx, gone := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ask(ctx, topicRestart, order{})
	}()
	<-began
	gone()
	<-done
	if op := c.lc.turns.status(); op == nil || op.Doing != "a restart" {
		t.Errorf("got %+v, want the restart to go on", op)
	}
	c.lc.close()
	if err := <-ended; !errors.Is(err, errStopping) {
		t.Errorf("ended with %v", err)
	}
}
