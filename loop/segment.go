package loop

import "sync"

// A segment is a piece of a queue of bytes: of an outbox, or of what a handler kept
// back. Bytes off to len(b) are still wanted; behind them is room up to cap(b).
type segment struct {
	b    []byte
	off  int
	next *segment // in its lane

	// Outbox only: descriptors that leave with the first byte, and the length of the
	// frame they belong to, which begins the segment.
	files    []int
	filesLen int
}

// Capacities of pooled segments in bytes. Most queues hold little, so the first
// segment of a queue is small.
var segmentSizes = [...]int{4 << 10, 64 << 10, 1 << 20}

var segmentPools [len(segmentSizes)]sync.Pool // of *segment

// getSegment returns an empty segment with room for at least n bytes.
func getSegment(n int) *segment {
	for i, size := range segmentSizes {
		if n <= size {
			if s, ok := segmentPools[i].Get().(*segment); ok {
				return s
			}
			return &segment{b: make([]byte, 0, size)}
		}
	}
	return &segment{b: make([]byte, 0, n)}
}

// putSegment takes s back; the caller hands it over, its descriptors excepted.
func putSegment(s *segment) {
	for i, size := range segmentSizes {
		if cap(s.b) == size {
			*s = segment{b: s.b[:0]}
			segmentPools[i].Put(s)
			return
		}
	}
}

func (s *segment) unread() []byte { return s.b[s.off:] }

func (s *segment) room() []byte { return s.b[len(s.b):cap(s.b)] }

// grown returns a segment with the unread bytes of s and room for as many again, at
// least n bytes more; s is handed over.
func (s *segment) grown(n int) *segment {
	p := s.unread()
	t := getSegment(len(p) + max(n, len(p)))
	t.b = append(t.b, p...)
	putSegment(s)
	return t
}
