// An HTTP program on the Go framework's package cocaine12 (0.12): what the
// checks of bench/realpeers ask every worker for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cocaine/cocaine-framework-go/cocaine12"
)

func main() {
	w, err := cocaine12.NewWorker()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(3)
	}
	w.On("http", cocaine12.WrapHandler(routes()))
	w.On("echo", echo)
	if err := w.Run(nil); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		if errors.Is(err, cocaine12.ErrDisowned) {
			os.Exit(4)
		}
		os.Exit(5)
	}
}

// echo gives every chunk back, until the asker ends.
func echo(ctx context.Context, req cocaine12.Request, resp cocaine12.Response) {
	for {
		p, err := req.Read(ctx)
		if err != nil {
			return // the framework closes
		}
		if _, err := resp.Write(p); err != nil {
			return
		}
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d", os.Getpid())
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Query", r.URL.RawQuery)
		w.Header().Set("X-Got", r.Header.Get("X-Sent"))
		w.Header().Add("X-Twice", "one")
		w.Header().Add("X-Twice", "two")
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		line := strings.Repeat("0123456789abcdef", 1024)
		for ; n > 0; n -= len(line) {
			io.WriteString(w, line[:min(n, len(line))])
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintf(w, "%d", os.Getpid())
	})
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) {
		panic("as asked")
	})
	return mux
}
