package engine

import (
	"context"
	"slices"

	"github.com/looplab/fsm"
)

// The states of a child.
const (
	stateStarting    = "starting"    // executed; no channel greeted yet
	stateGreeted     = "greeted"     // some channel did; not yet online
	stateReady       = "ready"       // said that it is online, and waits to be given sessions
	stateSuspended   = "suspended"   // likewise, and knows that it is held back
	stateOnline      = "online"      // serves
	stateBroken      = "broken"      // asked to be replaced, and serves until it is
	stateDraining    = "draining"    // gets no new session, finishes those it has
	stateTerminating = "terminating" // was told to leave by a message
	stateLeaving     = "leaving"     // its channels have ended; its process should follow
	stateDumping     = "dumping"     // was sent SIGQUIT, for its goroutines
	stateStopping    = "stopping"    // was sent SIGTERM
	stateKilling     = "killing"     // was sent SIGKILL
	stateDead        = "dead"
)

// The events that move a child.
const (
	eventGreet     = "greet"
	eventReady     = "ready"
	eventSuspend   = "suspend"
	eventOnline    = "online"
	eventBreak     = "break"
	eventDrain     = "drain"
	eventTerminate = "terminate"
	eventLeave     = "leave"
	eventDump      = "dump"
	eventStop      = "stop"
	eventKill      = "kill"
	eventDie       = "die"
)

// Lifecycle returns the table of a worker's life as the engine sees it, and
// its first state.
func Lifecycle() (initial string, events fsm.Events) {
	standing := []string{stateReady, stateSuspended, stateOnline, stateBroken}
	any := slices.Concat([]string{stateStarting, stateGreeted}, standing, []string{stateDraining, stateTerminating, stateLeaving})
	return stateStarting, fsm.Events{
		{Name: eventGreet, Src: []string{stateStarting}, Dst: stateGreeted},
		{Name: eventReady, Src: []string{stateGreeted}, Dst: stateReady},
		{Name: eventSuspend, Src: []string{stateGreeted, stateReady, stateOnline}, Dst: stateSuspended},
		{Name: eventOnline, Src: []string{stateReady, stateSuspended}, Dst: stateOnline},
		{Name: eventBreak, Src: []string{stateReady, stateSuspended, stateOnline}, Dst: stateBroken},
		{Name: eventDrain, Src: standing, Dst: stateDraining},
		{Name: eventTerminate, Src: []string{stateGreeted, stateDraining}, Dst: stateTerminating},
		{Name: eventLeave, Src: slices.Concat([]string{stateGreeted}, standing, []string{stateDraining, stateTerminating}), Dst: stateLeaving},
		{Name: eventDump, Src: slices.Concat(any, []string{stateStopping}), Dst: stateDumping},
		{Name: eventStop, Src: slices.Concat(any, []string{stateDumping}), Dst: stateStopping},
		{Name: eventKill, Src: slices.Concat(any, []string{stateDumping, stateStopping}), Dst: stateKilling},
		{Name: eventDie, Src: slices.Concat(any, []string{stateDumping, stateStopping, stateKilling}), Dst: stateDead},
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
	case stateStarting, stateGreeted, stateReady:
		return "starting"
	case stateSuspended, stateOnline, stateBroken, stateDead:
		return state
	}
	if fault {
		return "broken"
	}
	return "draining"
}
