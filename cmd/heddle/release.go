package main

import (
	"context"
	"fmt"
	"time"

	"github.com/looplab/fsm"

	"github.com/heddle-go/heddle/worker/engine"
)

// A release is one immutable version of the app: a private copy of its program,
// so that whoever builds or copies over the original cannot hurt workers that
// run. Its JSON is kept beside the copy's directory, and is what releases shows.
type release struct {
	Name    string `json:"release"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`   // why it failed
	From    string `json:"from,omitempty"`     // whose program a rollback took
	Target  string `json:"target"`             // as given
	Source  string `json:"source"`             // the package's directory or the executable
	Program string `json:"program"`            // the copy; gone when it failed or is retired
	InPlace bool   `json:"in_place,omitempty"` // Program is no copy: of --http or --dialect
	original
	Args    []string  `json:"args"`
	User    string    `json:"user,omitempty"` // that its workers run as
	SHA256  string    `json:"sha256"`         // of the program, hexadecimal
	Size    int64     `json:"size"`           // bytes
	Created time.Time `json:"created"`
	Served  time.Time `json:"served,omitzero"` // when it was given the work; zero: never
	Pid     int       `json:"pid,omitempty"`   // of the command that asked for it

	number int
	user   *engine.User // whom its workers run as; nil: the daemon's
	open   string       // where its program has to be, for that user; "": where it always is
}

// What a release is.
const (
	releaseDeploying = "deploying" // its workers are being started
	releaseServing   = "serving"
	releaseKept      = "kept"    // has served and can be rolled back to
	releaseRetired   = "retired" // has served; its program was removed to make room
	releaseFailed    = "failed"  // never served; Reason says why, and its program was removed
)

// The events that move a release.
const (
	releaseServes  = "serve"  // its workers have got the work
	releaseYields  = "yield"  // another's have
	releaseFails   = "fail"   // it did not get ready, or was withdrawn or superseded
	releaseRetires = "retire" // more programs were there than are kept
)

// releaseLife is the table of a release's life, and its first state. Suspended
// workers make no difference to it.
func releaseLife() (initial string, events fsm.Events) {
	return releaseDeploying, fsm.Events{
		{Name: releaseServes, Src: []string{releaseDeploying}, Dst: releaseServing},
		{Name: releaseFails, Src: []string{releaseDeploying}, Dst: releaseFailed},
		{Name: releaseYields, Src: []string{releaseServing}, Dst: releaseKept},
		{Name: releaseRetires, Src: []string{releaseKept}, Dst: releaseRetired},
	}
}

// newReleaseLife is the machine that walks the table.
func newReleaseLife() *fsm.FSM {
	initial, events := releaseLife()
	return fsm.NewFSM(initial, events, nil)
}

// move makes event happen, if it may in the release's state.
func (r *release) move(event string) error {
	m := newReleaseLife()
	m.SetState(r.State)
	if err := m.Event(context.Background(), event); err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	r.State = m.Current()
	return nil
}

// has says whether the release's program is there.
func (r *release) has() bool {
	return r.State != releaseRetired && r.State != releaseFailed
}
