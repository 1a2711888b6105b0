package servicetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// A kind is what a msgpack value is to the runtime.
type kind int

const (
	kindNil kind = iota
	kindBool
	kindUint // POSITIVE_INTEGER of msgpack-c
	kindInt  // below 0
	kindFloat
	kindRaw
	kindArray
	kindMap
	kindExt
)

func (k kind) String() string {
	return [...]string{"nil", "bool", "integer", "negative integer", "float", "raw", "array", "map", "ext"}[k]
}

// A node is one msgpack value as it lay on the wire.
type node struct {
	kind kind
	lead byte // its first byte
	size int  // bytes, what it holds included
	u    uint64
	f    float64
	raw  []byte
	list []node // members; of a map its keys and values in turn
}

var (
	errCut   = errors.New("cut off")
	errDepth = errors.New("nested over 64 deep")
	errLead  = errors.New("byte 0xc1 begins no value")
)

// maxDepth bounds how deep a value may be nested. The runtime has no such bound
// but its stack.
const maxDepth = 64

// parse reads the value at the front of p, which it borrows. errCut: p ends
// before the value does.
func parse(p []byte, depth int) (node, error) {
	if len(p) == 0 {
		return node{}, errCut
	}
	if depth > maxDepth {
		return node{}, errDepth
	}
	c := p[0]
	n := node{lead: c, size: 1}
	switch {
	case c < 0x80:
		n.kind, n.u = kindUint, uint64(c)
	case c >= 0xe0:
		n.kind, n.u = kindInt, uint64(int64(int8(c)))
	case c < 0x90:
		return n.members(p, depth, kindMap, 1, uint64(c&0x0f))
	case c < 0xa0:
		return n.members(p, depth, kindArray, 1, uint64(c&0x0f))
	case c < 0xc0:
		return n.bytes(p, kindRaw, 1, uint64(c&0x1f))
	case c == 0xc0:
		n.kind = kindNil
	case c == 0xc1:
		return n, errLead
	case c == 0xc2 || c == 0xc3:
		n.kind, n.u = kindBool, uint64(c&1)
	default:
		return n.wide(p, depth)
	}
	return n, nil
}

// wide reads what has its length or number behind the first byte.
func (n node) wide(p []byte, depth int) (node, error) {
	// Bytes of the number behind the lead bytes 0xc4 to 0xdf.
	width := [...]int{1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4}[n.lead-0xc4]
	if len(p) < 1+width {
		return n, errCut
	}
	var u uint64
	for _, b := range p[1 : 1+width] {
		u = u<<8 | uint64(b)
	}
	n.size = 1 + width
	switch c := n.lead; {
	case c <= 0xc6, c >= 0xd9 && c <= 0xdb:
		return n.bytes(p, kindRaw, 1+width, u)
	case c <= 0xc9:
		return n.bytes(p, kindExt, 1+width, u+1)
	case c == 0xca:
		n.kind, n.f = kindFloat, float64(math.Float32frombits(uint32(u)))
	case c == 0xcb:
		n.kind, n.f = kindFloat, math.Float64frombits(u)
	case c <= 0xcf:
		n.kind, n.u = kindUint, u
	case c <= 0xd3:
		shift := 64 - 8*width
		n.u = uint64(int64(u<<shift) >> shift)
		if n.kind = kindUint; int64(n.u) < 0 {
			n.kind = kindInt
		}
	case c <= 0xd8:
		return n.bytes(p, kindExt, 1, 1+1<<(c-0xd4))
	case c <= 0xdd:
		return n.members(p, depth, kindArray, 1+width, u)
	default:
		return n.members(p, depth, kindMap, 1+width, u)
	}
	return n, nil
}

func (n node) bytes(p []byte, k kind, head int, size uint64) (node, error) {
	if uint64(len(p)-head) < size {
		return n, errCut
	}
	n.kind, n.size = k, head+int(size)
	n.raw = p[head:n.size:n.size]
	return n, nil
}

func (n node) members(p []byte, depth int, k kind, head int, count uint64) (node, error) {
	n.kind, n.size = k, head
	if k == kindMap {
		count *= 2
	}
	for range count {
		m, err := parse(p[n.size:], depth+1)
		if err != nil {
			return n, err
		}
		n.size += m.size
		n.list = append(n.list, m)
	}
	return n, nil
}

// young returns the first lead byte in n that the msgpack of 2012 does not have
// (PROTOCOL.md 1); 0: none.
func (n node) young() byte {
	switch c := n.lead; {
	case c >= 0xc4 && c <= 0xc9, c >= 0xd4 && c <= 0xd9:
		return c
	}
	for _, m := range n.list {
		if c := m.young(); c != 0 {
			return c
		}
	}
	return 0
}

// shortest tells whether an integer of 0 or more could not have been shorter.
func (n node) shortest() bool { return n.size == len(appendUint(nil, n.u)) }

