package front

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// An exchange is one request and its answer, as an http.ResponseWriter around
// the server's. One goroutine writes; the body may be read by another.
type exchange struct {
	http.ResponseWriter // the server's

	s      *Server
	r      *http.Request
	rc     http.ResponseController // of the server's writer
	id     string
	begun  time.Time
	facts  facts
	body   requestBody
	limits *AppLimits
	late   atomic.Bool // reading was given an end: if it failed then, nobody knows about the client

	head     bool  // the answer's head was written
	over     bool  // 413 was given in the answer's place, the rest of which is dropped
	hijacked bool  // the connection is the handler's
	whole    bool  // all of an answer that says how long it is was written, and the client was there
	length   int64 // bytes that the answer says it has; -1: it does not say
	sent     int64 // bytes of it
	code     int   // status that was sent; 0: none
	tag      any   // of who was asked last
	returned bool  // the handler has, and did not panic
	gone     bool  // the client did not stay for the answer's end
}

// serveHTTP answers one request.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Add(-1)
	s.requests.Add(1)
	x := &exchange{ResponseWriter: w, s: s, r: r, limits: &s.limits, begun: time.Now(), length: -1}
	x.rc = *http.NewResponseController(w)
	if s.o.OnAccess != nil {
		defer x.tellAccess()
	}
	if s.o.Tallies {
		defer x.count()
	}
	fields := countFields(r.Header)
	x.id = x.facts.enter(r, s.o.Trusted, s.o.ShortIDs)
	if fields > s.o.Limits.MaxHeaders {
		x.refuse(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request has more than %d header fields", s.o.Limits.MaxHeaders))
		return
	}
	if s.limiter != nil {
		if of := s.limiter.LimitsOf(r); of != nil {
			x.limits = of
		}
		_ = x.rc.SetWriteDeadline(time.Time{}) // of another app; fails where the connection has gone
	}
	if limit := x.limits.MaxBody; limit > 0 && r.ContentLength > limit {
		x.refuse(http.StatusRequestEntityTooLarge, tooLarge(limit))
		return
	}
	x.setWriteDeadline(false) // one may be left from the request before
	defer x.end()
	s.handler.ServeHTTP(x, x.limited())
	x.returned = true
}

// end is called when the handler has returned, or panics.
func (x *exchange) end() {
	if !x.hijacked {
		x.setWriteDeadline(true) // for what the server has still to write
	}
	if x.r.Context().Err() == nil || x.hijacked || x.whole || x.late.Load() || x.s.closed.Load() {
		return
	}
	x.gone = true
	x.s.gone.Add(1)
	x.s.log.LogAttrs(x.r.Context(), slog.LevelInfo, "front: the client has gone", slog.Int("status", 499), slog.String("request", x.id),
		slog.String("method", x.r.Method), slog.String("uri", x.r.RequestURI), slog.Duration("duration", time.Since(x.begun)), slog.Int64("sent", x.sent))
}

// count enters the request in the tally of who answered it.
func (x *exchange) count() {
	code, took := x.code, time.Duration(-1)
	switch {
	case x.gone:
		code = statusGone
	case x.hijacked:
		code = http.StatusSwitchingProtocols
	case code == 0 && x.returned:
		code = http.StatusOK // by net/http
	}
	if !x.hijacked {
		took = time.Since(x.begun)
	}
	t := x.s.tallies.of(x.tag)
	t.add(methodOf(x.r.Method), code, took)
	if x.head && !x.returned && !x.gone {
		t.broken.Add(1)
	}
}

// AskedOf is told by httpcompat.Proxy and upstream.Proxy whose session or place the
// request was given to, or who had none for it.
func (x *exchange) AskedOf(tag any) { x.tag = tag }

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader writes a head: the handler's, or 413 if the body had more bytes
// than it may, and the handler saw only a part of it.
func (x *exchange) WriteHeader(code int) {
	if x.over {
		return
	}
	if (code >= 200 || code == http.StatusSwitchingProtocols) && !x.head {
		if x.body.over.Load() {
			x.over = true
			clear(x.Header())
			x.refuse(http.StatusRequestEntityTooLarge, tooLarge(x.limits.MaxBody))
			return
		}
		x.head, x.code = true, code
		if x.r.Method == http.MethodHead || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified {
			x.length = 0
		} else if vv := x.Header()["Content-Length"]; len(vv) == 1 {
			if n, err := strconv.ParseInt(vv[0], 10, 64); err == nil {
				x.length = n
			}
		}
		x.check()
	}
	x.ResponseWriter.WriteHeader(code)
}

// check looks whether all is written, before the client may go.
func (x *exchange) check() {
	x.whole = x.whole || x.length == x.sent && x.r.Context().Err() == nil
}

// ExpectLength tells of an answer whose Content-Length the server will find out
// by itself.
func (x *exchange) ExpectLength(n int64) {
	if !x.head {
		x.length = n
	}
}

