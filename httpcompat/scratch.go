package httpcompat

import (
	"sync"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// Sizes of what one request borrows from the pools.
const (
	bufferSize = 2 << 10 // bytes of a response that are held back before its head must leave, as in net/http
	headRoom   = 1 << 10 // bytes that an encoded head has from the start; more is grown
	keepRoom   = 64 << 10
)

// A scratch is what one request needs while it is answered and nobody may
// keep: what the head is decoded into, the encoded head, and the buffer of the
// response's first bytes. Nothing in it is ever handed to a handler.
type scratch struct {
	req  heddle.RequestHead
	resp heddle.ResponseHead
	head []byte // an encoded head
	body [bufferSize]byte
}

var scratches = sync.Pool{New: func() any { return &scratch{head: make([]byte, 0, headRoom)} }}

// getScratch is the pool's one getter.
func getScratch() *scratch { return scratches.Get().(*scratch) }

// putScratch is the pool's one putter; the caller must not touch sc again.
// What was decoded borrowed the session's bytes, which must not be kept alive.
func putScratch(sc *scratch) {
	if cap(sc.head) > keepRoom || cap(sc.req.Headers) > keepRoom/64 || cap(sc.resp.Headers) > keepRoom/64 {
		return
	}
	clear(sc.req.Headers)
	clear(sc.req.Extra.Trailer)
	clear(sc.req.Extra.TransferEncoding)
	clear(sc.resp.Headers)
	sc.req.Reset()
	sc.resp.Reset()
	sc.head = sc.head[:0]
	scratches.Put(sc)
}

// pieces are the buffers that bodies are copied through, one chunk at a time.
var pieces = sync.Pool{New: func() any { return new([session.MaxChunk]byte) }}

// getPiece is the pool's one getter.
func getPiece() *[session.MaxChunk]byte { return pieces.Get().(*[session.MaxChunk]byte) }

// putPiece is the pool's one putter; the caller must not touch p again.
func putPiece(p *[session.MaxChunk]byte) { pieces.Put(p) }
