package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// A conn is one connection of a Service, from its dialling to its end.
type conn struct {
	session.NoControl

	// Immutable once connected.
	s        *Service
	try      *attempt
	endpoint locator.Endpoint
	dialect  heddle.Dialect
	version  uint64
	all      []*session.Method
	methods  map[string]*session.Method // all, by name
	revokes  bool                       // the service knows the control message
	mux      *session.Mux

	up   chan error    // has one element when it is connected (nil) or could not be
	gone chan struct{} // closed when it has ended and the Service knows

	opened bool // loop only: the Service has taken it

	watching atomic.Bool // a timer is there that looks for calls out of time

	room room // of the outbox
}

// A target is where a service may be reached, and how.
type target struct {
	endpoints []locator.Endpoint
	dialect   heddle.Dialect
	version   uint64
	methods   []*session.Method
	controls  bool // the service has the control messages of v1
	cached    bool // it may be out of date
}

func (t *target) info() locator.Info {
	return locator.Info{Endpoints: t.endpoints, Version: t.version, Methods: t.methods, Controls: t.controls}
}

// connect resolves the name and tries the endpoints in order.
func (s *Service) connect(ctx context.Context, a *attempt) (*conn, error) {
	if s.client != nil && !s.client.enter(s) {
		return nil, failed(s.o.Name, "connect", ErrClosed)
	}
	for {
		t, err := s.find(ctx)
		if err != nil {
			return nil, err
		}
		c, err := s.dialAny(ctx, a, t)
		switch {
		case err == nil || ctx.Err() != nil:
			return c, err
		case s.client == nil || len(s.endpoints) > 0:
			return nil, failed(s.o.Name, "connect", disconnected(err))
		}
		s.client.cache.drop(s.o.Name)
		if !t.cached {
			return nil, failed(s.o.Name, "connect", disconnected(err))
		}
		s.mu.Lock()
		fire(s.life, eventClose) // the locator knows more, perhaps
		s.mu.Unlock()
	}
}

// find says where the service is.
func (s *Service) find(ctx context.Context) (target, error) {
	if len(s.endpoints) > 0 {
		return target{endpoints: s.endpoints, dialect: s.o.Dialect.wire(), methods: s.o.Methods}, nil
	}
	s.mu.Lock()
	s.looking = true
	s.mu.Unlock()
	t, err := s.client.find(ctx, s.o.Name)
	s.mu.Lock()
	s.looking = false
	s.mu.Unlock()
	if err != nil {
		return t, failed(s.o.Name, "resolve", err)
	}
	if s.o.Dialect != DialectAuto {
		t.dialect = s.o.Dialect.wire()
	}
	if len(s.o.Methods) > 0 {
		t.methods = s.o.Methods
	}
	return t, nil
}

func (s *Service) dialAny(ctx context.Context, a *attempt, t target) (c *conn, err error) {
	s.mu.Lock()
	ok := !a.canceled && fire(s.life, eventDial)
	s.mu.Unlock()
	if !ok {
		return nil, errAbandoned
	}
	err = ErrNotAvailable // no endpoints
	for _, e := range t.endpoints {
		if c, err = s.dial(ctx, a, e, t); err == nil || ctx.Err() != nil {
			break
		}
		if s.client != nil {
			s.client.loads.died(e)
		}
	}
	return c, err
}

