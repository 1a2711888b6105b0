package upstream

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// A body is a request's, which the transport reads on a goroutine of its own, also
// when the answer has come. The server must not be left with a reader: it waits for
// it before it goes on.
type body struct {
	src    io.ReadCloser // the server's
	rc     *http.ResponseController
	length int64 // -1: not known

	mu      sync.Mutex
	idle    *sync.Cond
	reading bool
	closed  bool
	read    int64
	err     error // that src has returned
}

func newBody(r *http.Request, rc *http.ResponseController) *body {
	b := &body{src: r.Body, rc: rc, length: r.ContentLength}
	b.idle = sync.NewCond(&b.mu)
	return b
}

// Read reads from the server's, until finish.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.src.Read(p)
	b.mu.Lock()
	b.reading = false
	b.read += int64(n)
	if err != nil {
		b.err = err
	}
	b.idle.Broadcast()
	b.mu.Unlock()
	return n, err
}

// Close is the transport's, which another worker may be given the body by: it ends nothing.
func (b *body) Close() error { return nil }

// whole says whether all of the body was read.
func (b *body) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wholeLocked()
}

func (b *body) wholeLocked() bool { return b.err == io.EOF || b.length >= 0 && b.read == b.length }

// failed says whether it was the client that broke the request off.
func (b *body) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && b.err != io.EOF
}

// finish has nobody read any more: the handler returns. A read that waits for the client is ended,
// which the connection does not survive; so it was said in the answer's head.
func (b *body) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.reading && !b.wholeLocked() { // who looks for the end behind the last byte finds it at once
		_ = b.rc.SetReadDeadline(time.Unix(1, 0)) // an error: the connection has gone
	}
	for b.reading {
		b.idle.Wait()
	}
}
