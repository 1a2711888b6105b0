package host

import (
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A budget is what may wait in all flows together.
type budget struct {
	most int64 // bytes
	used atomic.Int64
}

// take takes n bytes of it, if they are left.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.most {
		b.give(n)
		return false
	}
	return true
}

// left says whether n bytes are.
func (b *budget) left(n int) bool { return b.used.Load()+int64(n) <= b.most }

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

// A flow is one direction of a bridge: what came and was not taken yet waits here,
// in order, within limits.
type flow struct {
	// Immutable once it is used.
	budget *budget
	most   int  // bytes that may wait
	http   bool // the first chunk is the head and body of an HTTP request

	from    *session.Session // gets its credit back; nil: it has none to get
	to      *session.Session // nil: not yet, or not any more
	began   bool             // something was sent: the first chunk is a head
	waiting []piece
	size    int // bytes of them
	ended   bool
	err     error // its end: io.EOF in order
	told    bool  // the end was said
}

// A piece is a chunk that waits.
type piece struct {
	p    []byte // what is left of it
	n    int    // bytes that it was, and what it takes
	cost int64  // credit that its sender gets back for it
}

// errSlow ends a call of whose chunks too much waits.
var errSlow = &Error{Category: heddle.CategoryGeneric, Code: int64(syscall.ENOBUFS), Msg: "too much waits for whoever is to take it", CodeV0: heddle.CodeV0Resource}

// pieceCost is what a piece takes beside its bytes.
const pieceCost = 64

// push sends a chunk, or keeps a copy until it can be sent.
func (f *flow) push(p []byte, cost int64) error {
	if len(f.waiting) == 0 && f.to != nil {
		rest, err := f.send(p)
		if err != nil {
			return err
		}
		if rest == nil {
			f.grant(cost)
			return nil
		}
		p = rest
	}
	n := len(p) + pieceCost
	if f.size+n > f.most+pieceCost || !f.budget.take(n) {
		return errSlow
	}
	f.size += n
	f.waiting = append(f.waiting, piece{append(make([]byte, 0, len(p)), p...), n, cost})
	return nil
}

// send sends what it can of a chunk and returns the rest; nil: all was sent. A chunk is
// cut only where a window, or the limit of a head, leaves no choice.
func (f *flow) send(p []byte) (rest []byte, err error) {
	if f.to.Mux().Heddle() && f.began && len(p) > session.MaxChunk-session.ChunkCost {
		for len(p) > 0 {
			n, err := f.to.TryWrite(p)
			if err != nil {
				return nil, err
			}
			if p = p[n:]; n == 0 {
				return p, nil
			}
		}
		return nil, nil
	}
	if !f.began && len(p) > session.MaxHead && f.to.Mux().Heddle() {
		if !f.http { // a head has no window: what is behind has one
			if ok, err := f.to.TryWriteChunk(p[:session.MaxHead]); err != nil || !ok {
				return p, err
			}
			f.began = true
			return f.send(p[session.MaxHead:])
		}
		if head, body := apart(p); head != nil {
			if ok, err := f.to.TryWriteChunk(head); err != nil || !ok {
				return p, err
			}
			f.began = true
			return f.send(body)
		}
	}
	ok, err := f.to.TryWriteChunk(p)
	switch {
	case err != nil:
		return nil, err
	case !ok && p == nil:
		return []byte{}, nil
	case !ok:
		return p, nil
	}
	f.began = true
	return nil, nil
}

// apart is a plain client's request in the form in which its body follows, since a
// first chunk cannot have more than session.MaxHead; nil: it is none.
func apart(p []byte) (head, body []byte) {
	var h heddle.RequestHead
	if codec.ArgCount(p) != 5 || codec.DecodeRequestHead(&h, p) != nil {
		return nil, nil
	}
	body, h.Body = h.Body, nil
	h.Headers = slices.DeleteFunc(h.Headers, func(f heddle.Header) bool { return strings.EqualFold(string(f.Name), "Transfer-Encoding") })
	h.Extra.Reset()
	h.Extra.ContentLength = int64(len(body))
	if head = codec.AppendRequestHead(nil, &h, false); len(head) > session.MaxHead || len(body) == 0 {
		return nil, nil
	}
	return head, body
}

// drain sends what waits, as far as it is taken, and the end behind it.
func (f *flow) drain() error {
	if f.to == nil {
		return nil
	}
	for len(f.waiting) > 0 {
		w := &f.waiting[0]
		rest, err := f.send(w.p)
		if err != nil {
			return err
		}
		if rest != nil {
			w.p = rest
			return nil
		}
		f.size -= w.n
		f.budget.give(w.n)
		f.grant(w.cost)
		f.waiting[0] = piece{}
		f.waiting = f.waiting[1:]
	}
	f.waiting = nil
	f.finish()
	return nil
}

// grant gives the sender the credit back that a piece has cost him.
func (f *flow) grant(cost int64) {
	if f.from != nil && cost > 0 {
		f.from.Grant(cost)
	}
}

// end is the sender's last word: nil or an error. It goes behind what waits.
func (f *flow) end(err error) error {
	f.ended = true
	if f.err = err; err == nil {
		f.err = io.EOF
	}
	return f.drain()
}

// finish says the end.
func (f *flow) finish() {
	switch {
	case !f.ended || f.told || f.err == nil:
		return
	case f.err == io.EOF:
		_ = f.to.Close() // an error: the session has ended
	default:
		f.to.Abort(f.err)
	}
	f.told = true
}

// drop lets go of what waits.
func (f *flow) drop() {
	f.budget.give(f.size)
	f.waiting, f.size = nil, 0
}
