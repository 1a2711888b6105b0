// Echo is a worker that is no HTTP app: it answers the sessions of event "echo"
// with what comes in them, piece by piece and while it comes, and those of event
// "time" with the time, until nobody listens.
//
// A program of one's own may start it (worker/engine), or a Cocaine runtime of either
// dialect, whose clients then call it as they call any app. Under heddle run it has no
// answer to HTTP requests. Started by hand it says that it has no engine.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

func main() {
	w, err := worker.New(worker.Options{
		OnConnect:   func() { log.Print("echo: connected") },
		OnTerminate: func(code int64, reason string) { log.Printf("echo: terminated: %s (%d)", reason, code) },
		OnDisown:    func() { log.Print("echo: the engine is not heard of") },
	})
	if err != nil {
		log.Fatal(err)
	}
	handle(w)
	if err := w.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func handle(w *worker.Worker) {
	w.Handle("echo", worker.HandlerFunc(echo))
	w.Handle("time", worker.HandlerFunc(tick(time.Second)))
}

// echo sends each chunk back. It ends as the asker ends: by choke, or by an error
// with the same words.
func echo(ctx context.Context, s *session.Session) {
	for {
		m, err := s.Recv()
		switch {
		case err == io.EOF:
			return // and the worker ends our direction
		case err != nil:
			s.Abort(err)
			return
		}
		if m.Kind == session.Chunk {
			err = s.WriteChunk(m.Data)
			if errors.Is(err, session.ErrTooLarge) { // no window would hold it whole
				_, err = s.Write(m.Data)
			}
		}
		m.Drop()
		if err != nil {
			return // nobody is there to be told
		}
	}
}

// leaving is a code of our own, in the category that is for apps.
const leaving = 1

// tick sends the time at once and once for each period, until the asker says
// anything, were it only the end, or is gone, or the worker is to leave.
func tick(period time.Duration) worker.HandlerFunc {
	return func(ctx context.Context, s *session.Session) {
		t := time.NewTicker(period)
		defer t.Stop()
		for {
			if err := s.WriteChunk([]byte(time.Now().UTC().Format(time.RFC3339Nano))); err != nil {
				return
			}
			if s.Buffered() { // the asker's end, or more than he was asked for
				return
			}
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			case <-worker.Draining():
				s.Abort(&session.Error{Category: heddle.CategoryUser, Code: leaving, Msg: "this worker leaves, ask again"})
				return
			}
		}
	}
}
