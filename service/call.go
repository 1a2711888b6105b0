package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// Call calls a method and returns its result, as Options.Definition says; without
// one, the one value of the answer: nil for none, several results of v1 as []any,
// and Go types as codec/value has them.
//
// *Error: the service's own. ErrNoMethod, ErrNotOneValue: nothing was sent, unless
// that was seen from the answer. ErrDisconnected: the connection was lost, or
// could not be made. ErrTimeout, the cause of ctx, ErrClosed, *StateError: see
// there. A call that certainly has not left before the connection was lost is made
// again on the next one.
func (s *Service) Call(ctx context.Context, method string, args ...any) (any, error) {
	in := Invocation{Service: s, Method: method, Args: args}
	return s.invoke(ctx, s.plans.of(method), &in)
}

// Call is Service.Call with a result of type T: one value that can be read into
// it, or what the Definition of the method makes.
func Call[T any](ctx context.Context, s *Service, method string, args ...any) (T, error) {
	var v T
	pl := s.plans.of(method)
	if pl.invoke == nil && pl.Unpack.how == unpackValue && pl.Unpack.decode == nil {
		err := s.value(ctx, pl, method, args, func(p []byte) error { return decodeInto(p, &v) })
		return v, err
	}
	in := Invocation{Service: s, Method: method, Args: args, decode: decodeAs[T]}
	r, err := s.invoke(ctx, pl, &in)
	if err != nil || r == nil {
		return v, err
	}
	v, ok := r.(T)
	if !ok {
		return v, fmt.Errorf("service %s: %s: the result is a %T, not a %T", s.o.Name, method, r, v)
	}
	return v, nil
}

// decodeInto decodes one value that is not to be followed by anything.
func decodeInto(p []byte, v any) error {
	rest, err := value.Decode(p, v, value.Limits{})
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes behind the value")
	}
	return err
}

// invoke makes a call with all that the Definition puts around it.
func (s *Service) invoke(ctx context.Context, pl *plan, in *Invocation) (any, error) {
	if pl.invoke != nil {
		wrapped := *in // so that in need not be on the heap
		return pl.invoke(ctx, &wrapped)
	}
	return s.perform(ctx, pl, in)
}

// perform makes a call, whatever is around it.
func (s *Service) perform(ctx context.Context, pl *plan, in *Invocation) (v any, err error) {
	how := pl.Unpack.how
	if in.stream {
		how = unpackStream
	}
	switch how {
	case unpackStream:
		st, err := s.open(ctx, pl, in.Method, in.Args)
		if err != nil {
			return nil, err // no *Stream that is nil
		}
		return st, nil
	case unpackNothing:
		x, err := s.exchange(ctx, pl, in.Method, in.Args, true)
		if x != nil {
			x.free()
		}
		return nil, err
	case unpackOwn:
		st, err := s.open(ctx, pl, in.Method, in.Args)
		if err != nil {
			return nil, err
		}
		defer st.Close()
		return pl.Unpack.own(ctx, st)
	case unpackRaw:
		err = s.value(ctx, pl, in.Method, in.Args, func(p []byte) error {
			v = append([]byte(nil), p...)
			return nil
		})
		return v, err
	}
	decode := pl.Unpack.decode
	switch {
	case decode != nil:
	case in.decode != nil:
		decode = in.decode
	default:
		decode = decodeNatural
	}
	err = s.value(ctx, pl, in.Method, in.Args, func(p []byte) (err error) {
		v, err = decode(p)
		return err
	})
	return v, err
}

// value makes a call and gives its one value to take, unless there is none.
func (s *Service) value(ctx context.Context, pl *plan, method string, args []any, take func(p []byte) error) error {
	x, err := s.exchange(ctx, pl, method, args, false)
	if err != nil || x == nil {
		return err
	}
	p, err := x.result()
	if err == nil && p != nil {
		err = take(p)
	}
	if err != nil {
		err = x.c.fail(method, fmt.Errorf("result: %w", err))
	}
	x.free()
	return err
}

// A call is one value call. It is the handler of its session, and used again and
// again.
type call struct {
	c        *conn
	wake     chan struct{} // has one element when the call is over
	timeout  int64         // ns; 0: none
	deadline atomic.Int64  // since epoch
	detached bool          // nobody waits
	referred bool          // the loop may come to it after its end: it is not used again

	// The loop's until the call is over, then the caller's.
	buf       []byte // the first message
	messages  int
	err       error
	untouched bool // the service cannot have seen the call
	over      bool
}

var calls = sync.Pool{New: func() any { return &call{wake: make(chan struct{}, 1)} }}

// newCall is the pool's one getter.
func newCall(c *conn, pl *plan) *call {
	x := calls.Get().(*call)
	x.c, x.timeout = c, int64(pl.Timeout)
	return x
}

// keepSize is the capacity of buffers that are kept, in bytes.
const keepSize = 64 << 10

// free is the pool's one putter. Whoever was told that the call is over calls it.
func (x *call) free() {
	if x.detached || x.c == nil {
		return // it does that itself
	}
	x.put()
}

func (x *call) put() {
	if x.referred {
		return
	}
	if cap(x.buf) > keepSize {
		x.buf = nil
	}
	x.c, x.buf, x.messages, x.err, x.untouched, x.over, x.detached = nil, x.buf[:0], 0, nil, false, false, false
	calls.Put(x)
}

