package bench

import "time"

// A slot is the place of one connection: when that ends, another takes it.
type slot struct {
	d        *driver
	c        *client // nil: none, and the timer runs
	settled  bool    // the first connection is there, or failed
	free     bool    // in the driver's ring
	thinking bool
	backoff  time.Duration
	retry    timer
	think    timer
}

func (s *slot) dial() {
	d := s.d
	if s.c != nil || d.state >= stateDraining {
		return
	}
	c := &client{d: d, slot: s, ring: make([]pending, d.o.Pipeline)}
	s.c = c
	link, err := d.world.dial(c)
	if err != nil {
		c.OnClose(err)
		return
	}
	c.setLink(link)
}

// settle is called when it is known how an attempt to connect went.
func (s *slot) settle() {
	if !s.settled {
		s.settled = true
		s.d.settle()
	}
}

// lost is told that c is not its connection any more. After one that has carried an
// answer another is made at once, after one that has not in a moment, and after one
// that was not even there the longer the oftener that was so.
func (s *slot) lost(c *client) {
	s.c = nil
	switch {
	case s.d.state >= stateDraining:
		return
	case c.useful:
		s.backoff = 0
		s.dial()
		return
	case c.opened:
		s.backoff = minBackoff
	default:
		s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
	}
	if s.retry == nil {
		s.retry = s.d.world.after(s.backoff, s.dial)
	} else {
		s.retry.Reset(s.backoff)
	}
}

// rest keeps the slot from sending for the think time.
func (s *slot) rest() {
	s.thinking = true
	if s.think == nil {
		s.think = s.d.world.after(s.d.o.Think, func() {
			s.thinking = false
			if s.c != nil {
				s.d.room(s.c, s.d.now())
			}
		})
	} else {
		s.think.Reset(s.d.o.Think)
	}
}

func (s *slot) stop() {
	for _, t := range []timer{s.retry, s.think} {
		if t != nil {
			t.Stop()
		}
	}
}

// A pending is a request whose answer is awaited.
type pending struct {
	id        uint64
	due, sent time.Duration // since the run's start
	template  int32
	late      bool // it has counted as timed out
}

// A client is one connection: a loop.Handler of HTTP/1.1, or what a carrier tells.
type client struct {
	d       *driver
	slot    *slot // nil: it has timed out, and its place is taken
	link    link  // nil: there is none yet
	wire    wire  // it, if it is one
	carrier carrier

	opened  bool
	ended   bool // nothing is awaited of it, and it is as good as closed
	useful  bool // it has carried an answer
	leaving bool // it is asked nothing more, and ends with what is awaited

	ring  []pending // those awaited, in the order they were sent
	first int
	count int

	ans    answer
	inBody bool
	which  int    // of those awaited, which the answer is for; -1: none
	bodyAt int    // bytes of the expected body that have come
	wrong  bool   // the body is another
	warm   bool   // it belongs to the warm-up
	expect string // the body that it should have, "": any
	hold   func([]byte)
}

func (c *client) hasRoom() bool { return c.opened && !c.ended && !c.leaving && c.count < len(c.ring) }

func (c *client) at(i int) *pending { return &c.ring[(c.first+i)%len(c.ring)] }

func (c *client) push(p pending) {
	*c.at(c.count) = p
	c.count++
}

// remove takes out the i-th.
func (c *client) remove(i int) {
	for ; i > 0; i-- {
		*c.at(i) = *c.at(i - 1)
	}
	c.first = (c.first + 1) % len(c.ring)
	c.count--
}

// OnOpen is told that the connection is there.
func (c *client) OnOpen() {
	if c.ended {
		return
	}
	c.opened = true
	c.d.open++
	now := c.d.now()
	c.d.rec.of(c.d.warmAt(now) || c.d.state == stateDialing && c.d.o.Warmup > 0).connected++
	c.slot.settle()
	c.d.room(c, c.d.now()) // the run may have begun just now, and its time anew
}

// OnBytes takes answers apart. It never fails: a connection that carries something
// else is ended.
func (c *client) OnBytes(p []byte) (n int, err error) {
	now := c.d.now()
	for !c.ended {
		if !c.inBody {
			if n == len(p) {
				return n, nil
			}
			k, ok, err := c.ans.head(p[n:], c.d.idField, &c.d.heads)
			n += k
			if err != nil {
				c.end(answerKind(err))
				break
			}
			if !ok {
				return n, nil
			}
			c.match(now)
		}
		var hold func([]byte)
		if c.expect != "" {
			hold = c.hold
		}
		k, done, err := c.ans.body(p[n:], hold)
		n += k
		c.d.rec.of(c.warm).bytes += uint64(k)
		if err != nil {
			c.end(answerKind(err))
			break
		}
		if !done {
			return n, nil
		}
		c.complete(now)
	}
	return len(p), nil
}

