package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// In a program that was started by hand, and under a plain runtime, there is nobody to
// talk to.
func TestNobodyToTalkTo(t *testing.T) {
	ctx := context.Background()
	for name, launch := range map[string]*worker.Launch{
		"by hand": nil,
		"plain":   {Dialect: heddle.V0, UUID: "u", Endpoint: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			defer worker.SetLaunched(launch)()
			want := worker.ErrNotLaunched
			if launch != nil {
				want = errors.ErrUnsupported
			}
			_, engine := worker.Engine()
			_, sent := worker.Send(ctx, ipc.Message{Topic: "t"})
			_, asked := worker.Ask(ctx, ipc.Message{Topic: "t"})
			_, delivered := worker.SendTo(ctx, "", ipc.Message{Topic: "t"})
			errs := []error{
				engine, sent, asked, delivered, worker.HandleMessage("", "t", nil), worker.HandleRequest("", "t", nil),
				worker.ManualReady(), worker.Ready("lib"), worker.Post(ctx, ipc.Message{Topic: "t"}), worker.PostTo(ctx, "", ipc.Message{Topic: "t"}),
			}
			for _, err := range worker.Request(ctx, ipc.Query{Topic: "t"}) {
				errs = append(errs, err)
			}
			for _, err := range worker.RequestTo(ctx, "", ipc.Query{Topic: "t"}) {
				errs = append(errs, err)
			}
			if len(errs) != 12 {
				t.Errorf("%d errors", len(errs))
			}
			for i, err := range errs {
				if !errors.Is(err, want) {
					t.Errorf("error %d is %v", i, err)
				}
			}
		})
	}
}

// What is said before the worker is connected waits, and fails when it turns out that
// the engine has no messages, or that there is none.
func TestEngineWithoutMessages(t *testing.T) {
	ctx := context.Background()
	_, w := play(t, workertest.Options{}, worker.Options{})
	p, err := w.Engine()
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Send(ctx, ipc.Message{Topic: "early"})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Done():
		_, err := a.Wait(ctx)
		t.Fatalf("before it is connected: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	connect(t, w)
	if _, err := a.Wait(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if p, err = w.Engine(); err == nil {
		err = p.Post(ctx, ipc.Message{Topic: "late"})
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("afterwards: %v", err)
	}
}

// The names of namespaces are looked at.
func TestTalkNames(t *testing.T) {
	_, w := play(t, workertest.Options{}, worker.Options{})
	for _, name := range []string{"heddle", "a\x00b"} {
		if err := w.HandleMessage(name, "t", nil); !errors.Is(err, ipc.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if err := w.Ready(name); !errors.Is(err, ipc.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
