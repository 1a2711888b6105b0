// Worker is our program under a real runtime: what bench/realpeers asks every
// worker for, as an ordinary http.Handler. With the argument "events" it is no HTTP
// program, but a worker of two events, http and echo.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/big", big)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/fail", func(http.ResponseWriter, *http.Request) {
		panic("as asked")
	})
	if !slices.Contains(os.Args[1:], "events") {
		log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", mux))
	}
	w, err := worker.New(worker.Options{})
	if err != nil {
		log.Fatal(err)
	}
	w.Handle("http", httpcompat.Handler(mux))
	w.Handle("echo", worker.HandlerFunc(again))
	if err := w.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// again says each chunk again.
func again(_ context.Context, s *session.Session) {
	for {
		m, err := s.Recv()
		if err != nil || m.Kind != session.Chunk {
			return
		}
		if err := s.WriteChunk(m.Data); err != nil {
			return
		}
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Method", r.Method)
	h.Set("X-Query", r.URL.RawQuery)
	h.Set("X-Got", r.Header.Get("X-Sent"))
	h["X-Twice"] = []string{"one", "two"}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.Copy(w, r.Body) // an error: the asker is gone
}

func big(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	line := strings.Repeat("0123456789abcdef", 1024)
	for ; n > 0; n -= len(line) {
		if _, err := io.WriteString(w, line[:min(n, len(line))]); err != nil {
			return
		}
	}
}
