package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/codec"
)

// Credit, PROTOCOL 9: between Heddle ends a chunk costs its payload plus
// ChunkCost, so that empty ones are not free; the first chunk of each
// direction is its head and costs nothing.
const (
	DefaultWindow = 64 << 10  // bytes of credit a stream begins with
	growth        = 4         // times that, what it has when it carries much
	ChunkCost     = 64        // bytes beside a chunk's payload
	MaxChunk      = 32 << 10  // bytes; Write cuts at this
	MaxHead       = 1 << 20   // bytes of a first chunk, info or trailers
	DefaultBuffer = 16 << 20  // bytes a stream may queue where there are no windows
	DefaultBudget = 256 << 20 // bytes that all streams of a loop may have queued
	leastWrite    = 4 << 10   // bytes; less credit than this is waited out, if more is due
	maxCredit     = 1 << 40   // bytes; more was never granted in good faith
)

// HighWater is how many bytes may wait in a channel's outbox before writers
// wait although they have credit, and before the channel should not be chosen
// for new sessions. Where the link has low-water marks, they are half of it.
const HighWater = 1 << 20

// fairShare is how many bytes a stream without windows may queue whatever the others
// have. Beyond it the stream is ended when the budget is spent.
const fairShare = 1 << 20

// leastWindow is the smallest window: with half of it granted again at the
// latest when all was read, a sender always gets leastWrite in the end.
const leastWindow = 2 * (leastWrite + ChunkCost)

// A Budget bounds what all streams that share it have queued. Over it, readers
// are granted only a little at a time, so that nobody stands still, and the
// rest when it has recovered; nothing already granted is taken away. Streams
// without windows, which cannot be held up, are ended over it if they have more
// than a fair share queued. The zero
// value has DefaultBudget.
type Budget struct {
	Limit int64 // bytes; 0 means DefaultBudget

	used    atomic.Int64
	waiting atomic.Int32 // len(owing)

	mu    sync.Mutex
	owing []*Session // readers to whom more is owed
}

// Used is how many bytes are queued now.
func (b *Budget) Used() int64 { return b.used.Load() }

// add counts n bytes as queued, or as read when n is negative. Whoever counts
// bytes as read calls relieve once he holds no lock.
func (b *Budget) add(n int64) { b.used.Add(n) }

func (b *Budget) limit() int64 {
	if b.Limit <= 0 {
		return DefaultBudget
	}
	return b.Limit
}

func (b *Budget) spent() bool { return b.used.Load() >= b.limit() }

// half says whether half of it is used: no time to be generous.
func (b *Budget) half() bool { return b.used.Load() >= b.limit()/2 }

// cut is how much of a grant of n bytes may be given now.
func (b *Budget) cut(n int64) int64 {
	if !b.spent() {
		return n
	}
	return min(n, leastWrite+ChunkCost)
}

// wait remembers a session that is owed more than it was granted.
func (b *Budget) wait(s *Session) {
	b.mu.Lock()
	b.owing = append(b.owing, s)
	b.waiting.Store(int32(len(b.owing)))
	b.mu.Unlock()
}

// relieve grants what is owed if the budget has recovered. No lock is held.
func (b *Budget) relieve() {
	if b.waiting.Load() == 0 || b.spent() {
		return
	}
	b.mu.Lock()
	owing := b.owing
	b.owing = nil
	b.waiting.Store(0)
	b.mu.Unlock()
	for _, s := range owing {
		s.mu.Lock()
		s.inBudget = false
		s.mu.Unlock()
		s.grant(0)
	}
}

// Window is how many bytes of credit the peer has when all was read. For the
// reader, or the handler.
func (s *Session) Window() int64 { return s.most }

// uncharge tells the budget that a handler's session has ended: what no Grant has
// given back does not count any more.
func (s *Session) uncharge() {
	s.mu.Lock()
	n := int64(0)
	if s.handler != nil || s.released {
		n, s.charged = s.charged, 0
	}
	s.mu.Unlock()
	if n > 0 {
		s.m.budget.add(-n)
		s.m.budget.relieve()
	}
}

// Grant gives the peer n more bytes of credit. For handlers on the loop, which
// return with it what the chunks given to OnMessage cost (their length plus
// ChunkCost each, the first one nothing) once they have dealt with them.
func (s *Session) Grant(n int64) {
	if s.heddle {
		s.grant(n)
	}
}

// grant raises the peer's window by n and by what was owed before. What the
// budget does not allow now stays owed until it has recovered.
func (s *Session) grant(n int64) {
	s.mu.Lock()
	if k := min(n, s.charged); k > 0 {
		s.m.budget.add(-k)
		s.charged -= k
	}
	switch {
	case !s.heddle || s.discard:
	case s.rx == dirOpen:
		s.grantLocked(n + s.growLocked(n))
	default:
		s.lost += n
	}
	s.mu.Unlock()
	if n > 0 {
		s.m.budget.relieve()
	}
}

func (s *Session) grantLocked(n int64) {
	s.owed = min(s.owed+n, s.most-s.window)
	now := s.m.budget.cut(s.owed)
	if s.owed -= now; s.owed > 0 && !s.inBudget {
		s.inBudget = true
		s.m.budget.wait(s)
	}
	if now > 0 {
		s.window += now
		frame := codec.AppendWindow(s.scratch[:0], s.id, uint64(now))
		_ = s.m.link.SendControl(frame) // a closed channel is told by OnSocketError
	}
}

// GrantDue says whether a Grant of n bytes is worth its message: with what the
// budget has kept back it makes half a window. For the handler.
func (s *Session) GrantDue(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n+s.owed >= s.most/2
}

// growLocked is how many bytes more than the n that were read the peer is to get:
// a stream whose reader has given back a whole window carries much, and waits for
// grants less often with twice as much. Not when half of the budget is used, and
// not for a handler, who never waits: there more on the way is only more that has
// left the caches before it is looked at.
func (s *Session) growLocked(n int64) int64 {
	if n == 0 {
		return 0 // not by the reader, who alone may change most
	}
	if s.given += n; s.handler != nil || s.given < s.most || s.most >= growth*s.full || s.m.budget.half() {
		return 0
	}
	more := min(s.most, growth*s.full-s.most)
	s.given, s.most = 0, s.most+more
	return more
}

// A waiter is one goroutine's place to wait for its session to change. The
// channel is made on the first wait, so a session that never waits has none.
type waiter struct {
	ch       chan struct{}
	waiting  bool
	deadline time.Time
}

// armLocked returns the channel that the next wake sends on.
func (w *waiter) armLocked() <-chan struct{} {
	if w.ch == nil {
		w.ch = make(chan struct{}, 1)
	}
	w.waiting = true
	return w.ch
}

// wakeLocked wakes the goroutine that waits, if one does.
func (w *waiter) wakeLocked() {
	if w.waiting {
		w.waiting = false
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}

// expired says whether the deadline has passed.
func (w *waiter) expired() bool {
	return !w.deadline.IsZero() && !time.Now().Before(w.deadline)
}

// wait blocks until a wake or the deadline.
func wait(ch <-chan struct{}, deadline time.Time) {
	if deadline.IsZero() {
		<-ch
		return
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	}
}
