package httpcompat

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/worker"
)

// ListenAndServe is http.ListenAndServe for programs that an engine may start:
// then addr is not used and requests come as sessions, or under heddle run --http
// in plain HTTP to the address that the engine has told (see Serve).
//
// It returns only on failure. When the engine has drained this worker, which
// is how every deploy ends it, the process exits with status 0, so that
// log.Fatal around this call does not turn an orderly end into a failure. A
// program that has things left to do calls Serve.
func ListenAndServe(addr string, h http.Handler) error {
	err := Serve(&http.Server{Addr: addr, Handler: h})
	if _, launched := worker.Launched(); launched && errors.Is(err, http.ErrServerClosed) {
		os.Exit(0)
	}
	return err
}

// Serve serves srv: started by an engine it answers sessions until the engine
// drains it or srv is shut down, else it is srv.ListenAndServe. After an
// orderly end it returns http.ErrServerClosed; other errors are the worker's,
// such as worker.ErrDisowned.
//
// Under an engine these parts of srv have a meaning:
//
//   - Handler, ErrorLog, DisableGeneralOptionsHandler: as ever.
//   - BaseContext: called once, with a listener whose address is the engine's
//     endpoint.
//   - ConnContext: called for each request, with a connection that has the
//     client's addresses and nothing else; the connection itself is the front's.
//   - ReadTimeout: from the request's start until its body was read;
//     ReadHeaderTimeout: until its head has come; WriteTimeout: from its head
//     until the last write. Each is the request's own.
//   - MaxHeaderBytes: a longer head is answered with 431. The front's own limit
//     comes first.
//   - RegisterOnShutdown: the functions run on Shutdown, and when the engine
//     drains the worker, so that long streams can be told to end.
//   - Shutdown asks the engine for no more
//     requests and returns when those at hand are answered, within 30 s; of its
//     context it only knows this.
//   - Close: ends at once, and breaks what is being answered.
//
// Under heddle run --http there are no sessions: a server that is configured as srv
// is serves plain HTTP on the socket of LISTEN_FDS, or on PORT of 127.0.0.1 if
// LISTEN_PID is another process's, and the program is attached to the engine
// (worker.Attach). When that drains it, what RegisterOnShutdown was given runs, and
// Serve returns when the engine has no request for it any more and says so by
// SIGTERM. Shutdown asks for that, and returns with Serve. RemoteAddr is that of
// the daemon's connection, which on a unix socket is none; X-Forwarded-For has the
// client's. Only TLSConfig, TLSNextProto and SetKeepAlivesEnabled have no meaning then.
//
// Otherwise Addr, TLSConfig, TLSNextProto, IdleTimeout, ConnState, Protocols, HTTP2 and
// SetKeepAlivesEnabled concern the front's connections, and have none here.
func Serve(srv *http.Server) error {
	launch, ok := worker.Launched()
	if !ok {
		return srv.ListenAndServe()
	}
	if launch.HTTP {
		return serveItself(srv, launch)
	}
	return serveSessions(srv, launch, worker.Options{})
}

// serveSessions serves srv as the worker that launch describes.
func serveSessions(srv *http.Server, launch *worker.Launch, o worker.Options) error {
	if srv.ErrorLog != nil && o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(srv.ErrorLog.Writer(), nil))
	}
	l := newListener(launch.Endpoint)
	// The engine's drain is a Shutdown as far as the program can tell: what it
	// registered for one runs. The engine's deadline counts, and no other.
	var drained atomic.Bool
	onDrain := o.OnDrain
	o.OnDrain = func(deadline time.Duration) {
		if onDrain != nil {
			onDrain(deadline)
		}
		select {
		case <-l.closed: // by the program's own Shutdown, to which this is the answer
		default:
			drained.Store(true)
			go srv.Shutdown(context.Background()) // ends with the worker, when l.finish was called
		}
	}
	w, err := worker.New(o)
	if err != nil {
		return err
	}
	h := &handler{server: srv}
	if launch.Heddle {
		w.Handle(DefaultEvent, h)
	} else {
		w.HandleFallback(h) // real applications name their events as they like
	}

	srv.RegisterOnShutdown(l.shutdown) // stays; once we have returned it does nothing
	served, err := accept(srv, l, h)
	if err != nil {
		_ = w.Close()
		return err
	}

	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }() // ends with the worker
	select {
	case err = <-ran:
	case <-l.closed:
		if drained.Load() {
			err = <-ran
			break
		}
		shutdown := l.wasShutdown()
		leave() // Run asks to be drained, and returns within ShutdownTimeout
		if shutdown {
			err = <-ran
		} else {
			err = abandon(w, ran)
		}
	}
	l.finish()
	<-served
	if err == nil || errors.Is(err, worker.ErrClosed) {
		return http.ErrServerClosed
	}
	return err
}

