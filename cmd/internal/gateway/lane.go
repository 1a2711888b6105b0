package gateway

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"

	heddle "github.com/heddle-go/heddle"
)

// A lane is what the Gateway has on one loop.
type lane struct {
	// Immutable.
	g     *Gateway
	index int
	loop  *loop.Loop

	// Loop goroutine only.
	owner   loop.Owner
	apps    map[string]*app
	conns   map[*conn]struct{} // all that are open or being made
	waiting int                // requests
	closed  bool
	target  []byte           // of the request that is looked at
	fields  [2]heddle.Header // likewise
	args    []byte           // of the call that is being opened
	traced  traced           // likewise

	judged judged // last

	second   time.Time // when lines were last counted
	lines    int       // of the log, of apps that nobody can be connected to
	unlogged int       // that there were too many of
}

// app returns what is known of an app by this name, as it came; nil: there are
// too many.
func (ln *lane) app(name []byte) *app {
	if a := ln.apps[string(name)]; a != nil {
		return a
	}
	if len(ln.apps) >= maxApps {
		for _, a := range ln.apps {
			a.tidy()
		}
		if len(ln.apps) >= maxApps {
			return nil
		}
	}
	a := &app{ln: ln, name: string(name), events: make(map[string]*route)}
	a.answer = []heddle.Header{{Name: heddle.Raw(headerApplication), Value: heddle.Raw(a.name)}}
	ln.apps[a.name] = a
	return a
}

// mayLog says whether there may be another line about an app that nobody can be
// connected to: names are the clients'.
func (ln *lane) mayLog() bool {
	if now := time.Now(); now.Sub(ln.second) >= time.Second {
		ln.second, ln.lines = now, 0
	}
	if ln.lines++; ln.lines > mostLines {
		ln.unlogged++
		return false
	}
	return true
}

// close ends everything.
func (ln *lane) close() {
	ln.owner.Check()
	ln.closed = true
	for _, a := range ln.apps {
		a.fail(errClosed)
	}
	for c := range ln.conns {
		c.abort(errClosed)
	}
}

// An app is what is known of an app on one loop: the connections to its service,
// and the requests that wait for one. Loop only.
type app struct {
	ln     *lane
	name   string
	answer []heddle.Header // that every answer gets
	events map[string]*route

	conns   []*conn // that take requests
	waiting []*waiter
	kept    []*waiter // that wait for room in a connection's outbox
	find    *finding  // under way; nil: none
}

// A waiter is a request that waits for a connection, or for room in its outbox.
type waiter struct {
	event string
	o     session.OpenOptions
	later func(*session.Session, error)
	timer *loop.Timer // of waiting for room; nil: it has not
}

// stop says that w waits no more.
func (w *waiter) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// A route is an event of an app. It is what the front asks.
type route struct {
	a     *app
	event string
}

var _ front.PlainOpener = (*route)(nil)

// route returns the app's route for an event, as it came.
func (a *app) route(event []byte) *route {
	if r := a.events[string(event)]; r != nil {
		return r
	}
	r := &route{a, string(event)}
	if len(a.events) < mostEvents {
		a.events[r.event] = r
	}
	return r
}

// Plain is asked on the loop: everybody may be asked, if only later.
func (r *route) Plain(int) (event string, free bool) { return r.event, true }

// OpenOn asks the app.
func (r *route) OpenOn(_ int, o session.OpenOptions, later func(*session.Session, error)) (*session.Session, func() bool, error) {
	return r.a.open(r.event, o, later)
}

