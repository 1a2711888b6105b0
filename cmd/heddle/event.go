package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Topics are called like their verbs. Each of those that change something is asked with an order as
// JSON and answered by events, the last of which is done or failed.
const (
	topicDeploy   = "deploy"
	topicRollback = "rollback"
	topicWithdraw = "withdraw" // ends a deploy that has not switched
	topicReleases = "releases" // answered by one releasesReply
	topicScale    = "scale"
	topicRestart  = "restart"
	topicSuspend  = "suspend"
	topicResume   = "resume"
	topicStop     = "stop"
	topicReload   = "reload"
)

// An order is what a verb asks of the daemon; each topic reads its own fields.
type order struct {
	Pid int    `json:"pid,omitempty"` // who asks, for the daemon's log
	App string `json:"app,omitempty"` // which; "": the only one

	// deploy, rollback.
	Target    string        `json:"target,omitempty"`  // as given
	Source    string        `json:"source,omitempty"`  // the package's directory or the executable
	Program   string        `json:"program,omitempty"` // what the copy is called
	Args      []string      `json:"args"`              // null: those of the release that serves
	Built     bool          `json:"built,omitempty"`   // the program was made for this deploy, and is copied in any case
	Release   string        `json:"release,omitempty"` // rollback: to which; "": the one before. withdraw: which
	Suspended bool          `json:"suspended,omitempty"`
	Supersede bool          `json:"supersede,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"` // nanoseconds; 0: none. stop has it, too
	Spent     time.Duration `json:"spent,omitempty"`   // of it, nanoseconds, before the daemon was asked

	// scale: -1 leaves the number as it is.
	Workers  int `json:"workers,omitempty"`
	Standbys int `json:"standbys,omitempty"`

	// restart: "" means all.
	Selector string `json:"selector,omitempty"`
}

// What an event says.
const (
	eventWaiting   = "waiting"   // for what is under way; Text names it
	eventAccepted  = "accepted"  // the deploy has its release's name
	eventCopied    = "copied"    // the program is in its release
	eventStarting  = "starting"  // Done of Of new workers are ready
	eventSwitched  = "switched"  // the new release has the work
	eventDraining  = "draining"  // Done old workers, or requests, are left
	eventReplacing = "replacing" // restart: Done of Of
	eventDone      = "done"
	eventFailed    = "failed"
)

// An event is one thing that the daemon tells a verb.
type event struct {
	Event   string        `json:"event"`
	Release string        `json:"release,omitempty"`
	Done    int           `json:"done,omitempty"`
	Of      int           `json:"of,omitempty"`
	Text    string        `json:"text,omitempty"`
	Result  *result       `json:"result,omitempty"` // with done and failed
	Failure *eventFailure `json:"failure,omitempty"`
}

// A result is what became of an order, and the shape of --json.
type result struct {
	Name     string  `json:"name"`               // of the daemon
	Release  string  `json:"release,omitempty"`  // deploy: the new one, even if it failed
	Previous string  `json:"previous,omitempty"` // deploy: what served before
	From     string  `json:"from,omitempty"`     // rollback: whose program it is
	State    string  `json:"state"`              // see the verb's help
	SHA256   string  `json:"sha256,omitempty"`   // deploy: of the program, hexadecimal
	Workers  int     `json:"workers,omitempty"`  // wanted
	Standbys int     `json:"standbys"`           // wanted
	Replaced int     `json:"replaced"`           // restart: workers
	Seconds  float64 `json:"seconds"`            // since the daemon had the order
	Drained  bool    `json:"drained"`            // deploy: the old workers have left
	Draining int     `json:"draining"`           // deploy: old workers that have not
	Lost     int     `json:"lost,omitempty"`     // deploy: requests that old workers had when they ended, not having finished in time
	Error    string  `json:"error,omitempty"`

	Changes []string `json:"changes"` // reload: what was changed
}

// of is what a verb's --json has of it: the fields that its help lists, those of
// them that are known.
func (r *result) of(verb string) any {
	fields := []string{"name", "release", "state", "seconds", "error"}
	switch verb {
	case topicDeploy, topicRollback:
		fields = []string{"name", "release", "previous", "from", "state", "sha256", "workers", "standbys", "seconds", "drained", "draining", "lost", "error"}
	case topicScale:
		fields = []string{"name", "release", "state", "workers", "standbys", "seconds", "error"}
	case topicRestart:
		fields = []string{"name", "release", "state", "replaced", "seconds", "error"}
	case topicReload:
		fields = []string{"name", "state", "changes", "seconds", "error"}
		if r.Changes == nil {
			r.Changes = []string{}
		}
	}
	b, err := json.Marshal(r)
	var all map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return r // never: it has nothing that cannot be JSON
	}
	var out bytes.Buffer
	for _, name := range fields {
		value, ok := all[name]
		if !ok || name == "standbys" && r.Workers == 0 { // of nobody's workers
			continue
		}
		fmt.Fprintf(&out, ",%q:%s", name, value)
	}
	out.WriteByte('}')
	return json.RawMessage(append([]byte{'{'}, out.Bytes()[1:]...))
}

// States of a result, beside those that a release has.
const (
	stateAccepted   = "accepted"   // deploy --no-wait: it goes on
	stateRefused    = "refused"    // nothing was begun
	stateWithdrawn  = "withdrawn"  // by its own command: interrupted, gone or out of time
	stateSuperseded = "superseded" // by a deploy with --supersede
	stateSuspended  = "suspended"  // the workers stand ready and requests wait
	stateStopped    = "stopped"
	stateReloaded   = "reloaded"
)

// An eventFailure is a failure on its way to the command.
type eventFailure struct {
	Code  int    `json:"code"`
	Error string `json:"error"`
	Fine  string `json:"fine,omitempty"`
	Try   string `json:"try,omitempty"`
}

// A refusal is what a question that has one answer is answered with where there is
// none.
type refusal struct {
	Failure *eventFailure `json:"failure"`
}

// failureOf packs err.
func failureOf(err error) *eventFailure {
	var f *failure
	if errors.As(err, &f) {
		return &eventFailure{f.code, f.err.Error(), f.fine, f.try}
	}
	return &eventFailure{Code: exitError, Error: err.Error()}
}

// failure unpacks it.
func (e *eventFailure) failure() error {
	if e == nil {
		return errors.New("the daemon failed and did not say at what")
	}
	code := e.Code
	if code == exitOK {
		code = exitError
	}
	return &failure{code: code, err: errors.New(e.Error), fine: e.Fine, try: e.Try}
}
