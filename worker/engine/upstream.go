package engine

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// ErrPlain reports a session that was to be opened on workers that serve plain
// HTTP (Acquire is for those), or a plain request to workers with sessions.
var ErrPlain = errors.New("engine: workers are either asked by sessions (Open) or in plain HTTP (Acquire)")

// plainEvent is the event of requests of plain workers, in records.
const plainEvent = "http"

// brokenGrace is how long before a worker's death a request must have broken off
// to be one that it died with: its connection's end is seen first.
const brokenGrace = 200 * time.Millisecond

// An Upstream is a plain worker's place for one request. Its methods may be
// called from any goroutine.
type Upstream struct {
	Index   int
	Release string
	c       *child
	number  uint64
	label   string
	once    sync.Once

	door *door
}

// Dial connects to the worker. At a unix socket that another User's program has
// made, it is one of that user's processes that listens, or Dial fails: with a
// *net.OpError of Op "dial", as always.
func (u *Upstream) Dial(ctx context.Context) (net.Conn, error) {
	return dialDoor(ctx, u.door.network, u.door.address, u.door.owner)
}

// ID is the worker's uuid. A new process has a new one, and new addresses.
func (u *Upstream) ID() string { return u.c.id }

// Tag says whose the worker is: its release's *Origin, as the channels of workers
// with sessions have it.
func (u *Upstream) Tag() any { return u.c.g.origin }

// Retired is closed when the worker will be given no request any more: then
// connections to it that are idle should be closed, for it may wait for that.
func (u *Upstream) Retired() <-chan struct{} { return u.c.out }

// Give gives the place back, once the request has its answer or will have none.
// Broken: its answer broke off, or never came, though the worker may have seen it.
// If the worker is dead, or dies of it, its Death names the request. Only the
// first call counts.
func (u *Upstream) Give(broken bool) {
	u.once.Do(func() { u.c.e.leases.give(u, broken) })
}

// shutTime is how long a worker that could not be connected to is given nothing:
// most likely it is dead, and that is seen sooner.
const shutTime = 100 * time.Millisecond

// Unreachable says that the worker could not be connected to. It is given nothing
// for a moment, and the place back: the worker has not seen the request.
func (u *Upstream) Unreachable() {
	u.once.Do(func() { u.c.e.leases.shut(u) })
}

// Acquire gives the least loaded plain worker that serves. While none does, or
// all have Concurrency requests, it waits its turn. label is the request's id.
//
// It fails with a *BusyError when the queue is full or the request has waited
// too long, ErrClosed, or ctx's cause.
func (e *Engine) Acquire(ctx context.Context, label string) (*Upstream, error) {
	if e.opt.HTTP == nil {
		return nil, ErrPlain
	}
	if e.refusing.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if e.queue.waiting.Load() == 0 { // nobody is overtaken
		if u := e.leases.take(e, label); u != nil {
			return u, nil
		}
	}
	begun := time.Now()
	e.stats.queued.Add(1)
	var u *Upstream
	w := &waiter{open: session.OpenOptions{Label: label}, take: func() bool {
		u = e.leases.take(e, label)
		return u != nil
	}}
	_, err := e.queue.wait(ctx, w)
	if err != errFull {
		e.waits.Observe(time.Since(begun))
	}
	switch err {
	case nil:
		return u, nil
	case errFull:
		e.stats.full.Add(1)
		return nil, e.busy(label, 0)
	case errAged:
		e.stats.aged.Add(1)
		return nil, e.busy(label, max(time.Since(begun), 1))
	}
	return nil, err
}

// leases are the requests that plain workers have.
type leases struct {
	mu      sync.Mutex // before a child's
	serving []*child
	turn    int
	last    uint64
}

// join has c chosen from now on, if its program has not ended.
func (l *leases) join(c *child) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.plain.ended.IsZero() {
		return
	}
	l.serving = append(slices.Clone(l.serving), c)
}

// leave has c chosen no more.
func (l *leases) leave(c *child) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = slices.DeleteFunc(slices.Clone(l.serving), func(x *child) bool { return x == c })
}

