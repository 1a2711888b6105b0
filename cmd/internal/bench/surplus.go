package bench

// gave tells whether the run has a request of that id. Of one that another driver
// would have sent that is taken for granted.
func (d *driver) gave(id uint64) bool {
	seq := id & idSeqMask
	return id&^idSeqMask == d.tag && (seq%d.threads != d.thread || seq < d.next)
}

// surplus counts an answer to nothing that is outstanding on its connection: it is
// a duplicate if its request has been answered, and stray otherwise.
func (d *driver) surplus(a *answer, warm bool) {
	count := func(d *driver, duplicated bool) {
		if t := d.rec.of(warm); duplicated {
			t.duplicated++
		} else {
			t.stray++
		}
	}
	seq := a.id & idSeqMask
	switch {
	case !a.hasID || a.id&^idSeqMask != d.tag:
		count(d, false)
	case seq%d.threads == d.thread:
		count(d, d.wasAnswered(seq))
	default:
		d.world.settleElsewhere(seq, func(owner *driver) { count(owner, owner.wasAnswered(seq)) })
	}
}

// wasAnswered tells whether the request of that number, one of the driver's own, was,
// as far as is known.
func (d *driver) wasAnswered(seq uint64) bool {
	return seq < d.next && (d.next-seq > seenBits || d.seen[seq%seenBits/64]&(1<<(seq%64)) != 0)
}
