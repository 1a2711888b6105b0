package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/heddle-go/heddle/loop"
)

// slack is how much longer than it should a run may take before it is given up, once
// more if the process was stopped.
const slack = 10 * time.Second

// Run puts load on a server as o says and returns what became of it. It takes no
// longer than o.Timeout to connect, then o.Duration, then o.Timeout for the last
// answers. When ctx ends it returns what it has. An error says that nothing was
// begun, or that a loop of the run's failed: a server that cannot be reached is in the
// result's counts.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	time.AfterFunc(0, func() {}) // has Go's runtime open its own poller now: without a descriptor for it later, it ends the process
	w := newCrew(o)
	drivers := make([]*driver, o.Threads)
	tag := rand.Uint64() &^ idSeqMask // ids are no two runs'
	for i := range drivers {
		d, err := newDriver(o.share(i), w.machines[i])
		if err != nil {
			return nil, err
		}
		d.thread, d.next, d.threads = uint64(i), uint64(i), uint64(o.Threads)
		d.tag, d.claimed = tag, &w.claimed
		drivers[i], w.machines[i].d = d, d
	}
	defer w.closeDialers()
	for _, m := range w.machines {
		made, err := o.dialer()
		if err != nil {
			return nil, err
		}
		m.dialer = made
	}
	ran := make(chan error, o.Threads)
	begun := 0
	for _, m := range w.machines {
		if m.l, err = loop.New(loop.Options{Logger: o.Logger}); err != nil {
			break
		}
		begun++
		go func() { ran <- m.l.Run() }() // ends when the loop is closed, below
	}
	if err == nil {
		if err = w.do(func(d *driver) { d.connect() }); err == nil {
			err = w.wait(ctx)
		}
	}
	for _, m := range w.machines[:begun] {
		_ = m.l.Close()
	}
	for range begun {
		err = errors.Join(err, <-ran)
	}
	if err != nil {
		return nil, err
	}
	d := drivers[0]
	loops := ownLoops(drivers)
	for _, other := range drivers[1:] {
		d.absorb(other)
	}
	for _, one := range drivers { // which may not have connected
		if o.Target.Protocol == "" {
			o.Target.Protocol = one.o.Target.Protocol
		}
	}
	d.o = o
	r, err := d.result(w.base.Add(d.started), w.intervals())
	if err == nil {
		r.Own.Loops = loops
	}
	return r, err
}

// closeDialers ends what the dialers have made.
func (w *crew) closeDialers() {
	for _, m := range w.machines {
		if m.dialer != nil {
			m.dialer.close()
		}
	}
}

// share is what thread i of o's has to do.
func (o Options) share(i int) Options {
	conns := o.Conns / o.Threads
	if i < o.Conns%o.Threads {
		conns++
	}
	o.Conns = conns
	return o
}

// absorb adds to d what another driver of the same run has found out. Both are over.
func (d *driver) absorb(other *driver) {
	d.n += other.n
	d.ended = max(d.ended, other.ended)
	d.cut = d.cut || other.cut
	d.cpuFrom, d.cpuTo = min(d.cpuFrom, other.cpuFrom), max(d.cpuTo, other.cpuTo)
	d.rec.absorb(other.rec)
}

// ownLoops is what each of several drivers knows of itself.
func ownLoops(drivers []*driver) (list []OwnLoop) {
	if len(drivers) == 1 {
		return nil
	}
	for _, d := range drivers {
		list = append(list, OwnLoop{Sent: d.n, Late: summary(d.rec.lateness), Lag: summary(d.rec.lag)})
	}
	return list
}

// A machine is the world that is there for one driver: a loop, its sockets and the
// clock that it shares with the others of its crew.
type machine struct {
	crew   *crew
	thread int
	d      *driver
	l      *loop.Loop
	dialer dialer // nil: the loop's own

	counting []surplus // loop only

	mu      sync.Mutex
	surplus []surplus // guarded by mu, those that wait to be counted
}

func (m *machine) now() time.Duration { return time.Since(m.crew.base) }

func (m *machine) cpu() time.Duration { return cpuTime() }

func (m *machine) after(d time.Duration, fn func()) timer { return m.l.After(d, fn) }

func (m *machine) dial(c *client) (link, error) {
	if m.dialer != nil {
		return m.dialer.dial(m.l, c)
	}
	o := &m.crew.o
	conn, err := m.l.Dial(o.Target.Network, o.Target.Address, func(*loop.Conn) loop.Handler { return c }, loop.DialOptions{Timeout: o.Timeout})
	if err != nil {
		return nil, err
	}
	conn.SetLimit(c.d.mostQueued())
	return conn, nil
}

func (m *machine) ready(open int) { m.crew.ready(open) }

// maxSurplus is how many surplus answers wait for a loop at most that another has got.
const maxSurplus = 1 << 15

func (m *machine) surplusElsewhere(s surplus) bool {
	other := m.crew.machines[s.seq%uint64(len(m.crew.machines))]
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.surplus) >= maxSurplus {
		return false
	}
	if other.surplus = append(other.surplus, s); len(other.surplus) == 1 {
		_ = other.l.Do(other.countSurplus) // it is closed when all drivers are over
	}
	return true
}

// countSurplus counts what other loops have got of surplus answers to this one's
// requests.
func (m *machine) countSurplus() {
	m.mu.Lock()
	m.surplus, m.counting = m.counting[:0], m.surplus
	m.mu.Unlock()
	for _, s := range m.counting {
		m.d.count(s)
	}
}

func (m *machine) interval(i Interval, h *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	return m.crew.interval(m.thread, i, h)
}

func (m *machine) over() { m.crew.over(m.thread) }
