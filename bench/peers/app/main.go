// App is the program behind every stack that bench/peers, growth and idle
// compare: a worker under heddle run; started by hand, net/http on -listen or
// net/http/fcgi on -fcgi.
//
//	GET  /               14 bytes
//	POST /echo           the body
//	GET  /download?n=N   N bytes of Pattern
//	POST /upload?n=N     takes a body that has N bytes, and says so
//	GET  /events?every=D server-sent events, one each D to all who listen at this
//	                     process: a number and the time it was sent, in ns since 1970
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"strconv"
	"strings"

	"github.com/heddle-go/heddle/bench/internal/pattern"
	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "host:port or unix:/path to serve HTTP on when started by hand")
	cgi := flag.String("fcgi", "", "path of a unix socket to serve FastCGI on instead")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, heddle\n")
	})
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /download", download)
	mux.HandleFunc("POST /upload", upload)
	mux.Handle("GET /events", newHub())
	if err := serve(*listen, *cgi, mux); err != nil {
		log.Fatal(err)
	}
}

func serve(listen, cgi string, h http.Handler) error {
	if cgi != "" {
		l, err := net.Listen("unix", cgi)
		if err != nil {
			return err
		}
		return fcgi.Serve(l, h)
	}
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		l, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		return http.Serve(l, h)
	}
	srv := &http.Server{Addr: listen, Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // heddle's front speaks it, so net/http alone does
	err := httpcompat.Serve(srv)
	if errors.Is(err, http.ErrServerClosed) {
		return nil // drained
	}
	return err
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func download(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "want n, a number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		k, err := w.Write(pattern.Block[:min(n, int64(len(pattern.Block)))])
		if err != nil {
			return // the client has gone
		}
		n -= int64(k)
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	got, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if want := r.URL.Query().Get("n"); want != strconv.FormatInt(got, 10) {
		http.Error(w, fmt.Sprintf("want n=%d, which is what arrived", got), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, got)
}
