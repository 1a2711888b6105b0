package engine

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A slot keeps one worker index served.
type slot struct {
	// Immutable.
	e     *Engine
	index int
	first chan *Death // one message: nil when the first child is online, else how it ended

	// Goroutine run only.
	early int // children in a row that died before they had served enough
	count int // children started

	mu    sync.Mutex
	child *child    // the latest
	until time.Time // when the rest before the next start is over; zero: none
}

// run starts one child after the other until the engine stops.
func (s *slot) run() {
	defer s.e.running.Done()
	var old *child // asked to be replaced, and serves until it is
	for {
		if !s.rest() || !s.e.acquire() {
			return
		}
		c := s.spawn()
		if c == nil {
			s.e.release()
			return
		}
		select {
		case <-c.online:
		case <-c.out:
		}
		s.e.release()
		if !s.settled(c) {
			return
		}
		came := time.Now() // if it is online
		if old != nil && c.serves() {
			old.tell(func(f *facts) { f.drain = true })
			old = nil
		}
		select {
		case <-c.out:
			s.judge(c.served)
		case <-c.broken:
			s.judge(time.Since(came))
			old = c
		case <-s.e.stopping:
			return
		}
	}
}

// settled tells Start what came of the first child. False: it never came
// online, and the engine gives up.
func (s *slot) settled(c *child) bool {
	if s.count > 1 {
		return true
	}
	select {
	case <-c.online:
		s.first <- nil
		return true
	default:
	}
	<-c.dead
	s.first <- &c.death
	return false
}

// spawn starts the next child; nil once the engine stops.
func (s *slot) spawn() *child {
	c := newChild(s.e, s.index, s.count, uuid.NewString())
	if !s.e.adopt(c) {
		return nil
	}
	s.count++
	s.mu.Lock()
	s.child = c
	s.mu.Unlock()
	go func() { // ends with the process, see child.run
		defer s.e.running.Done()
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
	if s.e.isStopping() {
		return
	}
	s.early++
	s.e.stats.early.Add(1)
	s.mu.Lock()
	s.until = time.Now().Add(s.e.opt.Backoff.delay(s.early, rand.Float64()))
	s.mu.Unlock()
}

// rest waits until the next child may be started. False: the engine stops.
func (s *slot) rest() bool {
	d, ok := s.resting()
	if ok {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.e.stopping:
			return false
		}
		s.mu.Lock()
		s.until = time.Time{}
		s.mu.Unlock()
	}
	return true
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
