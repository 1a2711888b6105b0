package admin

import "sync/atomic"

// An Outcome is what came of a deploy or rollback.
type Outcome uint8

const (
	Served     Outcome = iota // a deploy that got the work
	RolledBack                // a rollback that did
	Failed                    // its program or a worker did not do
	Withdrawn                 // ended before it served: as asked, by its time-out, or because its command has gone
	Superseded                // ended for another one
	Refused                   // never begun, or ended with the daemon
	outcomes
)

var outcomeNames = [outcomes]string{"served", "rolled_back", "failed", "withdrawn", "superseded", "refused"}

func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes count deploys by what came of them. The zero value is none; any
// goroutine may use it.
type Outcomes struct{ n [outcomes]atomic.Uint64 }

// Add counts one.
func (o *Outcomes) Add(outcome Outcome) { o.n[outcome].Add(1) }

// Count is how many there were.
func (o *Outcomes) Count(outcome Outcome) uint64 { return o.n[outcome].Load() }
