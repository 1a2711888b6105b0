package httpcompat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// Handler answers each session as one request to h; nil is
// http.DefaultServeMux. It serves Heddle's sessions and those of real Cocaine
// runtimes, of either dialect, told apart by the session.
func Handler(h http.Handler) worker.Handler {
	return &handler{server: &http.Server{Handler: h}}
}

// ServerHandler is Handler for the handler of srv, and with what else of srv has a
// meaning for a request: see Serve, which is for whole programs.
func ServerHandler(srv *http.Server) worker.Handler {
	h := &handler{server: srv}
	if srv.BaseContext != nil {
		h.base = srv.BaseContext(newListener(""))
	}
	return h
}

// A handler is a server's http.Handler as a worker's. Of the server it reads
// Handler, ErrorLog, ConnContext, MaxHeaderBytes and the time-outs.
type handler struct {
	server *http.Server
	base   context.Context // of the server's BaseContext; nil for none

	stamp atomic.Pointer[dateStamp] // the last Date that was needed
}

// A dateStamp is the text of one second.
type dateStamp struct {
	second int64 // unix
	text   string
}

// date is the Date header's value now.
func (h *handler) date() string {
	now := time.Now()
	d := h.stamp.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateStamp{now.Unix(), now.UTC().Format(http.TimeFormat)}
		h.stamp.Store(d)
	}
	return d.text
}

// logf writes to the server's ErrorLog, else to the default logger.
func (h *handler) logf(format string, args ...any) {
	if h.server.ErrorLog != nil {
		h.server.ErrorLog.Printf(format, args...)
		return
	}
	slog.Error(fmt.Sprintf(format, args...))
}

// An exchange is one request and its response: all that a handler gets, and so
// all that it may keep, in one allocation beside the http.Request itself. It is
// never used again.
type exchange struct {
	ctx  requestContext
	url  requestURL
	body body
	resp response
}

// blank is what requests are made of: WithContext is the one way to give a
// request its context, and copies.
var blank http.Request

// ServeInvoke answers one request. It returns when the handler has.
func (h *handler) ServeInvoke(ctx context.Context, s *session.Session) {
	data, err := h.receive(s)
	if err != nil {
		s.Abort(&session.Error{ID: s.ID(), Category: heddle.CategoryProtocol, Code: 1, Msg: "no request head: " + err.Error()})
		return
	}
	if limit := h.server.MaxHeaderBytes; limit > 0 && len(data) > limit && s.Mux().Heddle() {
		h.refuse(s, http.StatusRequestHeaderFieldsTooLarge)
		return
	}
	x, sc := new(exchange), getScratch()
	r, err := h.request(ctx, x, sc, s, data)
	if err != nil {
		putScratch(sc)
		h.logf("httpcompat: session %d: %s", s.ID(), strings.TrimPrefix(err.Error(), "httpcompat: "))
		h.refuse(s, http.StatusBadRequest)
		return
	}
	h.serve(x, r, sc)
}

// receive waits for the first chunk. It is lent until the session is read
// again.
func (h *handler) receive(s *session.Session) ([]byte, error) {
	if t := h.server.ReadTimeout; t > 0 {
		_ = s.SetReadDeadline(time.Now().Add(t)) // until the body's end
	}
	if t := h.server.ReadHeaderTimeout; t > 0 && !s.Buffered() {
		_ = s.SetReadDeadline(time.Now().Add(t))
		defer func() { _ = s.SetReadDeadline(h.readDeadline()) }()
	}
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if m.Kind == session.Chunk {
			return m.Data, nil
		}
		m.Drop() // requests bring none
	}
}

func (h *handler) readDeadline() time.Time {
	if t := h.server.ReadTimeout; t > 0 {
		return time.Now().Add(t)
	}
	return time.Time{}
}

