package value

import (
	"reflect"
	"strings"
)

// A field is one of a struct's, or of one embedded in it.
type field struct {
	name      string
	index     []int // as for reflect's FieldByIndex
	depth     int   // how deep it is embedded
	omitempty bool
	in        *info
}

// structure fills in for a struct: a map by names, or an array with the marker.
func (b builder) structure(in *info) error {
	t := in.t
	fields, tuple, err := b.fields(t)
	if err != nil {
		return err
	}
	if len(fields) == 0 && t.NumField() > 0 && !tuple {
		return badType(t, "a struct without exported fields has no msgpack")
	}
	if tuple {
		in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) { return e.tuple(b, v, fields) }
		in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) { return d.tuple(p, v, fields) }
		return nil
	}
	heads := make([][]byte, 0, len(fields)) // of the names; those up to 31 bytes are the same in both specifications
	byName := make(map[string]*field, len(fields))
	some := false // fields may be absent
	for i := range fields {
		f := &fields[i]
		heads = append(heads, append(appendRawHead(nil, len(f.name), len(f.name) > 31), f.name...))
		byName[f.name] = f
		some = some || f.omitempty || len(f.index) > 1
	}
	in.enc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
		return e.fields(b, v, fields, heads, some)
	}
	in.dec = func(d *decoder, p []byte, v reflect.Value) ([]byte, error) { return d.fields(p, v, fields, byName) }
	return nil
}

// fields lists the fields of t in their order, embedded structs in their place.
func (b builder) fields(t reflect.Type) (fs []field, tuple bool, err error) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Name == "_" && f.Type.Size() == 0 {
			name, options, _ := strings.Cut(f.Tag.Get("msg"), ",")
			tuple = tuple || name == "" && options == "tuple"
		}
	}
	all, err := b.collect(nil, t, nil, map[reflect.Type]bool{})
	if err != nil {
		return nil, false, err
	}
	least := make(map[string]int) // depth, by name
	for _, f := range all {
		if d, ok := least[f.name]; !ok || f.depth < d {
			least[f.name] = f.depth
		}
	}
	seen := make(map[string]bool)
	for _, f := range all {
		switch {
		case f.depth > least[f.name]:
			continue
		case seen[f.name]:
			return nil, false, badType(t, "two fields are called %q", f.name)
		case tuple && f.omitempty:
			return nil, false, at(badType(t, "no field of a tuple can be left out"), "."+f.name)
		}
		seen[f.name] = true
		fs = append(fs, f)
	}
	return fs, tuple, nil
}

