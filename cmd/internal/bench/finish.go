package bench

import (
	"math"
	"time"
)

// drain ends sending.
func (d *driver) drain() {
	if d.state != stateRunning {
		return
	}
	d.state = stateDraining
	d.ended = d.now()
	d.cpuTo = d.world.cpu()
	d.pumpStop()
	d.endTimer.Stop()
	d.endTimer = d.world.after(d.o.Timeout, func() { d.finish(false) })
}

func (d *driver) pumpStop() {
	if d.pumpTimer != nil {
		d.pumpTimer.Stop()
	}
}

// stop cuts the run short.
func (d *driver) stop() {
	switch d.state {
	case stateDialing:
		d.started = d.world.now()
	case stateRunning:
		d.ended = d.now()
		d.cpuTo = d.world.cpu()
	case stateDraining:
	case stateOver:
		return
	}
	d.cut = true
	d.finish(true)
}

// finish ends the run. What is outstanding is lost, or unfinished if it was cut.
func (d *driver) finish(cut bool) {
	d.pumpStop()
	for _, t := range []timer{d.tickTimer, d.endTimer} {
		if t != nil {
			t.Stop()
		}
	}
	if d.state == stateDialing {
		d.nextRoll = math.MaxInt64
	}
	now := d.now()
	d.roll(now - 1) // the last interval ends now, not before it
	if cut {
		for _, c := range d.clients() {
			for range c.count {
				p := c.at(0)
				d.outstanding--
				d.rec.of(d.warmAt(p.due)).unfinished++
				c.remove(0)
			}
		}
	}
	state := d.state
	d.state = stateOver
	for _, c := range d.clients() {
		c.end(KindTimeout)
	}
	for _, s := range d.slots {
		s.stop()
	}
	if i := &d.rec.now; state != stateDialing && (now > i.Start || i.Requests+i.Answers+i.Errors > 0) {
		d.rec.part = d.world.interval(d.rec.roll(now, false, 0, 0), d.rec.part)
	}
	d.countUnsent()
	d.world.over()
}

// clients returns all connections that there are.
func (d *driver) clients() (all []*client) {
	for _, s := range d.slots {
		if s.c != nil {
			all = append(all, s.c)
		}
	}
	return append(all, d.lingering...)
}

// maxUnsent is how many requests are looked at that were due in vain; further ones are
// reckoned from the rate.
const maxUnsent = 1_000_000

// countUnsent counts the requests that were due before sending ended.
func (d *driver) countUnsent() {
	if d.o.Pace == nil {
		return
	}
	for n, more := d.next, d.more; more && d.due < d.ended && !d.spent(n); n += d.threads {
		if n-d.next > maxUnsent {
			d.reckonUnsent(n)
			return
		}
		d.rec.of(d.warmAt(d.due)).unsent++
		d.due, more = d.o.Pace.after(d.due, n, d.threads)
	}
}

// reckonUnsent adds how many of the driver's requests from n on, which is due at d.due,
// were due before sending ended, on average.
func (d *driver) reckonUnsent(n uint64) {
	left := uint64(math.MaxUint64)
	if d.o.Count > 0 {
		left = (d.o.Count-n-1)/d.threads + 1
	}
	border := min(max(d.o.Warmup, d.due), d.ended)
	for _, part := range []struct {
		warm     bool
		from, to time.Duration
	}{{true, d.due, border}, {false, border, d.ended}} {
		due := math.Round(d.o.Pace.count(part.to) - d.o.Pace.count(part.from))
		k := min(uint64(max(due, 0))/d.threads, left)
		d.rec.of(part.warm).unsent += k
		left -= k
	}
}
