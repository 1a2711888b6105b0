package servicetest

import (
	"context"
	"time"
)

// Faults are what is wrong with a service. The zero value is none.
type Faults struct {
	Method string        // only calls of this method; empty: of any
	Delay  time.Duration // before each message of an answer
	Fault  Fault
}

// A Fault is what a service makes of its answers.
type Fault int

// The faults. Those after NoChoke do not wait for the end of an answer.
const (
	NoFault   Fault = iota
	Silent          // calls are read, and nothing is ever said
	NeverEnds       // the message that would end an answer does not come
	Stranger        // each message comes for another session first, whose id is 1000 higher
	AfterEnd        // another piece comes behind the end
	NoChoke         // v0: an error, or the end of an answer, without choke
	Garbage         // four bytes in place of the answer that begin no frame
	HalfFrame       // half a message, and the connection ends
	HugeHead        // the head of a message of 4 GiB in place of the answer, and nothing more
	HangUp          // the connection ends in place of the answer
	Revoked         // v1: the caller's channel is revoked in place of the answer
)

// SetFaults makes the service misbehave in the calls that come from now on.
func (s *Service) SetFaults(f Faults) {
	s.mu.Lock()
	s.faults = f
	s.mu.Unlock()
}

// An Announcement is what the locator says of a service in place of the truth.
type Announcement struct {
	Endpoints []Endpoint // in this order; nil: the service's own
	Methods   []Method   // whose graph is told; nil: the service's own
	Version   int        // 0: the service's own

	// Result is the whole answer in place of all the above: an array of endpoints
	// (v0: one endpoint), version and graph, or whatever else the test likes.
	Result Packed
}

// Announce makes the locator lie about the service. A nil a ends that.
func (s *Service) Announce(a *Announcement) {
	s.mu.Lock()
	s.announced = a
	s.mu.Unlock()
}

// sleep waits, and tells whether the time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
