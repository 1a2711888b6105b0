package engine

import (
	"context"

	"github.com/looplab/fsm"
)

// The states of a child.
const (
	stateStarting    = "starting"    // executed; no channel greeted yet
	stateGreeted     = "greeted"     // some channel did; not yet online
	stateOnline      = "online"      // serves
	stateBroken      = "broken"      // asked to be replaced, and serves until it is
	stateDraining    = "draining"    // gets no new session, finishes those it has
	stateTerminating = "terminating" // was told to leave by a message
	stateLeaving     = "leaving"     // its channels have ended; its process should follow
	stateStopping    = "stopping"    // was sent SIGTERM
	stateKilling     = "killing"     // was sent SIGKILL
	stateDead        = "dead"
)

// The events that move a child.
const (
	eventGreet     = "greet"
	eventOnline    = "online"
	eventBreak     = "break"
	eventDrain     = "drain"
	eventTerminate = "terminate"
	eventLeave     = "leave"
	eventStop      = "stop"
	eventKill      = "kill"
	eventDie       = "die"
)

// Lifecycle returns the table of a worker's life as the engine sees it, and
// its first state.
func Lifecycle() (initial string, events fsm.Events) {
	return stateStarting, fsm.Events{
		{Name: eventGreet, Src: []string{stateStarting}, Dst: stateGreeted},
		{Name: eventOnline, Src: []string{stateGreeted}, Dst: stateOnline},
		{Name: eventBreak, Src: []string{stateOnline}, Dst: stateBroken},
		{Name: eventDrain, Src: []string{stateOnline, stateBroken}, Dst: stateDraining},
		{Name: eventTerminate, Src: []string{stateGreeted, stateDraining}, Dst: stateTerminating},
		{Name: eventLeave, Src: []string{stateGreeted, stateOnline, stateBroken, stateDraining, stateTerminating}, Dst: stateLeaving},
		{Name: eventStop, Src: []string{stateStarting, stateGreeted, stateOnline, stateBroken, stateDraining, stateTerminating, stateLeaving}, Dst: stateStopping},
		{Name: eventKill, Src: []string{stateStarting, stateGreeted, stateOnline, stateBroken, stateDraining, stateTerminating, stateLeaving, stateStopping}, Dst: stateKilling},
		{Name: eventDie, Src: []string{stateStarting, stateGreeted, stateOnline, stateBroken, stateDraining, stateTerminating, stateLeaving, stateStopping, stateKilling}, Dst: stateDead},
	}
}

// newLife returns a child's state machine; entered is called with each state
// that it comes to. One goroutine moves it.
func newLife(entered func(state string)) *fsm.FSM {
	initial, events := Lifecycle()
	return fsm.NewFSM(initial, events, fsm.Callbacks{
		"enter_state": func(_ context.Context, ev *fsm.Event) { entered(ev.Dst) },
	})
}

// visible is the name under which Status shows a state. at fault says that the
// engine had not asked the worker to leave.
func visible(state string, fault bool) string {
	switch state {
	case stateStarting, stateGreeted:
		return "starting"
	case stateOnline, stateBroken, stateDead:
		return state
	}
	if fault {
		return "broken"
	}
	return "draining"
}
