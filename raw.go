package heddle

import (
	"encoding/binary"

	"github.com/tinylib/msgp/msgp"
)

// Raw is the one string type of the wire: bytes or text, nobody says which. It is written the way the
// msgpack specification of 2012 has it (fixraw, raw16, raw32), because real peers refuse the str8 and bin
// heads of later years; it is read from any of raw, str, bin and nil.
//
// A decoded Raw borrows the input.
type Raw []byte

// MarshalMsg appends r to b.
func (r Raw) MarshalMsg(b []byte) ([]byte, error) {
	return append(AppendRawHead(b, len(r)), r...), nil
}

// AppendRawHead appends the head of a raw of n bytes. The caller appends the bytes.
func AppendRawHead(b []byte, n int) []byte {
	switch {
	case n < 32:
		return append(b, 0xa0|byte(n))
	case n <= 0xffff:
		return append(b, 0xda, byte(n>>8), byte(n))
	default:
		return append(b, 0xdb, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// UnmarshalMsg sets r to the raw, str or bin at the front of b, or to nil for a nil, and returns what
// follows. msgp.ErrShortBytes: b ends before the value does.
func (r *Raw) UnmarshalMsg(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return b, msgp.ErrShortBytes
	}
	head, size := 1, 0
	switch c := b[0]; {
	case c&0xe0 == 0xa0:
		size = int(c & 0x1f)
	case c == 0xda || c == 0xc5:
		if len(b) < 3 {
			return b, msgp.ErrShortBytes
		}
		head, size = 3, int(binary.BigEndian.Uint16(b[1:]))
	case c == 0xd9 || c == 0xc4:
		if len(b) < 2 {
			return b, msgp.ErrShortBytes
		}
		head, size = 2, int(b[1])
	case c == 0xdb || c == 0xc6:
		if len(b) < 5 {
			return b, msgp.ErrShortBytes
		}
		n := binary.BigEndian.Uint32(b[1:])
		if uint64(n) > uint64(len(b)-5) {
			return b, msgp.ErrShortBytes
		}
		head, size = 5, int(n)
	case c == 0xc0:
		*r = nil
		return b[1:], nil
	default:
		return b, msgp.TypeError{Method: msgp.StrType, Encoded: msgp.NextType(b)}
	}
	if len(b)-head < size {
		return b, msgp.ErrShortBytes
	}
	*r = Raw(b[head : head+size : head+size])
	return b[head+size:], nil
}

// Msgsize returns an upper bound of the bytes that MarshalMsg appends.
func (r Raw) Msgsize() int { return 5 + len(r) }
