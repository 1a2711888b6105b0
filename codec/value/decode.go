package value

import (
	"encoding"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Decode sets what v points to from the value at the front of p, and returns what follows it.
// msgp.ErrShortBytes: p ends before the value does. ErrTooLarge: over one of the limits. *TypeError: the value
// does not fit, or its type's own method failed. On an error v may be set in part.
func Decode(p []byte, v any, o Limits) (rest []byte, err error) {
	l := o.withDefaults(len(p))
	n, _, err := span(p, &l, false)
	if err != nil {
		return p, err
	}
	d := decoders.Get().(*decoder)
	*d = decoder{Limits: l}
	left, err := d.into(p[:n:n], v)
	decoders.Put(d)
	if err != nil {
		return p, err
	}
	if len(left) > 0 {
		panic("value: a value was not read to its end") // our own arithmetic
	}
	return p[n:], nil
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// A decoder is what one Decode has to remember. What it reads is one whole value: span has been there before.
type decoder struct{ Limits }

func (d *decoder) into(p []byte, v any) ([]byte, error) {
	if u, ok := v.(msgp.Unmarshaler); ok {
		rv := reflect.ValueOf(v)
		if rv.Kind() == reflect.Pointer && !rv.IsNil() {
			return d.unmarshaler(p, u, rv.Type().Elem())
		}
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		var t reflect.Type
		if rv.IsValid() {
			t = rv.Type()
		}
		return p, badType(t, "Decode needs a pointer that is not nil")
	}
	in := infoOf(rv.Type().Elem())
	if in.err != nil {
		return p, in.fail()
	}
	return in.dec(d, p, rv.Elem())
}

// alloc takes n things of size bytes from what may be allocated.
func (d *decoder) alloc(n int, size uintptr) error {
	if size > 0 && uintptr(n) > uintptr(d.Memory)/size {
		return tooLarge("bytes of memory are left for it", d.Memory)
	}
	d.Memory -= n * int(size)
	return nil
}

func (d *decoder) skip(p []byte) []byte {
	n, _, err := span(p, &Limits{Depth: DefaultDepth, Elements: math.MaxInt, Bytes: math.MaxInt32}, false)
	if err != nil {
		panic("value: " + err.Error()) // span has been here before
	}
	return p[n:]
}

func (d *decoder) unmarshaler(p []byte, u msgp.Unmarshaler, t reflect.Type) ([]byte, error) {
	rest := d.skip(p)
	n := len(p) - len(rest)
	left, err := u.UnmarshalMsg(p[:n:n])
	if err != nil {
		return p, method(t, err)
	}
	if len(left) > 0 {
		return p, badType(t, "its UnmarshalMsg leaves %d bytes of the value unread", len(left))
	}
	return rest, nil
}

func (d *decoder) textUnmarshaler(p []byte, v reflect.Value) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	s, rest, ok := raw(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	if err := d.alloc(len(s), 1); err != nil {
		return p, err
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s); err != nil {
		return p, method(v.Type(), err)
	}
	return rest, nil
}

func (d *decoder) bool(p []byte, v reflect.Value) ([]byte, error) {
	switch p[0] {
	case 0xc0:
		v.SetZero()
	case 0xc2, 0xc3:
		v.SetBool(p[0] == 0xc3)
	default:
		return p, mismatch(p, v.Type())
	}
	return p[1:], nil
}

func (d *decoder) int(p []byte, v reflect.Value) ([]byte, error) {
	u, negative, rest, ok := integer(p)
	switch {
	case p[0] == 0xc0:
		v.SetZero()
		return p[1:], nil
	case !ok:
		return p, mismatch(p, v.Type())
	case !negative && u > math.MaxInt64 || v.OverflowInt(int64(u)):
		return p, overflow(u, negative, v.Type())
	}
	v.SetInt(int64(u))
	return rest, nil
}

func (d *decoder) uint(p []byte, v reflect.Value) ([]byte, error) {
	u, negative, rest, ok := integer(p)
	switch {
	case p[0] == 0xc0:
		v.SetZero()
		return p[1:], nil
	case !ok:
		return p, mismatch(p, v.Type())
	case negative || v.OverflowUint(u):
		return p, overflow(u, negative, v.Type())
	}
	v.SetUint(u)
	return rest, nil
}

func (d *decoder) float(p []byte, v reflect.Value) ([]byte, error) {
	var f float64
	switch {
	case p[0] == 0xc0:
		v.SetZero()
		return p[1:], nil
	case p[0] == 0xca || p[0] == 0xcb:
		f, p = float(p)
	default:
		u, negative, rest, ok := integer(p)
		if !ok {
			return p, mismatch(p, v.Type())
		}
		f, p = float64(u), rest
		if negative {
			f = float64(int64(u))
		}
	}
	if v.OverflowFloat(f) {
		return p, badType(v.Type(), "%v does not fit", f)
	}
	v.SetFloat(f)
	return p, nil
}

func (d *decoder) text(p []byte, v reflect.Value) ([]byte, error) {
	s, rest, ok := raw(p)
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	if !ok {
		return p, mismatch(p, v.Type())
	}
	if err := d.alloc(len(s), 1); err != nil {
		return p, err
	}
	v.SetString(string(s))
	return rest, nil
}

func (d *decoder) bytes(p []byte, v reflect.Value) ([]byte, error) {
	s, rest, ok := raw(p)
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	if !ok {
		return p, mismatch(p, v.Type())
	}
	if v.IsNil() || v.Cap() < len(s) {
		if err := d.alloc(len(s), 1); err != nil {
			return p, err
		}
		v.SetBytes(make([]byte, len(s)))
	} else {
		v.SetLen(len(s))
	}
	copy(v.Bytes(), s)
	return rest, nil
}

func (d *decoder) byteArray(p []byte, v reflect.Value) ([]byte, error) {
	s, rest, ok := raw(p)
	switch {
	case p[0] == 0xc0:
		v.SetZero()
		return p[1:], nil
	case !ok:
		return p, mismatch(p, v.Type())
	case len(s) != v.Len():
		return p, badType(v.Type(), "%d bytes do not fit", len(s))
	}
	copy(v.Bytes(), s)
	return rest, nil
}

func (d *decoder) time(p []byte, v reflect.Value) ([]byte, error) {
	t := v.Addr().Interface().(*time.Time)
	if p[0] == 0xc0 {
		*t = time.Time{}
		return p[1:], nil
	}
	if s, rest, ok := raw(p); ok {
		if err := t.UnmarshalText(s); err != nil {
			return p, badType(timeType, "%.60q is no time", s)
		}
		return rest, nil
	}
	typ, data, rest, ok := ext(p)
	if ok {
		*t, ok = extAsTime(typ, data)
	}
	if !ok {
		return p, mismatch(p, timeType)
	}
	return rest, nil
}

func (d *decoder) ext(p []byte, v reflect.Value) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	typ, data, rest, ok := ext(p)
	if !ok {
		return p, mismatch(p, extType)
	}
	if err := d.alloc(len(data), 1); err != nil {
		return p, err
	}
	*v.Addr().Interface().(*Ext) = Ext{Type: typ, Data: append([]byte{}, data...)}
	return rest, nil
}

func (d *decoder) iface(p []byte, v reflect.Value) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	if v.NumMethod() > 0 {
		return p, badType(v.Type(), "only an empty interface can be read into")
	}
	x, rest, err := d.natural(p)
	if err != nil {
		return p, err
	}
	v.Set(reflect.ValueOf(x))
	return rest, nil
}

