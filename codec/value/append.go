package value

import (
	"encoding"
	"encoding/binary"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// Append appends v to dst, in the msgpack of today. On an error it returns dst as it was: *TypeError for what
// has no msgpack or whose own method failed, ErrTooLarge.
func Append(dst []byte, v any) ([]byte, error) { return Options{}.Append(dst, v) }

// Append is the package's Append with options.
func (o Options) Append(dst []byte, v any) ([]byte, error) {
	switch x := v.(type) { // what needs no state
	case nil:
		return append(dst, 0xc0), nil
	case bool:
		return appendBool(dst, x), nil
	case int:
		return appendInt(dst, int64(x)), nil
	case int64:
		return appendInt(dst, x), nil
	case uint64:
		return msgp.AppendUint64(dst, x), nil
	case float64:
		return msgp.AppendFloat64(dst, x), nil
	}
	e := encoders.Get().(*encoder)
	*e = encoder{old: o.Old, Limits: o.Limits.withDefaults(0), start: len(dst)}
	b, err := e.any(dst, v)
	encoders.Put(e)
	if err != nil {
		return dst, err
	}
	return b, nil
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// An encoder is what one Append has to remember.
type encoder struct {
	Limits
	old      bool
	start    int // where the value begins in the slice
	elements int
	depth    int // containers open
	hops     int // pointers and interfaces open
}

// element counts one more, and how long b has become with size bytes more.
func (e *encoder) element(b []byte, size int) error {
	if e.elements++; e.elements > e.Elements {
		return tooLarge("elements", e.Elements)
	}
	if len(b)-e.start+size > e.Bytes {
		return tooLarge("bytes", e.Bytes)
	}
	return nil
}

// enter opens a container of n members; the caller takes it from depth again.
func (e *encoder) enter(b []byte, n int) error {
	if e.depth == e.Depth {
		return tooLarge("containers inside each other; is the value cyclic?", e.Depth)
	}
	if n > e.Elements-e.elements {
		return tooLarge("elements", e.Elements)
	}
	e.depth++
	return e.element(b, 5)
}

// hop follows a pointer or looks into an interface; the caller takes it from hops again.
func (e *encoder) hop() error {
	if e.hops++; e.hops > maxPointers*(e.Depth+1) {
		return tooLarge("pointers inside each other; is the value cyclic?", maxPointers*(e.Depth+1))
	}
	return nil
}

// any appends what an interface holds; the types that need no reflection go first.
func (e *encoder) any(b []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case string:
		return e.text(b, x)
	case []byte:
		return e.bytes(b, x)
	case nil:
		return append(b, 0xc0), e.element(b, 1)
	case bool:
		return appendBool(b, x), e.element(b, 1)
	case int:
		return appendInt(b, int64(x)), e.element(b, 9)
	case int64:
		return appendInt(b, x), e.element(b, 9)
	case uint64:
		return msgp.AppendUint64(b, x), e.element(b, 9)
	case float64:
		return msgp.AppendFloat64(b, x), e.element(b, 9)
	case map[string]any:
		return e.mapping(b, x)
	case []any:
		return e.list(b, x)
	}
	rv := reflect.ValueOf(v)
	in := infoOf(rv.Type())
	if in.err != nil {
		return b, in.fail()
	}
	return in.enc(e, b, rv)
}

func (e *encoder) mapping(b []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(b, 0xc0), e.element(b, 1)
	}
	if err := e.enter(b, 2*len(m)); err != nil {
		return b, err
	}
	b = appendMapHead(b, len(m))
	var err error
	for k, v := range m {
		if b, err = e.text(b, k); err == nil {
			b, err = e.any(b, v)
		}
		if err != nil {
			return b, atKey(err, k)
		}
	}
	e.depth--
	return b, nil
}

func (e *encoder) list(b []byte, s []any) ([]byte, error) {
	if s == nil {
		return append(b, 0xc0), e.element(b, 1)
	}
	if err := e.enter(b, len(s)); err != nil {
		return b, err
	}
	b = appendArrayHead(b, len(s))
	var err error
	for i, v := range s {
		if b, err = e.any(b, v); err != nil {
			return b, atIndex(err, i)
		}
	}
	e.depth--
	return b, nil
}

func (e *encoder) text(b []byte, s string) ([]byte, error) {
	if err := e.element(b, len(s)); err != nil {
		return b, err
	}
	return append(appendRawHead(b, len(s), e.old), s...), nil
}

func (e *encoder) bytes(b, p []byte) ([]byte, error) {
	if p == nil {
		return append(b, 0xc0), e.element(b, 1)
	}
	if err := e.element(b, len(p)); err != nil {
		return b, err
	}
	if e.old {
		return append(appendRawHead(b, len(p), true), p...), nil
	}
	return msgp.AppendBytes(b, p), nil
}

func (e *encoder) time(b []byte, t time.Time) ([]byte, error) {
	if err := e.element(b, 37); err != nil {
		return b, err
	}
	return appendTime(b, t, e.old)
}

func (e *encoder) ext(b []byte, x Ext) ([]byte, error) {
	if e.old {
		return b, badType(extType, "msgpack of 2012 has no extensions")
	}
	if err := e.element(b, len(x.Data)); err != nil {
		return b, err
	}
	return appendExt(b, x), nil
}

// marshaler asks m and believes nothing: what it appended must be one whole value within the limits.
func (e *encoder) marshaler(b []byte, m msgp.Marshaler, t reflect.Type) ([]byte, error) {
	before := len(b)
	b, err := m.MarshalMsg(b)
	if err != nil {
		return b, method(t, err)
	}
	if len(b) < before {
		return b, badType(t, "its MarshalMsg returned less than it was given")
	}
	l := Limits{Depth: e.Depth - e.depth, Elements: e.Elements - e.elements, Bytes: e.Bytes - (before - e.start)}
	if l.Elements <= 0 || l.Bytes <= 0 {
		return b, tooLarge("elements or bytes", e.Elements)
	}
	n, elements, err := span(b[before:], &l, e.old)
	switch {
	case err == errNew:
		return b, badType(t, "its MarshalMsg writes %v", err)
	case err == msgp.ErrShortBytes || err == errLead || err == nil && n != len(b)-before:
		return b, badType(t, "its MarshalMsg does not write one whole value")
	case err != nil:
		return b, err
	}
	e.elements += elements
	return b, nil
}

func (e *encoder) textMarshaler(b []byte, m encoding.TextMarshaler, t reflect.Type) ([]byte, error) {
	s, err := m.MarshalText()
	if err != nil {
		return b, method(t, err)
	}
	if err := e.element(b, len(s)); err != nil {
		return b, err
	}
	return append(appendRawHead(b, len(s), e.old), s...), nil
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// appendInt appends i in its shortest form, which is unsigned from 0 on.
func appendInt(b []byte, i int64) []byte {
	if i >= 0 {
		return msgp.AppendUint64(b, uint64(i))
	}
	return msgp.AppendInt64(b, i)
}

func appendRawHead(b []byte, n int, old bool) []byte {
	if !old && n >= 32 && n <= math.MaxUint8 {
		return append(b, 0xd9, byte(n))
	}
	return heddle.AppendRawHead(b, n)
}

func appendArrayHead(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return append(b, 0xdc, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendMapHead(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n <= math.MaxUint16:
		return append(b, 0xde, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
}
