package ipc

import "sync"

// Streams that have nothing to carry keep no buffer; those that have take one
// from here. Larger ones than keepBuffer are left to the collector.
const (
	firstBuffer = 4 << 10
	keepBuffer  = 2 << 20
)

// buffers holds the buffers, each behind a pointer; pointers holds those meanwhile.
var (
	buffers  = sync.Pool{New: func() any { b := make([]byte, 0, firstBuffer); return &b }}
	pointers = sync.Pool{New: func() any { return new([]byte) }}
)

// getBuffer is the pool's one getter.
func getBuffer() []byte {
	p := buffers.Get().(*[]byte)
	b := (*p)[:0]
	*p = nil
	pointers.Put(p)
	return b
}

// putBuffer is the pool's one putter; the caller must not touch b again.
func putBuffer(b []byte) {
	if cap(b) < firstBuffer || cap(b) > keepBuffer {
		return
	}
	p := pointers.Get().(*[]byte)
	*p = b[:0]
	buffers.Put(p)
}