// eager is how many bytes a slice gets at once; beyond, it grows as its members come.
const eager = 64 << 10

func (d *decoder) slice(p []byte, v reflect.Value, elem *info) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	n, p, ok := arrayHead(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	size := elem.t.Size()
	if v.IsNil() || v.Cap() < n {
		first := n
		if size > 0 {
			first = min(n, max(1, eager/int(size)))
		}
		if err := d.alloc(first, size); err != nil {
			return p, err
		}
		v.Set(reflect.MakeSlice(v.Type(), 0, first))
	}
	v.SetLen(0)
	var err error
	for i := range n {
		if i == v.Cap() {
			more := min(i, n-i)
			if err := d.alloc(i+more, size); err != nil { // all of it moves
				return p, err
			}
			v.Grow(more)
		}
		v.SetLen(i + 1)
		m := v.Index(i)
		m.SetZero()
		if p, err = elem.dec(d, p, m); err != nil {
			return p, atIndex(err, i)
		}
	}
	return p, nil
}

func (d *decoder) array(p []byte, v reflect.Value, elem *info) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	n, p, ok := arrayHead(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	if n != v.Len() {
		return p, badType(v.Type(), "%d elements do not fit", n)
	}
	var err error
	for i := range n {
		if p, err = elem.dec(d, p, v.Index(i)); err != nil {
			return p, atIndex(err, i)
		}
	}
	return p, nil
}

func (d *decoder) mapping(p []byte, v reflect.Value, key, elem *info) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	n, p, ok := mapHead(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	if v.IsNil() {
		if err := d.alloc(1, 48); err != nil {
			return p, err
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), min(n, 64)))
	}
	k, m := reflect.New(key.t).Elem(), reflect.New(elem.t).Elem()
	var err error
	for range n {
		if err := d.alloc(1, 2*(key.t.Size()+elem.t.Size()+8)); err != nil { // about what a growing map takes
			return p, err
		}
		k.SetZero()
		m.SetZero()
		if p, err = d.mapKey(p, k, key); err != nil {
			return p, at(err, "[key]")
		}
		if p, err = elem.dec(d, p, m); err != nil {
			return p, atKey(err, k.Interface())
		}
		v.SetMapIndex(k, m)
	}
	return p, nil
}

func (d *decoder) mapKey(p []byte, k reflect.Value, key *info) ([]byte, error) {
	if p[0] == 0xc0 {
		return p, badType(key.t, "nil as a map's key")
	}
	if k.Kind() != reflect.Interface {
		return key.dec(d, p, k)
	}
	x, rest, err := d.naturalKey(p)
	if err == nil {
		k.Set(reflect.ValueOf(x))
	}
	return rest, err
}
