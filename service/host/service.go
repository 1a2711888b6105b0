package host

import (
	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// A Service is a name and its methods in both dialects.
type Service struct {
	Name    string
	Version int // as clients of v1 are told; those of v0 are told 1

	V0, V1 []Method // none in a dialect: there it is not to be found

	serves func(i int) bool // whether connections may live on loop i; nil: they may
}

// methods are those of a dialect.
func (s *Service) methods(d heddle.Dialect) []Method {
	if d == heddle.V0 {
		return s.V0
	}
	return s.V1
}

// Results are what a method answers with: one value or several. Of none the caller
// learns that it is done.
type Results []any

// A Method is one that a Service has. It is made by Quick, Slow, Stream or Unbound.
type Method struct {
	session.Method
	open  func(c *Call) error // on the loop; nil: declared, and nobody has it
	tally *tally              // of a service that is served
}

// Quick is a method that f answers on the loop, where it must not wait. A is a
// tuple struct, as package codec/value has it, of the arguments, of which required
// ones must be there.
func Quick[A any](id uint64, name string, required int, f func(c *Call, a *A) (Results, error)) Method {
	return primitive(id, name, func(c *Call) error {
		a := new(A)
		if bad := decodeArgs(c.s.Args(), required, a); bad != "" {
			return c.refuse(bad)
		}
		r, err := f(c, a)
		if err != nil {
			return errorIn(c.Dialect(), err)
		}
		return errorIn(c.Dialect(), c.answer(r))
	})
}

// Slow is a method that f answers on a goroutine, where it may wait for a disk. The
// calls of one connection are served one after another.
func Slow[A any](id uint64, name string, required int, f func(c *Call, a *A) (Results, error)) Method {
	return primitive(id, name, func(c *Call) error {
		a := new(A)
		if bad := decodeArgs(c.s.Args(), required, a); bad != "" {
			return c.refuse(bad)
		}
		c.conn.enqueue(job{c, func() (Results, error) { return f(c, a) }})
		return nil
	})
}

// Stream is a method that f begins on the loop: the tables say what the caller may
// send and gets. f keeps the Call and answers when it likes, on the loop; c.Serve
// says who hears what the caller sends, and his end.
func Stream[A any](id uint64, name string, required int, dispatch, upstream *session.Table, f func(c *Call, a *A) error) Method {
	return Method{Method: session.Method{ID: id, Name: name, Dispatch: dispatch, Upstream: upstream}, open: func(c *Call) error {
		a := new(A)
		if bad := decodeArgs(c.s.Args(), required, a); bad != "" {
			return c.refuse(bad)
		}
		if err := f(c, a); err != nil {
			return errorIn(c.Dialect(), err)
		}
		return nil
	}}
}

// Mute is the same method, not answered at all in dialect v1.
func (m Method) Mute() Method {
	m.Upstream = session.Mute
	return m
}

// Unbound is a method that is told of and that nobody has: in dialect v1 who calls
// it loses his connection (PROTOCOL 3.1).
func Unbound(id uint64, name string) Method { return primitive(id, name, nil) }

func primitive(id uint64, name string, open func(c *Call) error) Method {
	return Method{Method: session.Method{ID: id, Name: name, Dispatch: session.Mute, Upstream: session.Primitive}, open: open}
}

// controls are in every graph of runtime 0.12.14 (PROTOCOL 3.1). They are read
// here, too, in the streams of publish and routing.
var controls = []session.Arm{
	{ID: heddle.MethodGoaway, Name: "goaway", Next: session.Mute},
	{ID: heddle.MethodPing, Name: "ping", Next: session.Mute},
	{ID: heddle.MethodSettings, Name: "settings", Next: session.Mute},
	{ID: heddle.MethodRevoke, Name: "revoke", Next: session.Mute},
}

// graph describes methods as the locator does (PROTOCOL 2.3, 3.1).
//
// v0: map of id uint to name raw
// v1: map of id uint to array(3): name raw, dispatch, upstream; of these each a map
// of id uint to array(2): name raw, next; next nil is the same map again
func graph(d heddle.Dialect, methods []Method) heddle.Value {
	if d == heddle.V0 {
		b := appendMap(nil, len(methods))
		for _, m := range methods {
			b = codec.AppendRawString(appendUint(b, m.ID), m.Name)
		}
		return b
	}
	b := appendMap(nil, len(methods)+len(controls))
	for _, m := range methods {
		b = codec.AppendRawString(append(appendUint(b, m.ID), 0x93), m.Name)
		b = appendTable(appendTable(b, m.Dispatch), m.Upstream)
	}
	for _, a := range controls {
		b = codec.AppendRawString(append(appendUint(b, a.ID), 0x93), a.Name)
		b = appendTable(appendTable(b, session.Mute), session.Primitive)
	}
	return b
}

func appendTable(b []byte, t *session.Table) []byte {
	arms := t.Arms()
	b = appendMap(b, len(arms))
	for _, a := range arms {
		b = codec.AppendRawString(append(appendUint(b, a.ID), 0x92), a.Name)
		if a.Next == nil {
			b = append(b, 0xc0)
		} else {
			b = appendTable(b, a.Next)
		}
	}
	return b
}

func appendMap(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n <= 0xffff:
		return append(b, 0xde, byte(n>>8), byte(n))
	}
	return append(b, 0xdf, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendUint(b []byte, n uint64) []byte {
	b, _ = old.Append(b, n) // an integer has msgpack
	return b
}

// old is how everything is written: no real peer reads more than the msgpack of
// 2012 (PROTOCOL 1).
var old = value.Options{Old: true, Limits: value.Limits{Bytes: 64 << 20}}
