package httpcompat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/worker"
)

const (
	// whoseTerm is how long after a SIGTERM its engine's drain may be on the way
	// yet. Whoever else has sent it, the engine is asked for the drain.
	whoseTerm = 100 * time.Millisecond

	// secondTerm is how long then the engine's own SIGTERM is waited for, which
	// comes when nothing is under way.
	secondTerm = time.Second

	// lastWord is how long what is under way may take after that: less than the
	// engine waits from SIGTERM on.
	lastWord = 4 * time.Second

	firstDescriptor = 3 // of LISTEN_FDS, sd_listen_fds(3)
)

// serveItself serves srv in plain HTTP as a worker of heddle run --http, which it
// attaches to.
func serveItself(srv *http.Server, launch *worker.Launch) error {
	real, err := given()
	if err != nil {
		return fmt.Errorf("httpcompat: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // a terminal's Ctrl-C is for the engine
	defer signal.Stop(signals)
	draining := worker.Draining() // attaches; if that fails, which is logged, the program serves all the same
	// The program's server only stands for the real one, so that its Shutdown and
	// Close reach the engine first: net/http drops requests that come after one.
	l := newListener(launch.Endpoint)
	l.addr = real.Addr()
	h := &handler{}
	srv.RegisterOnShutdown(l.shutdown) // stays; once we have returned it does nothing
	stands, err := accept(srv, l, h)
	if err != nil { // it was shut down before
		_ = real.Close()
		return err
	}
	own := doubleOf(srv, h.base)
	served := make(chan error, 1)
	go func() { served <- own.Serve(real) }() // ends with own
	finish := func(err error) error {
		l.finish()
		<-stands
		return err
	}
	// end accepts nothing more, and lets what is under way end.
	end := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastWord)
		defer cancel()
		err := own.Shutdown(ctx)
		if err != nil {
			_ = own.Close()
			return finish(fmt.Errorf("httpcompat: ended with requests under way: %w", err))
		}
		return finish(http.ErrServerClosed)
	}
	closed := (<-chan struct{})(l.closed)
	drained := false
	var termed, late <-chan time.Time
	for {
		select {
		case err := <-served:
			return finish(err)
		case <-draining:
			draining, drained = nil, true
			if termed != nil {
				return end()
			}
			if closed != nil { // else the program has done so
				closed = nil
				go srv.Shutdown(context.Background()) // ends with finish; what the program registered for one runs
			}
		case <-closed:
			closed = nil
			if !l.wasShutdown() {
				_ = own.Close()
				return finish(http.ErrServerClosed)
			}
			leave()
		case sig := <-signals:
			switch {
			case sig == os.Interrupt:
			case drained || late != nil:
				return end()
			case termed == nil:
				termed = time.After(whoseTerm)
			}
		case <-termed:
			termed = nil
			leave()
			late = time.After(secondTerm)
		case <-late:
			return end()
		}
	}
}

// doubleOf is a server that answers as srv does, with base as its context if srv
// wants one of its own.
func doubleOf(srv *http.Server, base context.Context) *http.Server {
	own := &http.Server{
		Handler: srv.Handler, DisableGeneralOptionsHandler: srv.DisableGeneralOptionsHandler,
		ReadTimeout: srv.ReadTimeout, ReadHeaderTimeout: srv.ReadHeaderTimeout, WriteTimeout: srv.WriteTimeout, IdleTimeout: srv.IdleTimeout,
		MaxHeaderBytes: srv.MaxHeaderBytes, ConnState: srv.ConnState, ErrorLog: srv.ErrorLog, ConnContext: srv.ConnContext,
		HTTP2: srv.HTTP2, Protocols: srv.Protocols,
	}
	if srv.BaseContext != nil {
		own.BaseContext = func(net.Listener) context.Context { return base }
	}
	return own
}

// leave asks the engine to give the process no more requests, and then to end it.
func leave() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWord)
	go func() { // ends with the drain, or with ctx
		defer cancel()
		if w, err := worker.Attach(ctx); err == nil {
			_ = w.Shutdown(ctx) // an error: the channel has ended, and SIGTERM is what counts
		}
	}()
}

// given is where the engine asks: the socket that listens, or if that was meant for
// a parent, PORT.
func given() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		_ = os.Unsetenv("LISTEN_PID") // whoever serves next has no descriptor 3, and must not close another's
		f := os.NewFile(firstDescriptor, "LISTEN_FDS")
		defer f.Close()
		return net.FileListener(f)
	}
	port := os.Getenv("PORT")
	if port == "" {
		return nil, errors.New("neither LISTEN_FDS nor PORT says where to serve")
	}
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
}
