package bench

import (
	"time"

	"github.com/heddle-go/heddle/loop"
)

// A link is a client's connection. It is a wire, of HTTP/1.1 as bytes, or a carrier.
type link interface {
	Abort(err error) // the client is told nothing more, or does not listen
}

// A wire is a *loop.Conn.
type wire interface {
	link
	Send(head, body []byte) (end int64, err error)
}

// A carrier is a connection that itself tells which request an answer is for. All that
// it tells its client, OnOpen, OnClose, answered, failed and leaves, it tells on the
// run's loop, and none of it within ask or Abort.
type carrier interface {
	link
	// ask sends a request. An error says that it was not sent, and that no other can be;
	// those before it go on.
	ask(t *template, id uint64) error
}

// A dialer makes the connections that a loop does not make by itself.
type dialer interface {
	dial(l *loop.Loop, c *client) (link, error) // on l's goroutine
	close()                                     // waits for what goes on; the loops have ended
}

// outRoom is what may be queued on a connection beside its requests' own bytes.
const outRoom = 1 << 20 // bytes

// mostQueued is how many bytes may wait on one connection: those of all that may be
// outstanding on it, and of what goes around them.
func (d *driver) mostQueued() int { return outRoom + 2*d.longest*d.o.Pipeline }

// A reply is what an answer was.
type reply struct {
	status int    // of HTTP; 0: it has none
	wrong  bool   // its body is not the one expected
	said   string // what kind of error it was by its own account; "": none
}

// ask sends a request. An error says that the connection can send none.
func (c *client) ask(t *template, id uint64) error {
	if c.carrier != nil {
		return c.carrier.ask(t, id)
	}
	_, err := c.wire.Send(t.stamp(id), nil)
	return err
}

// refused is told that ask has failed.
func (c *client) refused() {
	if c.carrier == nil {
		c.end(KindReset)
		return
	}
	c.leaving = true
	c.next(c.d.now())
}

// setLink is told what dial has returned.
func (c *client) setLink(l link) {
	c.link = l
	c.carrier, _ = l.(carrier)
	c.wire, _ = l.(wire)
}

// find returns which of those awaited has that id, -1: none.
func (c *client) find(id uint64) int {
	for i := range c.count {
		if c.at(i).id == id {
			return i
		}
	}
	return -1
}

// answered is told by a carrier of a whole answer; bytes: of its body. closes says that
// nothing more can be asked.
func (c *client) answered(id uint64, o *reply, bytes int64, closes bool) {
	i := c.find(id)
	if i < 0 { // it was given up
		return
	}
	warm := c.d.warmAt(c.at(i).due)
	c.d.rec.of(warm).bytes += uint64(bytes)
	c.leaving = c.leaving || closes || c.d.o.Reconnect
	now := c.d.now()
	c.take(i, o, now)
	c.next(now)
}

// failed is told by a carrier that a request will not be answered; bytes: of its body
// that have come. closes says that nothing more can be asked.
func (c *client) failed(id uint64, k Kind, bytes int64, closes bool) {
	i := c.find(id)
	if i < 0 {
		return
	}
	p := *c.at(i)
	c.d.rec.of(c.d.warmAt(p.due)).bytes += uint64(bytes)
	c.remove(i)
	c.d.roll(c.d.now())
	c.d.lose(&p, k)
	c.leaving = c.leaving || closes
	c.next(c.d.now())
}

// leaves is told by a carrier that it has ended, or is about to: it tells what becomes
// of those awaited still.
func (c *client) leaves() {
	if !c.ended {
		c.leaving = true
		c.next(c.d.now())
	}
}

// take counts the answer to the i-th of those awaited.
func (c *client) take(i int, o *reply, now time.Duration) {
	d := c.d
	c.useful = true
	if i > 0 {
		d.rec.of(d.warmAt(c.at(i).due)).reordered++
	}
	p := *c.at(i)
	c.remove(i)
	d.answered(&p, o, now)
	if s := c.slot; s != nil && d.o.Think > 0 && d.state == stateRunning {
		s.rest()
	}
}

// next ends the connection if it is done, and else has it asked more.
func (c *client) next(now time.Duration) {
	if c.count == 0 && (c.leaving || c.slot == nil) {
		c.end(KindClosed)
		return
	}
	c.d.room(c, now)
}
