package service

import (
	"context"
	"fmt"

	"github.com/looplab/fsm"
)

// States of a Service. That its name is being resolved, or a connection is to be
// tried again after a while, is no state: it is closed meanwhile.
const (
	StateClosed     = "closed"     // no connection
	StateConnecting = "connecting" // endpoints are being tried
	StateConnected  = "connected"  // calls are carried
	StateFailed     = "error"      // no endpoint could be connected to, or the name not be resolved
)

// Events of a Service's life.
const (
	eventDial    = "dial"
	eventConnect = "connect"
	eventFail    = "fail"
	eventLose    = "lose"
	eventClose   = "close"
)

// Lifecycle is the table of a Service's states and events; what is not in it
// does not happen. The first state is StateClosed.
func Lifecycle() fsm.Events {
	return fsm.Events{
		{Name: eventDial, Src: []string{StateClosed}, Dst: StateConnecting},
		{Name: eventConnect, Src: []string{StateConnecting}, Dst: StateConnected},
		{Name: eventFail, Src: []string{StateClosed, StateConnecting}, Dst: StateFailed},
		{Name: eventLose, Src: []string{StateConnected}, Dst: StateClosed},
		{Name: eventClose, Src: []string{StateConnecting, StateConnected, StateFailed}, Dst: StateClosed},
	}
}

// newLife returns a machine that walks the table. Its owner's lock is held
// whenever it moves.
func newLife() *fsm.FSM { return fsm.NewFSM(StateClosed, Lifecycle(), fsm.Callbacks{}) }

// fire makes event happen, or returns false because it may not in this state. The
// context is never one that can end: the machine would be stuck.
func fire(m *fsm.FSM, event string) bool { return m.Event(context.Background(), event) == nil }

// mermaid draws the table.
func mermaid() (string, error) {
	s, err := fsm.VisualizeForMermaidWithGraphType(newLife(), fsm.StateDiagram)
	if err != nil {
		return "", fmt.Errorf("service: %w", err)
	}
	return s, nil
}
