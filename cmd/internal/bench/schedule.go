package bench

// pump sends what is due in the open model, and sees to it that it is called again.
func (d *driver) pump() {
	for d.state == stateRunning && d.more && d.due < d.o.Duration {
		now := d.now()
		if d.due > now {
			d.pumpTimer.Reset(d.due - now)
			return
		}
		c := d.popFree()
		if c == nil {
			d.waiting = true
			return
		}
		if d.due >= d.clear {
			record(d.rec.lateness, now-d.due)
		}
		if !d.send(c, now, d.due) {
			continue // with another connection
		}
		if c.hasRoom() {
			d.pushFree(c.slot)
		}
		d.due, d.more = d.o.Pace.after(d.due, d.next-d.threads, d.threads)
	}
}

func (d *driver) pushFree(s *slot) {
	if s.free {
		return
	}
	s.free = true
	d.free[(d.freeHead+d.freeLen)%len(d.free)] = s
	d.freeLen++
}

// popFree returns the connection that has been free for longest, nil: none is.
func (d *driver) popFree() *client {
	for d.freeLen > 0 {
		s := d.free[d.freeHead]
		d.freeHead = (d.freeHead + 1) % len(d.free)
		d.freeLen--
		s.free = false
		if s.c != nil && s.c.hasRoom() {
			return s.c
		}
	}
	return nil
}

// spent tells whether request seq of the open model is one too many.
func (d *driver) spent(seq uint64) bool { return d.o.Count > 0 && seq >= d.o.Count }

// claim takes one of the closed model's requests, of which there may be as many as
// Count for all drivers together.
func (d *driver) claim() bool {
	if d.o.Count > 0 && d.o.Pace == nil && d.claimed.Add(1) > d.o.Count {
		d.unclaim()
		return false
	}
	return true
}

// unclaim gives back what claim took.
func (d *driver) unclaim() {
	if d.o.Count > 0 && d.o.Pace == nil {
		d.claimed.Add(^uint64(0))
	}
}

// counted tells whether all that Count allows has been sent.
func (d *driver) counted() bool {
	return d.o.Count > 0 && (d.o.Pace == nil && d.claimed.Load() >= d.o.Count || d.o.Pace != nil && d.spent(d.next))
}
