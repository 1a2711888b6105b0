package bench

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A crew is what the loops of one run have in common: they begin together, and their
// intervals are made one.
type crew struct {
	// Immutable after newCrew.
	o        Options
	base     time.Time // of everybody's clock
	machines []*machine
	keeps    bool          // the latencies of each interval
	done     chan struct{} // closed when all drivers are over
	wake     chan struct{} // there is something in queue

	claimed atomic.Uint64 // see driver

	mu    sync.Mutex
	set   int                       // guarded by mu, drivers that are ready
	open  int                       // guarded by mu, connections of theirs
	left  int                       // guarded by mu, drivers that are not over
	queue []ended                   // guarded by mu
	spare []*hdrhistogram.Histogram // guarded by mu, empty ones

	// Run's goroutine only.
	parts  [][]ended // by thread: those that the others' counterparts are missing of
	last   []bool    // by thread: no more will come
	merged []Interval
	packs  [][]byte // of merged: their latencies, see pack; nil: not kept
	kept   int      // bytes of packs
}

// An ended is one driver's part of an interval that is over.
type ended struct {
	thread   int
	interval Interval
	h        *hdrhistogram.Histogram // nil: no latencies, or
	packed   []byte                  // these are they, see pack
	last     bool                    // there is no interval: the driver is over
}

// maxQueue is how many histograms of each driver may wait to be summed up; further
// ones are packed on its loop, which takes it near 0.1 ms.
const maxQueue = 8

func newCrew(o Options) *crew {
	w := &crew{
		o: o, keeps: o.KeepsIntervals(), base: time.Now(), done: make(chan struct{}), wake: make(chan struct{}, 1), left: o.Threads,
		parts: make([][]ended, o.Threads), last: make([]bool, o.Threads), merged: []Interval{}, // as JSON a list, even of none
	}
	for i := range o.Threads {
		w.machines = append(w.machines, &machine{crew: w, thread: i})
	}
	return w
}

// do runs fn with each driver, on its loop.
func (w *crew) do(fn func(*driver)) (err error) {
	for _, m := range w.machines {
		err = errors.Join(err, m.l.Do(func() { fn(m.d) }))
	}
	return err
}

// ready is told that a driver can begin, with so many connections. Any loop.
func (w *crew) ready(open int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += open
	if w.set++; w.set < len(w.machines) {
		return
	}
	at := time.Since(w.base)
	_ = w.do(func(d *driver) { d.begin(at, w.open) }) // a loop that has failed ends the run
}

// interval is given a driver's part of one. Any loop.
func (w *crew) interval(thread int, i Interval, h *hdrhistogram.Histogram) (next *hdrhistogram.Histogram) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := ended{thread: thread, interval: i, h: h}
	switch n := len(w.spare); {
	case h.TotalCount() == 0: // many are, of one that is behind with its intervals
		p.h, next = nil, h
	case len(w.queue) >= maxQueue*len(w.machines):
		p.h, p.packed = nil, pack(h)
		h.Reset()
		next = h
	case n > 0:
		next = w.spare[n-1]
		w.spare = w.spare[:n-1]
	default:
		next = newHistogram()
	}
	w.put(p)
	return next
}

// over is told that a driver is. Any loop.
func (w *crew) over(thread int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(ended{thread: thread, last: true})
	if w.left--; w.left == 0 {
		close(w.done)
	}
}

// put queues p. Needs mu.
func (w *crew) put(p ended) {
	w.queue = append(w.queue, p)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// wait waits for the run's end, and reports its intervals meanwhile.
func (w *crew) wait(ctx context.Context) error {
	o := &w.o
	tooLong := time.NewTimer(2*o.Timeout + o.Duration + slack)
	defer tooLong.Stop()
	stop := ctx.Done()
	again := false
	for {
		select {
		case <-w.wake:
			w.sumUp()
		case <-stop:
			stop = nil
			if err := w.do((*driver).stop); err != nil {
				return err
			}
		case <-tooLong.C:
			if !again { // this process may have been stopped meanwhile, and its loops with it
				again = true
				tooLong.Reset(slack)
				continue
			}
			return errors.New("bench: the run did not come to its end")
		case <-w.done:
			w.sumUp()
			return nil
		}
	}
}

// sumUp makes intervals of the parts in the queue and tells of them.
func (w *crew) sumUp() {
	w.mu.Lock()
	parts := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, p := range parts {
		if p.last {
			w.last[p.thread] = true
		} else {
			w.parts[p.thread] = append(w.parts[p.thread], p)
		}
		for w.complete() {
			i, pack := w.merge()
			w.merged = append(w.merged, i)
			w.packs = append(w.packs, pack)
			if w.o.OnInterval != nil {
				w.o.OnInterval(i)
			}
		}
	}
}

// complete tells whether every driver's part of the next interval is there. All have
// begun at one time, so the n-th of each begins when that of the others does.
func (w *crew) complete() (some bool) {
	for i, parts := range w.parts {
		if len(parts) == 0 && !w.last[i] {
			return false
		}
		some = some || len(parts) > 0
	}
	return some
}

// merge takes the first part of each driver and makes one interval of them.
func (w *crew) merge() (all Interval, packed []byte) {
	var sum *hdrhistogram.Histogram
	for thread, parts := range w.parts {
		if len(parts) == 0 {
			continue
		}
		p := parts[0]
		w.parts[thread] = parts[1:]
		if p.packed != nil {
			p.h = unpack(p.packed)
		}
		all.Start, all.Warmup = p.interval.Start, p.interval.Warmup
		all.Length = max(all.Length, p.interval.Length)
		all.Requests += p.interval.Requests
		all.Answers += p.interval.Answers
		all.Errors += p.interval.Errors
		all.InFlight += p.interval.InFlight
		all.Conns += p.interval.Conns
		switch {
		case p.h == nil:
		case sum == nil:
			sum = p.h
		default:
			sum.Merge(p.h)
			runtime.Gosched() // see summary
			w.release(p.h)
		}
	}
	if sum != nil {
		all.Latency = summary(sum)
		if w.keeps && w.kept < maxKeptBytes {
			packed = pack(sum)
			w.kept += len(packed)
		}
		w.release(sum)
	}
	return all, packed
}

// intervals returns all of them, with their latencies. That takes a millisecond each,
// in which no loop of a run should want its processor: so it is done at the end.
func (w *crew) intervals() []Interval {
	for i, p := range w.packs {
		if len(p) > 0 {
			w.merged[i].Histogram, _ = encode(unpack(p)) // never fails: it has the size that newHistogram gave it
		}
	}
	return w.merged
}

// release keeps h for an interval to come.
func (w *crew) release(h *hdrhistogram.Histogram) {
	h.Reset()
	w.mu.Lock()
	if len(w.spare) < maxQueue*len(w.machines) {
		w.spare = append(w.spare, h)
	}
	w.mu.Unlock()
}