// open opens a session for an event, now, or once there is a connection.
func (a *app) open(event string, o session.OpenOptions, later func(*session.Session, error)) (*session.Session, func() bool, error) {
	ln := a.ln
	ln.owner.Check()
	for !ln.closed {
		c := a.pick()
		if c == nil {
			break
		}
		if !c.room(len(o.First)) || len(a.kept) > 0 && len(o.First) > mostSmall {
			if ln.waiting >= maxWaiting {
				return nil, nil, errRoom
			}
			w := &waiter{event: event, o: o, later: later}
			a.keep(w)
			return nil, func() bool { return a.leave(w) }, nil
		}
		s, err := c.open(event, o)
		if err == nil {
			c.mayRefresh()
			return s, nil, nil
		}
		if !c.ended(err) {
			return nil, nil, a.refusal(err)
		}
	}
	switch {
	case ln.closed:
		return nil, nil, errClosed
	case ln.waiting >= maxWaiting:
		return nil, nil, errWaiting
	case ln.apps[a.name] != a && ln.apps[a.name] == nil:
		ln.apps[a.name] = a // it was tidied away meanwhile
	}
	w := &waiter{event: event, o: o, later: later}
	a.waiting = append(a.waiting, w)
	ln.waiting++
	a.look()
	return nil, func() bool { return a.leave(w) }, nil
}

// leave takes a request out that waits. It says whether it did.
func (a *app) leave(w *waiter) bool {
	for _, list := range []*[]*waiter{&a.waiting, &a.kept} {
		if i := slices.Index(*list, w); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			a.ln.waiting--
			w.stop()
			return true
		}
	}
	return false
}

// pick returns the connection with the fewest sessions of those that may be asked;
// nil: one has to be made.
func (a *app) pick() (best *conn) {
	now := time.Time{}
	full, untried := false, false
	for i := len(a.conns) - 1; i >= 0; i-- {
		c := a.conns[i]
		if c.stopped.Load() {
			a.retire(c)
			continue
		}
		if until := c.full.Load(); until != 0 {
			if now.IsZero() {
				now = time.Now()
			}
			if now.UnixNano() < until {
				full, untried = true, untried || !c.tried
				continue
			}
			c.full.Store(0)
			c.tried = false
		}
		if best == nil || c.mux.Load() < best.mux.Load() {
			best = c
		}
	}
	if best == nil && full && (len(a.conns) >= maxConns || a.find == nil && !untried) {
		best = a.conns[rand.IntN(len(a.conns))] // nobody else is there
	}
	return best
}

// retire has c take no more requests, and end with its last session.
func (a *app) retire(c *conn) {
	for i, other := range a.conns {
		if other == c {
			a.conns = append(a.conns[:i], a.conns[i+1:]...)
			c.retire()
			break
		}
	}
}

// connected: c takes requests from now on.
func (a *app) connected(c *conn) {
	for i := len(a.conns) - 1; i >= 0; i-- {
		if old := a.conns[i]; old.due.Load() || len(a.conns) >= maxConns {
			a.retire(old)
		}
	}
	for _, old := range a.conns {
		old.tried = true
	}
	a.conns = append(a.conns, c)
	a.find = nil
	for _, w := range a.take() {
		a.give(w, c)
	}
	a.admit()
}

// give has c asked for a request that waited, once there is room.
func (a *app) give(w *waiter, c *conn) {
	if !c.room(len(w.o.First)) {
		a.keep(w)
		return
	}
	w.stop()
	s, err := c.open(w.event, w.o)
	if err != nil {
		c.ended(err)
		err = a.refusal(err)
	}
	w.later(s, err)
}

// fail tells those who wait why nobody can be asked.
func (a *app) fail(err error) {
	if a.find != nil {
		a.find.over = true
		a.find = nil
	}
	for _, c := range a.conns {
		c.tried = true
		c.postpone()
	}
	if a.ln.closed {
		a.waiting, a.kept = append(a.waiting, a.kept...), nil
	}
	for _, w := range a.take() {
		if len(a.conns) == 0 || a.ln.closed {
			w.stop()
			w.later(nil, err)
			continue
		}
		a.give(w, a.conns[0]) // it is full, or w would not wait
	}
	a.tidy()
}

// take returns those who wait, and has nobody wait.
func (a *app) take() []*waiter {
	all := a.waiting
	a.waiting = nil
	a.ln.waiting -= len(all)
	return all
}

// tidy forgets an app that nobody asks and that nobody is connected to.
func (a *app) tidy() {
	if len(a.conns) == 0 && len(a.waiting)+len(a.kept) == 0 && a.find == nil && a.ln.apps[a.name] == a {
		delete(a.ln.apps, a.name)
	}
}
