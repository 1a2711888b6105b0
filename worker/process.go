package worker

import "context"

// The functions of this file concern the process's own worker: the one that an
// engine has started, and whose Options name no other Launch. They may be called
// from the beginning of main on, before there is a Worker, by any goroutine.
//
// Under heddle run --http the first call of any of them attaches the process
// (Attach), once: it returns when the engine has welcomed it, or after the 10 s of
// Options.ConnectTimeout. If that fails it is logged, and they do what they do by
// hand; ReportOnline and ReportBroken return the error.

// Suspended says whether the engine holds this process's work back. Nothing
// that changes the world outside should begin then: a deploy may be waiting for a
// migration, or this is a standby. Requests are held by
// httpcompat.SuspendMiddleware, all else by AwaitResume.
//
// In a program that was started by hand it is false.
func Suspended() bool {
	_ = use()
	return !launched.standing.resumed.isOpen()
}

// Resumed returns a channel that is closed while work is not held back. A later
// suspension has a new channel, so ask again before each piece of work.
//
// In a program that was started by hand it is closed.
func Resumed() <-chan struct{} {
	_ = use()
	return launched.standing.resumed.opened()
}

// AwaitResume returns once work is not held back, or with an error that wraps
// ctx's cause. A worker that is drained or has lost its engine while it is
// suspended is never resumed: there only ctx ends the wait, or the process.
//
// In a program that was started by hand it returns nil at once.
func AwaitResume(ctx context.Context) error {
	_ = use()
	return launched.standing.awaitResume(ctx)
}

// ManualOnline has the worker wait for ReportOnline before it tells the engine
// that it may send work. It is called before the worker is served, or before HTTP
// is under --http, by programs that warm up; later it changes nothing. The engine's start time-out goes on
// meanwhile.
//
// In a program that was started by hand it does nothing.
func ManualOnline() {
	launched.standing.setManual()
	_ = use()
}

// ReportOnline tells the engine that this process is ready: at once, or as soon
// as the worker is connected. Once is enough, again is harmless. ErrClosed: the
// worker's life has ended.
//
// In a program that was started by hand it does nothing.
func ReportOnline() error {
	if launched.launch == nil || launched.err != nil {
		return launched.err
	}
	w, again := launched.standing.setOnline()
	if w == nil {
		return use()
	}
	return w.reportOnline(again)
}

// ReportBroken asks the engine to replace this process, for a reason that its
// log and its status show. The process serves on until its replacement does.
// One that has not been online yet never is: its start has failed. Before the
// worker is connected the reason is kept until it is; the first one stays.
//
// ErrNotLaunched: the program was started by hand. errors.ErrUnsupported is
// wrapped: by a Cocaine runtime, which knows no such message. ErrClosed: the
// worker's life has ended.
func ReportBroken(reason string) error {
	switch {
	case launched.err != nil:
		return launched.err
	case launched.launch == nil:
		return ErrNotLaunched
	case !launched.launch.Heddle:
		return errPlainBroken
	}
	w, again := launched.standing.setBroken(reason)
	if w == nil {
		return use()
	}
	return w.reportBroken(again)
}

// Draining returns a channel that is closed once no new work comes: the engine
// drains this worker or ends it, or the engine is gone. Streams that would go on
// for ever, and work in the background, should come to an end then.
//
// In a program that was started by hand it is never closed.
func Draining() <-chan struct{} {
	_ = use()
	return launched.standing.ending.opened()
}

// Index says which of the app's workers this is, from 0; -1 for a standby, which
// gets its index when it is resumed in another's place.
//
// In a program that was started by hand it is 0.
func Index() int {
	_ = use()
	return int(launched.standing.index.Load())
}
