package host

import (
	"fmt"
	"reflect"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
)

// None is the argument struct of methods that take none.
type None struct {
	_ struct{} `msg:",tuple"`
}

// decodeArgs reads a call's arguments into the tuple that v points to. At least
// required of them must be there, further ones than it has fields are skipped, and
// each has to be of its field's kind, as the real runtimes want it: nil is nothing
// but nil. bad is what is wrong, in v0's words.
func decodeArgs(args []byte, required int, v any) (bad string) {
	count := codec.ArgCount(args)
	if count < required {
		return fmt.Sprintf("argument sequence length mismatch - expected at least %d, got %d", required, count)
	}
	t := reflect.TypeOf(v).Elem()
	size, _, err := heddle.Head(args)
	if err != nil || !fitMembers(t, args[size:], count) {
		return badArgs
	}
	if _, err := value.Decode(args, v, value.Limits{Bytes: len(args)}); err != nil {
		return badArgs // a number out of range
	}
	return ""
}

var typeOfValue = reflect.TypeFor[heddle.Value]()

// A lead is a type that tells by an object's first byte whether it is of its kind.
type lead interface{ fits(c byte) bool }

var typeOfLead = reflect.TypeFor[lead]()

// fitMembers says whether the first n objects at p are of the kinds of a tuple's
// fields; those without a field may be anything.
func fitMembers(t reflect.Type, p []byte, n int) bool {
	for i := 0; n > 0 && i < t.NumField(); i++ {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		var ok bool
		if p, ok = fit(f.Type, p); !ok {
			return false
		}
		n--
	}
	return true
}

// fit says whether the object at the front of p, which is whole, is of the type's
// kind, and returns what follows it.
func fit(t reflect.Type, p []byte) (rest []byte, ok bool) {
	var v heddle.Value
	rest, err := v.UnmarshalMsg(p)
	if err != nil {
		return p, false
	}
	if t == typeOfValue {
		return rest, true
	}
	c := v[0]
	if reflect.PointerTo(t).Implements(typeOfLead) {
		return rest, reflect.Zero(reflect.PointerTo(t)).Interface().(lead).fits(c)
	}
	size, members, _ := heddle.Head(v)
	switch t.Kind() {
	case reflect.String:
		return rest, isRaw(c)
	case reflect.Bool:
		return rest, c == 0xc2 || c == 0xc3
	case reflect.Int, reflect.Int64:
		return rest, isInt(c)
	case reflect.Uint64, reflect.Uint16:
		return rest, c < 0x80 || c >= 0xcc && c <= 0xcf
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return rest, isRaw(c)
		}
		if !isArray(c) {
			return rest, false
		}
		for q := v[size:]; members > 0; members-- {
			if q, ok = fitValue(t.Elem(), q); !ok {
				return rest, false
			}
		}
		return rest, true
	case reflect.Struct:
		return rest, isArray(c) && int(members) >= exported(t) && fitMembers(t, v[size:], int(members))
	case reflect.Map:
		if c&0xf0 != 0x80 && c != 0xde && c != 0xdf {
			return rest, false
		}
		for q := v[size:]; members > 0; members -= 2 {
			if q, ok = fitValue(t.Key(), q); !ok {
				return rest, false
			}
			if q, ok = fitValue(t.Elem(), q); !ok {
				return rest, false
			}
		}
		return rest, true
	}
	return rest, true // an interface
}

func fitValue(t reflect.Type, p heddle.Value) (heddle.Value, bool) { return fit(t, p) }

func exported(t reflect.Type) (n int) {
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			n++
		}
	}
	return n
}

// isRaw is of raw, and of str and bin, which newer clients send.
func isRaw(c byte) bool { return c&0xe0 == 0xa0 || c >= 0xd9 && c <= 0xdb || c >= 0xc4 && c <= 0xc6 }

func isInt(c byte) bool { return c < 0x80 || c >= 0xe0 || c >= 0xcc && c <= 0xd3 }

func isArray(c byte) bool { return c&0xf0 == 0x90 || c == 0xdc || c == 0xdd }
