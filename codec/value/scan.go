package value

import (
	"errors"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

var (
	errLead = errors.New("value: byte 0xc1 begins no value")
	errNew  = errors.New("str8, bin or ext, which msgpack of 2012 has not")
)

// span returns the length of the value at the front of p and how many elements it is made of. It neither
// recurses nor allocates; what it accepts is whole, so who reads it afterwards need not look for its end.
// msgp.ErrShortBytes: p ends before the value does. ErrTooLarge: over one of the limits.
func span(p []byte, l *Limits, old bool) (n, elements int, err error) {
	var left [DefaultDepth]uint64 // members to come, by open container
	depth := 0
	seen := uint64(1) // elements read or promised
	off := 0
	for {
		size, members, err := heddle.Head(p[off:])
		if err != nil {
			if err == heddle.ErrLead {
				err = errLead
			}
			return 0, 0, err
		}
		if old && isNew(p[off]) {
			return 0, 0, errNew
		}
		if size > uint64(l.Bytes-off) {
			return 0, 0, tooLarge("bytes", l.Bytes)
		}
		if size > uint64(len(p)-off) {
			return 0, 0, msgp.ErrShortBytes
		}
		container := p[off]&0xe0 == 0x80 || p[off] >= 0xdc && p[off] <= 0xdf
		off += int(size)
		if container && depth == l.Depth {
			return 0, 0, tooLarge("containers inside each other", l.Depth)
		}
		if members > 0 {
			if seen += members; seen > uint64(l.Elements) {
				return 0, 0, tooLarge("elements", l.Elements)
			}
			if members > uint64(len(p)-off) {
				return 0, 0, msgp.ErrShortBytes // each takes a byte at least
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
			return off, int(seen), nil
		}
	}
}

// isNew tells whether lead byte c is one that the specification of 2012 has not: bin, ext, fixext, str8.
func isNew(c byte) bool { return c >= 0xc4 && c <= 0xc9 || c >= 0xd4 && c <= 0xd9 }
