package gateway

import (
	"slices"

	"github.com/heddle-go/heddle/session"
)

// What a connection's outbox may hold, in bytes. Requests are sent whole, up to 14 MiB,
// and whatever goes over the limit ends the connection with all that is on it. So a large
// one waits until others have gone, and a small one only if nobody takes anything.
const (
	outLimit  = 32 << 20
	outSmall  = outLimit - 2<<20 // from there on small ones wait
	mostSmall = 64 << 10         // of a request
)

// room says whether a request of n bytes may be sent now.
func (c *conn) room(n int) bool {
	queued := c.mux.Link().Queued()
	if n > mostSmall {
		return queued < session.HighWater
	}
	return queued < outSmall
}

// keep has w wait for room: no longer than for an answer.
func (a *app) keep(w *waiter) {
	a.kept = append(a.kept, w)
	a.ln.waiting++
	if w.timer != nil {
		return
	}
	d := a.ln.g.o.Timeout
	if d <= 0 {
		d = DefaultTimeout
	}
	w.timer = a.ln.loop.After(d, func() {
		if a.leave(w) {
			w.later(nil, errRoom)
		}
	})
}

// admit asks for requests that waited for room, in order, while there is some. Those
// whose connection has ended wait for another.
func (a *app) admit() {
	for len(a.kept) > 0 && !a.ln.closed {
		c := a.pick()
		if c == nil {
			a.waiting, a.kept = append(a.waiting, a.kept...), nil
			a.look()
			return
		}
		w := a.kept[0]
		if !c.room(len(w.o.First)) {
			return
		}
		a.kept = slices.Delete(a.kept, 0, 1)
		a.ln.waiting--
		a.give(w, c)
	}
}
