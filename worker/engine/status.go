package engine

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/heddle-go/heddle/internal/histogram"
)

// A Status is a snapshot of the engine; its JSON shape is one that scripts
// rely on.
type Status struct {
	Name      string         `json:"name"`
	Release   string         `json:"release"`             // that serves
	Suspended bool           `json:"suspended"`           // its workers are held
	Wanted    int            `json:"wanted"`              // workers that it is to have
	Standbys  int            `json:"standbys"`            // and standbys
	Operation string         `json:"operation,omitempty"` // what is under way, "a deploy of r3"
	Workers   []WorkerStatus `json:"workers"`             // by index, those that are leaving before their successor; standbys last
}

// A WorkerStatus is one worker's part of Status.
type WorkerStatus struct {
	Index    int       `json:"index"` // -1: a standby
	ID       string    `json:"id"`    // uuid, fresh for each process
	Pid      int       `json:"pid"`
	State    string    `json:"state"` // starting, online, suspended, broken, draining or dead
	Since    time.Time `json:"since"`
	Release  string    `json:"release"`
	Sessions int       `json:"sessions"`           // open now
	Total    uint64    `json:"sessions_total"`     // given to this process until now
	Restarts int       `json:"restarts"`           // processes that had this index before
	Standby  bool      `json:"standby,omitempty"`  // waits for a worker to die
	Ready    bool      `json:"ready,omitempty"`    // starting, but online by its own word: it waits for the others of its release
	Reason   string    `json:"reason,omitempty"`   // why it is broken, or has to go
	Requests []string  `json:"requests,omitempty"` // ids of what a draining worker still answers, at most 100

	// Measure fills these in; 0 is unknown.
	Memory int64   `json:"memory,omitempty"` // bytes resident
	CPU    float64 `json:"cpu,omitempty"`    // seconds on processors, of the process alone
}

// Stats are the engine's counters, for metrics. All but those marked "now"
// only grow.
type Stats struct {
	Workers   int // wanted, now
	Online    int // now
	Starting  int // now
	Suspended int // now, without standbys
	Standbys  int // ready, now
	Waiting   int // requests in the queue, now
	Sessions  int // open, now
	Pending   int // connections that have not greeted, now

	Opened    uint64 // sessions opened on workers
	Queued    uint64 // requests that had to wait
	Full      uint64 // of all, refused because the queue was full
	Aged      uint64 // of those that waited, refused at the age limit
	Retried   uint64 // opens that a second worker took because the first refused
	Lost      uint64 // sessions that ended with the worker that had them
	Untouched uint64 // sessions that ended with their worker, which never had them
	Spawned   uint64 // processes started
	Deaths    uint64 // processes ended, of which
	Expected  uint64 // in order, because they were asked to
	Early     uint64 // before they had served ServedEnough
	Promoted  uint64 // standbys that took a place
	Recycled  uint64 // workers replaced for their requests, age or memory
	Signalled uint64 // SIGTERM or SIGKILL sent to a worker's group because it did not leave by itself
	Strangers uint64 // connections refused
	Ignored   uint64 // frames for sessions that had ended
	Overrun   uint64 // sessions ended because the worker sent more than it may
	Refused   uint64 // sessions that workers opened and were refused
	Reaped    uint64 // orphans waited for

	Messages   uint64 // one-way ones for workers that a selector chose, each worker counted
	Unsent     uint64 // of those, that were not even queued
	Requests   uint64 // likewise, requests that have ended
	Unanswered uint64 // of those, that failed
	Undone     uint64 // one-way messages that were queued for workers and never left: they died, or were not ready in time
	Unclaimed  uint64 // descriptors from workers that nobody took

	Waits histogram.Snapshot // how long requests were in the queue, whatever came of it
}

// Status is the engine as people see it. Any goroutine.
func (e *Engine) Status() Status {
	all := e.living()
	e.mu.Lock()
	g := e.current
	s := Status{
		Name: e.opt.Name, Release: e.opt.Release, Operation: e.doing,
		Wanted: e.workers, Standbys: e.standbys, Workers: []WorkerStatus{},
	}
	e.mu.Unlock()
	if g != nil {
		s.Release, s.Suspended = g.program.Release, g.isSuspended()
		for _, sl := range g.all() {
			if c := sl.current(); c != nil && !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	for _, c := range all {
		w := c.status()
		if w.State == "draining" {
			w.Requests = c.requests(maxShown)
		}
		s.Workers = append(s.Workers, w)
	}
	place := func(w WorkerStatus) int {
		if w.Standby {
			return math.MaxInt
		}
		return w.Index
	}
	slices.SortFunc(s.Workers, func(a, b WorkerStatus) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Release, b.Release), cmp.Compare(a.Restarts, b.Restarts), cmp.Compare(a.ID, b.ID))
	})
	return s
}

// wanted is how many workers there are to be.
func (e *Engine) wanted() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.workers
}

// Stats returns the engine's counters. Any goroutine.
func (e *Engine) Stats() Stats {
	c := &e.stats
	s := Stats{
		Workers: e.wanted(), Waiting: int(e.queue.waiting.Load()), Pending: int(e.pending.Load()),
		Opened: c.opened.Load(), Queued: c.queued.Load(), Full: c.full.Load(), Aged: c.aged.Load(), Retried: c.retried.Load(),
		Lost: c.lost.Load(), Untouched: c.untouched.Load(), Spawned: c.spawned.Load(), Expected: c.expected.Load(), Deaths: c.unexpected.Load(), Early: c.early.Load(),
		Promoted: c.promoted.Load(), Recycled: c.recycled.Load(),
		Signalled: c.signalled.Load(), Strangers: c.strangers.Load(), Reaped: c.reaped.Load(),
		Ignored: c.ignored.Load(), Overrun: c.overrun.Load(), Refused: c.refusedOpen.Load(),
		Messages: c.messages.Load(), Unsent: c.unsent.Load(), Requests: c.requests.Load(), Unanswered: c.unanswered.Load(),
	}
	hub := e.hub.Counters()
	s.Undone, s.Unclaimed = hub.Lost+hub.Expired, hub.Unclaimed
	s.Deaths += s.Expected
	e.waits.AddTo(&s.Waits)
	for _, w := range e.living() {
		switch st := w.status(); {
		case st.State == "starting":
			s.Starting++
		case st.State == stateSuspended && st.Standby:
			s.Standbys++
		case st.State == stateSuspended:
			s.Suspended++
		case w.serves():
			s.Online++
		}
		if w.plain != nil {
			s.Sessions += w.sessions()
		}
		for _, ch := range w.all() {
			if ch.closed.Load() {
				continue // counted when it ended
			}
			n := ch.mux.Counters()
			s.Sessions += ch.mux.Load()
			s.Ignored += n.Ignored
			s.Overrun += n.Overrun
			s.Refused += n.Refused
		}
	}
	return s
}
