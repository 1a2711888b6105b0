package bench

import "math"

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

// maxUnsent is how many requests are looked at one by one that were due in vain.
const maxUnsent = 1_000_000

// countUnsent counts the requests that were due before sending ended.
func (d *driver) countUnsent() {
	if d.o.Pace == nil {
		return
	}
	for n, more := d.next, d.more; more && d.due < d.ended && !d.spent(n); n += d.threads {
		if n-d.next > maxUnsent*d.threads { // on average
			d.rec.measured.unsent += uint64(max(d.o.Pace.count(d.ended)-d.o.Pace.count(d.due), 0)) / d.threads
			return
		}
		d.rec.of(d.warmAt(d.due)).unsent++
		d.due, more = d.o.Pace.after(d.due, n, d.threads)
	}
}
