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

// slack is how much longer than it should a run may take before it is given up.
const slack = 10 * time.Second

// Run puts load on a server as o says and returns what became of it. It takes no
// longer than o.Timeout to connect, then o.Duration, then o.Timeout for the last
// answers. When ctx ends it returns what it has. An error says that nothing was
// begun, or that the run's loop failed: a server that cannot be reached is in the
// result's counts.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &machine{o: o, base: time.Now(), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	d, err := newDriver(o, m)
	if err != nil {
		return nil, err
	}
	d.tag = rand.Uint64() &^ idSeqMask // ids are no two runs'
	if m.l, err = loop.New(loop.Options{Logger: o.Logger}); err != nil {
		return nil, err
	}
	ran := make(chan error, 1)
	go func() { ran <- m.l.Run() }() // ends when the loop is closed, below
	begun := m.l.Do(d.connect)
	if begun == nil {
		err = m.wait(ctx, d)
	}
	_ = m.l.Close()
	if err = errors.Join(begun, err, <-ran); err != nil {
		return nil, err
	}
	return d.result(m.base.Add(d.started), m.summed)
}

// A machine is the world that is there: a loop, its sockets and clock.
type machine struct {
	o    Options
	l    *loop.Loop
	base time.Time
	done chan struct{}

	wake chan struct{} // there is something in queue

	mu    sync.Mutex
	queue []ended                   // guarded by mu
	spare []*hdrhistogram.Histogram // guarded by mu, empty ones

	summed []Interval // Run's goroutine only
}

// An ended is an interval that is over, with its latencies unless they are summed up.
type ended struct {
	interval Interval
	h        *hdrhistogram.Histogram
}

// maxQueue is how many histograms may wait to be summed up; further ones are at once,
// on the loop.
const maxQueue = 8

func (m *machine) interval(i Interval, h *hdrhistogram.Histogram) (next *hdrhistogram.Histogram) {
	m.mu.Lock()
	p := ended{i, h}
	switch n := len(m.spare); {
	case len(m.queue) >= maxQueue:
		p = ended{interval: i}
		p.interval.Latency = summary(h)
		h.Reset()
		next = h
	case n > 0:
		next = m.spare[n-1]
		m.spare = m.spare[:n-1]
	default:
		next = newHistogram()
	}
	m.queue = append(m.queue, p)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return next
}

// sumUp sums up what is in the queue and tells of it.
func (m *machine) sumUp() {
	m.mu.Lock()
	parts := m.queue
	m.queue = nil
	m.mu.Unlock()
	for _, p := range parts {
		if p.h != nil {
			p.interval.Latency = summary(p.h)
			p.h.Reset()
			m.mu.Lock()
			m.spare = append(m.spare, p.h)
			m.mu.Unlock()
		}
		m.summed = append(m.summed, p.interval)
		if m.o.OnInterval != nil {
			m.o.OnInterval(p.interval)
		}
	}
}

// wait waits for the run's end, and reports its intervals meanwhile.
func (m *machine) wait(ctx context.Context, d *driver) error {
	o := &m.o
	tooLong := time.NewTimer(2*o.Timeout + o.Duration + slack)
	defer tooLong.Stop()
	stop := ctx.Done()
	for {
		select {
		case <-m.wake:
			m.sumUp()
		case <-stop:
			stop = nil
			if err := m.l.Do(d.stop); err != nil {
				return err
			}
		case <-tooLong.C:
			return errors.New("bench: the run did not come to its end")
		case <-m.done:
			m.sumUp()
			return nil
		}
	}
}

func (m *machine) now() time.Duration { return time.Since(m.base) }

func (m *machine) cpu() time.Duration { return cpuTime() }

func (m *machine) after(d time.Duration, fn func()) timer { return m.l.After(d, fn) }

func (m *machine) dial(c *client) (link, error) {
	conn, err := m.l.Dial(m.o.Target.Network, m.o.Target.Address, func(*loop.Conn) loop.Handler { return c }, loop.DialOptions{Timeout: m.o.Timeout})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (m *machine) over() { close(m.done) }
