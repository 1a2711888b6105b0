package workertest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// A handler, asked as the engine would.
func Example() {
	e := workertest.New(workertest.Options{})
	w, err := worker.New(worker.Options{Launch: e.Launch(), Dial: e.Dial})
	if err != nil {
		log.Fatal(err)
	}
	w.Handle("shout", worker.HandlerFunc(func(ctx context.Context, s *session.Session) {
		p, _ := io.ReadAll(s)
		_ = s.Finish([]byte(strings.ToUpper(string(p))))
	}))
	ctx := context.Background()
	if err := w.Connect(ctx); err != nil {
		log.Fatal(err)
	}

	s, err := e.Open(ctx, session.OpenOptions{Event: "shout", First: []byte("hello"), Last: true})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(s)
	fmt.Printf("%s %v\n", answer, err)

	e.Drain(0) // and the worker leaves
	<-w.Done()
	fmt.Println(w.State(), w.Err())
	_ = e.Close()

	// Output:
	// HELLO <nil>
	// terminated <nil>
}
