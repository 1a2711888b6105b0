package httpcompat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

const patience = 20 * time.Second // a test that waits this long has failed

// launch serves srv as a worker of the engine that it returns.
func launch(t *testing.T, srv *http.Server) (*workertest.Engine, <-chan error) {
	t.Helper()
	e := workertest.New(workertest.Options{})
	t.Cleanup(func() { e.Kill() })
	done := make(chan error, 1)
	go func() { // ends with the worker
		done <- serveSessions(srv, e.Launch(), worker.Options{Launch: e.Launch(), Dial: e.Dial, NoSignals: true})
	}()
	select {
	case <-e.Online():
	case err := <-done:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("waited in vain for the worker")
	}
	return e, done
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("waited in vain for Serve")
		return nil
	}
}

func fetch(e Opener, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	(&Proxy{Opener: e}).ServeHTTP(rec, r)
	return rec
}

type key string

func TestServe(t *testing.T) {
	var errors bytes.Buffer
	conns := make(chan net.Conn, 10)
	srv := &http.Server{
		ErrorLog: log.New(&errors, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/twice" {
				w.WriteHeader(200)
				w.WriteHeader(500)
			}
			io.WriteString(w, r.Context().Value(key("base")).(string)+r.Context().Value(key("conn")).(string))
			if r.Context().Value(http.LocalAddrContextKey).(net.Addr).String() != "192.0.2.9:80" {
				t.Error("another local address")
			}
		}),
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), key("base"), l.Addr().Network()+" ")
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			conns <- c
			return context.WithValue(ctx, key("conn"), c.RemoteAddr().String())
		},
	}
	e, done := launch(t, srv)
	for _, path := range []string{"/", "/twice"} {
		r := httptest.NewRequest("GET", path, nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, parseAddr("192.0.2.9:80")))
		if got := fetch(e, r).Body.String(); got != "unix 192.0.2.1:1234" {
			t.Errorf("%s: got %q", path, got)
		}
		if _, err := (<-conns).Write(nil); err != http.ErrNotSupported {
			t.Errorf("write to a client's connection: %v", err)
		}
	}
	e.Drain(0)
	if err := wait(t, done); err != http.ErrServerClosed {
		t.Errorf("drained: got %v", err)
	}
	if !strings.Contains(errors.String(), "superfluous WriteHeader(500)") || !strings.Contains(errors.String(), "serve_test.go") {
		t.Errorf("ErrorLog has %q", errors.String())
	}
}

// The engine's drain is a Shutdown to the program: what it has registered runs,
// while a request that has begun is finished.
func TestServeDrainRunsShutdownFunctions(t *testing.T) {
	told, begun := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-told // a stream that ends when it is told to
		io.WriteString(w, "bye")
	})}
	srv.RegisterOnShutdown(func() { close(told) })
	e, done := launch(t, srv)
	got := make(chan string, 1)
	go func() { got <- fetch(e, httptest.NewRequest("GET", "/", nil)).Body.String() }() // ends with the answer
	<-begun
	e.Drain(0)
	if body := <-got; body != "bye" {
		t.Errorf("got %q", body)
	}
	if err := wait(t, done); err != http.ErrServerClosed {
		t.Errorf("drained: got %v", err)
	}
}

// Serve puts nothing of its own into the caller's server that he could see.
func TestServeLeavesTheServerAsItWas(t *testing.T) {
	asked := 0
	srv := &http.Server{BaseContext: func(net.Listener) context.Context {
		asked++
		return context.Background()
	}}
	was := reflect.ValueOf(srv.BaseContext).Pointer()
	e, done := launch(t, srv)
	if is := reflect.ValueOf(srv.BaseContext).Pointer(); is != was {
		t.Error("BaseContext is another while it serves")
	}
	e.Drain(0)
	if err := wait(t, done); err != http.ErrServerClosed {
		t.Errorf("drained: got %v", err)
	}
	if asked != 1 {
		t.Errorf("asked %d times for the base context, want 1", asked)
	}
}

// Shutdown returns when the request at hand was answered, and so does Serve.
func TestServeShutdown(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	told := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "answered")
	})}
	srv.RegisterOnShutdown(func() { close(told) })
	e, done := launch(t, srv)
	answer := make(chan string, 1)
	go func() { answer <- fetch(e, httptest.NewRequest("GET", "/", nil)).Body.String() }() // ends with the answer
	<-begun
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }() // ends when the handler has
	<-told
	for len(e.Seen().Leaving) == 0 {
		time.Sleep(time.Millisecond)
	}
	e.Drain(0) // as an engine answers
	select {
	case err := <-down:
		t.Errorf("Shutdown returned before the answer: %v", err)
	case err := <-done:
		t.Errorf("Serve returned before the answer: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if got := <-answer; got != "answered" {
		t.Errorf("got %q", got)
	}
	if err := wait(t, down); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := wait(t, done); err != http.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	// A server that was shut down serves no more.
	if err := serveSessions(srv, e.Launch(), worker.Options{Launch: e.Launch(), Dial: e.Dial}); err != http.ErrServerClosed {
		t.Errorf("again: %v", err)
	}
}

