// Program is a worker for TestPrograms: it parses flags of its own, and starts
// itself again as a child that links package worker too and is none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

func main() {
	log.SetFlags(0)
	name := flag.String("name", "nobody", "whom to greet")
	child := flag.Bool("child", false, "say whether this process is a worker, and exit")
	flag.Parse()
	if *child {
		_, ok := worker.Launched()
		_, err := worker.New(worker.Options{})
		fmt.Printf("launched=%v not=%v args=%q env=%q", ok, err == worker.ErrNotLaunched, os.Args[1:], variables())
		return
	}
	w, err := worker.New(worker.Options{
		OnConnect:   func() { log.Print("event: connect") },
		OnError:     func(err error) { log.Print("event: error") },
		OnDisown:    func() { log.Print("event: disown") },
		OnTerminate: func(code int64, reason string) { log.Print("event: terminate ", code, " ", reason) },
		OnDrain:     func(time.Duration) { log.Print("event: drain") },
	})
	if err != nil {
		log.Fatal(err)
	}
	handle := func(event string, f func() string) {
		w.Handle(event, worker.HandlerFunc(func(_ context.Context, s *session.Session) { _ = s.Finish([]byte(f())) }))
	}
	handle("greet", func() string { return "hello " + *name + " " + strings.Join(flag.Args(), ",") })
	handle("self", func() string { return fmt.Sprintf("args=%q env=%q", os.Args[1:], variables()) })
	handle("child", func() string {
		out, err := exec.Command(os.Args[0], "-child").CombinedOutput()
		return fmt.Sprint(string(out), errors.Join(err))
	})
	if err := w.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// variables are those that a child would take for its own launch.
func variables() (found []string) {
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "HEDDLE_") {
			found = append(found, v)
		}
	}
	return found
}
