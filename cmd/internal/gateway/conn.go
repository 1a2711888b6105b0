package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// A finding is one search for a connection to an app: the locator is asked, and
// its endpoints are tried in order. Loop only.
type finding struct {
	a     *app
	until time.Time
	again bool // the locator was asked once more, since what was known of it had led nowhere
	over  bool
	at    service.Located
	rest  []locator.Endpoint // still to be tried
	how   *session.Method
	err   error // of the last endpoint
}

// look begins to find a connection, unless that is under way.
func (a *app) look() {
	if a.find != nil || a.ln.closed {
		return
	}
	a.find = &finding{a: a, until: time.Now().Add(a.ln.g.o.ConnectTimeout)}
	a.find.ask()
}

// ask asks the locator.
func (f *finding) ask() {
	g, ln, name := f.a.ln.g, f.a.ln, f.a.name
	g.wg.Go(func() { // ends with the locator's answer, or its time-out
		at, how, err := g.locate(name)
		_ = ln.loop.Do(func() { f.told(at, how, err) }) // fails when the loop has ended, and all with it
	})
}

// told is the locator's answer.
func (f *finding) told(at service.Located, how *session.Method, err error) {
	switch {
	case f.over:
	case f.a.ln.closed:
		f.a.fail(errClosed)
	case err != nil:
		f.fail(err)
	default:
		f.at, f.how, f.rest = at, how, slices.Clone(at.Endpoints)
		f.dial()
	}
}

// fail ends the search without a connection.
func (f *finding) fail(err error) {
	a := f.a
	g := a.ln.g
	if g.ctx.Err() == nil && a.ln.mayLog() {
		g.log.Error("gateway: no connection to an app", "app", a.name, "loop", a.ln.index, "err", err, "unlogged", a.ln.unlogged)
		a.ln.unlogged = 0
	}
	a.fail(&unavailable{name: a.name, err: err, absent: errors.Is(err, service.ErrNotAvailable)})
}

// dial tries the next endpoint.
func (f *finding) dial() {
	ln := f.a.ln
	if ln.closed {
		f.a.fail(errClosed)
		return
	}
	for len(f.rest) > 0 {
		left := time.Until(f.until)
		if left <= 0 {
			f.fail(fmt.Errorf("not connected within %v: %w", ln.g.o.ConnectTimeout, cmpErr(f.err, context.DeadlineExceeded)))
			return
		}
		e := f.rest[0]
		f.rest = f.rest[1:]
		c := &conn{f: f, a: f.a, endpoint: e, how: f.how}
		_, err := ln.loop.Dial(e.Network(), e.Address(), c.begin, loop.DialOptions{Timeout: left})
		if err == nil {
			return // c says how it goes
		}
		f.err = fmt.Errorf("%s: %w", e, err)
	}
	ln.g.client.Forget(f.a.name)
	if f.at.Cached && !f.again { // the locator may know more
		f.again = true
		f.ask()
		return
	}
	f.fail(cmpErr(f.err, service.ErrNotAvailable))
}

func cmpErr(err, or error) error {
	if err != nil {
		return err
	}
	return or
}

// A conn is a connection to an app's service.
type conn struct {
	session.NoControl

	// Immutable once it is open.
	f        *finding
	a        *app
	endpoint locator.Endpoint
	how      *session.Method
	mux      *session.Mux

	// Loop only.
	opened bool
	tried  bool        // since it was full, another one was looked for
	ages   *loop.Timer // until the locator is asked again; nil: it never was open
	leaves *loop.Timer // once it is retired, until it is ended; nil: it is not

	// Any goroutine.
	full    atomic.Int64 // until when its queue is said to be full, ns since 1970; 0: it is not
	stopped atomic.Bool  // the app was stopped: another one is there, or will be
	leaving atomic.Bool  // no more requests: it ends with its last session
	due     atomic.Bool  // the locator is to be asked again
}

// handler ends a connection at once that brought what is no message.
type handler struct {
	*session.Mux
	conn *loop.Conn
	a    *app
}

// OnDrain is the Mux's, and has requests sent that waited for room.
func (h handler) OnDrain() {
	h.Mux.OnDrain()
	h.a.admit()
}

// OnBytes is the Mux's.
func (h handler) OnBytes(p []byte) (int, error) {
	n, err := h.Mux.OnBytes(p)
	if err != nil {
		h.conn.Abort(err)
	}
	return n, err
}

// begin makes the handler of a connection that is being made.
func (c *conn) begin(lc *loop.Conn) loop.Handler {
	d := heddle.V1
	if c.f.at.Dialect == service.DialectV0 {
		d = heddle.V0
	}
	ln := c.a.ln
	c.mux = session.NewMux(lc, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: d, Dialed: true, Service: true},
		Control:        c, Logger: ln.g.log,
		OnIdle: c.idle,
	})
	c.mux.SetTag(ln.g.origin(c.a.name))
	ln.g.conns.Store(c.mux, c)
	ln.conns[c] = struct{}{}
	lc.SetLimit(outLimit)
	return handler{c.mux, lc, c.a}
}

