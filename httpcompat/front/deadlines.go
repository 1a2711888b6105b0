package front

import (
	"time"

	"github.com/heddle-go/heddle/loop"
)

// deadlines are clients that wait for the same thing, and so equally long: who
// came first is due first, and one timer will do for all. Loop only.
type deadlines struct {
	ln      *lane
	after   time.Duration // 0 or less: for ever
	expired func(*client)
	patient bool // the wait begins when the client has taken what was written to it

	first, last *deadline
	timer       *loop.Timer
}

// A deadline is a client's place in one of the deadlines.
type deadline struct {
	c          *client
	in         *deadlines    // nil: in none
	due        time.Duration // since the lane's base
	next, prev *deadline
}

// enter puts d behind all others, and takes it out of where it was.
func (q *deadlines) enter(d *deadline) {
	d.leave()
	if q.after <= 0 {
		return
	}
	d.in, d.due, d.prev = q, time.Since(q.ln.base)+q.after, q.last
	if q.last == nil {
		q.first = d
	} else {
		q.last.next = d
	}
	q.last = d
	if q.timer == nil {
		q.timer = q.ln.loop.After(q.after, q.fire)
	}
}

// leave takes d out of where it is; a nil d is nowhere.
func (d *deadline) leave() {
	if d == nil || d.in == nil {
		return
	}
	q := d.in
	if d.prev == nil {
		q.first = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		q.last = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.in, d.next, d.prev = nil, nil, nil
}

// fire deals with who is due, and sets the timer for the next. Until then timer is
// the one that has fired, so that enter sets none beside it.
func (q *deadlines) fire() {
	defer q.arm() // also if a callback panics
	now := time.Since(q.ln.base)
	for d := q.first; d != nil && d.due <= now; d = q.first {
		d.leave()
		if q.patient && d.c.conn.Queued() > 0 {
			q.enter(d)
			continue
		}
		q.expired(d.c)
	}
}

// arm sets the timer for the first.
func (q *deadlines) arm() {
	if q.timer = nil; q.first != nil {
		q.timer = q.ln.loop.After(max(q.first.due-time.Since(q.ln.base), 0), q.fire)
	}
}
