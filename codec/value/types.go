package value

import (
	"encoding"
	"reflect"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// maxPointers is how many pointers may lead to a value of a type, one behind the other.
const maxPointers = 4

// An info is what is known of a type, found out once.
type info struct {
	t   reflect.Type
	enc func(e *encoder, b []byte, v reflect.Value) ([]byte, error)
	dec func(d *decoder, p []byte, v reflect.Value) ([]byte, error) // v can be set
	key bool                                                        // may be a map's key
	err *TypeError                                                  // the type has no msgpack
}

// fail returns a copy of err, which the callers may extend.
func (in *info) fail() error {
	err := *in.err
	return &err
}

var infos sync.Map // reflect.Type to *info, also of types that are refused

var (
	timeType        = reflect.TypeFor[time.Time]()
	extType         = reflect.TypeFor[Ext]()
	marshaler       = reflect.TypeFor[msgp.Marshaler]()
	unmarshaler     = reflect.TypeFor[msgp.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func infoOf(t reflect.Type) *info {
	if in, ok := infos.Load(t); ok {
		return in.(*info)
	}
	b := builder{}
	in, err := b.info(t)
	if err != nil {
		in = &info{t: t, err: err.(*TypeError)}
		actual, _ := infos.LoadOrStore(t, in)
		return actual.(*info)
	}
	for t, in := range b { // all of them: those of recursive types refer to each other
		infos.LoadOrStore(t, in)
	}
	return in
}

// A builder finds out about one type and those it is made of. A type that is met again on the way is there
// already, not yet filled: that is how recursive types end.
type builder map[reflect.Type]*info

func (b builder) info(t reflect.Type) (*info, error) {
	if in, ok := infos.Load(t); ok {
		if in := in.(*info); in.err != nil {
			return nil, in.fail()
		}
		return in.(*info), nil
	}
	if in := b[t]; in != nil {
		return in, nil
	}
	in := &info{t: t}
	b[t] = in
	return in, b.fill(in)
}

func (b builder) fill(in *info) error {
	t := in.t
	switch {
	case t == timeType:
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			if v.CanAddr() {
				return e.time(b, *v.Addr().Interface().(*time.Time))
			}
			return e.time(b, v.Interface().(time.Time))
		}
		in.dec = (*decoder).time
		return nil
	case t == extType:
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.ext(b, v.Interface().(Ext)) }
		in.dec = (*decoder).ext
		return nil
	}
	if k := t.Kind(); k != reflect.Interface && k != reflect.Pointer {
		if b.methods(in) {
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		in.key, in.dec = true, (*decoder).bool
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendBool(b, v.Bool()), e.element(b, 1)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		in.key, in.dec = true, (*decoder).int
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendInt(b, v.Int()), e.element(b, 9)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		in.key, in.dec = true, (*decoder).uint
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return msgp.AppendUint64(b, v.Uint()), e.element(b, 9)
		}
	case reflect.Float32:
		in.key, in.dec = true, (*decoder).float
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return msgp.AppendFloat32(b, float32(v.Float())), e.element(b, 5)
		}
	case reflect.Float64:
		in.key, in.dec = true, (*decoder).float
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return msgp.AppendFloat64(b, v.Float()), e.element(b, 9)
		}
	case reflect.String:
		in.key, in.dec = true, (*decoder).text
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.text(b, v.String()) }
	case reflect.Interface:
		return b.iface(in)
	case reflect.Pointer:
		return b.pointer(in)
	case reflect.Slice:
		return b.slice(in)
	case reflect.Array:
		return b.array(in)
	case reflect.Map:
		return b.mapping(in)
	case reflect.Struct:
		return b.structure(in)
	default:
		return badType(t, "a %s has no msgpack", t.Kind())
	}
	return nil
}

// methods fills in from the type's own methods, if it has those for msgpack, or for text in both directions.
func (b builder) methods(in *info) bool {
	t, p := in.t, reflect.PointerTo(in.t)
	if p.Implements(marshaler) || p.Implements(unmarshaler) {
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			if !p.Implements(marshaler) {
				return b, badType(t, "it has UnmarshalMsg and no MarshalMsg")
			}
			return e.marshaler(b, receiver(v, t.Implements(marshaler)).(msgp.Marshaler), t)
		}
		in.dec = func(d *decoder, q []byte, v reflect.Value) ([]byte, error) {
			if !p.Implements(unmarshaler) {
				return q, badType(t, "it has MarshalMsg and no UnmarshalMsg")
			}
			return d.unmarshaler(q, v.Addr().Interface().(msgp.Unmarshaler), t)
		}
		return true
	}
	if p.Implements(textMarshaler) && p.Implements(textUnmarshaler) {
		in.key = true
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return e.textMarshaler(b, receiver(v, t.Implements(textMarshaler)).(encoding.TextMarshaler), t)
		}
		in.dec = (*decoder).textUnmarshaler
		return true
	}
	return false
}

