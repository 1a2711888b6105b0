package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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
	failed  chan error

	wg       sync.WaitGroup
	closed   atomic.Bool  // Close was called
	active   atomic.Int64 // requests being answered, upgraded connections among them
	requests atomic.Int64
	gone     atomic.Int64
	refused  atomic.Int64
}

// A listening is a listener that has its address.
type listening struct {
	net.Listener
	tls bool
	url string
}

// Stats is what a Server has counted. Only Active falls.
type Stats struct {
	Requests int64 `json:"requests"` // taken from clients
	Active   int64 `json:"active"`   // being answered, upgraded connections among them
	Gone     int64 `json:"gone"`     // clients that did not stay for the answer's end, logged as 499
	Refused  int64 `json:"refused"`  // answered with 413 or 431 here; net/http's own refusals are not counted
}

// Open takes the addresses and reads the TLS files, without accepting anything
// yet: what connects meanwhile waits. An address that cannot be had is a
// *ListenError.
func Open(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, log: o.Logger, failed: make(chan error, len(o.Listeners))}
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: o.Limits.ReadHeaderTimeout,
		ReadTimeout:       o.Limits.ReadTimeout,
		IdleTimeout:       o.Limits.IdleTimeout,
		MaxHeaderBytes:    o.Limits.MaxHeaderBytes,
		Protocols:         new(http.Protocols),
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
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
	out := listening{Listener: ln, tls: tcp && s.certs != nil}
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

// Serve begins to accept, with h answering, and returns.
func (s *Server) Serve(h http.Handler) {
	s.handler = h
	for _, ln := range s.lns {
		s.wg.Go(func() { // ends when the listener is closed, by Shutdown or Close
			serve := s.srv.Serve
			if ln.tls {
				serve = func(l net.Listener) error { return s.srv.ServeTLS(l, "", "") }
			}
			if err := serve(ln.Listener); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("the front at %s: %w", ln.url, err)
			}
		})
	}
}

// Failed gives the errors of listeners that ended without being asked to.
func (s *Server) Failed() <-chan error { return s.failed }

// Active is how many requests are being answered.
func (s *Server) Active() int64 { return s.active.Load() }

// Stats is what was counted until now.
func (s *Server) Stats() Stats {
	return Stats{Requests: s.requests.Load(), Active: s.active.Load(), Gone: s.gone.Load(), Refused: s.refused.Load()}
}

// Shutdown stops accepting and waits for the requests that are being answered,
// those on upgraded connections too, which net/http forgets. It fails with ctx's
// error if that comes first; they go on until Close.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.srv.Shutdown(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.active.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close closes the listeners and every connection but those that were
// hijacked.
func (s *Server) Close() {
	s.closed.Store(true)
	_ = s.srv.Close() // the connections; their errors are of no use any more
	for _, ln := range s.lns {
		_ = ln.Close() // closed already if it was served
	}
	s.wg.Wait()
}
