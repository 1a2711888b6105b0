package host

import (
	"context"
	"errors"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A Call is one session of a client with a service. Its methods are for the loop
// of its connection, but for Dialect and Context.
type Call struct {
	// Immutable.
	s     *session.Session
	conn  *conn
	tally *tally
}

// Dialect is the caller's.
func (c *Call) Dialect() heddle.Dialect { return c.conn.mux.Dialect() }

// Context ends when the call has, or its connection. It has the trace and the
// headers that the caller sent.
func (c *Call) Context() context.Context { return c.s.Context() }

// Serve has h hear what the caller says further.
func (c *Call) Serve(h session.Handler) { c.s.SetHandler(h) }

// Write sends a piece of a stream of answers.
func (c *Call) Write(piece ...any) error { return c.say(0, piece) }

// answer is the whole answer of a method that has one.
func (c *Call) answer(r Results) error {
	if c.s.Method().Upstream.Empty() {
		return nil
	}
	return c.say(0, r)
}

// say sends message id of the answer's table.
func (c *Call) say(id uint64, args []any) error {
	n := 64
	for _, a := range args {
		switch a := a.(type) {
		case []byte:
			n += len(a)
		case heddle.Raw:
			n += len(a)
		case heddle.Value:
			n += len(a)
		}
	}
	if !c.conn.room(n) { // before anything is copied
		return errSlow
	}
	b := codec.AppendArray(make([]byte, 0, n), len(args))
	for _, a := range args {
		var err error
		if b, err = old.Append(b, a); err != nil {
			return err
		}
	}
	if len(b) > n && !c.conn.room(len(b)) {
		return errSlow
	}
	err := c.s.Say(id, b)
	c.conn.watch()
	return err
}

// Close ends a stream of answers.
func (c *Call) Close() error { return c.s.Close() }

// Fail ends the answer with an error: an *Error's words for the caller's dialect, a
// syscall.Errno as a generic error by its number, a *session.Error as it is, and
// any other as an exception of the app's with err's text.
func (c *Call) Fail(err error) {
	c.tally.failed.Add(1)
	c.s.Abort(errorIn(c.Dialect(), err))
	c.conn.watch()
}

// refuse is what becomes of a call whose arguments are wrong: in dialect v1 the
// end of the connection (PROTOCOL 2.2, 3.1).
func (c *Call) refuse(bad string) error {
	if c.Dialect() == heddle.V0 {
		c.conn.door.cloud.complain(c.conn, errors.New(c.s.Method().Name+": "+bad))
		return &session.Error{Code: heddle.CodeV0Invocation, Msg: bad}
	}
	c.tally.failed.Add(1)
	return c.conn.fail(c.s.Method().Name + ": " + bad)
}
