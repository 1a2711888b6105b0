package engine

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

const (
	maxShown  = 100         // requests of one worker that Status names
	maxListed = 10_000      // requests of one channel, or of the queue, that DumpRequests names
	listGrace = time.Second // for a loop to say what it has
)

// An active is one request that a worker has.
type active struct {
	loop  int
	id    uint64
	event string
	label string
}

// actives are what the child has now, at most so many of each channel.
func (c *child) actives(most int) (list []active) {
	if c.plain != nil {
		return c.e.leases.actives(c, most)
	}
	timer := time.NewTimer(listGrace)
	defer timer.Stop()
	for _, ch := range c.all() {
		if ch.closed.Load() {
			continue
		}
		got := make(chan []active, 1)
		if ch.link.Do(func() { got <- ch.actives(most) }) != nil {
			continue // the loop has ended
		}
		select {
		case some := <-got:
			list = append(list, some...)
		case <-timer.C:
			return list
		}
	}
	return list
}

// actives are the channel's. Loop only.
func (ch *channel) actives(most int) (list []active) {
	ch.mux.Each(func(s *session.Session) {
		if ch.opened(s) && (ch.e.opt.Dialect.foreign() || !ipc.Ours(s.Event())) && len(list) < most {
			list = append(list, active{ch.lane.index, s.ID(), strings.Clone(s.Event()), strings.Clone(s.Label())})
		}
	})
	slices.SortFunc(list, func(a, b active) int { return int(a.id) - int(b.id) })
	return list
}

// requests are the ids of requests that the child has, at most so many.
func (c *child) requests(most int) (ids []string) {
	for _, a := range c.actives(most) {
		if a.label != "" && len(ids) < most {
			ids = append(ids, a.label)
		}
	}
	return ids
}

// DumpRequests writes a line for each request that a worker has now, and for
// each that waits in the queue, at most 10,000 of each loop.
func (e *Engine) DumpRequests(w io.Writer) {
	for _, c := range e.living() {
		st := c.status()
		all := c.actives(maxListed)
		fmt.Fprintf(w, "worker %d of %s, pid %d, %s: %d requests\n", st.Index, st.Release, st.Pid, st.State, len(all))
		for _, a := range all {
			fmt.Fprintf(w, "\t%s %s (loop %d, session %d)\n", a.event, a.label, a.loop, a.id)
		}
	}
	waiting := e.queue.labels(maxListed)
	fmt.Fprintf(w, "queue: %d requests\n", e.queue.waiting.Load())
	for _, label := range waiting {
		fmt.Fprintf(w, "\t%s\n", label)
	}
}

// labels name those who wait, at most so many.
func (q *queue) labels(most int) (list []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := anyLane; i < len(q.bound); i++ {
		for at := q.lineOf(i).Front(); at != nil && len(list) < most; at = at.Next() {
			list = append(list, strings.Clone(at.Value.(*waiter).open.Label))
		}
	}
	return list
}
