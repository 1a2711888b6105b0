package bench

import (
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A world is what a run needs of the machine. All is called on one goroutine, and so
// is what a run gives it.
type world interface {
	now() time.Duration // since some moment; never goes back
	cpu() time.Duration // spent by the process
	after(d time.Duration, fn func()) timer
	dial(c *client) (link, error) // c is told of the outcome later
	// ready is told that the driver can begin, with so many connections. Its begin is
	// called at once or later, when all drivers of the run can, with the time that is the
	// start of all, and the connections of all.
	ready(open int)
	// surplusElsewhere has the driver that has sent s's request count it, on its goroutine,
	// unless that has too many to count.
	surplusElsewhere(s surplus) (ok bool)
	// interval takes over an interval that is over and its latencies, which are not
	// summed up yet, and gives an empty histogram for the next. It must not block.
	interval(i Interval, h *hdrhistogram.Histogram) *hdrhistogram.Histogram
	over() // the run is: no request is outstanding any more
}

// A timer is a *loop.Timer.
type timer interface {
	Reset(d time.Duration)
	Stop() bool
}

type state uint8

const (
	stateDialing  state = iota // the connections are being made
	stateRunning               // requests are sent
	stateDraining              // answers are awaited
	stateOver
)

const (
	minBackoff = 10 * time.Millisecond // before an attempt to connect after one that led to nothing, doubling
	maxBackoff = time.Second
	maxTick    = 10 * time.Millisecond
)

// A driver is one run, or its share of one that has several threads: it decides when
// what is sent. It lives on one goroutine.
//
// The requests of a run have numbers from 0 on. Of the drivers of one run, the i-th of n sends
// those whose remainder by n is i: in the open model that is what it has of the schedule.
type driver struct {
	o         Options // checked; Conns is the driver's share
	world     world
	thread    uint64         // which of the run's drivers this is
	threads   uint64         // how many there are
	claimed   *atomic.Uint64 // closed model with Count: the requests of all drivers
	templates []*template
	longest   int      // bytes of them
	weights   []uint64 // running sums
	idField   string   // in lower case, "": no ids
	tag       uint64   // the high bits of this run's ids

	state       state
	started     time.Duration // the world's time when requests began
	ended       time.Duration // when no more were sent, since then
	cut         bool
	quiet       bool // nothing was awaited at the tick before
	settled     int  // slots whose first connection is there, or failed
	slots       []*slot
	free        []*slot // open model: a ring of those that may have room
	freeHead    int
	freeLen     int
	lingering   []*client // have timed out, and may still answer
	outstanding int
	open        int      // connections
	seen        []uint64 // a bit for each of the last requests: answered
	heads       headCache

	n       uint64        // requests sent
	next    uint64        // the number of the next one
	due     time.Duration // open model: when the next one is
	more    bool          // and whether there is one
	waiting bool          // it waits for a connection
	clear   time.Duration // until then, requests had to
	rec     *recorder

	pumpTimer, tickTimer, endTimer timer
	tick, ticked                   time.Duration
	nextRoll                       time.Duration
	cpuFrom, cpuTo                 time.Duration // of the process, when requests began and ended
}

// seenBits is how many requests back a second answer is told from one that belongs to
// another connection's request.
const seenBits = 1 << 20

// newDriver returns the run that o, which is checked, describes, with one driver.
func newDriver(o Options, w world) (*driver, error) {
	d := &driver{o: o, world: w, threads: 1, claimed: new(atomic.Uint64), seen: make([]uint64, seenBits/64), tag: mix(o.Seed) &^ idSeqMask}
	field := ""
	if !o.NoIDs {
		field = o.IDField
		d.idField = strings.ToLower(field)
	}
	total := uint64(0)
	for _, r := range o.Requests {
		t, err := r.compile(o.Target, field, o.Reconnect)
		if err != nil {
			return nil, err
		}
		d.templates = append(d.templates, t)
		d.longest = max(d.longest, len(t.bytes))
		total += uint64(max(r.Weight, 1))
		d.weights = append(d.weights, total)
	}
	d.free = make([]*slot, o.Conns)
	for range o.Conns {
		d.slots = append(d.slots, &slot{d: d})
	}
	d.tick = min(max(o.Timeout/10, time.Millisecond), maxTick)
	d.rec = newRecorder()
	return d, nil
}

// connect begins the run.
func (d *driver) connect() {
	d.started = d.world.now()
	for _, s := range d.slots {
		s.dial()
	}
}

// now is the run's time.
func (d *driver) now() time.Duration { return d.world.now() - d.started }

// warmAt tells whether t belongs to the warm-up.
func (d *driver) warmAt(t time.Duration) bool { return t < d.o.Warmup }

// settle is told of each slot's first connection, there or not.
func (d *driver) settle() {
	if d.settled++; d.settled == len(d.slots) && d.state == stateDialing {
		d.world.ready(d.open)
	}
}

// begin begins to send, with so many connections of all drivers.
func (d *driver) begin(at time.Duration, open int) {
	if d.state != stateDialing {
		return
	}
	if open == 0 && d.o.GiveUp {
		d.started = at
		if d.o.Warmup > 0 { // why, is all that was found out
			d.rec.measured, d.rec.warm = d.rec.warm, d.rec.measured
		}
		d.finish(false)
		return
	}
	d.state = stateRunning
	d.started = at
	d.cpuFrom = d.world.cpu()
	d.rec.now = Interval{Warmup: d.warmAt(0), Errors: d.rec.now.Errors}
	d.nextRoll = d.o.Interval
	d.ticked = d.now()
	d.tickTimer = d.world.after(d.tick, d.onTick)
	d.endTimer = d.world.after(d.o.Duration-d.ticked, d.drain)
	if d.o.Pace != nil {
		d.due, d.more = d.o.Pace.Due(0, 0)
		if d.thread > 0 && d.more {
			d.due, d.more = d.o.Pace.after(d.due, 0, d.thread)
		}
		if d.spent(d.next) {
			d.drain()
			return
		}
		d.pumpTimer = d.world.after(0, d.pump)
	}
	for _, s := range d.slots {
		if s.c != nil && s.c.opened {
			d.room(s.c, d.now())
		}
	}
}

// room is told of a connection that can take another request since now, which what
// takes the answer apart has read: one reading of the clock is enough for both.
func (d *driver) room(c *client, now time.Duration) {
	switch {
	case d.state != stateRunning || c.slot == nil || !c.hasRoom():
	case d.o.Pace != nil:
		d.pushFree(c.slot)
		if d.waiting {
			d.waiting = false
			d.clear = now
			d.pump()
		}
	case c.slot.thinking:
	default:
		for c.hasRoom() && d.state == stateRunning {
			if now >= d.o.Duration {
				d.drain()
				return
			}
			if !d.send(c, now, now) {
				return
			}
		}
	}
}

// send sends the next request on c; ok is false if c could not take it.
func (d *driver) send(c *client, now, due time.Duration) (ok bool) {
	if !d.claim() {
		d.drain()
		return false
	}
	which := 0
	if len(d.weights) > 1 {
		at := mix(d.o.Seed^mix(d.next)) % d.weights[len(d.weights)-1]
		which = sort.Search(len(d.weights), func(i int) bool { return at < d.weights[i] })
	}
	id := d.tag | d.next&idSeqMask
	if err := c.ask(d.templates[which], id); err != nil {
		d.unclaim()
		c.refused()
		return false
	}
	d.roll(now)
	d.seen[d.next%seenBits/64] &^= 1 << (d.next % 64)
	d.n++
	d.next += d.threads
	d.outstanding++
	d.rec.of(d.warmAt(due)).sent++
	d.rec.now.Requests++
	c.push(pending{id: id, due: due, sent: now, template: int32(which)})
	if d.counted() {
		d.drain()
	}
	return true
}

// answered is told of a whole answer to p.
func (d *driver) answered(p *pending, o *reply, now time.Duration) {
	d.roll(now)
	d.outstanding--
	seq := p.id & idSeqMask
	d.seen[seq%seenBits/64] |= 1 << (seq % 64)
	warm := d.warmAt(p.due)
	t := d.rec.of(warm)
	late := now-p.sent > d.o.Timeout
	if late {
		t.late++
		d.timedOut(p)
	} else {
		t.answered++
	}
	if o.status > 0 {
		t.statuses[o.status]++
	}
	switch want := d.templates[p.template].status; {
	case late: // counted already
	case o.said != "":
		d.rec.failAs(warm, o.said)
	case want != 0 && o.status != want, want == 0 && o.status >= 400:
		d.rec.fail(warm, KindStatus)
	case o.wrong:
		d.rec.fail(warm, KindBody)
	}
	d.rec.now.Answers++
	record(d.rec.part, now-p.due)
	if !warm {
		record(d.rec.latency, now-p.due)
	}
	if now >= d.o.Warmup && d.state == stateRunning {
		d.rec.inTime++
	}
}

// timedOut counts that p was not answered in time, once.
func (d *driver) timedOut(p *pending) {
	if !p.late {
		p.late = true
		d.rec.fail(d.warmAt(p.due), KindTimeout)
	}
}

// lose counts p as lost, for a reason that counts unless it had timed out before.
func (d *driver) lose(p *pending, k Kind) {
	d.outstanding--
	warm := d.warmAt(p.due)
	d.rec.of(warm).lost++
	if k == KindTimeout {
		d.timedOut(p)
	} else if !p.late {
		d.rec.fail(warm, k)
	}
}

// roll begins the next interval if it is time.
func (d *driver) roll(now time.Duration) {
	for now >= d.nextRoll && d.state != stateOver {
		d.rec.part = d.world.interval(d.rec.roll(d.nextRoll, d.warmAt(d.nextRoll), d.outstanding, d.open), d.rec.part)
		d.nextRoll += d.o.Interval
	}
}

// onTick looks for time-outs, and how late it comes is the loop's lag.
func (d *driver) onTick() {
	if d.state == stateOver {
		return
	}
	now := d.now()
	record(d.rec.lag, now-d.ticked-d.tick)
	d.roll(now)
	for _, s := range d.slots {
		if s.c != nil && s.c.opened {
			s.c.check(now)
		}
	}
	if d.state == stateRunning && d.counted() { // by other drivers
		d.drain()
	}
	for i := len(d.lingering) - 1; i >= 0; i-- { // check takes out no more than the one it is called on
		d.lingering[i].check(now)
	}
	if d.state == stateDraining && d.outstanding == 0 {
		if d.quiet { // further answers to the last requests have had a tick's time
			d.finish(false)
			return
		}
		d.quiet = true
	}
	d.ticked = d.now()
	d.tickTimer.Reset(d.tick)
}
