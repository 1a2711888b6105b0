package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// A Server takes requests on all of its listeners. Its methods may be called
// from any goroutine, Serve once.
type Server struct {
	// Immutable after Open, handler after Serve.
	o       Options
	log     *slog.Logger
	srv     *http.Server
	lns     []listening
	certs   *certificates // nil: no TLS
	handler http.Handler
	limiter Limiter   // the handler, if it knows of limits
	limits  AppLimits // of requests of which nobody knows others
	handed  *handover // from loops to srv
	lanes   []*lane   // nil: everything is srv's
	turn    atomic.Uint64
	failed  chan error

	wg       sync.WaitGroup
	stopping atomic.Bool  // Shutdown or Close was called
	closed   atomic.Bool  // Close was called
	active   atomic.Int64 // requests being answered, upgraded connections among them
	requests atomic.Int64
	gone     atomic.Int64
	slow     *refusals // 408
	large    *refusals // 413
	many     *refusals // 431
	tallies  tallies   // of net/http's side

	mu     sync.Mutex
	onLoop []*loop.Listener
}

// A listening is a listener that has its address.
type listening struct {
	net.Listener
	tls   bool
	proxy bool
	url   string
}

// Stats is what a Server has counted. Only Active falls.
type Stats struct {
	Requests int64 `json:"requests"` // taken from clients
	Active   int64 `json:"active"`   // being answered, upgraded connections among them
	Gone     int64 `json:"gone"`     // clients that did not stay for the answer's end, logged as 499
	Refused  int64 `json:"refused"`  // answered with 408, 413 or 431 here; net/http's own 400s and 431s are not counted

	// Clients are the connections on loops. Turned are those that were reset for
	// being too many, HandedOver those that have left a loop for net/http, by reason.
	Clients    int64            `json:"clients"`
	Turned     int64            `json:"turned_away"`
	HandedOver map[string]int64 `json:"handed_over"`
}

// Open takes the addresses and reads the TLS files, without accepting anything
// yet: what connects meanwhile waits. An address that cannot be had is a
// *ListenError.
func Open(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &o.Limits
	s := &Server{o: o, log: o.Logger, limits: AppLimits{l.WriteTimeout, l.ResponseHeaderTimeout, l.MaxBody}, failed: make(chan error, len(o.Listeners)+1), handed: newHandover(),
		slow: newRefusals(http.StatusRequestTimeout), large: newRefusals(http.StatusRequestEntityTooLarge), many: newRefusals(http.StatusRequestHeaderFieldsTooLarge)}
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: o.Limits.ReadHeaderTimeout,
		ReadTimeout:       o.Limits.ReadTimeout,
		IdleTimeout:       o.Limits.IdleTimeout,
		MaxHeaderBytes:    o.Limits.MaxHeaderBytes,

		DisableGeneralOptionsHandler: true, // the worker's server decides
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	s.srv.Protocols.SetHTTP1(true)
	s.srv.Protocols.SetHTTP2(true)
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	if o.TLS.Cert != "" {
		if s.certs, err = newCertificates(o.TLS, o.Logger); err != nil {
			return nil, fmt.Errorf("front: TLS: %w", err)
		}
		s.srv.TLSConfig = &tls.Config{GetConfigForClient: s.certs.get, MinVersion: tls.VersionTLS12}
	}
	for _, l := range o.Listeners {
		ln, err := l.listen()
		if err != nil {
			s.Close()
			return nil, &ListenError{l, err}
		}
		s.lns = append(s.lns, s.listening(ln, l))
	}
	return s, nil
}

func (s *Server) listening(ln net.Listener, l Listener) listening {
	_, tcp := ln.Addr().(*net.TCPAddr)
	out := listening{Listener: ln, tls: tcp && s.certs != nil, proxy: l.Proxy}
	out.url = urlOf(ln.Addr(), out.tls, l.Proxy)
	if l.Proxy {
		p := &proxyListener{Listener: ln, trusted: s.o.Trusted, timeout: s.o.Limits.ReadHeaderTimeout, log: s.log}
		if p.timeout <= 0 {
			p.timeout = proxyTimeout
		}
		out.Listener = p
	}
	return out
}

// URLs is how clients reach the listeners, in their order.
func (s *Server) URLs() (urls []string) {
	for _, ln := range s.lns {
		urls = append(urls, ln.url)
	}
	return urls
}

// Serve begins to accept and returns. With a Backend, requests of HTTP/1.1 in
// clear that are simple are answered on its loops; all others, and without one
// all there are, by net/http with h answering.
func (s *Server) Serve(h http.Handler, b Backend) error {
	s.handler = h
	s.limiter, _ = h.(Limiter)
	if b != nil {
		for i, l := range b.Loops() {
			s.lanes = append(s.lanes, newLane(s, i, l, b))
		}
	}
	if len(s.lanes) > 0 {
		s.serve("a loop", s.handed, false)
	}
	for _, ln := range s.lns {
		if len(s.lanes) == 0 || ln.tls || ln.proxy {
			s.serve(ln.url, ln.Listener, ln.tls)
			continue
		}
		if err := s.serveOnLoops(ln); err != nil {
			return err
		}
	}
	return nil
}

