package worker_test

import (
	"context"
	"log"

	"github.com/heddle-go/heddle/session"
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
