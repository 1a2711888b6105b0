package worker

import (
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A pool runs serve for each session on a goroutine of its own. Goroutines
// that are done park on a stack and are used again, the last parked first, so
// that the ones whose stacks and caches are warm do the work and the others
// grow old: those that were not needed for a whole keep end.
type pool struct {
	// Immutable after newPool.
	serve func(s *session.Session)
	idle  func() // no handler runs any more; called without locks
	max   int    // goroutines that serve at once; 0: no limit
	park  int    // goroutines that stay parked
	keep  time.Duration

	mu      sync.Mutex
	parked  []*parked          // a stack
	waiting []*session.Session // over max, in order; bounded by the channels' session limit
	running int                // goroutines that serve
	least   int                // the stack's lowest height since the last trim
	trim    *time.Timer        // nil until a goroutine parks, and when none is parked
	closed  bool
	started uint64        // goroutines made so far
	settled chan struct{} // closed when no handler runs; made by whoever waits for it
}

// A parked goroutine waits for its next session; nil ends it. The channel has
// room for one, so that handing over never waits.
type parked struct{ next chan *session.Session }

func newPool(o *Options, serve func(s *session.Session), idle func()) *pool {
	return &pool{serve: serve, idle: idle, max: o.MaxHandlers, park: o.ParkedLimit, keep: o.ParkedTimeout}
}

// start hands s to a goroutine. It never blocks.
func (p *pool) start(s *session.Session) {
	p.mu.Lock()
	if p.max > 0 && p.running >= p.max {
		p.waiting = append(p.waiting, s)
		p.mu.Unlock()
		return
	}
	p.running++
	g := p.popLocked()
	p.mu.Unlock()
	if g != nil {
		g.next <- s
		return
	}
	go p.run(&parked{next: make(chan *session.Session, 1)}, s) // ends when trimmed, closed, or too many are parked
}

func (p *pool) popLocked() *parked {
	n := len(p.parked) - 1
	if n < 0 {
		p.started++
		return nil
	}
	g := p.parked[n]
	p.parked[n] = nil
	p.parked = p.parked[:n]
	p.least = min(p.least, n)
	return g
}

// run serves s and whatever is handed to g after it.
func (p *pool) run(g *parked, s *session.Session) {
	orderly := false
	defer func() {
		if !orderly { // the handler called runtime.Goexit
			p.lost()
		}
	}()
	for s != nil {
		p.serve(s)
		s = p.after(g)
	}
	orderly = true
}

// after returns the next session for g, waiting parked for it; nil ends g.
func (p *pool) after(g *parked) *session.Session {
	p.mu.Lock()
	if s := p.nextLocked(); s != nil {
		p.mu.Unlock()
		return s
	}
	p.running--
	none := p.noneLocked()
	stay := !p.closed && len(p.parked) < p.park
	if stay {
		p.parked = append(p.parked, g)
		if p.trim == nil {
			p.least = 0
			p.trim = time.AfterFunc(p.keep, p.trimOld)
		}
	}
	p.mu.Unlock()
	if none {
		p.idle()
	}
	if !stay {
		return nil
	}
	return <-g.next
}

// nextLocked takes the session that has waited longest.
func (p *pool) nextLocked() *session.Session {
	if len(p.waiting) == 0 {
		return nil
	}
	s := p.waiting[0]
	p.waiting[0] = nil
	if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	return s
}

// lost counts out a goroutine that ended under its handler's hands; another
// one serves what waits for it.
func (p *pool) lost() {
	p.mu.Lock()
	s := p.nextLocked()
	if s == nil {
		p.running--
	} else {
		p.started++
	}
	none := p.noneLocked()
	p.mu.Unlock()
	if s != nil {
		go p.run(&parked{next: make(chan *session.Session, 1)}, s) // as in start
	} else if none {
		p.idle()
	}
}

// trimOld ends the goroutines below the stack's lowest height: nobody has
// needed them since the last trim.
func (p *pool) trimOld() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.releaseLocked(p.least)
	p.least = len(p.parked)
	if len(p.parked) == 0 {
		p.trim = nil
		return
	}
	p.trim.Reset(p.keep)
}

// releaseLocked ends the n goroutines that have been parked longest.
func (p *pool) releaseLocked(n int) {
	for _, g := range p.parked[:n] {
		g.next <- nil
	}
	rest := copy(p.parked, p.parked[n:])
	clear(p.parked[rest:])
	p.parked = p.parked[:rest]
}

// noneLocked says whether no handler runs, and tells whoever waits for that.
func (p *pool) noneLocked() bool {
	if p.running > 0 {
		return false
	}
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
	return true
}

// quiet returns a channel that is closed once no handler runs.
func (p *pool) quiet() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled != nil {
		return p.settled
	}
	c := make(chan struct{})
	if p.running == 0 {
		close(c)
	} else {
		p.settled = c
	}
	return c
}

// busy is how many sessions are being served or wait to be.
func (p *pool) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running + len(p.waiting)
}

// counts is a snapshot for Stats.
func (p *pool) counts() (running, waiting, idle int, started uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running, len(p.waiting), len(p.parked), p.started
}

// close ends the parked goroutines; those that serve end when they are done.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.trim != nil {
		p.trim.Stop()
	}
	p.releaseLocked(len(p.parked))
}
