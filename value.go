package heddle

import (
	"encoding/binary"
	"errors"

	"github.com/tinylib/msgp/msgp"
)

// Bounds of a Value.
const (
	MaxDepth    = 16      // containers inside each other, the outermost counted
	MaxElements = 1 << 20 // objects, containers and their members alike
)

// Reasons to refuse a Value. They are sentinels so that refusing costs nothing.
var (
	ErrDepth    = errors.New("heddle: value is nested too deep")
	ErrElements = errors.New("heddle: value has too many elements")
	ErrLead     = errors.New("heddle: byte 0xc1 begins no value")
)

// Value is one whole msgpack value that nobody has looked into yet. Decoding finds its end, without
// recursion or allocation and within MaxDepth and MaxElements. A decoded Value borrows the input.
type Value []byte

// MarshalMsg appends v as it is, or a nil when it is empty.
func (v Value) MarshalMsg(b []byte) ([]byte, error) {
	if len(v) == 0 {
		return append(b, 0xc0), nil
	}
	return append(b, v...), nil
}

// Msgsize returns the bytes that MarshalMsg appends.
func (v Value) Msgsize() int { return max(1, len(v)) }

// UnmarshalMsg sets v to the value at the front of b and returns what follows. msgp.ErrShortBytes: b
// ends before the value does. ErrDepth, ErrElements and ErrLead refuse the value.
func (v *Value) UnmarshalMsg(b []byte) ([]byte, error) {
	// The two shapes of nearly every frame: one raw, and no arguments.
	if len(b) > 3 && b[0] == 0x91 {
		n := 0
		if c := b[1]; c&0xe0 == 0xa0 {
			n = 2 + int(c&0x1f)
		} else if c == 0xda || c == 0xc5 {
			n = 4 + (int(b[2])<<8 | int(b[3]))
		}
		if n != 0 && n <= len(b) {
			*v = Value(b[:n:n])
			return b[n:], nil
		}
	} else if len(b) > 0 && b[0] == 0x90 {
		*v = Value(b[:1:1])
		return b[1:], nil
	}
	n, err := valueLen(b)
	if err != nil {
		return b, err
	}
	*v = Value(b[:n:n])
	return b[n:], nil
}

// valueLen returns the length of the value at the front of b.
//
// One counter of objects still to come is kept per open container: a container's members are read
// before the members that follow it, so a full stack of counters is all the state there is.
func valueLen(b []byte) (int, error) {
	var left [MaxDepth]uint64 // members to come, by container
	depth := 0
	seen := uint64(1) // objects that have been read or promised
	off := 0
	for {
		size, members, err := Head(b[off:])
		if err != nil {
			return 0, err
		}
		if size > uint64(len(b)-off) {
			return 0, msgp.ErrShortBytes
		}
		off += int(size)
		if members > 0 {
			if depth == MaxDepth {
				return 0, ErrDepth
			}
			if seen += members; seen > MaxElements {
				return 0, ErrElements
			}
			left[depth] = members
			depth++
			continue
		}
		for depth > 0 {
			if left[depth-1]--; left[depth-1] > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			return off, nil
		}
	}
}

// Head reads the head of the object at the front of b: size is how many bytes the object takes without
// its members, payload of raw, bin and ext included whether or not it is in b; members is how many objects
// follow as its members (a map has two per entry). msgp.ErrShortBytes: b ends within the head.
func Head(b []byte) (size, members uint64, err error) {
	if len(b) == 0 {
		return 0, 0, msgp.ErrShortBytes
	}
	c := b[0]
	switch {
	case c < 0x80 || c >= 0xe0: // fixint
		return 1, 0, nil
	case c < 0x90: // fixmap
		return 1, 2 * uint64(c&0x0f), nil
	case c < 0xa0: // fixarray
		return 1, uint64(c & 0x0f), nil
	case c < 0xc0: // fixraw
		return 1 + uint64(c&0x1f), 0, nil
	}
	k := kinds[c-0xc0]
	if k.width == 0 {
		if k.fixed == 0 {
			return 0, 0, ErrLead
		}
		return uint64(k.fixed), 0, nil
	}
	if len(b) <= int(k.width) {
		return 0, 0, msgp.ErrShortBytes
	}
	var n uint64
	switch k.width {
	case 1:
		n = uint64(b[1])
	case 2:
		n = uint64(binary.BigEndian.Uint16(b[1:]))
	default:
		n = uint64(binary.BigEndian.Uint32(b[1:]))
	}
	if k.members > 0 {
		return uint64(k.fixed), n * uint64(k.members), nil
	}
	return uint64(k.fixed) + n, 0, nil
}

// kind describes the objects of one lead byte: fixed bytes, then as many payload bytes, or members per
// unit, as the big-endian length of width bytes after the lead byte says.
type kind struct{ fixed, width, members uint8 }

// kinds are the lead bytes 0xc0 to 0xdf (msgpack specification, "Formats").
var kinds = [32]kind{
	{1, 0, 0}, {0, 0, 0}, {1, 0, 0}, {1, 0, 0}, // nil, never used, false, true
	{2, 1, 0}, {3, 2, 0}, {5, 4, 0}, // bin8, bin16, bin32
	{3, 1, 0}, {4, 2, 0}, {6, 4, 0}, // ext8, ext16, ext32: one type byte
	{5, 0, 0}, {9, 0, 0}, // float32, float64
	{2, 0, 0}, {3, 0, 0}, {5, 0, 0}, {9, 0, 0}, // uint8 to uint64
	{2, 0, 0}, {3, 0, 0}, {5, 0, 0}, {9, 0, 0}, // int8 to int64
	{3, 0, 0}, {4, 0, 0}, {6, 0, 0}, {10, 0, 0}, {18, 0, 0}, // fixext1 to fixext16: one type byte
	{2, 1, 0}, {3, 2, 0}, {5, 4, 0}, // str8, raw16, raw32
	{3, 2, 1}, {5, 4, 1}, // array16, array32
	{3, 2, 2}, {5, 4, 2}, // map16, map32
}