// Write writes a piece of the body.
func (x *exchange) Write(p []byte) (int, error) {
	if !x.head {
		x.WriteHeader(http.StatusOK)
	}
	if x.over {
		return len(p), nil
	}
	x.setWriteDeadline(true)
	n, err := x.ResponseWriter.Write(p)
	x.setWriteDeadline(false)
	x.sent += int64(n)
	x.check()
	return n, err
}

// FlushError is for http.ResponseController.
func (x *exchange) FlushError() error {
	if x.over {
		return nil
	}
	if !x.head {
		x.WriteHeader(http.StatusOK)
	}
	x.setWriteDeadline(true)
	defer x.setWriteDeadline(false)
	return x.rc.Flush()
}

// Hijack is for http.ResponseController.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := x.rc.Hijack()
	x.hijacked = x.hijacked || err == nil
	return c, rw, err
}

// SetReadDeadline is for http.ResponseController. The server takes a read that
// a deadline has ended for a client that has gone.
func (x *exchange) SetReadDeadline(t time.Time) error {
	if x.r.Context().Err() == nil {
		x.late.Store(true)
	}
	return x.rc.SetReadDeadline(t)
}

// setWriteDeadline sets the time-out of a write, or lifts it. With HTTP/2 one
// that passes ends the stream whether something is being written or not.
func (x *exchange) setWriteDeadline(on bool) {
	d := x.limits.WriteTimeout
	if d <= 0 {
		return
	}
	var t time.Time
	if on {
		t = time.Now().Add(d)
	}
	_ = x.rc.SetWriteDeadline(t) // fails where the connection has gone
}

// refuse answers by ourselves, and names the request.
func (x *exchange) refuse(code int, why string) {
	r := x.s.large
	if code == http.StatusRequestHeaderFieldsTooLarge {
		r = x.s.many
	}
	r.add(x.s.log, x.id, x.r.RemoteAddr, why)
	w := x.ResponseWriter
	if x.r.ProtoMajor == 1 { // HTTP/2 would end other requests by it
		w.Header().Set("Connection", "close")
		// The server looks for the rest of a short body before it closes, however
		// long that takes to come.
		_ = x.SetReadDeadline(time.Now().Add(lingerTime)) // fails where the connection has gone
	}
	text := fmt.Sprintf("%d %s: %s (request %s)", code, http.StatusText(code), why, x.id)
	x.code, x.sent = code, int64(len(text)+1)
	http.Error(w, text, code)
}

// How long a client may go on sending a body that nobody wants, and how much; the
// bytes are net/http's.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

func tooLarge(limit int64) string { return fmt.Sprintf("the body has more than %d bytes", limit) }

func countFields(h http.Header) (n int) {
	for _, vv := range h {
		n += len(vv)
	}
	return n
}

// A requestBody is a request's body under the front's limits.
type requestBody struct {
	io.ReadCloser // the server's, or a MaxBytesReader around it

	x    *exchange
	r    *http.Request // the handler's
	over atomic.Bool   // it had more bytes than it may
}

// limited returns the request for the handler. Limits on the body, and what may
// not come behind it, need a body of our own, and then the request is a copy: the server looks at what kind of
// body its own has.
//
// The time-out of a request's coming ends with its last byte: the server goes on
// reading, to see the client leave.
func (x *exchange) limited() *http.Request {
	l := &x.s.o.Limits
	if x.r.Body == nil || x.r.Body == http.NoBody {
		x.liftReadDeadline()
		return x.r
	}
	long := x.limits.MaxBody > 0 && x.r.ContentLength < 0 // a length that was said has been looked at, and the server keeps it
	trailers := x.r.ContentLength < 0 || x.r.ProtoMajor > 1
	if l.ReadTimeout <= 0 && !long && !trailers {
		return x.r
	}
	dropFacts(x.r.Trailer)
	r := new(http.Request)
	*r = *x.r
	x.body.ReadCloser, x.body.x, x.body.r = x.r.Body, x, r
	if long {
		// Without the writer, whose header it would set while the handler does.
		x.body.ReadCloser = http.MaxBytesReader(nil, x.r.Body, x.limits.MaxBody)
	}
	r.Body = &x.body
	return r
}

func (x *exchange) liftReadDeadline() {
	if x.s.o.Limits.ReadTimeout > 0 {
		_ = x.rc.SetReadDeadline(time.Time{}) // fails where the connection has gone
	}
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		b.r.Trailer = b.x.r.Trailer // the server has entered them by now
		dropFacts(b.r.Trailer)
		b.x.liftReadDeadline()
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.x.late.Store(true)
	default:
		if e := (*http.MaxBytesError)(nil); errors.As(err, &e) {
			b.over.Store(true)
		}
	}
	return n, err
}