// dial tries one endpoint.
func (s *Service) dial(ctx context.Context, a *attempt, e locator.Endpoint, t target) (*conn, error) {
	l, err := s.loops.get()
	if err != nil {
		return nil, err
	}
	c := &conn{
		s: s, try: a, endpoint: e, dialect: t.dialect, version: t.version, all: t.methods,
		methods: make(map[string]*session.Method, len(t.methods)), up: make(chan error, 1), gone: make(chan struct{}),
		revokes: t.controls && t.dialect == heddle.V1,
	}
	for _, m := range t.methods {
		if c.methods[m.Name] == nil {
			c.methods[m.Name] = m
		}
	}
	lc, err := l.Dial(e.Network(), e.Address(), func(lc *loop.Conn) loop.Handler {
		c.room.queued, c.room.gone, c.room.most = lc.Queued, c.gone, s.mostMessage()
		lc.SetLimit(c.room.outLimit())
		c.mux = session.NewMux(lc, session.Options{
			ChannelOptions: session.ChannelOptions{Dialect: t.dialect, Dialed: true, Service: true, Limits: s.o.Limits},
			Control:        c, Buffer: s.o.mostMessage(), Logger: s.o.Logger,
		})
		return handler{c.mux, c, lc}
	}, loop.DialOptions{Timeout: s.o.DialTimeout})
	if err != nil {
		return nil, err
	}
	select {
	case err = <-c.up:
	case <-ctx.Done():
		s.mu.Lock()
		if s.cur.Load() != c { // else it was there first, and stays
			lc.Abort(context.Cause(ctx))
		}
		s.mu.Unlock()
		err = <-c.up
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// mostMessage is how many bytes the arguments of one message may have.
func (s *Service) mostMessage() int {
	return max(s.o.Limits.Frame, codec.DefaultFrame) - frameOverhead
}

// A handler is a Mux that tells its conn more than a session.Control hears.
type handler struct {
	*session.Mux
	c    *conn
	conn *loop.Conn
}

// OnBytes ends a connection that brought what is no message at once: nothing has
// to be delivered, and calls want to connect anew.
func (h handler) OnBytes(p []byte) (int, error) {
	n, err := h.Mux.OnBytes(p)
	if err != nil {
		h.conn.Abort(err)
	}
	return n, err
}

func (h handler) OnDrain() {
	h.Mux.OnDrain()
	h.c.room.wake()
}

// OnConnect is the first of the methods that make a conn a session.Control.
func (c *conn) OnConnect(m *session.Mux) {
	if c.opened = c.s.established(c); !c.opened {
		m.Abort(errAbandoned)
		return
	}
	if c.s.client != nil {
		c.s.client.loads.add(c.endpoint, 1)
	}
	c.up <- nil
}

func (c *conn) OnEOF(m *session.Mux) { m.Abort(io.EOF) }

// OnClose is the end of the connection, or of the attempt.
func (c *conn) OnClose(_ *session.Mux, err error) {
	if err == nil {
		err = io.EOF // the loop has ended
	}
	if !c.opened {
		close(c.gone)
		c.up <- err
		return
	}
	if c.s.client != nil {
		c.s.client.loads.add(c.endpoint, -1)
	}
	c.s.lost(c, err)
	close(c.gone)
}

// drain waits until nothing is in flight and nothing waits to be sent.
func (c *conn) drain(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.mux.Load() > 0 || c.mux.Link().Queued() > 0 {
		select {
		case <-tick.C:
		case <-c.gone:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// epoch is what deadlines count from.
var epoch = time.Now()

// now is the time since epoch, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// A watched is a session's handler with a time-out.
type watched interface {
	// expire ends what is out of time, and returns when to look again, 0 for
	// never. Loop only.
	expire(s *session.Session, now int64) int64
}

// watch has calls looked after that were opened before. One timer does for all
// of them: no call has a time-out shorter than the least one, so that it need not
// be moved for a new one.
func (c *conn) watch() {
	if c.watching.Load() || !c.watching.CompareAndSwap(false, true) {
		return
	}
	_ = c.mux.Link().Do(func() { c.mux.Link().After(c.s.plans.least, c.sweep) }) // an error: all calls have ended
}

// sweep looks after calls. Loop only.
func (c *conn) sweep() {
	c.watching.Store(false) // first: who opens from now on sees to it, or is seen below
	at, next := now(), int64(0)
	c.mux.Each(func(s *session.Session) {
		w, ok := s.Handler().(watched)
		if !ok {
			return
		}
		if d := w.expire(s, at); d > 0 && (next == 0 || d < next) {
			next = d
		}
	})
	if next == 0 || !c.watching.CompareAndSwap(false, true) {
		return
	}
	wait := min(time.Duration(next-at), c.s.plans.least)
	c.mux.Link().After(max(wait, time.Millisecond), c.sweep)
}

// giveUp ends a call that was not answered to its end. A service of v1 that tells
// its control messages hears of it, and need not answer. Loop only.
func (c *conn) giveUp(s *session.Session, err error) {
	id := s.ID()
	s.Cancel(err)
	c.mux.Forget(id)
	if !c.revokes {
		return
	}
	args := codec.AppendArray(nil, 2)
	args, _ = value.Append(args, id) // integers always have their msgpack
	args = append(args, 0x92, heddle.CategorySystem, codeCanceled)
	// An error means that the connection has ended, or carries too much to care.
	_, _ = c.mux.Open(session.OpenOptions{Method: revoke, First: args, Handler: revoked{}, Aside: true})
}

// revoke is the control message that ends another call: its number and a code,
// which is [category, code] (PROTOCOL.md 3.1).
var revoke = &session.Method{ID: heddle.MethodRevoke, Name: "revoke", Upstream: session.Primitive}

// codeCanceled is ECANCELED as Linux has it, where the runtimes are.
const codeCanceled = 125

// revoked hears the answer to revoke.
type revoked struct{}

func (revoked) OnMessage(*session.Session, session.Message) {}
func (revoked) OnWritable(*session.Session)                 {}
func (revoked) OnEnd(s *session.Session, _ error)           { s.Release() }

// isLost says whether err is of a connection that has ended, which a call that is
// made then may hear from the link before the session room knows.
func isLost(err error) bool {
	return errors.Is(err, session.ErrLost) || errors.Is(err, loop.ErrClosed) || errors.Is(err, loop.ErrOverflow)
}

// fail says what became of a call that was not answered.
func (c *conn) fail(method string, err error) error {
	var remote *session.Error
	switch {
	case errors.As(err, &remote) && remote.Remote && !errors.Is(err, session.ErrLost):
		return &Error{c.s.o.Name, method, remote.Category, remote.Code, remote.Msg}
	case errors.Is(err, ErrClosed), errors.Is(err, ErrTimeout), errors.Is(err, ErrDisconnected):
	case isLost(err):
		err = disconnected(err)
	case errors.Is(err, session.ErrNoArm):
		err = fmt.Errorf("%w: %w", ErrNoMessage, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrTimeout
	}
	return failed(c.s.o.Name, method, err)
}
