package service

import (
	"context"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
)

// A Definition is how the calls of one service are made. The zero value is how
// calls are made without one: arguments are packed each by itself, and one value
// is unpacked. Not to be changed once a Service has it.
type Definition struct {
	// Default holds for every method that Methods does not have. Its Target and
	// Do are ignored.
	Default Method

	// Methods are by the name that they are called with: those of the service that
	// are to be called in another way, and added ones.
	Methods map[string]Method

	// Wrap are put around every call, the first one outermost.
	Wrap []Wrapper
}

// A Method is how one method is called. The zero value is as without it.
type Method struct {
	// Target is the service's own name for it; empty: the name that it is called
	// with. So one method of the service may be called in several ways.
	Target string

	// Pack makes the arguments of the call. nil: PackEach.
	Pack Pack

	// Unpack makes the result. Service.Stream does without.
	Unpack Unpack

	// Timeout is Options.Timeout for this method: 0 is that, below 0 none.
	Timeout time.Duration

	// Wrap are put around each call, inside those of the Definition.
	Wrap []Wrapper

	// Do is called in place of the service, for methods that are not its own: it
	// may call those. Target, Pack, Unpack and Timeout are ignored then.
	Do Invoker
}

// An Invocation is one call on its way to the service.
type Invocation struct {
	Service *Service
	Method  string // as the caller has it
	Args    []any  // the caller's; a Wrapper that wants others sets another slice

	stream bool                        // Service.Stream was called
	decode func(p []byte) (any, error) // what Value unpacks with; nil: as natural types
}

// An Invoker makes a call and returns its result.
type Invoker func(ctx context.Context, in *Invocation) (any, error)

// A Wrapper returns an Invoker that does something around next: tries again,
// measures, traces, answers by itself. It is called once, for each Service and
// method; what it returns is called from any goroutine.
type Wrapper func(next Invoker) Invoker

// A Pack appends the arguments of a call as one array of msgpack as of 2012
// (codec/value.Options.Old) to dst and returns it.
type Pack func(dst []byte, d heddle.Dialect, args []any) ([]byte, error)

// PackEach packs each argument as what it is.
func PackEach(dst []byte, _ heddle.Dialect, args []any) ([]byte, error) {
	dst = codec.AppendArray(dst, len(args))
	for _, a := range args {
		var err error
		if dst, err = oldValue.Append(dst, a); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// oldValue is how arguments are written: real peers know nothing younger.
var oldValue = value.Options{Old: true}

// An Unpack says what becomes of a call's answer. The zero value is Value.
type Unpack struct {
	how    unpacking
	decode func(p []byte) (any, error)
	own    func(ctx context.Context, st *Stream) (any, error)
}

type unpacking uint8

const (
	unpackValue unpacking = iota
	unpackRaw
	unpackStream
	unpackNothing
	unpackOwn
)

var (
	// Value waits for the one result: nil for none, several results of v1 as
	// []any. Its Go types are those of codec/value, or what Call asks for.
	Value = Unpack{how: unpackValue}

	// Raw is Value without decoding: the result is msgpack, as []byte.
	Raw = Unpack{how: unpackRaw}

	// Streamed makes the result a *Stream.
	Streamed = Unpack{how: unpackStream}

	// Nothing does not wait for an answer: the result is nil once the call is
	// queued to be sent. What is answered is dropped.
	Nothing = Unpack{how: unpackNothing}
)

// As is Value, unpacked as a T.
func As[T any]() Unpack { return Unpack{decode: decodeAs[T]} }

// UnpackWith gives the answer, as a stream, to f; what f returns is the result.
// The stream is cancelled then, if it has not ended.
func UnpackWith(f func(ctx context.Context, st *Stream) (any, error)) Unpack {
	return Unpack{how: unpackOwn, own: f}
}

func decodeAs[T any](p []byte) (any, error) {
	var v T
	_, err := value.Decode(p, &v, value.Limits{})
	return v, err
}

func decodeNatural(p []byte) (any, error) { return decodeAs[any](p) }

// A plan is what a Service knows of one of the methods of its Definition.
type plan struct {
	Method
	name   string  // Target; empty in the default plan: the caller's
	invoke Invoker // wrapped; nil: there is nothing around the call
}

// plans is a Definition made ready. It is immutable.
type plans struct {
	methods map[string]*plan
	other   *plan
	least   time.Duration // the shortest time-out of all; 0: none has one
}

// newPlans makes d ready; timeout is the service's.
func newPlans(d *Definition, timeout time.Duration) *plans {
	if d == nil {
		d = new(Definition)
	}
	p := &plans{methods: make(map[string]*plan, len(d.Methods))}
	make1 := func(m Method, name string) *plan {
		switch {
		case m.Timeout == 0:
			m.Timeout = timeout
		case m.Timeout < 0:
			m.Timeout = 0
		}
		if m.Timeout > 0 && (p.least == 0 || m.Timeout < p.least) {
			p.least = m.Timeout
		}
		pl := &plan{Method: m, name: name}
		if m.Do == nil && len(m.Wrap)+len(d.Wrap) == 0 {
			return pl
		}
		pl.invoke = m.Do
		if m.Do == nil {
			pl.invoke = func(ctx context.Context, in *Invocation) (any, error) { return in.Service.perform(ctx, pl, in) }
		}
		for _, around := range [][]Wrapper{m.Wrap, d.Wrap} {
			for i := len(around) - 1; i >= 0; i-- {
				pl.invoke = around[i](pl.invoke)
			}
		}
		return pl
	}
	for name, m := range d.Methods {
		target := m.Target
		if target == "" {
			target = name
		}
		p.methods[name] = make1(m, target)
	}
	other := d.Default
	other.Do, other.Target = nil, ""
	p.other = make1(other, "")
	return p
}

// of is the plan of a method by the name that it is called with.
func (p *plans) of(method string) *plan {
	if pl := p.methods[method]; pl != nil {
		return pl
	}
	return p.other
}

// target is the service's own name of the method.
func (pl *plan) target(method string) string {
	if pl.name != "" {
		return pl.name
	}
	return method
}

// pack appends the arguments.
func (pl *plan) pack(dst []byte, d heddle.Dialect, args []any) ([]byte, error) {
	if pl.Pack != nil {
		return pl.Pack(dst, d, args)
	}
	return PackEach(dst, d, args)
}