// request makes the http.Request of the head in data.
//
// What a small GET allocates on this side: the exchange, the Request, the
// arena, the header map with its table, the values' backing; and for the
// answer the handler's header map and what it puts there.
func (h *handler) request(ctx context.Context, x *exchange, sc *scratch, s *session.Session, data []byte) (*http.Request, error) {
	if err := codec.DecodeRequestHead(&sc.req, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errHead, err)
	}
	x.ctx = requestContext{Context: ctx, base: h.base, server: h.server}
	r := blank.WithContext(&x.ctx)
	plain := codec.ArgCount(data) == 5
	var err error
	if x.ctx.local, x.ctx.id, err = sc.fill(r, &x.url, data, plain); err != nil {
		return nil, err
	}
	whole := plain
	if r.RemoteAddr == "" { // a plain client's, too, but that its body follows: see RequestExtra
		plain, r.RemoteAddr = true, plainRemote(r.Header)
	}
	if plain {
		nameRequest(ctx, r)
	}
	// A plain request on a session with extensions is relayed: who asked knows none.
	x.resp = response{h: h, s: s, req: r, sc: sc, length: -1, heddle: s.Mux().Heddle() && !plain, v0: s.Mux().Dialect() == heddle.V0, body: &x.body, local: x.ctx.local}
	r.Body = http.NoBody
	if r.ProtoMajor >= 2 {
		x.body.err = io.EOF
		r.Body = &x.body // where net/http has none of its NoBody
	}
	if r.ContentLength != 0 {
		x.body.s, x.body.req, x.body.left, x.body.err = s, r, r.ContentLength, nil
		x.body.whole, x.body.plain = whole, sc.req.Body
		if x.resp.heddle && expectsContinue(r) {
			x.body.continues.Store(true)
		}
		r.Body = &x.body
	}
	if cc := h.server.ConnContext; cc != nil {
		c := cc(&x.ctx, clientConn{x.ctx.local, r.RemoteAddr})
		if c == nil {
			panic("httpcompat: ConnContext returned nil")
		}
		r = r.WithContext(c)
		x.resp.req, x.body.req = r, r
	}
	return r, nil
}

// nameRequest gives a request of a Cocaine proxy its id: that is the trace's, in 16
// hexadecimal digits, and proxies say it to their clients alone (PROTOCOL 4). An id
// in the request's own header stays.
func nameRequest(ctx context.Context, r *http.Request) {
	const name = "X-Request-Id"
	if t := session.TraceOf(ctx); t.TraceID != 0 && r.Header[name] == nil {
		r.Header[name] = []string{fmt.Sprintf("%016x", t.TraceID)}
	}
}

// serve calls the http.Handler and ends the response. A handler that panics
// breaks it, and so does one that calls runtime.Goexit.
func (h *handler) serve(x *exchange, r *http.Request, sc *scratch) {
	w := &x.resp
	defer func() {
		if w.sc != nil {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				h.logf("httpcompat: panic serving %s %s to %s: %v\n%s", r.Method, r.RequestURI, r.RemoteAddr, v, debug.Stack())
			}
			x.body.over.Store(true)
			if w.conn == nil {
				w.s.Abort(errAborted)
			}
		}
		if x.body.s != nil {
			x.body.release()
		}
		w.sc = nil
		putScratch(sc)
		if w.conn != nil {
			w.conn.wait() // the session is the connection's
		}
	}()
	if h.base != nil && h.base.Done() != nil {
		c, cancel := context.WithCancelCause(r.Context())
		defer context.AfterFunc(h.base, func() { cancel(context.Cause(h.base)) })()
		defer cancel(nil)
		r = r.WithContext(c)
		w.req, x.body.req = r, r
	}
	if t := h.server.WriteTimeout; t > 0 {
		_ = w.s.SetWriteDeadline(time.Now().Add(t))
	}
	h.handlerFor(r).ServeHTTP(w.writer(), r)
	x.body.over.Store(true)
	if w.conn == nil {
		w.finish()
	}
	w.sc = nil
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // what is left in the temporary folder is the system's to clean
	}
}

// errAborted is what a broken response ends with.
var errAborted = &session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeException, Msg: "handler aborted the response"}

// handlerFor is who answers r.
func (h *handler) handlerFor(r *http.Request) http.Handler {
	if r.RequestURI == "*" && r.Method == "OPTIONS" && !h.server.DisableGeneralOptionsHandler {
		return http.HandlerFunc(options)
	}
	if h.server.Handler == nil {
		return http.DefaultServeMux
	}
	return h.server.Handler
}

// options answers OPTIONS *. A body is read as far as net/http reads it.
func options(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "0")
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 4<<10)); errors.As(err, new(*http.MaxBytesError)) && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// refuse answers a request that no handler sees.
func (h *handler) refuse(s *session.Session, code int) {
	text := fmt.Sprintf("%d %s", code, http.StatusText(code))
	head := codec.AppendArray(appendStatus([]byte{0x92}, code), 3)
	head = appendField(head, "Content-Type", "text/plain; charset=utf-8")
	head = appendField(head, "Content-Length", decimal(int64(len(text))))
	head = appendField(head, "Connection", "close")
	body := []byte(text)
	if s.Mux().Dialect() == heddle.V0 {
		body = codec.AppendRaw(nil, body)
	}
	if err := s.Finish(head, body); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.Abort(err)
	}
}
