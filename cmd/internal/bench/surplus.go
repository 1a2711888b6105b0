package bench

// gave tells whether the run has a request of that id. Of one that another driver
// would have sent that is taken for granted.
func (d *driver) gave(id uint64) bool {
	seq := id & idSeqMask
	return id&^idSeqMask == d.tag && (seq%d.threads != d.thread || seq < d.next)
}

// A surplus is an answer to nothing that is outstanding on its connection: it is a
// duplicate if its request has been answered, and stray otherwise.
type surplus struct {
	seq  uint64 // of the request
	warm bool   // it belongs to the warm-up
}

// surplus counts a surplus answer. One that another driver would know is a stray, too,
// if that one is given more of them than it can look at: they are of a server that
// floods.
func (d *driver) surplus(a *answer, warm bool) {
	s := surplus{a.id & idSeqMask, warm}
	switch {
	case !a.hasID || a.id&^idSeqMask != d.tag:
	case s.seq%d.threads == d.thread:
		d.count(s)
		return
	case d.world.surplusElsewhere(s):
		return
	}
	d.rec.of(warm).stray++
}

// count counts a surplus answer to one of the driver's own requests.
func (d *driver) count(s surplus) {
	if t := d.rec.of(s.warm); d.wasAnswered(s.seq) {
		t.duplicated++
	} else {
		t.stray++
	}
}

// wasAnswered tells whether the request of that number, one of the driver's own, was,
// as far as is known.
func (d *driver) wasAnswered(seq uint64) bool {
	return seq < d.next && (d.next-seq > seenBits || d.seen[seq%seenBits/64]&(1<<(seq%64)) != 0)
}
