package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/engine"
)

// Four workers of a program, one session, and an orderly end.
func Example() {
	e, err := engine.New(engine.Options{
		Path:    "./hello",
		Workers: 4,
		Output:  func(l engine.Line) { log.Printf("%d %s| %s", l.Index, l.Release, l.Text) },
		OnDeath: func(d engine.Death) { log.Printf("worker %d %s; %d sessions lost", d.Index, d.Reason, len(d.Lost)) },
	})
	if err != nil {
		log.Fatal(err) // ./hello does not exist, or cannot be run
	}
	defer e.Close()
	ctx := context.Background()
	if err := e.Start(ctx); err != nil {
		log.Fatal(err) // which worker, why, and its last words
	}

	s, err := e.Open(ctx, session.OpenOptions{Event: "greet", First: []byte("you"), Last: true})
	var busy *engine.BusyError
	if errors.As(err, &busy) {
		log.Fatalf("try again in %v", busy.RetryAfter())
	}
	if err != nil {
		log.Fatal(err)
	}
	defer s.Discard()
	if m, err := s.Recv(); err == nil {
		fmt.Println(string(m.Data))
	}

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		log.Print(err)
	}
}
