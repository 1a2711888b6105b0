package httpcompat

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBodies is how many bytes requests may hold in a Bodies of which nobody has
// said it.
const DefaultBodies = 256 << 20

// DefaultLate is how long a body may take to come when others need the memory.
const DefaultLate = time.Minute

// Bodies bounds what all requests together hold whose bodies travel whole. Proxies may
// share one. The zero value has DefaultBodies. Its methods may be called from any
// goroutine.
type Bodies struct {
	// Set before it is used.
	Limit int64         // bytes; default DefaultBodies
	Late  time.Duration // default DefaultLate

	said atomic.Int64 // when a refusal was logged, in seconds

	mu     sync.Mutex
	used   int64
	coming map[*Held]struct{} // of those, the ones whose bodies are on their way
}

// Held is what one request has of a Bodies.
type Held struct {
	of    *Bodies // nil: it is not bounded
	n     int64   // guarded by of.mu, as is late
	late  bool    // it has to go, for others
	since time.Time
	stop  func() // has the body end with an error; any goroutine
}

// noBodies refuses a request for which there is no memory.
type noBodies struct{}

var errBodies error = noBodies{}

func (noBodies) Error() string {
	return "httpcompat: the bodies of all requests together have too many bytes"
}
func (noBodies) Why() string               { return "too many requests with large bodies" }
func (noBodies) RetryAfter() time.Duration { return time.Second }

// ErrLateBody reports a body that took longer than Bodies.Late, when others needed the memory.
var ErrLateBody = errors.New("the request's body comes slowly, and others need the memory")

// takeLocked takes n bytes, if they are left.
func (b *Bodies) takeLocked(n int64) bool {
	limit, late := cmp.Or(b.Limit, DefaultBodies), cmp.Or(b.Late, DefaultLate)
	if b.used+n <= limit {
		b.used += n
		return true
	}
	var first *Held // gone in a moment, for whoever comes next
	for h := range b.coming {
		if !h.late && h.n > 0 && time.Since(h.since) > late && (first == nil || h.since.Before(first.since)) {
			first = h
		}
	}
	if first != nil {
		first.late = true
		first.stop()
	}
	return false
}

// mayLog says whether a refusal may be logged: one a second.
func (b *Bodies) mayLog() bool {
	now := time.Now().Unix()
	return b.said.Swap(now) != now
}

// Hold begins to count the request that w answers; Drop ends that. A nil Bodies bounds
// nothing.
func (b *Bodies) Hold(w http.ResponseWriter) *Held {
	h := &Held{of: b}
	if b == nil {
		return h
	}
	h.since = time.Now()
	h.stop = func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) } // an error: it goes on
	b.mu.Lock()
	if b.coming == nil {
		b.coming = map[*Held]struct{}{}
	}
	b.coming[h] = struct{}{}
	b.mu.Unlock()
	return h
}

// Read reads a body whole. It fails with ErrLateBody, with an error that RefuseBusy
// answers if there is no memory for it, and as the body does.
func (h *Held) Read(body io.Reader) ([]byte, error) {
	if h.of == nil {
		return io.ReadAll(body)
	}
	p, err := io.ReadAll(&heldBody{body, h})
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	delete(h.of.coming, h)
	if h.late && errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrLateBody
	}
	return p, err
}

// Take has the request hold n bytes more; an error that RefuseBusy answers: they are not
// left.
func (h *Held) Take(n int64) error {
	if h.of == nil {
		return nil
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if !h.of.takeLocked(n) {
		return errBodies
	}
	h.n += n
	return nil
}

// Keep has the request hold n bytes from now on, and no more than it did.
func (h *Held) Keep(n int64) {
	if h.of == nil {
		return
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if n < h.n {
		h.of.used -= h.n - n
		h.n = n
	}
}

// Drop gives back what the request has.
func (h *Held) Drop() {
	if h.of == nil {
		return
	}
	h.of.mu.Lock()
	delete(h.of.coming, h)
	h.of.used -= h.n
	h.n = 0
	h.of.mu.Unlock()
}

// A heldBody is a body whose bytes are counted: twice, since they are copied when all
// have come.
type heldBody struct {
	r io.Reader
	h *Held
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		if err := b.h.Take(2 * int64(n)); err != nil {
			return 0, err
		}
	}
	return n, err
}
