package engine

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// standbyIndex is the index of a worker that has none yet.
const standbyIndex = -1

// A slot keeps one worker index of a generation served, or one standby warm.
type slot struct {
	// Immutable.
	e     *Engine
	g     *generation
	index int             // standbyIndex: it keeps a standby
	begun chan *Death     // one message: nil when the first child is ready, else how it ended
	swap  chan *successor // wishes of Restart
	quit  chan struct{}   // closed, under the engine's mu: no child is started any more
	over  chan struct{}   // closed when run has returned

	ended bool // quit is closed; guarded by the engine's mu

	// Goroutine run only.
	early int // children in a row that died before they had served enough

	mu    sync.Mutex
	count int       // children that had this place
	child *child    // the latest
	until time.Time // when the rest before the next start is over; zero: none
}

// A successor is what Restart wants of a slot: another process in place of old.
type successor struct {
	old  *child
	done chan error // one message
}

// answer tells who asked what came of it; nil asks nothing.
func (r *successor) answer(err error) {
	if r != nil {
		r.done <- err
	}
}

func newSlot(g *generation, index int) *slot {
	return &slot{
		e: g.e, g: g, index: index,
		begun: make(chan *Death, 1), swap: make(chan *successor), quit: make(chan struct{}), over: make(chan struct{}),
	}
}

// run starts one child after the other until the slot ends.
func (s *slot) run() {
	defer s.e.running.Done()
	defer close(s.over)
	c := s.begin()
	for c != nil {
		c = s.succeed(c)
	}
}

// begin starts the first child and says what came of it; then the child waits
// with its generation. Nil: it ended before, or the slot did.
func (s *slot) begin() *child {
	c := s.bring(true)
	if c == nil {
		return nil
	}
	if !c.isReady() {
		<-c.dead
		s.begun <- &c.death
		return nil
	}
	s.begun <- nil
	select {
	case <-s.g.active:
	case <-c.out:
		<-c.dead
		s.g.fail(&c.death) // unless it has become active meanwhile
		select {
		case <-s.g.active:
		default:
			return nil
		}
	case <-s.quit:
		return nil
	}
	s.g.install(s, c)
	return c
}

// succeed waits until c needs a successor, and returns that once it has c's
// place. Nil: the slot has ended.
func (s *slot) succeed(c *child) *child {
	var wish *successor
	var promoted <-chan struct{}
	if s.index == standbyIndex {
		promoted = c.promoted
	}
	tired, turn := c.tired, s.g.turn // first the one, then the other
	if isClosed(tired) {
		tired = nil
	} else {
		turn = nil
	}
	select {
	case <-s.quit:
		return nil
	case <-promoted:
	case <-c.out:
		s.judge(c.stood)
	case <-c.broken:
		s.judge(time.Since(c.readyAt()))
	case <-tired:
		return c // look again, for its turn
	case turn <- struct{}{}: // no other worker is being recycled
		defer s.g.endTurn()
	case wish = <-s.swap:
		if wish.old != c {
			wish.answer(nil) // it is gone already
			return c
		}
	}
	for {
		w, ok := s.rest()
		if w != nil {
			wish = w
		}
		if !ok {
			wish.answer(ErrClosed)
			return nil
		}
		n := s.bring(wish != nil || s.index == standbyIndex)
		if n == nil {
			wish.answer(ErrClosed)
			return nil
		}
		if n.isReady() {
			s.g.install(s, n)
			n.settle(s.quit)
			if !c.isOut() && (s.index != standbyIndex || s.g.retract(c)) {
				c.tell(func(f *facts) { f.drain = true })
			}
			wish.answer(nil)
			return n
		}
		<-n.dead
		s.restore(c)
		if wish != nil {
			wish.answer(s.g.startError(s.index, n.death))
			wish = nil
			if !c.isOut() {
				return c
			}
		}
		s.judge(0)
	}
}

// restore makes c the slot's child again, whose successor did not get ready.
func (s *slot) restore(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isOut() {
		s.child = c
	}
}

// bring returns a standby, unless a fresh process is wanted, or a new child that
// is ready or has ended. Nil: the slot has ended.
func (s *slot) bring(fresh bool) *child {
	if !fresh {
		if c := s.g.promote(s); c != nil {
			return c
		}
	}
	if !s.g.acquire(s.quit) {
		return nil
	}
	defer s.g.release()
	c := s.spawn()
	if c == nil {
		return nil
	}
	select {
	case <-c.ready:
	case <-c.out:
	}
	return c
}

// spawn starts the next child; nil once the slot has ended.
func (s *slot) spawn() *child {
	suspended := s.g.launchSuspended(s)
	c := newChild(s, s.nextCount(), uuid.NewString(), suspended)
	if !s.e.adopt(c) {
		return nil
	}
	s.mu.Lock()
	s.child = c
	s.mu.Unlock()
	go func() { // ends with the process, see child.run
		defer s.e.running.Done()
		defer s.g.left()
		c.run()
	}()
	return c
}

// judge counts early deaths, and workers that asked early to be replaced. The
// rest before the next start follows from it.
func (s *slot) judge(served time.Duration) {
	if served >= ServedEnough {
		s.early = 0
		return
	}
	select {
	case <-s.quit:
		return
	default:
	}
	s.early++
	s.e.stats.early.Add(1)
	s.mu.Lock()
	s.until = time.Now().Add(s.e.opt.Backoff.delay(s.early, rand.Float64()))
	s.mu.Unlock()
}

// rest waits until the next child may be started, or Restart wishes for it.
// False: the slot has ended.
func (s *slot) rest() (wish *successor, ok bool) {
	d, ok := s.resting()
	if !ok {
		return nil, true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case wish = <-s.swap:
	case <-s.quit:
		return nil, false
	}
	s.mu.Lock()
	s.until = time.Time{}
	s.mu.Unlock()
	return wish, true
}

// nextCount is how many children had this place before the next one.
func (s *slot) nextCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count - 1
}

// resting is how long until the next start, if the slot waits for it.
func (s *slot) resting() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() {
		return 0, false
	}
	return max(time.Until(s.until), 0), true
}

func (s *slot) current() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

// delay is the rest after the n-th early death in a row (from 1); chance is in
// [0, 1).
func (b BackoffOptions) delay(n int, chance float64) time.Duration {
	d := b.Min
	for i := 1; i < n && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	return d - time.Duration(chance*float64(d)/2)
}
