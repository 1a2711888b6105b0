package worker

import (
	"sync"
	"sync/atomic"
)

// A latch is open or shut. Any number of goroutines may wait until it is open;
// the waiting costs no goroutine, and the look at it no lock.
type latch struct {
	mu   sync.Mutex                    // held while it changes
	pass atomic.Pointer[chan struct{}] // closed while the latch is open; each time it is shut there is a new one
}

func newLatch(open bool) *latch {
	a := &latch{}
	c := make(chan struct{})
	if open {
		close(c)
	}
	a.pass.Store(&c)
	return a
}

// opened returns a channel that is closed while the latch is open. Once closed
// it stays so: whoever looks again asks again.
func (a *latch) opened() <-chan struct{} { return *a.pass.Load() }

func (a *latch) isOpen() bool {
	select {
	case <-a.opened():
		return true
	default:
		return false
	}
}

// set opens or shuts the latch; it may be so already.
func (a *latch) set(open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case open == a.isOpen():
	case open:
		close(*a.pass.Load())
	default:
		c := make(chan struct{})
		a.pass.Store(&c)
	}
}
