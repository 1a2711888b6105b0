package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrClosed reports an engine that takes no new work: Shutdown or Close
	// was called, or it was never started.
	ErrClosed = errors.New("engine: takes no new work")

	// ErrUnsupported reports a system other than Linux.
	ErrUnsupported = errors.New("engine: needs Linux")

	// ErrHealth reports a PlainHTTP.Health that cannot be a path.
	ErrHealth = errors.New("engine: health path: want one such as /healthz")

	// ErrDialect reports a Dialect that there is not.
	ErrDialect = errors.New("engine: dialect: want v0 or v1")

	// ErrHandler reports an Open with OpenOptions.Handler, which belongs to
	// the loop of one channel and cannot be chosen for.
	ErrHandler = errors.New("engine: a session with a Handler is opened on its loop's own channel")
)

// A BusyError says that no worker could take a request in time. The request
// was not given to any.
type BusyError struct {
	Waited    time.Duration // in the queue; 0 when the queue was full
	Online    int           // workers that were online
	Suspended bool          // they were held, by Suspend or from the start
	retry     time.Duration
	origin    *Origin
}

func (e *BusyError) Error() string {
	if e.Waited == 0 {
		return "engine: " + e.Why() + " and the queue is full"
	}
	return fmt.Sprintf("engine: %s; waited %v", e.Why(), e.Waited.Round(time.Millisecond))
}

// Why is what clients may be told.
func (e *BusyError) Why() string {
	switch {
	case e.Suspended:
		return "the workers are suspended"
	case e.Online == 0:
		return "no worker is online"
	}
	return "every worker is busy"
}

// RetryAfter is when to try again, in whole seconds, at least one.
func (e *BusyError) RetryAfter() time.Duration { return e.retry }

// Tag is an *Origin: the app, and no release.
func (e *BusyError) Tag() any { return e.origin }

// A StartError says why Start gave up: the first worker that did not come
// online, and what it said.
type StartError struct {
	Index int   // -1: a standby
	Death Death // how that worker ended
	path  string
	first bool // of Start: nobody served before
	Plain bool // it serves plain HTTP

	Dialect Dialect // what it was to speak
}

// Worker names it: "worker 3", or "a standby".
func (e *StartError) Worker() string {
	if e.Index == standbyIndex {
		return "a standby"
	}
	return fmt.Sprintf("worker %d", e.Index)
}

// Error names the worker, the cause, its last lines and what to try.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "engine: %s of %s did not come online: %s", e.Worker(), e.path, e.Death.Reason)
	if len(e.Death.Stderr) > 0 {
		b.WriteString("\nits last words on standard error:")
		for _, line := range e.Death.Stderr {
			b.WriteString("\n  ")
			b.WriteString(line)
		}
	} else {
		b.WriteString("\nit wrote nothing on standard error")
	}
	if e.first {
		b.WriteString("\nthe other workers were stopped and nothing is left running; ")
	} else {
		b.WriteString("\nworkers that served before serve on; ")
	}
	if e.Death.Pid == 0 {
		fmt.Fprintf(&b, "check that %s is a program for this machine", e.path)
	} else if e.Plain {
		fmt.Fprintf(&b, "run %s by hand to see what it does, and check that it serves HTTP on descriptor 3 (LISTEN_FDS), on PORT, or on HEDDLE_SOCKET", e.path)
	} else if e.Dialect.foreign() {
		fmt.Fprintf(&b, "check that %s is a Cocaine worker of dialect %s", e.path, string(e.Dialect))
	} else {
		fmt.Fprintf(&b, "run %s by hand to see what it does, and check that it serves with httpcompat.ListenAndServe or runs a worker", e.path)
	}
	return b.String()
}