// value is n as Go has it: nil, bool, int64, uint64 (above the range of int64),
// float64, string (any raw), []any, map[any]any, []byte (ext).
func (n node) value() any {
	switch n.kind {
	case kindBool:
		return n.u == 1
	case kindUint:
		if n.u > math.MaxInt64 {
			return n.u
		}
		return int64(n.u)
	case kindInt:
		return int64(n.u)
	case kindFloat:
		return n.f
	case kindRaw:
		return string(n.raw)
	case kindExt:
		return append([]byte(nil), n.raw...)
	case kindArray:
		list := make([]any, len(n.list))
		for i, m := range n.list {
			list[i] = m.value()
		}
		return list
	case kindMap:
		all := make(map[any]any, len(n.list)/2)
		for i := 0; i+1 < len(n.list); i += 2 {
			k := n.list[i].value()
			switch k.(type) {
			case []any, map[any]any, []byte:
				k = fmt.Sprint(k) // no key in Go
			}
			all[k] = n.list[i+1].value()
		}
		return all
	}
	return nil
}

// Packed is a value that is msgpack already.
type Packed []byte

// Pack returns v in the msgpack of 2012. v may be nil, a bool, any integer,
// float64, string, []byte, Packed, []string, []any, or a map from string, int64
// or any to any, whose entries are sorted by key.
func Pack(v any) Packed { return appendValue(nil, v) }

// Unpack returns the value in p: nil, bool, int64, uint64 (above the range of
// int64), float64, string (of raw, str and bin), []any or map[any]any.
func Unpack(p []byte) (any, error) {
	n, err := parse(p, 0)
	if err != nil {
		return nil, fmt.Errorf("servicetest: %w", err)
	}
	if n.size != len(p) {
		return nil, fmt.Errorf("servicetest: %d bytes behind the value", len(p)-n.size)
	}
	return n.value(), nil
}

func appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xc0)
	case Packed:
		return append(dst, v...)
	case bool:
		if v {
			return append(dst, 0xc3)
		}
		return append(dst, 0xc2)
	case int:
		return appendInt(dst, int64(v))
	case int64:
		return appendInt(dst, v)
	case uint64:
		return appendUint(dst, v)
	case uint32:
		return appendUint(dst, uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(v))
	case string:
		return append(appendHead(dst, len(v), 0xa0, 31, 0xda), v...)
	case []byte:
		return append(appendHead(dst, len(v), 0xa0, 31, 0xda), v...)
	case []string:
		dst = appendHead(dst, len(v), 0x90, 15, 0xdc)
		for _, m := range v {
			dst = appendValue(dst, m)
		}
		return dst
	case []any:
		dst = appendHead(dst, len(v), 0x90, 15, 0xdc)
		for _, m := range v {
			dst = appendValue(dst, m)
		}
		return dst
	case map[string]any:
		return appendMap(dst, v)
	case map[uint64]any:
		return appendMap(dst, v)
	case map[int64]any:
		return appendMap(dst, v)
	case map[any]any:
		return appendMap(dst, v)
	}
	panic(fmt.Sprintf("servicetest: Pack does not know %T", v))
}

func appendMap[K comparable](dst []byte, m map[K]any) []byte {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, _ := parse(Pack(any(keys[i])), 0)
		b, _ := parse(Pack(any(keys[j])), 0)
		if a.kind == kindUint && b.kind == kindUint {
			return a.u < b.u
		}
		if a.kind == kindRaw && b.kind == kindRaw {
			return string(a.raw) < string(b.raw)
		}
		return string(Pack(any(keys[i]))) < string(Pack(any(keys[j]))) // any order will do, if it is one
	})
	dst = appendHead(dst, len(m), 0x80, 15, 0xde)
	for _, k := range keys {
		dst = appendValue(appendValue(dst, any(k)), m[k])
	}
	return dst
}

// appendHead appends the head of a raw, array or map of n: fix when n is at most
// most, or else wide with two bytes or the lead byte after it with four.
func appendHead(dst []byte, n int, fix byte, most int, wide byte) []byte {
	switch {
	case n <= most:
		return append(dst, fix|byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, wide), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, wide+1), uint32(n))
}

func appendUint(dst []byte, u uint64) []byte {
	switch {
	case u < 0x80:
		return append(dst, byte(u))
	case u <= 0xff:
		return append(dst, 0xcc, byte(u))
	case u <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(u))
	case u <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(u))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), u)
}

func appendInt(dst []byte, i int64) []byte {
	switch {
	case i >= 0:
		return appendUint(dst, uint64(i))
	case i >= -32:
		return append(dst, byte(i))
	case i >= math.MinInt8:
		return append(dst, 0xd0, byte(i))
	case i >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(i))
	case i >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(i))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(i))
}
