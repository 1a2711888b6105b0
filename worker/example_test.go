package worker_test

import (
	"context"
	"errors"
	"log"
	"sync"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// A whole worker: it answers every session of "greet" with a greeting to
// whoever the first chunk names.
func Example() {
	w, err := worker.New(worker.Options{})
	if err != nil {
		log.Fatal(err) // started by hand, and not by an engine
	}
	w.Handle("greet", worker.HandlerFunc(func(ctx context.Context, s *session.Session) {
		m, err := s.Recv()
		if err != nil {
			s.Abort(err)
			return
		}
		_ = s.Finish([]byte("hello "), m.Data) // fails when the asker is gone
	}))
	if err := w.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// Messages from the engine's program and from other workers.
func ExampleHandleMessage() {
	err := worker.HandleMessage("", "forget", func(ctx context.Context, m *ipc.Received) error {
		var key string
		if err := m.Decode(&key); err != nil {
			return err // the sender is told, if it waits
		}
		cache.Delete(key)
		return nil
	})
	if err != nil && !errors.Is(err, worker.ErrNotLaunched) {
		log.Fatal(err)
	}
}

// A request with a reply for each entry; the other workers are asked by RequestTo.
func ExampleHandleRequest() {
	err := worker.HandleRequest("", "keys", func(ctx context.Context, q *ipc.Question) (err error) {
		cache.Range(func(key, _ any) bool {
			err = q.Reply(ipc.JSON(key))
			return err == nil // else the asker has stopped
		})
		return err
	})
	if err != nil && !errors.Is(err, worker.ErrNotLaunched) {
		log.Fatal(err)
	}
}

// All other workers forget something.
func ExampleSendTo() {
	d, err := worker.SendTo(context.Background(), "!self", ipc.Message{Topic: "forget", Body: ipc.JSON("answer")})
	switch {
	case errors.Is(err, worker.ErrNotLaunched): // there are none
	case err != nil:
		log.Fatal(err)
	case d.Sent < d.Chosen:
		log.Printf("%d of %d did not get it: %v", d.Chosen-d.Sent, d.Chosen, d.Failed)
	}
}

var cache sync.Map
