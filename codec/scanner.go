package codec

import (
	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// A scanner finds the end of one value that arrives in pieces, and goes on where it stopped. However the
// pieces are cut, each object is visited once, and the one at the cut once more per piece: the work is linear.
//
// An object that cannot fit is refused at its head. What must still come is known at every moment: the
// payload of this object, and at least one byte for each object promised by the containers that are open.
type scanner struct {
	limits Limits

	off     int                        // the object at p[off] has not been read
	need    int                        // bytes: fewer than this in p are certainly short
	depth   int                        // containers open
	left    [heddle.MaxDepth + 1]int64 // members to come, by open container; the frame itself is the first
	pending int64                      // members to come in all
	seen    int64                      // objects read or promised
	visits  int                        // heads read, for the tests that count work
}

func (s *scanner) reset(l Limits) {
	s.limits = l
	s.off, s.need, s.depth = 0, 1, 0
	s.pending, s.seen = 1, 1
}

// scan reads on in p, which begins with the same bytes as at the last call. nil: the value is whole and
// s.off bytes long. ErrShort: the value cannot be whole before p holds s.need bytes, but what comes until
// then can be wrong. Any other error refuses the value at s.off.
func (s *scanner) scan(p []byte, base int64) error {
	for {
		s.visits++
		size, members, err := heddle.Head(p[s.off:])
		if err == heddle.ErrLead {
			return &SyntaxError{Off: base + int64(s.off), What: "byte 0xc1 begins no value"}
		}
		if err == msgp.ErrShortBytes {
			s.need = max(len(p)+1, s.off+int(s.pending))
			return ErrShort
		}
		if members > 0 && s.depth > s.limits.Depth {
			return tooLarge(base+int64(s.off), "nested too deep")
		}
		if s.seen+int64(members) > int64(s.limits.Elements) {
			return tooLarge(base+int64(s.off), "too many elements")
		}
		end := int64(s.off) + int64(size)
		least := end + s.pending - 1 + int64(members)
		if least > int64(s.limits.Frame) {
			return tooLarge(base+int64(s.off), "frame too long")
		}
		if end > int64(len(p)) {
			s.need = int(least)
			return ErrShort
		}
		s.off = int(end)
		s.seen += int64(members)
		s.pending += int64(members) - 1
		if members > 0 {
			s.left[s.depth] = int64(members)
			s.depth++
			continue
		}
		for s.depth > 0 {
			if s.left[s.depth-1]--; s.left[s.depth-1] > 0 {
				break
			}
			s.depth--
		}
		if s.depth == 0 {
			return nil
		}
	}
}
