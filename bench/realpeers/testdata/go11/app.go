// An HTTP program on the Go framework's package cocaine (0.11): what the
// checks of bench/realpeers ask every worker for.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cocaine/cocaine-framework-go/cocaine"
)

func main() {
	w, err := cocaine.NewWorker() // it asks the locator for logging first
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(3)
	}
	logger, err := cocaine.NewLogger()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logger:", err)
		os.Exit(3)
	}
	logger.Warn("a worker of the Go framework begins")
	w.Loop(map[string]cocaine.EventHandler{
		"http": cocaine.WrapHandler(routes(), logger),
		"echo": echo,
	})
}

// echo gives the request's one chunk back.
func echo(req *cocaine.Request, resp *cocaine.Response) {
	resp.Write(<-req.Read())
	resp.Close()
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
