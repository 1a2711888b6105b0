package value

import (
	"encoding/binary"
	"math"
	"reflect"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// These read one object of a value that is whole, and return what follows it. Those that return false found
// another kind.

// integer reads an integer; u has the bits of the int64 when it is negative.
func integer(p []byte) (u uint64, negative bool, rest []byte, ok bool) {
	c := p[0]
	switch {
	case c < 0x80:
		return uint64(c), false, p[1:], true
	case c >= 0xe0:
		return uint64(int64(int8(c))), true, p[1:], true
	case c < 0xcc || c > 0xd3:
		return 0, false, p, false
	}
	width := 1 << ((c - 0xcc) & 3)
	for _, b := range p[1 : 1+width] {
		u = u<<8 | uint64(b)
	}
	if c >= 0xd0 { // signed
		shift := 64 - 8*width
		i := int64(u<<shift) >> shift
		u, negative = uint64(i), i < 0
	}
	return u, negative, p[1+width:], true
}

func float(p []byte) (float64, []byte) {
	if p[0] == 0xca {
		return float64(math.Float32frombits(binary.BigEndian.Uint32(p[1:]))), p[5:]
	}
	return math.Float64frombits(binary.BigEndian.Uint64(p[1:])), p[9:]
}

// raw reads any of raw, str and bin; false for a nil, too. It borrows.
func raw(p []byte) (s, rest []byte, ok bool) {
	if c := p[0]; c&0xe0 != 0xa0 && (c < 0xd9 || c > 0xdb) && (c < 0xc4 || c > 0xc6) {
		return nil, p, false
	}
	rest, err := (*heddle.Raw)(&s).UnmarshalMsg(p)
	return s, rest, err == nil
}

// ext reads an extension. It borrows.
func ext(p []byte) (typ int8, data, rest []byte, ok bool) {
	c := p[0]
	if !(c >= 0xc7 && c <= 0xc9 || c >= 0xd4 && c <= 0xd8) {
		return 0, nil, p, false
	}
	size, _, _ := heddle.Head(p)
	head := 2 // lead byte, type
	if c <= 0xc9 {
		head += 1 << (c - 0xc7)
	}
	return int8(p[head-1]), p[head:size:size], p[size:], true
}

func arrayHead(p []byte) (n int, rest []byte, ok bool) {
	switch c := p[0]; {
	case c&0xf0 == 0x90:
		return int(c & 0x0f), p[1:], true
	case c == 0xdc:
		return int(binary.BigEndian.Uint16(p[1:])), p[3:], true
	case c == 0xdd:
		return int(binary.BigEndian.Uint32(p[1:])), p[5:], true
	}
	return 0, p, false
}

func mapHead(p []byte) (n int, rest []byte, ok bool) {
	switch c := p[0]; {
	case c&0xf0 == 0x80:
		return int(c & 0x0f), p[1:], true
	case c == 0xde:
		return int(binary.BigEndian.Uint16(p[1:])), p[3:], true
	case c == 0xdf:
		return int(binary.BigEndian.Uint32(p[1:])), p[5:], true
	}
	return 0, p, false
}

// kindOf names the object at the front of p.
func kindOf(p []byte) string {
	switch t := msgp.NextType(p); t {
	case msgp.StrType:
		return "text"
	case msgp.BinType:
		return "bytes"
	case msgp.IntType, msgp.UintType:
		return "an integer"
	case msgp.Float32Type, msgp.Float64Type:
		return "a float"
	case msgp.ArrayType:
		return "an array"
	case msgp.MapType:
		return "a map"
	case msgp.BoolType:
		return "a bool"
	case msgp.NilType:
		return "nil"
	default:
		return "an extension"
	}
}

func mismatch(p []byte, t reflect.Type) error { return badType(t, "%s does not fit", kindOf(p)) }

func overflow(u uint64, negative bool, t reflect.Type) error {
	if negative {
		return badType(t, "%d does not fit", int64(u))
	}
	return badType(t, "%d does not fit", u)
}
