package host

import (
	"errors"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// What a connection may cost, in bytes.
const (
	freeHeld = 64 << 10 // whatever the others have; the budget counts what is beyond
	callCost = 1 << 10  // of an open call beside its arguments and headers
)

// shortRetry is how often one that waits for memory looks whether there is some.
const shortRetry = 20 * time.Millisecond

// errLate ends a connection that is late with what it takes or sends, when others need
// the memory.
var errLate = errors.New("host: others need the memory, and this client has had much of it for long")

// Holders are the connections that have more than freeHeld. What they have beyond it
// is counted in the Cloud's budget.
type holders struct {
	mu  sync.Mutex
	all map[*conn]holder
}

type holder struct {
	n     int  // bytes, counted; 0: it was ended, and counts no more
	half  bool // some of it is half a frame
	since time.Time
}

// set says what a connection has beyond freeHeld now.
func (h *holders) set(c *conn, n int, half bool, b *budget) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, known := h.all[c]
	switch {
	case n == 0:
		delete(h.all, c)
	case known && was.n == 0:
		return
	case !known:
		if h.all == nil {
			h.all = map[*conn]holder{}
		}
		was.since = time.Now()
		fallthrough
	default:
		h.all[c] = holder{n, half, was.since}
	}
	b.give(was.n - n)
}

// first says whether nobody else has had half a frame for longer.
func (h *holders) first(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.all[c].since
	for other, of := range h.all {
		if of.half && of.n > 0 && other != c && of.since.Before(since) {
			return false
		}
	}
	return true
}

// relieve ends those that have had more than freeHeld for longer than d, the one that
// has had it longest first, until the budget has room for n bytes.
func (h *holders) relieve(d time.Duration, n int, b *budget) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !b.left(n) {
		var late *conn
		for c, of := range h.all {
			if of.n > 0 && time.Since(of.since) > d && (late == nil || of.since.Before(h.all[late].since)) {
				late = c
			}
		}
		if late == nil {
			return
		}
		of := h.all[late]
		late.door.cloud.say("host: a client is ended", late, errLate)
		late.link.Abort(errLate)
		b.give(of.n)
		h.all[late] = holder{since: of.since}
	}
}

// holds is what the connection costs, but for half a frame.
func (c *conn) holds() int { return c.link.Queued() + c.open }

// weigh has the budget know what the connection costs. Half a frame may take twice its
// bytes, since its memory is doubled as it grows.
func (c *conn) weigh() {
	n := 0
	if !c.closed {
		n = max(0, c.holds()+2*c.half-freeHeld)
	}
	if n != c.held {
		c.held = n
		c.door.cloud.holders.set(c, n, c.half > 0, &c.door.cloud.pending)
	}
}

// room says whether n bytes more may be held for the connection, in place of half a
// frame. If not, whoever wants them is to be refused.
func (c *conn) room(n int) bool {
	more := c.holds() + n - freeHeld
	if more <= 0 {
		return true
	}
	cloud := c.door.cloud
	if more -= c.held; cloud.pending.left(more) {
		return true
	}
	if cloud.holders.relieve(cloud.opt.Stall, more, &cloud.pending); cloud.pending.left(more) {
		return true
	}
	cloud.say("host: a call is refused", c, errSlow)
	return false
}

// ration has a connection with half a frame wait, unread, while little memory is left,
// which is for calls. One goes on, so that all have their turn.
func (c *conn) ration() {
	cloud := c.door.cloud
	if c.half == 0 || c.held == 0 || c.stopShort != nil || c.closed {
		return
	}
	least := int(cloud.pending.most / 4)
	if cloud.pending.left(least) {
		return
	}
	if cloud.holders.relieve(cloud.opt.Stall, least, &cloud.pending); cloud.pending.left(least) || cloud.holders.first(c) {
		return
	}
	c.stopShort = c.link.After(shortRetry, func() {
		c.stopShort = nil
		c.ration()
		c.settle()
	})
	c.settle()
}

// costOf is what an open call costs.
func costOf(s *session.Session) int {
	n := callCost + len(s.Args())
	for _, h := range s.Headers() {
		n += len(h.Name) + len(h.Value)
	}
	return n
}

// over: a call has ended. Those that accept never saw have no Handler.
func (c *conn) over(s *session.Session) {
	if s.Handler() != nil {
		c.open -= costOf(s)
	}
}