// serve has net/http answer what a listener accepts.
func (s *Server) serve(name string, l net.Listener, tls bool) {
	if s.o.OnAccess != nil && !tls {
		l = refusedListener{l, s}
	}
	s.wg.Go(func() { // ends when the listener is closed, by Shutdown or Close
		serve := s.srv.Serve
		if tls {
			serve = func(l net.Listener) error { return s.srv.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) && !s.stopping.Load() {
			s.failed <- fmt.Errorf("the front at %s: %w", name, err)
		}
	})
}

// serveOnLoops has the first lane accept, and deal to all.
func (s *Server) serveOnLoops(ln listening) error {
	f, err := ln.Listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return fmt.Errorf("the front at %s: %w", ln.url, err)
	}
	defer f.Close()
	l, err := s.lanes[0].loop.ListenFile(f, s.accept, loop.ListenOptions{Deal: s.deal, MaxConns: s.o.Limits.MaxClients, Refuse: true})
	if err != nil {
		return fmt.Errorf("the front at %s: %w", ln.url, err)
	}
	s.mu.Lock()
	s.onLoop = append(s.onLoop, l)
	s.mu.Unlock()
	return nil
}

// deal chooses a connection's lane: that with the fewest, equals in turn.
func (s *Server) deal() *loop.Loop {
	first := int(s.turn.Add(1))
	best := s.lanes[first%len(s.lanes)]
	for i := range s.lanes {
		if ln := s.lanes[(first+i)%len(s.lanes)]; ln.open.Load() < best.open.Load() {
			best = ln
		}
	}
	return best.loop
}

// accept makes the handler of a connection, on its loop.
func (s *Server) accept(c *loop.Conn) loop.Handler {
	for _, ln := range s.lanes {
		if ln.loop == c.Loop() {
			return ln.accept(c)
		}
	}
	return nil
}

// Failed gives the errors of listeners that ended without being asked to.
func (s *Server) Failed() <-chan error { return s.failed }

// Active is how many requests are being answered.
func (s *Server) Active() int64 {
	n := s.active.Load()
	for _, ln := range s.lanes {
		n += ln.counted.active.Load()
	}
	return n
}

// Stats is what was counted until now.
func (s *Server) Stats() Stats {
	st := Stats{Requests: s.requests.Load(), Active: s.Active(), Gone: s.gone.Load(), Refused: s.slow.n.Load() + s.large.n.Load() + s.many.n.Load(), HandedOver: make(map[string]int64)}
	for _, ln := range s.lanes {
		st.Requests += ln.counted.requests.Load()
		st.Gone += ln.counted.gone.Load()
		st.Turned += int64(ln.loop.Stats().Refused)
		st.Clients += ln.open.Load()
		for r := range ln.counted.handedOver {
			if n := ln.counted.handedOver[r].Load(); n > 0 {
				st.HandedOver[reason(r).String()] += n
			}
		}
	}
	return st
}

// clients are the connections on loops.
func (s *Server) clients() (n int64) {
	for _, ln := range s.lanes {
		n += ln.open.Load()
	}
	return n
}

// onLanes runs a function for each lane, on its loop. One that has ended has no
// clients any more.
func (s *Server) onLanes(f func(*lane)) {
	for _, ln := range s.lanes {
		_ = ln.loop.Do(func() { f(ln) })
	}
}

// closeListeners stops accepting.
func (s *Server) closeListeners() {
	s.stopping.Store(true)
	for _, ln := range s.lns {
		_ = ln.Close() // as often as it likes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.onLoop {
		_ = l.Close() // as often as it likes
	}
}

// Shutdown stops accepting and waits for the requests that are being answered,
// those on upgraded connections too, which net/http forgets. It fails with ctx's
// error if that comes first; they go on until Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	s.onLanes((*lane).drain)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	wait := func(more func() bool) error {
		for more() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	// First the loops: until then connections may be handed over.
	if err := wait(func() bool { return s.clients() > 0 }); err != nil {
		return err
	}
	if err := s.srv.Shutdown(ctx); err != nil && ctx.Err() != nil {
		return err // any other is of a listener that was closed already
	}
	return wait(func() bool { return s.Active() > 0 })
}

// Close closes the listeners and every connection but those that a handler has
// taken over from net/http: they end with their sessions.
func (s *Server) Close() {
	s.closed.Store(true)
	s.closeListeners()
	s.onLanes((*lane).cut)
	_ = s.srv.Close() // the connections; their errors are of no use any more
	_ = s.handed.Close()
	s.wg.Wait()
	for end := time.Now().Add(time.Second); s.clients() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // their loops live as long as the Backend
	}
}
