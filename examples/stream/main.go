// Stream sends server-sent events, one every -interval, until the client
// leaves or -count events are out. GET /?n=5 asks for five.
//
//	heddle run ./examples/stream
//	curl -N http://127.0.0.1:8080/?n=5
//
// Started by hand it is a plain net/http server on -addr.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	interval := flag.Duration("interval", time.Second, "pause between two events")
	count := flag.Int("count", 0, "events to each client; 0 for no end")
	flag.Parse()
	if *interval <= 0 {
		fmt.Fprintln(os.Stderr, "stream: -interval must be above zero")
		os.Exit(2)
	}
	log.Fatal(httpcompat.ListenAndServe(*addr, handler(*interval, *count)))
}

func handler(interval time.Duration, count int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := count
		if q := r.URL.Query().Get("n"); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil || n < 1 {
				http.Error(w, "n must be a number above zero", http.StatusBadRequest)
				return
			}
			limit = n
		}

		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		flusher := http.NewResponseController(w)
		tick := time.NewTicker(interval)
		defer tick.Stop()

		for i := 1; ; i++ {
			// The pid tells which worker serves this stream.
			if _, err := fmt.Fprintf(w, "id: %d\ndata: {\"n\":%d,\"pid\":%d}\n\n", i, i, os.Getpid()); err != nil {
				return
			}
			if err := flusher.Flush(); err != nil {
				return
			}
			if i == limit {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
}
