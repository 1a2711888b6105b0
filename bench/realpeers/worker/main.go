// Worker is our program under a real runtime: what bench/realpeers asks every
// worker for, as an ordinary http.Handler.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
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
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", mux))
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