// accept has srv serve l, whose end is told to served, and h know its base
// context. The error says that srv was shut down before.
func accept(srv *http.Server, l *listener, h *handler) (served <-chan error, err error) {
	if base := srv.BaseContext; base != nil {
		// Only while srv asks for it, which is before its first Accept.
		srv.BaseContext = func(nl net.Listener) context.Context {
			ctx := base(nl)
			if nl == net.Listener(l) {
				h.base = ctx
			}
			return ctx
		}
		defer func() { srv.BaseContext = base }()
	}
	end := make(chan error, 1)
	go func() { end <- srv.Serve(l) }() // ends when l.finish was called
	select {
	case <-l.accepting:
		return end, nil
	case err := <-end:
		return nil, err
	}
}

// abandon closes w until Run has noticed: it may only now be connecting.
func abandon(w *worker.Worker, ran <-chan error) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_ = w.Close() // never fails
		select {
		case <-ran:
			return nil
		case <-again.C:
		}
	}
}

// shutdownNotice is how long a Close may wait to be told from a Shutdown. The
// function that Shutdown calls runs on a goroutine that was started before;
// only its turn has to come.
const shutdownNotice = 200 * time.Millisecond

// A listener stands in for the worker's channels in front of an http.Server,
// so that the server's own Shutdown and Close reach the worker. It accepts
// nothing. Both close it and then wait until the server's Serve has returned,
// that is, until Accept has: after the worker's end.
type listener struct {
	addr      net.Addr
	accepting chan struct{} // closed at the first Accept
	closed    chan struct{} // closed by Close
	down      chan struct{} // closed by Shutdown
	over      chan struct{} // closed when the worker has ended

	acceptOnce, closeOnce, downOnce, overOnce sync.Once
}

func newListener(endpoint string) *listener {
	return &listener{
		addr:      parseAddr(trimUnix(endpoint)),
		accepting: make(chan struct{}),
		closed:    make(chan struct{}),
		down:      make(chan struct{}),
		over:      make(chan struct{}),
	}
}

// Accept returns net.ErrClosed when the worker has ended, and nothing before.
func (l *listener) Accept() (net.Conn, error) {
	l.acceptOnce.Do(func() { close(l.accepting) })
	<-l.over
	return nil, net.ErrClosed
}

// Close is called by the server's Shutdown and Close, under its lock.
func (l *listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return nil
}

// Addr is the engine's endpoint.
func (l *listener) Addr() net.Addr { return l.addr }

// shutdown is called by the server's Shutdown, after Close.
func (l *listener) shutdown() { l.downOnce.Do(func() { close(l.down) }) }

// finish lets Accept return.
func (l *listener) finish() { l.overOnce.Do(func() { close(l.over) }) }

// wasShutdown says whether it was Shutdown that called Close.
func (l *listener) wasShutdown() bool {
	t := time.NewTimer(shutdownNotice)
	defer t.Stop()
	select {
	case <-l.down:
		return true
	case <-t.C:
		return false
	}
}

func trimUnix(endpoint string) string {
	const scheme = "unix:"
	if len(endpoint) > len(scheme) && endpoint[:len(scheme)] == scheme {
		return endpoint[len(scheme):]
	}
	return endpoint
}
