package worker

import (
	"errors"
	"fmt"
)

var (
	// ErrNotLaunched reports a process that no engine has started.
	ErrNotLaunched = errors.New("worker: not started by an engine")

	// ErrHTTP reports a Worker for sessions in a program that heddle run --http
	// has started: that serves HTTP by itself, and may Attach.
	ErrHTTP = errors.New("worker: under heddle run --http a program answers no sessions; it serves HTTP and may call Attach")

	// ErrSessions reports an Attach in a program that answers sessions.
	ErrSessions = errors.New("worker: Attach is for programs under heddle run --http; this one answers sessions")

	// ErrClosed reports a worker that is not connected, was closed, or has
	// left.
	ErrClosed = errors.New("worker: closed")

	// ErrConnected reports a Connect of a worker that is not closed.
	ErrConnected = errors.New("worker: already connected")

	// ErrDisowned reports an engine that has answered no heartbeat for
	// Options.DisownTimeout.
	ErrDisowned = errors.New("worker: disowned: the engine answers no heartbeat")

	// ErrLost is wrapped by the end of a worker one of whose channels broke.
	ErrLost = errors.New("worker: channel lost")

	// ErrDeadline reports a worker that left although sessions were still
	// open, because the time to finish them was over.
	ErrDeadline = errors.New("worker: left before its sessions had ended")

	// ErrProtocol is wrapped by the end of a worker whose engine broke the
	// rules of PROTOCOL 9.
	ErrProtocol = errors.New("worker: engine broke the protocol")
)

// errPlainBroken is what ReportBroken says under a Cocaine runtime.
var errPlainBroken = fmt.Errorf("worker: report broken: a Cocaine runtime has no word for it: %w", errors.ErrUnsupported)
