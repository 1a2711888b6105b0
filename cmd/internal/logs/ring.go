package logs

import (
	"sync"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

// DefaultRing is how many bytes of lines a Ring keeps unless told otherwise.
const DefaultRing = 4 << 20

// A Ring keeps the last lines, as many as fit. Its methods may be called from
// any goroutine; add does not wait for readers.
type Ring struct {
	limit int64 // bytes, with what a line costs beside its text

	mu     sync.Mutex
	lines  []Line // a ring; its length is a power of two
	first  uint64 // the oldest that is kept
	next   uint64 // the next to come
	size   int64  // bytes kept
	closed bool
	grown  chan struct{} // closed by add and Close; nil while nobody waits
}

// RingStats are a Ring's counters.
type RingStats struct {
	Lines int    `json:"lines"` // kept now
	Bytes int64  `json:"bytes"` // kept now, with what a line costs beside its text
	First uint64 `json:"first"` // the oldest line that is kept
	Next  uint64 `json:"next"`  // the line that will come next: Next-1 have come
}

// newRing keeps limit bytes; zero means DefaultRing.
func newRing(limit int64) *Ring {
	if limit <= 0 {
		limit = DefaultRing
	}
	return &Ring{limit: limit, lines: make([]Line, 64), first: 1, next: 1}
}

// add keeps a line, at the cost of the oldest. It returns the line as kept.
func (r *Ring) add(l engine.Line, now func() time.Time) Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := Line{Seq: r.next, nanos: now().UnixNano(), Line: l}
	cost := x.cost()
	for r.first < r.next && r.size+cost > r.limit {
		old := r.at(r.first)
		r.size -= old.cost()
		*old = Line{}
		r.first++
	}
	if r.next-r.first == uint64(len(r.lines)) {
		r.grow()
	}
	*r.at(r.next) = x
	r.next++
	r.size += cost
	r.tell()
	return x
}

func (r *Ring) at(seq uint64) *Line { return &r.lines[seq&uint64(len(r.lines)-1)] }

func (r *Ring) grow() {
	old := r.lines
	r.lines = make([]Line, 2*len(old))
	for seq := r.first; seq < r.next; seq++ {
		*r.at(seq) = old[seq&uint64(len(old)-1)]
	}
}

func (r *Ring) tell() {
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
}

// copy fills dst with lines from seq on, or from the oldest that is kept, and
// returns how many, and how many are no longer there.
func (r *Ring) copy(dst []Line, seq uint64) (n int, gone uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.first {
		gone, seq = r.first-seq, r.first
	}
	for ; n < len(dst) && seq < r.next; n, seq = n+1, seq+1 {
		dst[n] = *r.at(seq)
	}
	return n, gone
}

// wait gives a channel that is closed when there is a line from seq on, or none
// will come any more, which ended says at once.
func (r *Ring) wait(seq uint64) (come <-chan struct{}, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case seq < r.next:
		return always, false
	case r.closed:
		return always, true
	case r.grown == nil:
		r.grown = make(chan struct{})
	}
	return r.grown, false
}

var always = func() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// stats counts.
func (r *Ring) stats() RingStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RingStats{Lines: int(r.next - r.first), Bytes: r.size, First: r.first, Next: r.next}
}

// close says that no line will come any more. What is kept can still be read.
func (r *Ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.tell()
}