// match finds out which request the answer is for whose head has come.
func (c *client) match(now time.Duration) {
	c.inBody, c.wrong, c.bodyAt, c.expect = true, false, 0, ""
	c.which = -1
	a := &c.ans
	switch {
	case c.count > 0 && (!a.hasID || c.at(0).id == a.id):
		c.which = 0
	case a.hasID && c.d.gave(a.id):
		c.which = c.find(a.id)
	case c.count > 0:
		c.which = 0
	}
	bare := false
	c.warm = c.d.warmAt(now)
	if c.which >= 0 {
		p := c.at(c.which)
		t := c.d.templates[p.template]
		bare, c.expect, c.warm = t.bare, t.expect, c.d.warmAt(p.due)
		if c.expect != "" && c.hold == nil {
			c.hold = c.compare
		}
	}
	a.begin(bare)
}

// compare holds a piece of the body against the one expected.
func (c *client) compare(p []byte) {
	if len(p) > len(c.expect)-c.bodyAt || string(p) != c.expect[c.bodyAt:c.bodyAt+len(p)] {
		c.wrong = true
		c.bodyAt = len(c.expect)
		return
	}
	c.bodyAt += len(p)
}

// complete is called at the end of an answer.
func (c *client) complete(now time.Duration) {
	d := c.d
	c.inBody = false
	closes := c.ans.closes || d.o.Reconnect
	if c.which < 0 {
		d.surplus(&c.ans, c.warm)
		c.ans = answer{}
	} else {
		o := reply{status: c.ans.status, wrong: c.wrong || c.bodyAt != len(c.expect)}
		c.take(c.which, &o, now)
		c.ans = answer{}
	}
	if closes {
		c.end(KindClosed)
		return
	}
	c.next(now)
}

// check looks for time-outs.
func (c *client) check(now time.Duration) {
	d := c.d
	timeout := d.o.Timeout
	if c.count == 0 || now-c.at(0).sent <= timeout {
		return
	}
	for i := range c.count {
		if p := c.at(i); now-p.sent > timeout {
			d.timedOut(p)
		}
	}
	if s := c.slot; s != nil { // what may still come is waited for apart
		c.slot = nil
		d.lingering = append(d.lingering, c)
		s.lost(c)
	}
	if now-c.at(c.count-1).sent > 2*timeout {
		c.end(KindTimeout)
	}
}

// end gives the connection up: what it was to answer is lost for that reason, or, of
// what came later than the first, because it is closed.
func (c *client) end(k Kind) {
	if c.ended {
		return
	}
	c.ended = true
	if c.opened {
		c.d.open--
	}
	for c.count > 0 {
		c.d.lose(c.at(0), k)
		c.remove(0)
		if k != KindTimeout && k != KindReset {
			k = KindClosed
		}
	}
	if c.link != nil {
		c.link.Abort(errEnded)
	}
	if s := c.slot; s != nil {
		c.slot = nil
		s.lost(c)
	} else {
		for i, other := range c.d.lingering {
			if other == c {
				last := len(c.d.lingering) - 1
				c.d.lingering[i] = c.d.lingering[last]
				c.d.lingering[last] = nil
				c.d.lingering = c.d.lingering[:last]
				break
			}
		}
	}
}

// OnEOF is told that the server has closed the connection.
func (c *client) OnEOF() {
	if c.ended {
		return
	}
	if c.inBody && c.ans.rest() {
		c.complete(c.d.now())
		return
	}
	k := KindClosed
	if c.inBody || c.ans.seen > 0 {
		k = KindTruncated
	}
	c.end(k)
}

// OnDrain does nothing: what is outstanding is bounded.
func (c *client) OnDrain() {}

// OnClose is told of the end, of which c may know.
func (c *client) OnClose(err error) {
	if c.ended {
		return
	}
	if c.opened {
		c.end(connKind(err))
		return
	}
	d, s := c.d, c.slot
	c.ended = true
	d.rec.fail(d.warmAt(d.now()) || d.state == stateDialing && d.o.Warmup > 0, dialKind(err))
	c.slot = nil
	s.lost(c)
	s.settle()
}
