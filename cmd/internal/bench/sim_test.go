package bench

import (
	"container/heap"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A sim is a world with a clock of its own: what happens is a queue of events, and
// time goes from one to the next.
type sim struct {
	t      testing.TB
	clock  time.Duration
	queue  events
	seq    int
	done   bool
	dials  int
	conns  []*simConn
	told   []Interval
	driver *driver

	connect func(dial int) (time.Duration, error)       // how long an attempt takes; nil: 1 ms
	serve   func(c *simConn, request string, id string) // is given each request
}

type event struct {
	at      time.Duration
	seq     int
	fn      func()
	stopped bool
	queued  bool
}

type events []*event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

func (s *sim) at(at time.Duration, fn func()) *event {
	s.seq++
	e := &event{at: at, seq: s.seq, fn: fn, queued: true}
	heap.Push(&s.queue, e)
	return e
}

type simTimer struct {
	s  *sim
	fn func()
	e  *event
}

func (t *simTimer) Stop() bool {
	was := t.e != nil && t.e.queued && !t.e.stopped
	if t.e != nil {
		t.e.stopped = true
	}
	return was
}

func (t *simTimer) Reset(d time.Duration) {
	t.Stop()
	t.e = t.s.at(t.s.clock+max(d, 0), t.fn)
}

func (s *sim) now() time.Duration { return s.clock }
func (s *sim) cpu() time.Duration { return s.clock / 4 }
func (s *sim) interval(i Interval, h *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	i.Latency = summary(h)
	if i.Latency.Count > 0 {
		i.Histogram, _ = encode(unpack(pack(h)))
	}
	h.Reset()
	s.told = append(s.told, i)
	return h
}
func (s *sim) ready(open int) { s.driver.begin(s.clock, open) }
func (s *sim) surplusElsewhere(surplus) bool {
	s.t.Error("a request of another driver, and there is none")
	return false
}
func (s *sim) over() {
	if s.done {
		s.t.Error("over twice")
	}
	s.done = true
}
func (s *sim) after(d time.Duration, fn func()) timer {
	t := &simTimer{s: s, fn: fn}
	t.Reset(d)
	return t
}

func (s *sim) dial(c *client) (link, error) {
	s.dials++
	took, err := time.Millisecond, error(nil)
	if s.connect != nil {
		took, err = s.connect(s.dials)
	}
	conn := &simConn{s: s, c: c, n: s.dials}
	s.conns = append(s.conns, conn)
	s.at(s.clock+took, func() {
		switch {
		case conn.closed:
		case err != nil:
			conn.closed = true
			c.OnClose(err)
		default:
			c.OnOpen()
		}
	})
	return conn, nil
}

// A simConn is a connection, and what a server does with it.
type simConn struct {
	s        *sim
	c        *client
	n        int // of the dial
	requests int
	closed   bool
	kept     []byte
}

func (c *simConn) Send(head, body []byte) (int64, error) {
	if c.closed {
		return 0, syscall.EPIPE
	}
	c.requests++
	request := string(head) + string(body)
	_, id, _ := strings.Cut(request, "X-Request-Id: ")
	id, _, _ = strings.Cut(id, "\r\n")
	c.s.at(c.s.clock, func() { c.s.serve(c, request, id) })
	return 0, nil
}

func (c *simConn) Abort(err error) {
	if !c.closed {
		c.closed = true
		c.s.at(c.s.clock, func() { c.c.OnClose(err) })
	}
}

// reply has bytes arrive after d, as a loop would give them.
func (c *simConn) reply(d time.Duration, p string) {
	c.s.at(c.s.clock+d, func() {
		if c.closed {
			return
		}
		c.kept = append(c.kept, p...)
		n, err := c.c.OnBytes(c.kept)
		if err != nil || n < 0 || n > len(c.kept) {
			c.s.t.Fatalf("OnBytes: %d of %d, %v", n, len(c.kept), err)
		}
		c.kept = append([]byte(nil), c.kept[n:]...)
	})
}

// hangUp ends the connection after d, in order.
func (c *simConn) hangUp(d time.Duration) {
	c.s.at(c.s.clock+d, func() {
		if !c.closed {
			c.c.OnEOF()
			c.Abort(nil)
		}
	})
}

// reset ends the connection after d.
func (c *simConn) reset(d time.Duration) {
	c.s.at(c.s.clock+d, func() {
		if !c.closed {
			c.closed = true
			c.c.OnClose(syscall.ECONNRESET)
		}
	})
}

// ok is an answer that gives the id back.
func ok(id string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Request-Id: %s\r\nContent-Length: 2\r\n\r\nok", id)
}

// simulate runs o in s, at most until stop if that is not 0.
func simulate(t testing.TB, s *sim, o Options, stop time.Duration) *Result {
	t.Helper()
	s.t = t
	o.Target = Target{Network: "tcp", Address: "sim:80", Host: "sim", Path: "/"}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDriver(o, s)
	if err != nil {
		t.Fatal(err)
	}
	s.driver = d
	s.at(0, d.connect)
	if stop > 0 {
		s.at(stop, d.stop)
	}
	for steps := 0; !s.done; steps++ {
		if len(s.queue) == 0 || steps > 20_000_000 {
			t.Fatalf("the run hangs at %v with %d outstanding", s.clock, d.outstanding)
		}
		e := heap.Pop(&s.queue).(*event)
		if e.queued = false; e.stopped {
			continue
		}
		s.clock = max(s.clock, e.at) // an event that took time itself makes the next ones late
		e.fn()
	}
	r, err := d.result(time.Time{}, s.told)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, s, r)
	return r
}

// consistent wants sums that are always right.
func consistent(t testing.TB, s *sim, r *Result) {
	t.Helper()
	for what, c := range map[string]Counts{"measured": r.Counts, "warm-up": r.WarmupCounts} {
		if c.Requests != c.Answered+c.Late+c.Lost+c.Unfinished {
			t.Errorf("%s: %d requests, but %d answered, %d late, %d lost, %d unfinished", what, c.Requests, c.Answered, c.Late, c.Lost, c.Unfinished)
		}
		if !r.Cut && c.Unfinished > 0 {
			t.Errorf("%s: %d unfinished", what, c.Unfinished)
		}
	}
	if r.Latency.Count != r.Answered+r.Late {
		t.Errorf("%d latencies of %d answers", r.Latency.Count, r.Answered+r.Late)
	}
	var sent, answers uint64
	at := time.Duration(0)
	for _, i := range r.Intervals {
		if i.Start != at {
			t.Errorf("an interval begins at %v, the one before ended at %v", i.Start, at)
		}
		at = i.Start + i.Length
		sent += i.Requests
		answers += i.Answers
	}
	if sent != r.Requests+r.WarmupCounts.Requests || answers != r.Answered+r.Late+r.WarmupCounts.Answered+r.WarmupCounts.Late {
		t.Errorf("the intervals have %d sent and %d answered, the counts are %+v and %+v", sent, answers, r.Counts, r.WarmupCounts)
	}
	if d := s.driver; d.outstanding != 0 || d.open != 0 || len(d.lingering) != 0 {
		t.Errorf("at the end there are %d outstanding, %d open, %d lingering", d.outstanding, d.open, len(d.lingering))
	}
	for _, c := range s.conns {
		if !c.closed {
			t.Errorf("connection %d is left open", c.n)
		}
	}
}
