package loop

import "sync/atomic"

// An outbox is what one connection has still to write: two lanes of segments, cut
// at frame boundaries. The control lane goes first, but a segment that the kernel
// took only in part is finished before anything else, so that no frame is split
// around another one; since segments end at about segmentCut bytes, a control frame
// waits for no more than that, or for one larger frame.
//
// Whoever changes it holds the connection's mutex; queued and written may be read
// without.
type outbox struct {
	data, control lane
	torn          *lane // whose head was taken in part by the last write, or nil

	queued  atomic.Int64 // bytes in both lanes
	end     int64        // offset of the data lane's end: bytes ever appended to it
	written atomic.Int64 // offset of its front: bytes of it that have left
}

// segmentCut is the size in bytes that a segment does not exceed by a further frame.
const segmentCut = 64 << 10

// A lane is a queue of segments.
type lane struct{ head, tail *segment }

// append copies head and body to the lane's end, as one frame.
func (ln *lane) append(head, body []byte) {
	n := len(head) + len(body)
	t := ln.tail
	if t == nil || len(t.b)+n > min(cap(t.b), segmentCut) {
		if t != nil {
			n = max(n, segmentCut) // the queue is not that short: fewer, larger segments
		}
		t = getSegment(n)
		ln.push(t)
	}
	t.b = append(append(t.b, head...), body...)
}

func (ln *lane) push(s *segment) {
	if ln.tail == nil {
		ln.head = s
	} else {
		ln.tail.next = s
	}
	ln.tail = s
}

func (ln *lane) pop() {
	s := ln.head
	if ln.head = s.next; ln.head == nil {
		ln.tail = nil
	}
	putSegment(s)
}

// appendFiles puts p at the front of a segment of its own, with descriptors that
// leave with its first byte.
func (ln *lane) appendFiles(p []byte, files []int) {
	s := getSegment(len(p))
	s.b = append(s.b, p...)
	s.files, s.filesLen = files, len(p)
	ln.push(s)
}

// A piece is a part of a segment that is about to be written.
type piece struct {
	seg *segment
	b   []byte // its bytes from off on; a sender may append behind them meanwhile
}

// gather appends the pieces to be written next to dst, at most cap(dst) of them and
// maxBytes bytes or one segment. files are the descriptors that have to go with the
// first byte; a segment that carries some is always first.
func (o *outbox) gather(dst []piece, maxBytes int) (pieces []piece, files []int) {
	bytes := 0
	add := func(s *segment) bool {
		if len(dst) == cap(dst) || bytes >= maxBytes || s.files != nil && len(dst) > 0 {
			return false
		}
		if len(dst) == 0 {
			files = s.files
		}
		dst = append(dst, piece{s, s.unread()})
		bytes += len(s.b) - s.off
		return true
	}
	data, more := o.data.head, true
	if o.torn == &o.data {
		more = add(data)
		data = data.next
	}
	for s := o.control.head; s != nil && more; s = s.next {
		more = add(s)
	}
	for ; data != nil && more; data = data.next {
		more = add(data)
	}
	return dst, files
}

// advance takes the first n bytes of pieces, which gather gave, off the outbox. Only
// the last segment of a lane can have grown since.
func (o *outbox) advance(pieces []piece, n int) {
	o.queued.Add(-int64(n))
	if n > 0 {
		o.torn = nil
	}
	for _, p := range pieces {
		if n == 0 {
			return
		}
		lane := &o.control
		took := min(n, len(p.b))
		if p.seg == o.data.head {
			lane = &o.data
			o.written.Add(int64(took))
		}
		n -= took
		p.seg.off += took
		p.seg.files = nil
		if took < len(p.b) {
			o.torn = lane
		}
		if p.seg.off == len(p.seg.b) {
			lane.pop()
		}
	}
}

// refuse drops the frame at the data lane's front, whose descriptors the kernel
// would not send, and returns a copy of it. The offsets go on as if it had left.
func (o *outbox) refuse() []byte {
	s := o.data.head
	frame := append([]byte(nil), s.b[:s.filesLen]...)
	s.off, s.files = s.filesLen, nil
	o.queued.Add(-int64(len(frame)))
	o.written.Add(int64(len(frame)))
	if s.off == len(s.b) {
		o.data.pop()
	}
	return frame
}

// drop empties the outbox and returns the descriptors that have not left.
func (o *outbox) drop() (files []int) {
	for _, lane := range [...]*lane{&o.data, &o.control} {
		for lane.head != nil {
			files = append(files, lane.head.files...)
			lane.pop()
		}
	}
	o.queued.Store(0)
	o.torn = nil
	return files
}
