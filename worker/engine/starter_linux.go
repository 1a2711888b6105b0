package engine

import (
	"os"
	"runtime"
)

// A starter starts processes from one thread, which lives until stop: a child's
// parent-death signal comes when the thread ends that started it, prctl(2)
// PR_SET_PDEATHSIG, and Go's threads come and go.
type starter struct {
	work chan func()
	done chan struct{}
}

func newStarter() *starter {
	s := &starter{work: make(chan func()), done: make(chan struct{})}
	go func() { // ends with stop
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

// start calls begin on the thread.
func (s *starter) start(begin func() (*os.Process, error)) (p *os.Process, err error) {
	ran := make(chan struct{})
	select {
	case s.work <- func() {
		defer close(ran)
		p, err = begin()
	}:
		<-ran
		return p, err
	case <-s.done:
		return nil, ErrClosed
	}
}

// stop ends the thread's duty. No child lives.
func (s *starter) stop() { close(s.done) }
