// Lifecycle shows what a program may know and say of its own life. It warms up
// before it is online, works in the background, and holds that and its requests
// while it is suspended.
//
//	heddle run ./examples/lifecycle -- -warm 2s
//	curl http://127.0.0.1:8080/                         which worker answers, and what it has done
//	curl -N http://127.0.0.1:8080/events                a stream that says goodbye when its worker is drained
//	curl -d 'it leaks' http://127.0.0.1:8080/broken     has the worker replaced
//
// Started by hand it is a plain net/http server on -addr: nothing is held, and
// nobody replaces it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	warm := flag.Duration("warm", 0, "how long to warm up before going online")
	interval := flag.Duration("interval", time.Second, "pause between two jobs in the background, and between two events")
	flag.Parse()
	if *interval <= 0 {
		fmt.Fprintln(os.Stderr, "lifecycle: -interval must be above zero")
		os.Exit(2)
	}

	worker.ManualOnline()
	go warmUp(*warm) // ends when warm
	a := &app{interval: *interval}
	go a.work() // ends when the worker is drained, or with the process
	log.Fatal(httpcompat.ListenAndServe(*addr, httpcompat.SuspendMiddleware(a.handler())))
}

// warmUp fills caches, as it were.
func warmUp(d time.Duration) {
	time.Sleep(d)
	if err := worker.ReportOnline(); err != nil {
		log.Print(err)
	}
}

type app struct {
	interval time.Duration
	jobs     atomic.Int64 // done in the background
}

// work does a job each interval, none of them while the worker is suspended.
func (a *app) work() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends when the worker is drained
		<-worker.Draining()
		cancel()
	}()
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	for worker.AwaitResume(ctx) == nil {
		a.jobs.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *app) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", a.self)
	m.HandleFunc("GET /events", a.events)
	m.HandleFunc("POST /broken", a.broken)
	return m
}

func (a *app) self(w http.ResponseWriter, _ *http.Request) {
	release := "none"
	if l, ok := worker.Launched(); ok {
		release = l.Release
	}
	fmt.Fprintf(w, "worker %d of release %s, pid %d, %d jobs done\n", worker.Index(), release, os.Getpid(), a.jobs.Load())
}

// events go on until the client leaves or the worker is drained: then the client
// may come back, to the next worker.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flusher := http.NewResponseController(w)
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintf(w, "data: {\"jobs\":%d,\"pid\":%d}\n\n", a.jobs.Load(), os.Getpid()); err != nil {
			return
		}
		if flusher.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-worker.Draining():
			io.WriteString(w, "event: bye\ndata: {}\n\n")
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (a *app) broken(w http.ResponseWriter, r *http.Request) {
	reason, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256))
	if err != nil {
		http.Error(w, "the reason is too long", http.StatusRequestEntityTooLarge)
		return
	}
	err = worker.ReportBroken(string(reason))
	switch {
	case errors.Is(err, worker.ErrNotLaunched):
		http.Error(w, "nobody is there to replace this process", http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}