// receiver returns what to call a method of v on: v or a pointer to it.
func receiver(v reflect.Value, byValue bool) any {
	switch {
	case v.CanAddr():
		return v.Addr().Interface()
	case byValue:
		return v.Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

func (b builder) iface(in *info) error {
	in.key = in.t.NumMethod() == 0 // what is in it is looked at when it is there
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
		if err := e.hop(); err != nil {
			return b, err
		}
		b, err := e.any(b, v.Interface())
		e.hops--
		return b, err
	}
	in.dec = (*decoder).iface
	return nil
}

func (b builder) pointer(in *info) error {
	base := in.t
	for range maxPointers {
		if base = base.Elem(); base.Kind() != reflect.Pointer {
			break
		}
	}
	if base.Kind() == reflect.Pointer {
		return badType(in.t, "more than %d pointers one behind the other", maxPointers)
	}
	elem, err := b.info(in.t.Elem())
	if err != nil {
		return err
	}
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(b, 0xc0), e.element(b, 1)
		}
		if err := e.hop(); err != nil {
			return b, err
		}
		b, err := elem.enc(e, b, v.Elem())
		e.hops--
		return b, err
	}
	in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) {
		if p[0] == 0xc0 {
			v.SetZero()
			return p[1:], nil
		}
		if v.IsNil() {
			if err := d.alloc(1, elem.t.Size()); err != nil {
				return p, err
			}
			v.Set(reflect.New(elem.t))
		}
		return elem.dec(d, p, v.Elem())
	}
	return nil
}

// isByte tells whether a slice of t is bytes: an element with methods of its own is not one.
func (b builder) isByte(t reflect.Type) bool {
	return t.Kind() == reflect.Uint8 && !b.methods(&info{t: t})
}

func (b builder) slice(in *info) error {
	t := in.t
	if b.isByte(t.Elem()) {
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.bytes(b, v.Bytes()) }
		in.dec = (*decoder).bytes
		return nil
	}
	elem, err := b.info(t.Elem())
	if err != nil {
		return at(err, "[]")
	}
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(b, 0xc0), e.element(b, 1)
		}
		return e.members(b, v, elem)
	}
	in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) { return d.slice(p, v, elem) }
	return nil
}

// members appends a slice or an array.
func (e *encoder) members(b []byte, v reflect.Value, elem *info) ([]byte, error) {
	n := v.Len()
	if err := e.enter(b, n); err != nil {
		return b, err
	}
	b = appendArrayHead(b, n)
	var err error
	for i := range n {
		if b, err = elem.enc(e, b, v.Index(i)); err != nil {
			return b, atIndex(err, i)
		}
	}
	e.depth--
	return b, nil
}

func (b builder) array(in *info) error {
	t := in.t
	if b.isByte(t.Elem()) {
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			if v.CanAddr() {
				return e.bytes(b, v.Bytes())
			}
			p := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(p), v)
			return e.bytes(b, p)
		}
		in.dec = (*decoder).byteArray
		return nil
	}
	elem, err := b.info(t.Elem())
	if err != nil {
		return at(err, "[]")
	}
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.members(b, v, elem) }
	in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) { return d.array(p, v, elem) }
	return nil
}

func (b builder) mapping(in *info) error {
	t := in.t
	key, err := b.info(t.Key())
	if err != nil {
		return at(err, "[key]")
	}
	if !key.key {
		return at(badType(t.Key(), "a map's key must be a scalar"), "[key]")
	}
	elem, err := b.info(t.Elem())
	if err != nil {
		return at(err, "[]")
	}
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.entries(b, v, key, elem) }
	in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) { return d.mapping(p, v, key, elem) }
	return nil
}

func (e *encoder) entries(b []byte, v reflect.Value, key, elem *info) ([]byte, error) {
	if v.IsNil() {
		return append(b, 0xc0), e.element(b, 1)
	}
	if v.CanInterface() && v.Type() == plainMap {
		return e.mapping(b, v.Interface().(map[string]any))
	}
	if err := e.enter(b, 2*v.Len()); err != nil {
		return b, err
	}
	b = appendMapHead(b, v.Len())
	// One place for all keys and one for all members: what a range hands out is a copy each.
	k, m := reflect.New(key.t).Elem(), reflect.New(elem.t).Elem()
	for it := v.MapRange(); it.Next(); {
		k.SetIterKey(it)
		m.SetIterValue(it)
		if k.Kind() == reflect.Interface {
			if k.IsNil() {
				return b, at(badType(nil, "a map's key must be a scalar"), "[key]")
			}
			in := infoOf(k.Elem().Type())
			if in.err != nil || !in.key || k.Elem().Kind() == reflect.Interface {
				return b, at(badType(k.Elem().Type(), "a map's key must be a scalar"), "[key]")
			}
		}
		var err error
		if b, err = key.enc(e, b, k); err == nil {
			b, err = elem.enc(e, b, m)
		}
		if err != nil {
			return b, atKey(err, k.Interface())
		}
	}
	e.depth--
	return b, nil
}

var (
	plainMap = reflect.TypeFor[map[string]any]()
	anyType  = reflect.TypeFor[any]()
)
