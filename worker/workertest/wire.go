package workertest

import (
	"errors"
	"fmt"
)

// This file reads msgpack a second time, for the Runtime: it has nothing of package
// codec, so that a slip there is not overlooked here, and it notes what that reader
// passes over, such as integers that are longer than they need be.

// A kind is what a msgpack value is.
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindUint // an integer from 0, however it was written
	kindNegative
	kindFloat
	kindRaw // raw, str or bin
	kindArray
	kindMap
	kindExt
)

// A value is one msgpack value and what is in it. Its slices borrow the input.
type value struct {
	kind  kind
	n     uint64  // kindUint; of kindBool 0 or 1
	i     int64   // kindNegative
	raw   []byte  // kindRaw
	elems []value // kindArray; of kindMap key and value in turn
	bytes []byte  // the whole encoding
}

// slips are what was noted on the way.
type slips struct {
	newSpec bool // str8, bin or ext: not in the msgpack of 2012
	wide    bool // a head or an integer is longer than it need be
}

var (
	errShort = errors.New("cut off")
	errDeep  = errors.New("nested too deep")
)

// deepest is how far values may nest; longest how many elements a head may promise.
const (
	deepest = 32
	longest = 1 << 24
)

// readValue reads the value at the front of p. errShort: p ends before it does.
func readValue(p []byte, depth int, s *slips) (v value, rest []byte, err error) {
	if depth > deepest {
		return v, p, errDeep
	}
	if len(p) == 0 {
		return v, p, errShort
	}
	c := p[0]
	switch {
	case c < 0x80:
		v, rest = value{kind: kindUint, n: uint64(c)}, p[1:]
	case c >= 0xe0:
		v, rest = value{kind: kindNegative, i: int64(int8(c))}, p[1:]
	case c < 0x90:
		v.kind = kindMap
		v.elems, rest, err = readValues(p[1:], 2*int(c&15), depth, s)
	case c < 0xa0:
		v.kind = kindArray
		v.elems, rest, err = readValues(p[1:], int(c&15), depth, s)
	case c < 0xc0:
		v.kind = kindRaw
		v.raw, rest, err = take(p[1:], int(c&31))
	default:
		v, rest, err = readLong(p, depth, s)
	}
	if err == nil {
		v.bytes = p[: len(p)-len(rest) : len(p)-len(rest)]
	}
	return v, rest, err
}

// readLong reads a value whose first byte has no room for anything else.
func readLong(p []byte, depth int, s *slips) (v value, rest []byte, err error) {
	c := p[0]
	head := func(size int) (n uint64) { // an unsigned number behind the first byte
		var b []byte
		if b, rest, err = take(p[1:], size); err == nil {
			for _, x := range b {
				n = n<<8 | uint64(x)
			}
		}
		return n
	}
	least := func(n, min uint64) { // the shortest form begins at min
		s.wide = s.wide || err == nil && n < min
	}
	switch c {
	case 0xc0:
		return value{kind: kindNil}, p[1:], nil
	case 0xc2, 0xc3:
		return value{kind: kindBool, n: uint64(c & 1)}, p[1:], nil
	case 0xca, 0xcb:
		v.kind = kindFloat
		_, rest, err = take(p[1:], 4<<(c-0xca))
	case 0xcc, 0xcd, 0xce, 0xcf:
		v.kind = kindUint
		v.n = head(1 << (c - 0xcc))
		least(v.n, []uint64{0x80, 0x100, 0x10000, 1 << 32}[c-0xcc])
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n := int64(head(size)<<(64-8*size)) >> (64 - 8*size)
		if n >= 0 {
			v.kind, v.n = kindUint, uint64(n)
			s.wide = s.wide || err == nil // an unsigned form is as short, or shorter
		} else {
			v.kind, v.i = kindNegative, n
			s.wide = s.wide || err == nil && n >= []int64{-32, -128, -1 << 15, -1 << 31}[c-0xd0]
		}
	case 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6:
		v.kind = kindRaw
		size := map[byte]int{0xd9: 1, 0xda: 2, 0xdb: 4, 0xc4: 1, 0xc5: 2, 0xc6: 4}[c]
		n := head(size)
		if c == 0xda || c == 0xdb {
			least(n, map[byte]uint64{0xda: 32, 0xdb: 0x10000}[c])
		} else {
			s.newSpec = true
		}
		if err == nil {
			v.raw, rest, err = take(rest, int(n))
		}
	case 0xdc, 0xdd, 0xde, 0xdf:
		n := head(2 << ((c - 0xdc) & 1))
		least(n, []uint64{16, 0x10000}[(c-0xdc)&1])
		if err != nil {
			break
		}
		if n > longest {
			return v, rest, fmt.Errorf("a head promises %d elements", n)
		}
		v.kind = kindArray
		if c >= 0xde {
			v.kind = kindMap
			n *= 2
		}
		v.elems, rest, err = readValues(rest, int(n), depth, s)
	case 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		v.kind = kindExt
		s.newSpec = true
		if c >= 0xd4 {
			_, rest, err = take(p[1:], 1+1<<(c-0xd4))
			break
		}
		if n := head(1 << (c - 0xc7)); err == nil {
			_, rest, err = take(rest, 1+int(n))
		}
	default:
		return v, p, fmt.Errorf("no value begins with 0x%02x", c)
	}
	return v, rest, err
}

func readValues(p []byte, n, depth int, s *slips) (vs []value, rest []byte, err error) {
	vs = make([]value, 0, min(n, len(p)))
	for range n {
		var v value
		if v, p, err = readValue(p, depth+1, s); err != nil {
			return nil, p, err
		}
		vs = append(vs, v)
	}
	return vs, p, nil
}

func take(p []byte, n int) (b, rest []byte, err error) {
	if n < 0 || len(p) < n {
		return nil, nil, errShort
	}
	return p[:n:n], p[n:], nil
}

// isInt says whether v is an integer, and which; too large ones are cut off.
func (v value) isInt() (int64, bool) {
	switch v.kind {
	case kindUint:
		return int64(min(v.n, 1<<63-1)), true
	case kindNegative:
		return v.i, true
	}
	return 0, false
}
