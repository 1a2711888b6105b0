package worker

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/looplab/fsm"
)

// States of a worker's life.
const (
	StateClosed      = "closed"      // not connected; Connect begins a life
	StateConnecting  = "connecting"  // dialling, shaking hands
	StateGreeted     = "greeted"     // welcomed on every channel, not yet online
	StateConnected   = "connected"   // serving
	StateLeaving     = "leaving"     // serving; the engine was asked to drain us
	StateDraining    = "draining"    // no new session comes; those that are open go on
	StateTerminating = "terminating" // the engine ends us; open sessions go on for a while
	StateTerminated  = "terminated"  // left in order
	StateLost        = "lost"        // a channel broke, or the time to finish was over
	StateDisowned    = "disowned"    // the engine is not heard of
)

// Events of a worker's life.
const (
	eventConnect   = "connect"
	eventFail      = "fail"
	eventGreet     = "greet"
	eventOnline    = "online"
	eventLeave     = "leave"
	eventDrain     = "drain"
	eventTerminate = "terminate"
	eventFinish    = "finish"
	eventLose      = "lose"
	eventDisown    = "disown"
	eventClose     = "close"
)

// Lifecycle is the table of a worker's states and events; what is not in it
// does not happen. The first state is StateClosed.
func Lifecycle() fsm.Events {
	return fsm.Events{
		{Name: eventConnect, Src: []string{StateClosed}, Dst: StateConnecting},
		{Name: eventFail, Src: []string{StateConnecting}, Dst: StateClosed},
		{Name: eventGreet, Src: []string{StateConnecting}, Dst: StateGreeted},
		{Name: eventOnline, Src: []string{StateGreeted}, Dst: StateConnected},
		{Name: eventLeave, Src: []string{StateConnected}, Dst: StateLeaving},
		{Name: eventDrain, Src: []string{StateGreeted, StateConnected, StateLeaving}, Dst: StateDraining},
		{Name: eventTerminate, Src: []string{StateConnecting, StateGreeted, StateConnected, StateLeaving, StateDraining}, Dst: StateTerminating},
		{Name: eventFinish, Src: []string{StateDraining, StateTerminating}, Dst: StateTerminated},
		{Name: eventLose, Src: []string{StateGreeted, StateConnected, StateLeaving, StateDraining, StateTerminating}, Dst: StateLost},
		{Name: eventDisown, Src: []string{StateGreeted, StateConnected, StateLeaving, StateDraining, StateTerminating}, Dst: StateDisowned},
		{Name: eventClose, Src: []string{
			StateConnecting, StateGreeted, StateConnected, StateLeaving, StateDraining, StateTerminating, StateTerminated, StateLost, StateDisowned,
		}, Dst: StateClosed},
	}
}

// A lifecycle is the machine that walks the table. fire wants the Worker's mu.
type lifecycle struct {
	machine *fsm.FSM
	state   atomic.Pointer[string] // mirror of the machine's, for whoever does not hold mu
}

func newLifecycle() *lifecycle {
	l := &lifecycle{}
	l.enter(StateClosed)
	l.machine = fsm.NewFSM(StateClosed, Lifecycle(), fsm.Callbacks{
		"enter_state": func(_ context.Context, e *fsm.Event) { l.enter(e.Dst) },
	})
	return l
}

func (l *lifecycle) enter(state string) { l.state.Store(&state) }

// current is the state. Any goroutine.
func (l *lifecycle) current() string { return *l.state.Load() }

// fireLocked makes event happen, or returns false because it may not in this
// state. The context is never one that can end: the machine would be stuck.
func (l *lifecycle) fireLocked(event string) bool {
	return l.machine.Event(context.Background(), event) == nil
}

// mermaid draws the table.
func (l *lifecycle) mermaid() (string, error) {
	s, err := fsm.VisualizeForMermaidWithGraphType(l.machine, fsm.StateDiagram)
	if err != nil {
		return "", fmt.Errorf("worker: %w", err)
	}
	return s, nil
}