// collect appends the fields of t, which is at index in the outermost struct.
func (b builder) collect(fs []field, t reflect.Type, index []int, open map[reflect.Type]bool) ([]field, error) {
	if open[t] {
		return fs, badType(t, "a struct that is embedded in itself")
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("msg")
		name, options, _ := strings.Cut(tag, ",")
		if tag == "-" || f.Name == "_" {
			continue
		}
		omitempty := false
		switch options {
		case "":
		case "omitempty":
			omitempty = true
		default:
			return fs, at(badType(t, "option %q of its tag is not known", options), "."+f.Name)
		}
		here := append(index[:len(index):len(index)], i)
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner != timeType && inner != extType && !b.methods(&info{t: inner}) {
				if inner != f.Type && !f.IsExported() {
					return fs, at(badType(f.Type, "an embedded pointer to a struct that is not exported cannot be set"), "."+f.Name)
				}
				var err error
				if fs, err = b.collect(fs, inner, here, open); err != nil {
					return fs, err
				}
				continue
			}
		}
		if !f.IsExported() {
			if tagged && name != "" {
				return fs, at(badType(t, "a field with a name in its tag that is not exported"), "."+f.Name)
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		in, err := b.info(f.Type)
		if err != nil {
			return fs, at(err, "."+f.Name)
		}
		fs = append(fs, field{name: name, index: here, depth: len(index), omitempty: omitempty, in: in})
	}
	return fs, nil
}

// get returns the field of v; false behind an embedded pointer that is nil.
func (f *field) get(v reflect.Value) (reflect.Value, bool) {
	v = v.Field(f.index[0])
	for _, i := range f.index[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// absent tells whether v is to be left out.
func (f *field) absent(v reflect.Value) bool {
	if !f.omitempty {
		return false
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

func (e *encoder) fields(b []byte, v reflect.Value, fields []field, heads [][]byte, some bool) ([]byte, error) {
	n := len(fields)
	if some {
		n = 0
		for i := range fields {
			if fv, ok := fields[i].get(v); ok && !fields[i].absent(fv) {
				n++
			}
		}
	}
	if err := e.enter(b, 2*n); err != nil {
		return b, err
	}
	b = appendMapHead(b, n)
	var err error
	for i := range fields {
		f := &fields[i]
		fv, ok := f.get(v)
		if !ok || some && f.absent(fv) {
			continue
		}
		if err := e.element(b, len(heads[i])); err != nil {
			return b, err
		}
		b = append(b, heads[i]...)
		if b, err = f.in.enc(e, b, fv); err != nil {
			return b, at(err, "."+f.name)
		}
	}
	e.depth--
	return b, nil
}

func (e *encoder) tuple(b []byte, v reflect.Value, fields []field) ([]byte, error) {
	if err := e.enter(b, len(fields)); err != nil {
		return b, err
	}
	b = appendArrayHead(b, len(fields))
	var err error
	for i := range fields {
		f := &fields[i]
		fv, ok := f.get(v)
		if !ok {
			b, err = append(b, 0xc0), e.element(b, 1)
		} else {
			b, err = f.in.enc(e, b, fv)
		}
		if err != nil {
			return b, at(err, "."+f.name)
		}
	}
	e.depth--
	return b, nil
}

// set returns the field of v to decode into, making what an embedded pointer lacks.
func (f *field) set(d *decoder, v reflect.Value) (reflect.Value, error) {
	v = v.Field(f.index[0])
	for _, i := range f.index[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if err := d.alloc(1, v.Type().Elem().Size()); err != nil {
					return v, err
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}

func (d *decoder) fields(p []byte, v reflect.Value, fields []field, byName map[string]*field) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	n, p, ok := mapHead(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	next := 0 // fields mostly come in our order
	for range n {
		name, q, ok := raw(p)
		if !ok {
			return p, badType(v.Type(), "%s as the name of a field", kindOf(p))
		}
		p = q
		var f *field
		if next < len(fields) && fields[next].name == string(name) {
			f = &fields[next]
		} else {
			f = byName[string(name)]
		}
		next++
		if f == nil {
			p = d.skip(p)
			continue
		}
		fv, err := f.set(d, v)
		if err == nil {
			p, err = f.in.dec(d, p, fv)
		}
		if err != nil {
			return p, at(err, "."+f.name)
		}
	}
	return p, nil
}

func (d *decoder) tuple(p []byte, v reflect.Value, fields []field) ([]byte, error) {
	if p[0] == 0xc0 {
		v.SetZero()
		return p[1:], nil
	}
	n, p, ok := arrayHead(p)
	if !ok {
		return p, mismatch(p, v.Type())
	}
	for i := range n {
		if i >= len(fields) {
			p = d.skip(p)
			continue
		}
		f := &fields[i]
		if p[0] == 0xc0 && len(f.index) > 1 { // makes nothing of an embedded pointer that was nil
			if fv, ok := f.get(v); ok {
				fv.SetZero()
			}
			p = p[1:]
			continue
		}
		fv, err := f.set(d, v)
		if err == nil {
			p, err = f.in.dec(d, p, fv)
		}
		if err != nil {
			return p, at(err, "."+f.name)
		}
	}
	return p, nil
}
