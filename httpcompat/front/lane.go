package front

import (
	"net/http"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A lane is one loop's part of the front: its clients, and what their requests
// share because only one of them is looked at at a time.
type lane struct {
	// Immutable.
	s       *Server
	index   int
	loop    *loop.Loop
	backend Backend
	router  Router     // the backend, if it has several apps
	sorter  Dispatcher // likewise, if it looks at all of the head
	short   bool       // ids made here
	base    time.Time  // deadlines count from here

	mostHeld int // bytes of held, if plain workers bring more

	// Loop goroutine only.
	owner    loop.Owner
	draining bool      // Shutdown was called
	clients  []*client // in no order
	held     int       // bytes of answers that they have not taken, as far as is known
	free     []*call
	head     requestHead                  // as parsed
	request  heddle.RequestHead           // and as it goes to the worker
	dispatch Dispatch                     // and what a Dispatcher made of it
	date     []byte                       // of answers of plain workers in second dateAt
	dateAt   int64                        // since 1970
	facts    []byte                       // values of the fields that the front adds
	response heddle.ResponseHead          // as decoded
	info     heddle.Info                  //
	trailers heddle.Trailers              //
	out      []byte                       // a head being written
	waits    [timeouts]deadlines          // of clients, by what they wait for
	writing  deadlines                    // of clients that take nothing in
	answers  map[time.Duration]*deadlines // beside waits[forAnswer], for apps with other limits
	writes   map[time.Duration]*deadlines // and beside writing
	buffers  [][]byte                     // for bytes that came too soon
	local    string                       // a client's own address, of which there are few
	access   Access                       // of the request that is over

	// Any goroutine.
	open    atomic.Int64 // len(clients)
	counted counts
	tallies tallies
}

// counts are a lane's part of Stats.
type counts struct {
	requests, active, gone atomic.Int64
	handedOver             [reasons]atomic.Int64
	_                      [64]byte // another lane's are in another cache line
}

// What a client may be waited for.
type timeout uint8

const (
	forHead   timeout = iota // the rest of a head
	forRest                  // the rest of a body
	forNext                  // another request
	forBody                  // the rest of a body that nobody wants
	forAnswer                // the head of its answer, by the worker
	timeouts
)

func newLane(s *Server, i int, l *loop.Loop, b Backend) *lane {
	ln := &lane{s: s, index: i, loop: l, backend: b, short: s.o.ShortIDs, base: time.Now(), mostHeld: session.DefaultBudget}
	ln.router, _ = b.(Router)
	ln.sorter, _ = b.(Dispatcher)
	limits := &s.o.Limits
	for t, d := range [timeouts]time.Duration{forHead: limits.ReadHeaderTimeout, forRest: limits.ReadTimeout, forNext: limits.IdleTimeout, forBody: lingerTime, forAnswer: limits.ResponseHeaderTimeout} {
		ln.waits[t] = deadlines{ln: ln, after: d, expired: (*client).expired, patient: timeout(t) != forRest && timeout(t) != forAnswer}
	}
	ln.writing = deadlines{ln: ln, after: limits.WriteTimeout, expired: (*client).stuck}
	return ln
}

// accept makes the handler of a connection that was dealt to this lane.
func (ln *lane) accept(conn *loop.Conn) loop.Handler {
	ln.owner.Check()
	c := &client{ln: ln, conn: conn}
	c.wait.c, c.at = c, int32(len(ln.clients))
	ln.clients = append(ln.clients, c)
	ln.open.Add(1)
	return c
}

// lose takes a client out.
func (ln *lane) lose(c *client) {
	n := len(ln.clients) - 1
	last := ln.clients[n]
	ln.clients[c.at], last.at = last, c.at
	ln.clients[n] = nil
	ln.clients = ln.clients[:n]
	ln.open.Add(-1)
}

// drain closes the clients that have no request, and each other one after its
// answer.
func (ln *lane) drain() {
	ln.draining = true
	for _, c := range ln.clients {
		if c.x == nil && c.unread() == 0 {
			c.conn.Close(nil)
		}
	}
}

// cut ends every client at once.
func (ln *lane) cut() {
	for _, c := range ln.clients {
		c.breakOff(http.ErrServerClosed)
	}
}

// getCall is the pool's one getter.
func (ln *lane) getCall() *call {
	if n := len(ln.free); n > 0 {
		x := ln.free[n-1]
		ln.free = ln.free[:n-1]
		return x
	}
	x := &call{ln: ln}
	x.later = x.opened
	return x
}

// mostFree is how many calls and buffers a lane keeps.
const mostFree = 256

// putCall is the pool's one putter.
func (ln *lane) putCall(x *call) {
	if len(ln.free) >= mostFree || cap(x.head) > keepRoom || cap(x.sent) > keepRoom || cap(x.note.line) > keepRoom {
		return
	}
	*x = call{ln: ln, later: x.later, head: x.head[:0], sent: x.sent[:0], tail: x.tail[:0], id: x.id, note: accessNote{line: x.note.line[:0]}}
	ln.free = append(ln.free, x)
}

// keepRoom is the capacity in bytes above which buffers are not kept.
const keepRoom = 64 << 10

// bufferSize is the capacity in bytes that buffers begin with.
const bufferSize = 4 << 10

// getBuffer is the pool's one getter.
func (ln *lane) getBuffer() []byte {
	if n := len(ln.buffers); n > 0 {
		b := ln.buffers[n-1]
		ln.buffers = ln.buffers[:n-1]
		return b
	}
	return make([]byte, 0, bufferSize)
}

// putBuffer is the pool's one putter.
func (ln *lane) putBuffer(b []byte) {
	if len(ln.buffers) < mostFree && cap(b) >= bufferSize && cap(b) <= keepRoom {
		ln.buffers = append(ln.buffers, b[:0])
	}
}

// localText is the text of a connection's own address, of which there are few.
func (ln *lane) localText(conn *loop.Conn) string {
	a := conn.LocalAddr()
	if a == nil {
		return ""
	}
	if text := a.String(); text != ln.local {
		ln.local = text
	}
	return ln.local
}

// route is who answers the request with this head, nil for net/http, and within
// what limits.
func (ln *lane) route(h *requestHead) (to Opener, limits *AppLimits) {
	ln.dispatch = Dispatch{}
	if ln.sorter != nil {
		d := ln.sorter.Dispatch(ln.index, Head{h})
		ln.dispatch = d
		if limits = d.Limits; limits == nil {
			limits = &ln.s.limits
		}
		if d.To == nil {
			return nil, limits
		}
		return d.To, limits
	}
	if ln.router == nil {
		return ln.backend, &ln.s.limits
	}
	if to, limits = ln.router.Route(h.host, h.target); limits == nil {
		limits = &ln.s.limits
	}
	return to, limits
}

// answering are the clients whose worker may take so long to begin its answer.
func (ln *lane) answering(after time.Duration) *deadlines {
	q := &ln.waits[forAnswer]
	if q.after == after || after <= 0 && q.after <= 0 {
		return q
	}
	return ln.special(&ln.answers, after, q)
}

// stalling are the clients that may take nothing in for so long.
func (ln *lane) stalling(after time.Duration) *deadlines {
	q := &ln.writing
	if q.after == after || after <= 0 && q.after <= 0 {
		return q
	}
	return ln.special(&ln.writes, after, q)
}

// special is a list like q, for apps with a time-out of their own.
func (ln *lane) special(all *map[time.Duration]*deadlines, after time.Duration, q *deadlines) *deadlines {
	if of := (*all)[after]; of != nil {
		return of
	}
	if *all == nil {
		*all = make(map[time.Duration]*deadlines)
	}
	for d, of := range *all { // of limits that nobody has any more
		if of.first == nil && of.timer == nil && len(*all) >= mostSpecial {
			delete(*all, d)
		}
	}
	of := &deadlines{ln: ln, after: after, expired: q.expired, patient: q.patient}
	(*all)[after] = of
	return of
}

// mostSpecial is how many lists are kept that are empty.
const mostSpecial = 64
