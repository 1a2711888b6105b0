package gateway

import (
	"errors"
	"net/http"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
)

// errClosed reports a Gateway after Close.
var errClosed = errors.New("gateway: closed")

// A busy error is told to clients as 503, with Retry-After.
type busy struct{ why string }

func (e *busy) Error() string             { return "gateway: " + e.why }
func (e *busy) Why() string               { return e.why }
func (e *busy) RetryAfter() time.Duration { return time.Second }

var (
	errWaiting  = &busy{"too many requests wait for a connection to their app"}
	errRoom     = &busy{"the app takes no more requests now"}
	errApps     = &busy{"too many apps are asked for"}
	errSessions = &busy{"the app has too many requests"}
)

// An unavailable error reports an app that nobody can be connected to.
type unavailable struct {
	name   string
	err    error
	absent bool // the locator does not know it
}

func (e *unavailable) Error() string             { return "gateway: app " + e.name + ": " + e.err.Error() }
func (e *unavailable) Unwrap() error             { return e.err }
func (e *unavailable) RetryAfter() time.Duration { return time.Second }

func (e *unavailable) Why() string {
	switch {
	case e.absent:
		return "no such application"
	case errors.Is(e.err, errNoApp):
		return "the service is no application"
	}
	return "the application cannot be reached"
}

// refusal is what a request gets for which a connection opened no session.
func (a *app) refusal(err error) error {
	switch {
	case errors.Is(err, session.ErrTooMany):
		return errSessions
	case errors.Is(err, session.ErrLost), errors.Is(err, session.ErrDraining):
		return &unavailable{name: a.name, err: err}
	}
	return err
}

// Errors of the runtime 0.12 that are not the app's own (PROTOCOL.md 3.8): the
// app was stopped, which says nothing of the service at the locator now, and its
// queue is full.
const (
	categoryGeneric  = 12
	categoryUnknown  = 255
	categoryOverseer = 0x52FF
	codeQueueFull    = 1
)

// textQueueFull is how the runtime 0.11 says it (PROTOCOL.md 2.5).
const textQueueFull = "the queue is full"

// fullFor is for how long others are asked first than who says that his queue is
// full.
const fullFor = time.Second

// maxAttempts is how many sessions are opened for one request, of which those
// before the last nobody has begun with.
const maxAttempts = 2

// judge says what a session's error means, and has it remembered, and counted if it
// was not before.
func (g *Gateway) judge(s *session.Session, err error, tries int, anew bool) (v httpcompat.Verdict) {
	v.Again = tries < maxAttempts
	var e *session.Error
	if !errors.As(err, &e) || !e.Remote {
		return v
	}
	stopped := (e.Category == categoryGeneric || e.Category == categoryUnknown) && e.Code == int64(syscall.EPIPE)
	full := e.Category == categoryOverseer && e.Code == codeQueueFull || e.Category == 0 && e.Msg == textQueueFull
	if c, ok := g.conns.Load(s.Mux()); ok && (stopped || full) { // else it has ended
		c := c.(*conn)
		if stopped {
			c.stopped.Store(true)
		} else {
			c.full.Store(time.Now().Add(fullFor).UnixNano())
		}
		g.client.Forget(c.a.name)
	}
	switch {
	case stopped:
		v.Code, v.Why, v.RetryAfter = http.StatusServiceUnavailable, "the application was stopped", time.Second
	case full:
		v.Code, v.Why, v.RetryAfter = http.StatusServiceUnavailable, "the application's queue is full", time.Second
	default:
		v.Again = false
		v.Code, v.Why = http.StatusInternalServerError, "the application failed"
	}
	if anew {
		g.counts.judged(stopped, full)
	}
	return v
}

// Judge is the Gateway's judge. The front asks twice about an error that is the
// client's: whether to ask again, and what to answer.
func (r *route) Judge(s *session.Session, err error, tries int) httpcompat.Verdict {
	ln, of := r.a.ln, judged{s.Mux(), s.ID()}
	anew := ln.judged != of
	ln.judged = of
	return ln.g.judge(s, err, tries, anew)
}

// A judged is a session that was asked about.
type judged struct {
	mux *session.Mux
	id  uint64
}
