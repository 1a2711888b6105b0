// Package workertest plays the engine, so that workers and what they serve can
// be tested without starting processes.
//
// An [Engine] is played in memory, where everything also works inside the
// bubbles of testing/synctest, or, after [Engine.Listen], on real unix sockets
// for workers in processes of their own. It welcomes whoever knocks, answers
// heartbeats, opens sessions, drains and terminates; and it can be told to
// misbehave: to stay mute, to keep a channel open, to send any frame at all.
//
// It speaks as a Heddle engine does, or plain v0 or v1 as Cocaine runtimes do.
//
// A [Runtime] plays one of the real Cocaine runtimes, for workers in any language. It
// has no part of package session: it reads frames by itself, closes the connection
// where the real one does, and notes each [Violation] of its [Rule]s.
package workertest
