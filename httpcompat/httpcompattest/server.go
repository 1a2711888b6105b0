// Package httpcompattest tests http.Handlers with sessions in between.
//
// [NewServer] is httptest.NewServer whose requests reach the handler as
// sessions over an in-memory channel; [NewProxy] is the http.Handler that asks,
// without a server in front.
package httpcompattest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
	"github.com/heddle-go/heddle/worker"
)

// A Server is an httptest.Server in front of a Proxy.
type Server struct {
	*httptest.Server
	Proxy *Proxy
}

// NewServer starts a server whose handler is h, with sessions in between.
func NewServer(h http.Handler) *Server {
	p := NewProxy(h)
	return &Server{httptest.NewServer(p), p}
}

// Close ends the server and then the channel.
func (s *Server) Close() {
	s.Server.Close()
	s.Proxy.Close()
}

// A Proxy is an http.Handler that asks another one through sessions, in the
// same process.
type Proxy struct {
	httpcompat.Proxy
	channel *channel
}

// NewProxy returns a Proxy that asks h as an engine asks a Heddle worker.
func NewProxy(h http.Handler) *Proxy {
	return NewWorkerProxy(httpcompat.Handler(h), session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
}

// NewServerProxy is NewProxy for the handler of srv as httpcompat.Serve would
// serve it: with srv's ErrorLog, contexts and time-outs.
func NewServerProxy(srv *http.Server) *Proxy {
	own := &http.Server{
		Handler: srv.Handler, DisableGeneralOptionsHandler: srv.DisableGeneralOptionsHandler, ErrorLog: srv.ErrorLog,
		BaseContext: srv.BaseContext, ConnContext: srv.ConnContext, MaxHeaderBytes: srv.MaxHeaderBytes,
		ReadTimeout: srv.ReadTimeout, ReadHeaderTimeout: srv.ReadHeaderTimeout, WriteTimeout: srv.WriteTimeout,
	}
	return NewWorkerProxy(httpcompat.ServerHandler(own), session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
}

// NewWorkerProxy returns a Proxy that asks any worker.Handler over a channel
// of these options. Without Heddle it asks as a real Cocaine runtime does.
func NewWorkerProxy(h worker.Handler, o session.ChannelOptions) *Proxy {
	c := newChannel(h, o)
	return &Proxy{httpcompat.Proxy{Opener: c, Plain: !o.Heddle}, c}
}

// Close ends the channel and returns when every handler has. Requests that are
// being answered break.
func (p *Proxy) Close() { p.channel.close() }

// Mux is the asking end of the channel.
func (p *Proxy) Mux() *session.Mux { return p.channel.mux }

// A channel is an in-memory channel with a worker's handler at its far end.
type channel struct {
	mux       *session.Mux     // the engine's end
	near, far *sessiontest.End // the engine's and the worker's

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup // handlers at work; nobody is added once closed
}

var errClosed = errors.New("httpcompattest: closed")

func newChannel(h worker.Handler, o session.ChannelOptions) *channel {
	c := &channel{}
	c.near, c.far = sessiontest.New()
	c.mux = session.NewMux(c.near, session.Options{ChannelOptions: o, TraceHeaders: true})
	o.Dialed = true
	c.near.Start(c.mux)
	c.far.Start(session.NewMux(c.far, session.Options{ChannelOptions: o, Accept: func(s *session.Session) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			return errClosed
		}
		c.serving.Go(func() { // ends when the handler returns
			h.ServeInvoke(s.Context(), s)
			_ = s.Close()
			s.Discard()
		})
		return nil
	}}))
	return c
}

// Open opens a session on the worker's end.
func (c *channel) Open(_ context.Context, o session.OpenOptions) (*session.Session, error) {
	return c.mux.Open(o)
}

func (c *channel) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.near.Abort(nil)
	c.near.Wait()
	c.far.Wait()
	c.serving.Wait()
}