// over is told that c's program has ended.
func (l *leases) over(c *child) {
	l.mu.Lock()
	c.plain.ended = time.Now()
	l.mu.Unlock()
	l.leave(c)
}

// dismissed notes that c is asked to leave.
func (l *leases) dismissed(c *child) {
	l.mu.Lock()
	if len(c.plain.open) == 0 {
		c.plain.idle = time.Now()
	}
	l.mu.Unlock()
}

// take chooses the least loaded, equals in turn; nil if nobody is free.
func (l *leases) take(e *Engine, label string) *Upstream {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	var best *child
	now := time.Now()
	for i := range l.serving {
		c := l.serving[(l.turn+i)%len(l.serving)]
		if n := len(c.plain.open); !now.Before(c.plain.shut) && (e.opt.Concurrency == 0 || n < e.opt.Concurrency) && (best == nil || n < len(best.plain.open)) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	l.last++
	best.plain.given++
	e.stats.opened.Add(1)
	u := &Upstream{Index: best.place(), Release: best.release(), c: best, number: l.last, label: strings.Clone(label)}
	u.door = best.answering()
	best.plain.open[u.number] = u
	return u
}

// give takes a request off its worker.
func (l *leases) give(u *Upstream, broken bool) {
	c := u.c
	l.mu.Lock()
	delete(c.plain.open, u.number)
	if broken {
		now := time.Now()
		c.plain.broken = slices.DeleteFunc(c.plain.broken, func(b brokenLease) bool { return now.Sub(b.at) > brokenGrace })
		c.plain.broken = append(c.plain.broken, brokenLease{u.lost(), now})
	}
	idle := len(c.plain.open) == 0
	l.mu.Unlock()
	if idle && c.isOut() {
		c.tell(func(*facts) {}) // it may leave
	}
	c.e.queue.release()
}

// shut takes a request off its worker, and has that be given none for shutTime.
func (l *leases) shut(u *Upstream) {
	l.mu.Lock()
	u.c.plain.shut = time.Now().Add(shutTime)
	l.mu.Unlock()
	time.AfterFunc(shutTime, u.c.e.queue.release) // whoever waits for nobody else
	l.give(u, false)
}

// lost is the record of a request that comes to nothing.
func (u *Upstream) lost() LostSession {
	return LostSession{ID: u.number, Event: plainEvent, RequestID: u.label}
}

// load is how many requests the child has.
func (l *leases) load(c *child) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(c.plain.open)
}

// given is how many requests the child was given.
func (l *leases) given(c *child) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.plain.given
}

// actives are the child's requests, at most so many.
func (l *leases) actives(c *child, most int) (list []active) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range c.plain.open {
		list = append(list, active{0, u.number, plainEvent, u.label})
	}
	slices.SortFunc(list, func(a, b active) int { return cmp.Compare(a.id, b.id) })
	return list[:min(len(list), most)]
}

// bury waits until a dead child has no requests, which get what it had written,
// and records those that broke off. Whoever is not done after channelGrace, since
// a client takes its time, counts as lost.
//
// How an answer without a length ends looks as its worker's death does. But if the
// worker left as one does that was asked to, what ended before that was no death.
func (l *leases) bury(c *child, inOrder bool) {
	l.mu.Lock()
	died := c.plain.ended
	l.mu.Unlock()
	if died.IsZero() {
		died = time.Now()
	}
	timer := time.NewTimer(channelGrace)
	defer timer.Stop()
waiting:
	for l.load(c) > 0 {
		select {
		case <-c.wake:
		case <-timer.C:
			break waiting
		}
	}
	var lost []LostSession
	l.mu.Lock()
	for _, b := range c.plain.broken {
		if died.Sub(b.at) <= brokenGrace && !(inOrder && !c.plain.idle.Before(b.at)) {
			lost = append(lost, b.LostSession)
		}
	}
	for _, u := range c.plain.open {
		lost = append(lost, u.lost())
	}
	l.mu.Unlock()
	slices.SortFunc(lost, func(a, b LostSession) int { return cmp.Compare(a.ID, b.ID) })
	c.e.stats.lost.Add(uint64(len(lost)))
	c.mu.Lock()
	c.lostOnes = append(c.lostOnes, lost...)
	c.mu.Unlock()
}
