package ipc

import (
	"fmt"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// mostPassed is how many messages with descriptors may be on their way, not yet
// acknowledged: with MaxFiles each they are all that a receiver holds.
const mostPassed = 4

// An outbound carries our messages of one namespace to one peer: a queue of
// records as bytes, which the loop gives to a session as its credit allows. It
// lives as long as that session; when it has ended the peer makes another.
type outbound struct {
	// Immutable after newOutbound.
	p       *Peer
	ns      string
	flushFn func() // flush, as one value

	// Loop goroutine only.
	part  []byte // of an acknowledgement that has not come whole
	acked bool   // the first chunk has come, which costs no credit
	due   int64  // bytes of credit to be granted again

	mu        sync.Mutex
	mux       *session.Mux     // set once, before the first flush is scheduled
	s         *session.Session // nil until there is something to send
	retired   bool
	ready     bool // the peer's namespace is
	scheduled bool // flush is on its way
	buf       []byte
	off       int    // of buf, what the session has taken
	base      int64  // of the stream, where buf begins
	recs      []rec  // queued, in order; from first on
	taken     int64  // of the stream, where the first queued message begins
	first     int    // of recs, the first that the session has not taken whole
	seq       uint64 // of the last message that asked
	pending   map[uint64]*Ack
	passing   map[uint64]int // descriptors of messages that left and are not acknowledged
	passers   int            // queued messages with descriptors
	messages  int            // of the peer's allowance that the queue has taken
	bytes     int            // likewise
	room      chan struct{}  // closed when half the queue is free; nil if nobody waits
	drained   chan struct{}  // closed when the queue is empty; nil if nobody waits
	troubles  []error        // to be told once mu is free
	age       *time.Timer    // runs while messages wait for the peer to be ready
}

// A rec is a queued message: where it ends in the stream, and who waits for it.
type rec struct {
	end int64
	ack *Ack
	at  time.Time // when it was queued, if the peer was not ready
}

func newOutbound(p *Peer, ns string) *outbound {
	o := &outbound{p: p, ns: ns, pending: make(map[uint64]*Ack), passing: make(map[uint64]int)}
	o.flushFn = o.flush
	return o
}

// begin gives the stream its channel, and says whether its namespace is ready.
func (o *outbound) begin(mux *session.Mux, ready bool) {
	o.mu.Lock()
	if o.mux == nil { // schedule reads it without mu
		o.mux = mux
	}
	o.ready = o.ready || ready
	if o.ready && o.age != nil {
		o.age.Stop()
		o.age = nil
	}
	kick := o.kickLocked()
	o.mu.Unlock()
	o.schedule(kick)
}

// kickLocked says, once until the next flush, that one is to be scheduled.
func (o *outbound) kickLocked() bool {
	if o.scheduled || !o.ready || o.retired || o.off == len(o.buf) {
		return false
	}
	o.scheduled = true
	return true
}

func (o *outbound) schedule(kick bool) {
	if kick {
		_ = o.mux.Link().Do(o.flushFn) // of a closed channel the owner tells Peer.End
	}
}

// add queues a message. A channel says to wait for it and try again.
func (o *outbound) add(m *Message, data []byte, a *Ack) (wait <-chan struct{}, err error) {
	size := recordMost + len(m.Topic) + len(data)
	o.mu.Lock()
	switch {
	case o.retired:
		o.mu.Unlock()
		return nil, errRetired
	case a != nil && a.passes && !m.QueueFiles && (!o.ready || o.mux == nil):
		o.mu.Unlock()
		return nil, ErrNotReady
	}
	h := &o.p.hub.o
	if n, q := len(o.recs)-o.first, len(o.buf)-o.off; n >= h.QueueMessages || n > 0 && q+size > h.QueueBytes {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		wait = o.room
		o.mu.Unlock()
		return wait, nil
	}
	if wait = o.takeLocked(size); wait != nil {
		o.mu.Unlock()
		return wait, nil
	}
	r := record{topic: o.topic(m.Topic), format: m.Body.format, payload: data}
	e := rec{ack: a}
	if a != nil {
		o.seq++
		a.o, a.seq, r.seq, r.files = o, o.seq, o.seq, len(a.files)
		o.pending[o.seq] = a
		if a.passes {
			o.passers++
		}
	}
	if !o.ready {
		e.at = time.Now()
		if o.age == nil {
			o.age = time.AfterFunc(h.QueueAge, o.expireOld)
		}
	}
	if o.buf == nil {
		o.buf = getBuffer()
	}
	o.tidyLocked(size)
	o.buf = appendRecord(o.buf, &r)
	e.end = o.base + int64(len(o.buf))
	o.recs = append(o.recs, e)
	kick := o.kickLocked()
	o.mu.Unlock()
	o.schedule(kick)
	return nil, nil
}

// topic is the string's bytes without a copy of them on the heap.
func (o *outbound) topic(s string) []byte { return []byte(s) }

// tidyLocked makes room in front rather than have buf or recs grow.
func (o *outbound) tidyLocked(size int) {
	if o.off > 0 && len(o.buf)+size > cap(o.buf) {
		o.base += int64(o.off)
		o.buf = o.buf[:copy(o.buf, o.buf[o.off:])]
		o.off = 0
	}
	if o.first > 0 && len(o.recs) == cap(o.recs) {
		n := copy(o.recs, o.recs[o.first:])
		clear(o.recs[n:])
		o.recs, o.first = o.recs[:n], 0
	}
}

// flush gives the session what it takes. Loop only.
func (o *outbound) flush() {
	o.mu.Lock()
	o.scheduled = false
	err := o.flushLocked()
	o.giveLocked()
	o.roomLocked()
	troubles := o.troubles
	o.troubles = nil
	o.mu.Unlock()
	for _, err := range troubles {
		o.p.hub.trouble(o.p, err)
	}
	if err != nil {
		o.retire(err)
	}
}

func (o *outbound) flushLocked() error {
	if !o.ready || o.retired {
		return nil
	}
	for o.off < len(o.buf) {
		if o.s == nil {
			s, err := o.mux.Open(session.OpenOptions{Event: eventMessages + o.ns, Handler: o, Aside: true})
			if err != nil {
				return err
			}
			o.s = s
		}
		end := len(o.buf)
		if o.passers > 0 {
			var wait bool
			if end, wait = o.passLocked(); wait {
				return nil
			}
			if end <= o.off {
				continue // that message was refused, and is no more
			}
		}
		n, err := o.s.TryWrite(o.buf[o.off:end])
		if err != nil || n == 0 {
			return nil // OnEnd tells the one, OnWritable ends the other
		}
		o.off += n
		o.advanceLocked()
	}
	return nil
}

// passLocked sends the descriptors of the message at the front, if it has any, and
// returns up to where may be written: before the next message that has some.
func (o *outbound) passLocked() (end int, wait bool) {
	start := o.base + int64(o.off)
	for i := o.first; i < len(o.recs); i++ {
		a := o.recs[i].ack
		if a == nil || len(a.files) == 0 {
			continue
		}
		from := o.startLocked(i)
		if from > start {
			return int(from - o.base), false
		}
		if len(o.passing) >= mostPassed {
			return 0, true // an acknowledgement will go on
		}
		files := a.files
		if err := o.s.SendFiles(files); err != nil {
			o.removeLocked(i)
			delete(o.pending, a.seq)
			err = fmt.Errorf("ipc: %s: %w", where(o.p.id, o.ns, a.topic, a.seq), err)
			if a.done == nil {
				o.troubles = append(o.troubles, err)
			}
			a.finishLocked(Reply{}, err)
			return o.off, o.off == len(o.buf)
		}
		a.files = nil
		closeFiles(files)
		o.passing[a.seq] = a.held
		a.held = 0
	}
	return len(o.buf), false
}

// startLocked is where a queued message begins in the stream.
func (o *outbound) startLocked(i int) int64 {
	if i > o.first {
		return o.recs[i-1].end
	}
	return o.taken
}

// advanceLocked forgets what the session has taken whole.
func (o *outbound) advanceLocked() {
	at := o.base + int64(o.off)
	for o.first < len(o.recs) && o.recs[o.first].end <= at {
		if a := o.recs[o.first].ack; a != nil {
			if a.passes {
				o.passers--
			}
			o.recs[o.first].ack = nil
		}
		o.taken = o.recs[o.first].end
		o.first++
	}
	if o.off < len(o.buf) {
		return
	}
	putBuffer(o.buf)
	o.base, o.off, o.buf = at, 0, nil
	o.recs, o.first = o.recs[:0], 0
	if o.drained != nil {
		close(o.drained)
		o.drained = nil
	}
}

// roomLocked tells who waits for room once half the queue is free.
func (o *outbound) roomLocked() {
	h := &o.p.hub.o
	if o.room != nil && (o.retired || len(o.recs)-o.first <= h.QueueMessages/2 && len(o.buf)-o.off <= h.QueueBytes/2) {
		close(o.room)
		o.room = nil
	}
}
