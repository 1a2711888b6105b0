// App is what the benchmarks gone, sse and stall ask: a worker under heddle
// run, a plain net/http server on -addr when started by hand.
//
//	/                      14 bytes
//	/gone?id=N&to=ADDR     waits for its client to go; tells ADDR over UDP "here N"
//	                       when it waits and "gone N NS" when it knew, by the
//	                       monotonic clock
//	/events?n=N&every=D    N server-sent events, D apart, each the time at which it
//	                       was flushed, by the monotonic clock
//	/download?n=N          N bytes
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, heddle\n")
	})
	mux.HandleFunc("/gone", gone)
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/download", download)
	log.Fatal(httpcompat.ListenAndServe(*addr, mux))
}

// gone waits ten seconds at most.
func gone(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	c, err := net.Dial("udp", r.FormValue("to"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	fmt.Fprintf(c, "here %s", id)
	<-ctx.Done()
	now := clock.Now()
	if r.Context().Err() == nil {
		http.Error(w, "the client did not go", http.StatusRequestTimeout)
		return
	}
	fmt.Fprintf(c, "gone %s %d", id, now)
	fmt.Fprintf(w, "gone %s", id) // for one that has half-closed
}

func events(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	every, err2 := time.ParseDuration(r.FormValue("every"))
	if err != nil || err2 != nil || every <= 0 {
		http.Error(w, "want n, a number, and every, a duration", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range n {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		fmt.Fprintf(w, "data: %d\n\n", clock.Now())
		if err := rc.Flush(); err != nil {
			return // the client has gone
		}
	}
}

func download(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "want n, a number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for p := make([]byte, 64<<10); n > 0; {
		k, err := w.Write(p[:min(n, int64(len(p)))])
		if err != nil {
			return // the client has gone
		}
		n -= int64(k)
	}
}
