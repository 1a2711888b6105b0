package worker

import "sync/atomic"

// Stats is a snapshot of what a worker has done since New.
type Stats struct {
	State string

	Served     uint64 // sessions given to a handler
	Panics     uint64 // handlers that panicked
	Unhandled  uint64 // sessions whose event nobody handles
	Refused    uint64 // sessions that came when the worker could not answer any more
	Beats      uint64 // heartbeats sent
	Answers    uint64 // heartbeats of the engine
	Ignored    uint64 // control messages that this worker does not know
	Goroutines uint64 // made for handlers; the fewer per session the better the parking

	Channels int // connected to the engine
	Sessions int // open on them
	Running  int // handlers that run
	Waiting  int // sessions that wait for one of MaxHandlers
	Parked   int // goroutines that wait for work

	Buffered int64 // bytes received that no handler has read yet
}

type counters struct {
	served, panics, unhandled, refused, beats, answers, ignored atomic.Uint64
}
