package engine

import "time"

// A Status is a snapshot of the engine; its JSON shape is one that scripts
// rely on.
type Status struct {
	Name    string         `json:"name"`
	Release string         `json:"release"`
	Workers []WorkerStatus `json:"workers"` // by index, those that are leaving before their successor
}

// A WorkerStatus is one worker's part of Status.
type WorkerStatus struct {
	Index    int       `json:"index"`
	ID       string    `json:"id"` // uuid, fresh for each process
	Pid      int       `json:"pid"`
	State    string    `json:"state"` // starting, online, suspended, broken, draining or dead
	Since    time.Time `json:"since"`
	Release  string    `json:"release"`
	Sessions int       `json:"sessions"` // open now
	Restarts int       `json:"restarts"` // processes that had this index before
}

// Stats are the engine's counters, for metrics. All but those marked "now"
// only grow.
type Stats struct {
	Workers  int // wanted, now
	Online   int // now
	Starting int // now
	Waiting  int // requests in the queue, now
	Sessions int // open, now
	Pending  int // connections that have not greeted, now

	Opened    uint64 // sessions opened on workers
	Queued    uint64 // requests that had to wait
	Full      uint64 // of all, refused because the queue was full
	Aged      uint64 // of those that waited, refused at the age limit
	Retried   uint64 // opens that a second worker took because the first refused
	Lost      uint64 // sessions that ended with their worker
	Spawned   uint64 // processes started
	Deaths    uint64 // processes ended, of which
	Expected  uint64 // in order, because they were asked to
	Early     uint64 // before they had served ServedEnough
	Signalled uint64 // SIGTERM or SIGKILL sent to a worker's group because it did not leave by itself
	Strangers uint64 // connections refused
	Ignored   uint64 // frames for sessions that had ended
	Overrun   uint64 // sessions ended because the worker sent more than it may
	Refused   uint64 // sessions that workers opened and were refused
	Reaped    uint64 // orphans waited for
}
