// App is what bench/lifecycle asks: a worker under heddle run, a plain net/http
// server on -addr when started by hand. It is built twice, each with a marker
// of its own:
//
//	go build -ldflags '-X main.marker=A' ./bench/lifecycle/app
//
// Every answer says in its head who gave it: X-Marker, X-Release, X-Worker (the
// worker's id; "none" by hand) and X-Pid. Every request is written down by its
// X-Request-Id, as a line of the file -witness, before anything else is done
// with it: a request that was served twice stands there twice, whatever became
// of its answers.
//
//	GET  /            14 bytes, not written down
//	GET  /get         the marker, the worker and the request's id
//	POST /post        the same, and the body
//	POST /upload?n=N  the same, if the body is N bytes of the pattern; else 400
//	GET  /download?n=N
//	                  N bytes of the pattern
//	GET  /events?n=N&every=D
//	                  N server-sent events, D apart, and the event bye, which
//	                  comes early when the worker is drained
//	GET  /socket?linger=D
//	                  a WebSocket that says what it hears, until its client closes
//	                  it or D after the worker's drain began
//	POST /broken      the line; the worker calls itself broken
//
// With -fail it is no good release: "exit" leaves at once, "panic" panics, and
// "hang" never serves.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/pattern"
	"github.com/heddle-go/heddle/bench/internal/websocket"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker"
)

var marker = "none" // by the linker

// An app is what the handlers share.
type app struct {
	worker   string
	release  string
	witness  *os.File      // nil: nothing is written down
	draining chan struct{} // closed when long streams are to end
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	path := flag.String("witness", "", "file that names the requests served")
	via := flag.String("via", "", "serve plain HTTP, as under heddle run --http: at listen (descriptor 3), port or socket, from the environment")
	fail := flag.String("fail", "", "how this release fails: exit, panic or hang")
	flag.Parse()
	switch *fail {
	case "":
	case "exit":
		log.Fatal("this release leaves at once, as it was told to")
	case "panic":
		panic("this release panics, as it was told to")
	case "hang":
		log.Print("this release never serves, as it was told to")
		time.Sleep(10 * time.Minute)
		os.Exit(1)
	default:
		log.Fatalf("-fail %q: want exit, panic or hang", *fail)
	}
	a := &app{worker: "none", release: "none", draining: make(chan struct{})}
	if l, ok := worker.Launched(); ok {
		a.worker, a.release = cmp.Or(l.UUID, "none"), cmp.Or(l.Release, "none")
	}
	if *via != "" {
		a.worker, a.release = cmp.Or(os.Getenv("HEDDLE_UUID"), "none"), cmp.Or(os.Getenv("HEDDLE_RELEASE"), "none")
	}
	if *path != "" {
		// One write(2) to a file opened for appending is one line, whoever else
		// writes, and stays when its writer is killed.
		f, err := os.OpenFile(*path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			log.Fatal(err)
		}
		a.witness = f
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, heddle\n") })
	for path, h := range map[string]http.HandlerFunc{
		"GET /get": a.get, "POST /post": a.post, "POST /upload": a.upload, "GET /download": a.download, "GET /events": a.events, "GET /socket": a.socket, "POST /broken": a.broken,
	} {
		mux.Handle(path, a.witnessed(h))
	}
	srv := &http.Server{Addr: *addr, Handler: mux}
	srv.RegisterOnShutdown(sync.OnceFunc(func() { close(a.draining) }))
	if *via != "" {
		ln, err := listen(*via)
		if err != nil {
			log.Fatal(err)
		}
		log.Fatal(srv.Serve(ln))
	}
	if err := httpcompat.Serve(srv); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

// listen takes the address that a plain program is told of.
func listen(via string) (net.Listener, error) {
	switch via {
	case "listen":
		return net.FileListener(os.NewFile(3, "listener")) // sd_listen_fds(3)
	case "port":
		return net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	case "socket":
		return net.Listen("unix", os.Getenv("HEDDLE_SOCKET"))
	}
	return nil, fmt.Errorf("-via %q: want listen, port or socket", via)
}

// witnessed writes the request down and says who answers.
func (a *app) witnessed(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.witness != nil {
			if _, err := fmt.Fprintf(a.witness, "%s %d\n", r.Header.Get("X-Request-Id"), os.Getpid()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		for name, value := range map[string]string{"X-Marker": marker, "X-Release": a.release, "X-Worker": a.worker, "X-Pid": strconv.Itoa(os.Getpid())} {
			w.Header().Set(name, value)
		}
		h(w, r)
	})
}

// line is the beginning of the bodies of small answers.
func (a *app) line(r *http.Request) string {
	return marker + " " + a.worker + " " + r.Header.Get("X-Request-Id") + "\n"
}

func (a *app) get(w http.ResponseWriter, r *http.Request) { io.WriteString(w, a.line(r)) }

func (a *app) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, a.line(r)+string(body))
}

func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err == nil {
		err = pattern.Check(r.Body, n)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, a.line(r))
}

func (a *app) download(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
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

func (a *app) events(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	every, err2 := time.ParseDuration(r.URL.Query().Get("every"))
	if err != nil || err2 != nil || every <= 0 {
		http.Error(w, "want n, a number, and every, a duration", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
stream:
	for i := range n {
		select {
		case <-tick.C:
		case <-a.draining:
			break stream
		case <-r.Context().Done():
			return
		}
		fmt.Fprintf(w, "data: %s %d\n\n", r.Header.Get("X-Request-Id"), i)
		if err := rc.Flush(); err != nil {
			return // the client has gone
		}
	}
	io.WriteString(w, "event: bye\ndata: bye\n\n")
}

func (a *app) socket(w http.ResponseWriter, r *http.Request) {
	linger, err := time.ParseDuration(r.URL.Query().Get("linger"))
	key := r.Header.Get("Sec-WebSocket-Key")
	if err != nil || key == "" {
		http.Error(w, "want linger, a duration, and Sec-WebSocket-Key", http.StatusBadRequest)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + websocket.Accept(key) + "\r\n"
	for _, name := range []string{"X-Marker", "X-Release", "X-Worker", "X-Pid"} {
		head += name + ": " + w.Header().Get(name) + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		return
	}
	s := &socket{w: c}
	over := make(chan struct{})
	defer close(over)
	// Ends with the connection, or when it has told the client to go.
	go func() {
		select {
		case <-a.draining:
		case <-over:
			return
		}
		select {
		case <-time.After(linger):
			s.close()
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // for the client's own close
		case <-over:
		}
	}()
	s.serve(rw.Reader)
}

func (a *app) broken(w http.ResponseWriter, r *http.Request) {
	if err := worker.ReportBroken("it was told to"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, a.line(r))
}

// A socket is the server's end of a WebSocket.
type socket struct {
	mu     sync.Mutex
	w      io.Writer // guarded by mu
	closed bool      // guarded by mu: the close frame was sent
}

// serve says what it hears, until the client closes.
func (s *socket) serve(r *bufio.Reader) {
	for {
		op, payload, err := websocket.ReadFrame(r)
		if err != nil {
			return
		}
		if op == websocket.Close {
			s.close()
			return
		}
		s.say(websocket.AppendFrame(nil, op, payload, false))
	}
}

// say writes a frame, unless the last one has been sent.
func (s *socket) say(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.w.Write(frame)
	}
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.w.Write(websocket.AppendClose(nil, websocket.GoingAway, false))
	}
}
