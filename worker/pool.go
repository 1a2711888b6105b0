package worker

import (
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A pool runs serve for each session, on as many goroutines as are needed for
// none to wait while another is served. Sessions come in batches, many to one
// read of the channel, and waking a goroutine costs more than a short handler:
// so sessions queue, and one goroutine at a time is roused to look into the
// queue. Whoever takes a session and leaves others behind rouses the next
// before serving his own. Thus a handler that blocks holds up nobody, and a
// batch of short ones is often served by one goroutine.
//
// Goroutines that find the queue empty park on a stack and are used again, the
// last parked first, so that the ones whose stacks and caches are warm do the
// work and the others grow old: those that were not needed for a whole keep
// end.
type pool struct {
	// Immutable after newPool.
	serve func(s *session.Session)
	idle  func() // no handler runs any more; called without locks
	max   int    // goroutines that serve at once; 0: no limit
	park  int    // goroutines that stay parked
	keep  time.Duration

	mu      sync.Mutex
	parked  []*parked          // a stack
	waiting []*session.Session // from head on, in order; bounded by the channels' session limit
	head    int                // of waiting
	rousing bool               // a goroutine was roused and has not looked into the queue yet
	running int                // goroutines that serve
	least   int                // the stack's lowest height since the last trim
	trim    *time.Timer        // nil until a goroutine parks, and when none is parked
	closed  bool
	started uint64        // goroutines made so far
	settled chan struct{} // closed when no handler runs; made by whoever waits for it
}

// A parked goroutine waits to be roused (true) or ended (false). The channel
// has room for one, so that rousing never waits.
type parked struct{ next chan bool }

func newPool(o *Options, serve func(s *session.Session), idle func()) *pool {
	return &pool{serve: serve, idle: idle, max: o.MaxHandlers, park: o.ParkedLimit, keep: o.ParkedTimeout}
}

// start has s served soon. It never blocks.
func (p *pool) start(s *session.Session) {
	p.mu.Lock()
	p.waiting = append(p.waiting, s)
	p.rouseLocked()
	p.mu.Unlock()
}

// rouseLocked has one more goroutine look into the queue, if there is need and
// none is on its way.
func (p *pool) rouseLocked() {
	if p.rousing || p.head == len(p.waiting) || p.max > 0 && p.running >= p.max {
		return
	}
	p.rousing = true
	if n := len(p.parked) - 1; n >= 0 {
		g := p.parked[n]
		p.parked[n] = nil
		p.parked = p.parked[:n]
		p.least = min(p.least, n)
		g.next <- true
		return
	}
	p.started++
	go p.run(&parked{next: make(chan bool, 1)}) // ends when trimmed, closed, or too many are parked
}

// run serves sessions from the queue, parking while it is empty.
func (p *pool) run(g *parked) {
	serving := false
	defer func() {
		if serving { // the handler called runtime.Goexit
			p.lost()
		}
	}()
	roused := true
	for {
		s, stay := p.take(g, roused, serving)
		serving, roused = s != nil, false
		switch {
		case serving:
			p.serve(s)
		case !stay || !<-g.next:
			return
		default:
			roused = true
		}
	}
}

// take returns the session that has waited longest. Without one, g is parked,
// or is to end. served says that g has just served one.
func (p *pool) take(g *parked, roused, served bool) (s *session.Session, stay bool) {
	p.mu.Lock()
	if roused {
		p.rousing = false
	}
	if served {
		p.running--
	}
	if s = p.nextLocked(); s != nil {
		p.running++
		p.rouseLocked()
		p.mu.Unlock()
		return s, true
	}
	none := served && p.noneLocked()
	if stay = !p.closed && len(p.parked) < p.park; stay {
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
	return nil, stay
}

// nextLocked takes the session that has waited longest, if one more may be
// served.
func (p *pool) nextLocked() *session.Session {
	if p.head == len(p.waiting) || p.max > 0 && p.running >= p.max {
		return nil
	}
	s := p.waiting[p.head]
	p.waiting[p.head] = nil
	if p.head++; p.head == len(p.waiting) {
		p.waiting, p.head = p.waiting[:0], 0
	} else if p.head >= 1024 && 2*p.head >= len(p.waiting) {
		n := copy(p.waiting, p.waiting[p.head:])
		clear(p.waiting[n:])
		p.waiting, p.head = p.waiting[:n], 0
	}
	return s
}

// lost counts out a goroutine that ended under its handler's hands; another
// one serves what waits for it.
func (p *pool) lost() {
	p.mu.Lock()
	p.running--
	p.rouseLocked()
	none := p.noneLocked()
	p.mu.Unlock()
	if none {
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
		g.next <- false
	}
	rest := copy(p.parked, p.parked[n:])
	clear(p.parked[rest:])
	p.parked = p.parked[:rest]
}

// noneLocked says whether no handler runs, and tells whoever waits for that.
func (p *pool) noneLocked() bool {
	if p.running > 0 || p.head < len(p.waiting) {
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
	if p.running == 0 && p.head == len(p.waiting) {
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
	return p.running + len(p.waiting) - p.head
}

// counts is a snapshot for Stats.
func (p *pool) counts() (running, waiting, idle int, started uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running, len(p.waiting) - p.head, len(p.parked), p.started
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