// OnConnect is the first of the methods that make a conn a session.Control.
func (c *conn) OnConnect(m *session.Mux) {
	if c.f.over || c.a.ln.closed {
		m.Abort(errClosed)
		return
	}
	c.opened = true
	c.ages = c.a.ln.loop.After(refreshAfter(c.a.ln.g.o.Refresh), func() { c.due.Store(true) })
	c.a.connected(c)
}

func refreshAfter(d time.Duration) time.Duration { return d + rand.N(d) }

func (c *conn) OnEOF(m *session.Mux) { m.Abort(io.EOF) }

// OnClose is the connection's end, or that of the attempt.
func (c *conn) OnClose(_ *session.Mux, err error) {
	ln := c.a.ln
	delete(ln.conns, c)
	ln.g.conns.Delete(c.mux)
	for _, t := range []*loop.Timer{c.ages, c.leaves} {
		if t != nil {
			t.Stop()
		}
	}
	if err == nil {
		err = io.EOF
	}
	if c.opened {
		if !c.leaving.Load() && ln.g.ctx.Err() == nil {
			ln.g.counts.lost.Add(1)
			ln.g.log.Warn("gateway: the connection to an app was lost", "app", c.a.name, "endpoint", c.endpoint.String(), "err", err)
		}
		c.lost()
		return
	}
	f := c.f
	if f.over || c.a.find != f {
		return
	}
	ln.g.client.Dead(c.endpoint)
	f.err = fmt.Errorf("%s: %w", c.endpoint, err)
	f.dial()
}

// ended says whether err, of opening a session, is that the connection has ended.
// Then it is not asked any more.
func (c *conn) ended(err error) bool {
	if !errors.Is(err, session.ErrLost) && !errors.Is(err, session.ErrDraining) && !errors.Is(err, loop.ErrClosed) {
		return false
	}
	c.lost()
	return true
}

// lost takes the connection out of the app's.
func (c *conn) lost() {
	a := c.a
	if i := slices.Index(a.conns, c); i >= 0 {
		a.conns = slices.Delete(a.conns, i, i+1)
		a.ln.g.client.Forget(a.name)
	}
	a.admit()
	a.tidy()
}

func (c *conn) abort(err error) {
	c.leaving.Store(true)
	c.mux.Abort(err)
}

// retire has the connection end with its last session, or when none can be
// waited for any more.
func (c *conn) retire() {
	c.leaving.Store(true)
	if c.mux.Sessions() == 0 {
		c.mux.Close(nil)
		return
	}
	c.leaves = c.a.ln.loop.After(max(mostLeaving, 3*c.a.ln.g.o.Timeout), func() { c.mux.Abort(errRetired) })
}

// idle: its last session has ended. Any goroutine.
func (c *conn) idle() {
	ln := c.a.ln
	if ln.g.gone.Load() || !c.leaving.Load() {
		return
	}
	_ = ln.loop.Do(func() {
		if c.leaving.Load() && c.mux.Sessions() == 0 {
			c.mux.Close(nil)
		}
	})
}

// mayRefresh asks the locator again if that is due, while the connection goes on.
func (c *conn) mayRefresh() {
	if c.due.Load() && c.a.find == nil {
		c.a.ln.g.client.Forget(c.a.name)
		c.a.look()
	}
}

// postpone has the locator asked later.
func (c *conn) postpone() {
	if c.due.Swap(false) {
		c.ages.Reset(refreshAfter(c.a.ln.g.o.ConnectTimeout))
	}
}

// mostLeaving is how long a connection that takes no requests any more is left to the
// answers that it has, were it a long stream's. Of one whose client has gone nobody
// can tell the app, so that it may have no end.
const mostLeaving = time.Hour

var errRetired = errors.New("gateway: the connection was retired, and its sessions did not end")

// open opens an enqueue. What the front made for a worker, event and one chunk, is
// in v1 its argument and a write, in v0 both are arguments.
func (c *conn) open(event string, o session.OpenOptions) (*session.Session, error) {
	ln := c.a.ln
	call := session.OpenOptions{Event: event, Method: c.how, Label: o.Label, Handler: o.Handler, Chunks: true, Last: true}
	if c.mux.Dialect() == heddle.V0 {
		ln.args = codec.AppendRaw(codec.AppendRawString(append(ln.args[:0], 0x92), event), o.First)
	} else {
		ln.args = codec.AppendRawString(append(ln.args[:0], 0x91), event)
		call.Write = o.First
		of := &ln.traced
		if o.Handler == nil {
			of = new(traced) // the session keeps them
		}
		call.Headers = of.with(o.Headers, o.Label)
	}
	call.First = ln.args
	s, err := c.mux.Open(call)
	if cap(ln.args) > 64<<10 {
		ln.args = nil
	}
	return s, err
}
