package worker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A standing is what the engine wants of a worker and what the program has said
// of it. It outlasts a life, and that of the process's own worker is there
// before any Worker is.
type standing struct {
	// Each looks after itself.
	resumed *latch // open while no work is held back
	ending  *latch // open once no new work comes
	talk    *talk
	index   atomic.Int64 // which of the app's workers this is; -1 for a standby

	mu     sync.Mutex // taken under the Worker's mu, never the other way round
	worker *Worker    // whom the process's own functions ask; nil before Connect
	manual bool       // online only by the program's word
	online bool       // which it has given
	broken *string    // why the program wants to be replaced; nil if it does not
}

func newStanding(l *Launch) *standing {
	s := &standing{resumed: newLatch(!l.Suspended), ending: newLatch(false), talk: newTalk(l)}
	s.index.Store(int64(l.Index))
	return s
}

// begin has w be the one that reports are passed on to.
func (s *standing) begin(w *Worker) {
	s.ending.set(false)
	s.talk.begin()
	s.mu.Lock()
	s.worker = w
	s.mu.Unlock()
}

// setManual keeps a worker that is not online yet from saying so by itself.
func (s *standing) setManual() {
	s.mu.Lock()
	s.manual = true
	s.mu.Unlock()
}

// setOnline is the program's word, which counts from now on. It returns who
// says it, and whether the program had given it before.
func (s *standing) setOnline() (w *Worker, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again, s.online = s.online, true
	return s.worker, again
}

// setBroken is likewise; the first reason stays.
func (s *standing) setBroken(reason string) (w *Worker, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if again = s.broken != nil; !again {
		s.broken = &reason
	}
	return s.worker, again
}

// mayOnline says whether a worker that is greeted is online, and if not, why it
// never will be, or nil.
func (s *standing) mayOnline() (ok bool, broken *string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken == nil && (s.online || !s.manual), s.broken
}

// awaitResume waits until no work is held back. A suspension that has begun
// again before the caller's turn holds it again.
func (s *standing) awaitResume(ctx context.Context) error {
	for !s.resumed.isOpen() {
		select {
		case <-s.resumed.opened():
		case <-ctx.Done():
			return fmt.Errorf("worker: suspended: %w", context.Cause(ctx))
		}
	}
	return nil
}