// exchange makes a call and waits for its end, unless it is detached. A nil call
// with a nil error is of a method that is not answered.
func (s *Service) exchange(ctx context.Context, pl *plan, method string, args []any, detached bool) (*call, error) {
	for again := 0; ; again++ {
		c, m, err := s.prepare(ctx, pl, method)
		if err != nil {
			return nil, err
		}
		mute := c.dialect == heddle.V1 && m.Upstream.Empty()
		if !mute && !detached && c.dialect == heddle.V1 && m.Upstream != session.Primitive {
			if _, ok := m.Upstream.Named(armValue); !ok {
				return nil, c.fail(method, ErrNotOneValue)
			}
		}
		x := newCall(c, pl)
		x.detached = detached
		x.deadline.Store(0)
		if x.timeout > 0 {
			x.deadline.Store(now() + x.timeout)
		}
		o := session.OpenOptions{Method: m, Headers: headersOf(ctx, c.dialect), Last: true}
		if x.buf, err = pl.pack(x.buf[:0], c.dialect, args); err == nil {
			err = c.room.enter(ctx, pl.Timeout, len(x.buf), nil)
		}
		var sess *session.Session
		if err == nil {
			n := len(x.buf) // x may be another call's when it is open
			o.First = x.buf
			if !mute {
				o.Handler = x
			}
			sess, err = c.mux.Open(o)
			c.room.leave(n)
		}
		if err != nil || mute {
			x.put()
			if err == nil {
				return nil, nil
			}
			if isLost(err) && s.mayRetry(again) {
				<-c.gone
				continue
			}
			return nil, c.fail(method, err)
		}
		if pl.Timeout > 0 {
			c.watch()
		}
		if detached {
			return nil, nil
		}
		if done := ctx.Done(); done == nil {
			<-x.wake
		} else {
			select {
			case <-x.wake:
			case <-done:
				x.referred = true
				// An error means that the connection has ended, and the call with it.
				_ = c.mux.Link().Do(func() { x.giveUp(sess, context.Cause(ctx)) })
				<-x.wake
			}
		}
		if x.err == nil {
			return x, nil
		}
		err, untouched := x.err, x.untouched
		x.put()
		if untouched && s.mayRetry(again) {
			<-c.gone
			continue
		}
		return nil, c.fail(method, err)
	}
}

// mostRetries is how often a call that was not sent is made on another connection.
const mostRetries = 3

func (s *Service) mayRetry(again int) bool {
	return s.o.Reconnect != ReconnectNever && again < mostRetries
}

// prepare returns the connection and the service's own method.
func (s *Service) prepare(ctx context.Context, pl *plan, method string) (*conn, *session.Method, error) {
	c := s.cur.Load()
	if c == nil {
		var err error
		if c, err = s.ready(ctx, method); err != nil {
			return nil, nil, err
		}
	}
	m := c.methods[pl.target(method)]
	if m == nil {
		return nil, nil, c.fail(method, ErrNoMethod)
	}
	if s.shutting.Load() {
		return nil, nil, c.fail(method, ErrClosed)
	}
	return c, m, nil
}

// OnMessage keeps the one message there should be.
func (x *call) OnMessage(_ *session.Session, m session.Message) {
	if x.messages++; x.messages == 1 {
		x.buf = append(x.buf[:0], m.Data...)
	}
	if x.timeout > 0 {
		x.deadline.Store(now() + x.timeout)
	}
}

// OnWritable is nobody's: all was said with the call.
func (x *call) OnWritable(*session.Session) {}

// OnEnd is the answer's end.
func (x *call) OnEnd(s *session.Session, err error) {
	if x.over {
		return
	}
	if err != nil {
		x.untouched = s.Untouched()
	}
	x.finish(s, err)
}

// giveUp ends a call that was not answered. Loop only.
func (x *call) giveUp(s *session.Session, err error) {
	if x.over {
		return
	}
	x.over = true // first: that it is forgotten is not its answer
	x.c.giveUp(s, err)
	x.finish(s, err)
}

func (x *call) finish(s *session.Session, err error) {
	x.over = true
	s.Release()
	if x.detached {
		if err != nil {
			x.c.s.o.Logger.Debug("a call that nobody waits for has failed", "service", x.c.s.o.Name, "err", err)
		}
		x.put()
		return
	}
	x.err = err
	x.wake <- struct{}{}
}

func (x *call) expire(s *session.Session, now int64) int64 {
	d := x.deadline.Load()
	if d == 0 || now < d {
		return d
	}
	x.giveUp(s, ErrTimeout)
	return 0
}

// result is the msgpack of the one value, borrowed from the call; nil for none.
func (x *call) result() ([]byte, error) {
	switch {
	case x.messages == 0:
		return nil, nil
	case x.messages > 1:
		return nil, ErrNotOneValue
	case x.c.dialect == heddle.V0:
		return x.buf, nil
	}
	return oneOf(x.buf), nil
}

// oneOf is the one member of an array, the array itself if there are several, nil
// if there is none. args is known to be an array.
func oneOf(args []byte) []byte {
	size, count, err := heddle.Head(args)
	switch {
	case err != nil || count == 0:
		return nil
	case count == 1:
		return args[size:]
	}
	return args
}

// armValue is the name of the message that has the results of a call.
const armValue = "value"
