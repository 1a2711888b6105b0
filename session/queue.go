package session

import (
	"encoding/binary"
	"os"
	"sync"
)

// A Message is one item of a session's stream.
type Message struct {
	Kind Kind

	// ID is that of a message of a call (Said).
	ID uint64

	// Data is the chunk's bytes; for Info and Trailers the message's whole
	// argument array, to be decoded by heddle.Info or heddle.Trailers, and
	// for Said too.
	// Borrowed: until the callback returns, or until the next Recv or Read.
	Data []byte

	// Files are the descriptors of a Files message; they are the receiver's.
	Files []*os.File
}

// Drop closes the descriptors of a message that has no use for any.
func (m *Message) Drop() {
	closeFiles(m.Files)
	m.Files = nil
}

// recordHead is the space a queued message takes beside its data.
//
// layout: kind uint8, length uint32 little endian
const recordHead = 5

// saidHead is what a record of kind Said has before its data: the id, uint64
// little endian.
const saidHead = 8

// maxUnread is how many Files messages, of at most 16 descriptors each, may
// wait in one session. Descriptors cost no credit and are few in a process.
const maxUnread = 4

// bufferSize is the capacity of the buffers that queues begin with, enough
// for a request's head; larger ones grow and are kept up to keepSize.
const (
	bufferSize = 2 << 10
	keepSize   = 128 << 10
)

// buffers holds the buffers, each behind a pointer; headers holds the pointers
// meanwhile, so that giving a buffer back allocates nothing.
var (
	buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}
	headers = sync.Pool{New: func() any { return new([]byte) }}
)

// getBuffer is the pool's one getter.
func getBuffer() []byte {
	h := buffers.Get().(*[]byte)
	b := (*h)[:0]
	*h = nil
	headers.Put(h)
	return b
}

// putBuffer is the pool's one putter; the caller must not touch b again.
func putBuffer(b []byte) {
	if cap(b) < bufferSize || cap(b) > keepSize {
		return
	}
	h := headers.Get().(*[]byte)
	*h = b[:0]
	buffers.Put(h)
}

// A queue holds the messages that arrived and were not yet read. The loop
// appends to in; the reader takes all of it at once by swapping it with out,
// which then is the reader's alone, without a lock.
type queue struct {
	// Guarded by the session's mu.
	in    []byte
	files [][]*os.File // of the Files records of in and out, in order

	// The reader's.
	out []byte
	off int // of the first unread record in out
}

// push copies one message behind the others. The lock is held.
func (q *queue) pushLocked(k Kind, p []byte) {
	if q.in == nil {
		q.in = getBuffer()
	}
	q.in = append(q.in, byte(k))
	q.in = binary.LittleEndian.AppendUint32(q.in, uint32(len(p)))
	q.in = append(q.in, p...)
}

// pushSaidLocked is pushLocked for a message of a call.
func (q *queue) pushSaidLocked(id uint64, p []byte) {
	if q.in == nil {
		q.in = getBuffer()
	}
	q.in = append(q.in, byte(Said))
	q.in = binary.LittleEndian.AppendUint32(q.in, uint32(len(p)+saidHead))
	q.in = binary.LittleEndian.AppendUint64(q.in, id)
	q.in = append(q.in, p...)
}

// sizeLocked is how many bytes the loop has put in and the reader not taken.
func (q *queue) sizeLocked() int { return len(q.in) }

// fillLocked gives the reader what has arrived, if he has read all he had.
func (q *queue) fillLocked() bool {
	if q.off < len(q.out) {
		return true
	}
	if len(q.in) == 0 {
		return false
	}
	q.in, q.out, q.off = q.out[:0], q.in, 0
	return true
}

// peek returns the reader's next message without taking it.
func (q *queue) peek() (k Kind, p []byte, ok bool) {
	if q.off >= len(q.out) {
		return 0, nil, false
	}
	r := q.out[q.off:]
	n := int(binary.LittleEndian.Uint32(r[1:]))
	return Kind(r[0]), r[recordHead : recordHead+n : recordHead+n], true
}

// skip takes the message that peek returned.
func (q *queue) skip(n int) { q.off += recordHead + n }

// trim takes the first n bytes of the message that peek returned and leaves
// the rest as the next message. n is less than its length.
func (q *queue) trim(n int) {
	r := q.out[q.off:]
	k := r[0]
	rest := binary.LittleEndian.Uint32(r[1:]) - uint32(n)
	q.off += n
	r = q.out[q.off:]
	r[0] = k
	binary.LittleEndian.PutUint32(r[1:], rest)
}

// releaseLocked gives the buffers back and closes descriptors that nobody
// took. No reader may be using what it was lent.
func (q *queue) releaseLocked() {
	if q.in != nil {
		putBuffer(q.in)
	}
	if q.out != nil {
		putBuffer(q.out)
	}
	for _, fs := range q.files {
		for _, f := range fs {
			_ = f.Close()
		}
	}
	*q = queue{}
}