// Close ends at once.
func TestServeClose(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- r.Context().Err()
	})}
	e, done := launch(t, srv)
	code := make(chan int, 1)
	go func() { code <- fetch(e, httptest.NewRequest("GET", "/", nil)).Code }() // ends with the worker
	<-begun
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := wait(t, done); err != http.ErrServerClosed {
		t.Errorf("got %v", err)
	}
	if err := wait(t, ended); err != context.Canceled {
		t.Errorf("context: %v", err)
	}
	if c := <-code; c != http.StatusBadGateway {
		t.Errorf("got %d", c)
	}
}

// A worker that loses its engine fails, it does not end in order.
func TestServeLost(t *testing.T) {
	e, done := launch(t, &http.Server{Handler: hello})
	e.Kill()
	if err := wait(t, done); !errors.Is(err, worker.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// Under an engine that names the event otherwise nobody answers.
func TestServeEvent(t *testing.T) {
	e, _ := launch(t, &http.Server{Handler: hello})
	rec := httptest.NewRecorder()
	(&Proxy{Opener: e, Event: "other"}).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != http.StatusBadGateway {
		t.Errorf("got %d", rec.Code)
	}
}

// Time-outs and limits are each request's own.
func TestServerLimits(t *testing.T) {
	errs := make(chan error, 1)
	var logged bytes.Buffer // read once the answer that follows the line has come
	h := &handler{server: &http.Server{
		ErrorLog:       log.New(&logged, "", 0),
		ReadTimeout:    50 * time.Millisecond,
		WriteTimeout:   100 * time.Millisecond,
		MaxHeaderBytes: 1000,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			if err == nil {
				for err == nil {
					_, err = w.Write(make([]byte, 32<<10))
				}
			}
			errs <- err
		}),
	}}
	asking := muxes(t, func(s *session.Session) error {
		go func() { h.ServeInvoke(s.Context(), s); s.Discard() }() // ends with the time-outs
		return nil
	})
	open := func(r *http.Request, last bool) *session.Session {
		t.Helper()
		s, err := asking.Open(session.OpenOptions{Event: DefaultEvent, First: AppendRequestHead(nil, r, ""), Last: last})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	post := httptest.NewRequest("POST", "/", strings.NewReader("body that never comes"))
	open(post, false)
	if err := wait(t, errs); err == nil || !strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("reading: %v", err)
	}
	open(httptest.NewRequest("GET", "/", nil), true) // nobody reads the answer
	if err := wait(t, errs); err == nil || !strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("writing: %v", err)
	}
	long := httptest.NewRequest("GET", "/", nil)
	long.Header.Set("X-Long", strings.Repeat("x", 2000))
	s := open(long, true)
	m, err := s.Recv()
	if err != nil || !bytes.Contains(m.Data, []byte{0xcd, 431 >> 8, 431 & 0xff}) {
		t.Errorf("long head: %q, %v", m.Data, err)
	}
	s.Discard()
	bad, err := asking.Open(session.OpenOptions{Event: DefaultEvent, First: []byte("nonsense"), Last: true})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := bad.Recv(); err != nil || !bytes.Contains(m.Data, []byte{0xcd, 400 >> 8, 400 & 0xff}) {
		t.Errorf("bad head: %q, %v", m.Data, err)
	}
	if line := logged.String(); strings.Count(line, "httpcompat") != 1 || !strings.Contains(line, ": malformed head: ") {
		t.Errorf("logged: %q", line)
	}
	bad.Discard()
	none, err := asking.Open(session.OpenOptions{Event: DefaultEvent, Last: true})
	if err != nil {
		t.Fatal(err)
	}
	var e *session.Error
	if _, err := none.Recv(); !errors.As(err, &e) || !e.Remote {
		t.Errorf("no head: %v", err)
	}
}

// A base context that ends ends what is derived from it.
func TestBaseContextEnds(t *testing.T) {
	base, cancel := context.WithCancelCause(context.Background())
	cause := make(chan error, 1)
	started := make(chan struct{})
	srv := &http.Server{
		BaseContext: func(net.Listener) context.Context { return base },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(started)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		}),
	}
	e, _ := launch(t, srv)
	answered := make(chan struct{})
	go func() { defer close(answered); fetch(e, httptest.NewRequest("GET", "/", nil)) }() // ends with the handler
	<-started
	why := errors.New("why")
	cancel(why)
	if err := wait(t, cause); err != why {
		t.Errorf("got %v", err)
	}
	<-answered
}
