package host

import (
	"errors"
	"fmt"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// What a connection may have waiting, in bytes.
const (
	outPause  = 8 << 20  // of answers; from there on nothing more is read of it
	outSlack  = 16 << 20 // of answers beyond that and one object, before it is dropped
	jobsPause = 1 << 20  // of calls that wait for a goroutine; likewise
	jobCost   = 256      // of one such call beside its arguments
	leastHalf = 64 << 10 // of a frame, that have to come in Options.Stall unless it is whole
)

var (
	errHalf  = errors.New("host: half a frame, and nothing more")
	errStall = errors.New("host: client takes nothing")
)

// A conn is one client's connection to a service. It stands before the Mux.
type conn struct {
	// Immutable after newConn.
	door   *door
	link   session.Link
	lane   int // which of the cloud's loops it lives on
	mux    *session.Mux
	own    func() endpoint // where the client has reached us
	remote endpoint        // the client's own

	// Loop goroutine only.
	bad       error                 // why it ends: nothing more is served
	closed    bool                  // OnClose was called
	paused    bool                  // nothing is read
	jobs      []job                 // that wait for the goroutine
	waiting   int                   // bytes of them
	half      int                   // bytes of a frame that is not whole
	open      int                   // bytes that open calls cost
	held      int                   // bytes that the budget knows of
	working   bool                  // the goroutine runs
	stopHalf  func()                // the timer of half a frame; nil: there is none
	stopStall func()                // and of answers that nobody takes
	stopShort func()                // likewise: it waits for memory
	streams   int                   // publications and streams of news that it has with the locator
	bridges   map[*bridge]struct{}  // calls of apps
	news      map[*watcher]struct{} // of these, the streams
}

func newConn(d *door, lane int, link session.Link, own func() endpoint, remote endpoint) *conn {
	c := &conn{door: d, lane: lane, link: link, own: own, remote: remote, bridges: map[*bridge]struct{}{}}
	o := session.Options{
		ChannelOptions: session.ChannelOptions{
			Dialect: d.dialect,
			Detect:  d.both,
			Service: true,
			Limits:  codec.Limits{Frame: d.frame},
		},
		Accept:       c.accept,
		Methods:      c.method,
		MaxSessions:  d.cloud.opt.Sessions,
		Buffer:       d.cloud.opt.Blob,
		TraceHeaders: true,
		OnEnd:        c.over,
		Logger:       d.cloud.log,
	}
	c.mux = session.NewMux(link, o)
	return c
}

// method finds one by its id; nil for those that are only told of.
func (c *conn) method(id uint64) *session.Method {
	if m := c.door.method(c.mux.Dialect(), id); m != nil && m.open != nil {
		return &m.Method
	}
	return nil
}

// accept serves a call.
func (c *conn) accept(s *session.Session) error {
	if c.bad != nil {
		return nil // the connection's end is on its way
	}
	m := c.door.method(c.mux.Dialect(), s.Method().ID)
	m.tally.calls.Add(1)
	n := costOf(s)
	if !c.room(n) {
		m.tally.failed.Add(1)
		return errSlow.in(c.mux.Dialect())
	}
	c.open += n
	s.SetHandler(unheard{}) // so that nothing that is said on the loop waits
	err := m.open(&Call{s, c, m.tally})
	if err != nil {
		m.tally.failed.Add(1)
	}
	return err
}

// unheard is the handler of calls whose caller has nothing more to say.
type unheard struct{}

func (unheard) OnMessage(*session.Session, session.Message) {}
func (unheard) OnWritable(*session.Session)                 {}
func (unheard) OnEnd(*session.Session, error)               {}

// fail ends the connection, behind what was answered before.
func (c *conn) fail(what string) error {
	if c.bad == nil {
		c.bad = fmt.Errorf("%w: %s", session.ErrProtocol, what)
	}
	return nil
}

// OnOpen: see loop.Handler.
func (c *conn) OnOpen() {
	c.mux.OnOpen()
}

// OnBytes gives frames to the Mux. A frame that has begun has to go on.
func (c *conn) OnBytes(p []byte) (int, error) {
	n, err := c.mux.OnBytes(p)
	if err == nil {
		err = c.bad
	}
	if err != nil {
		c.door.cloud.complain(c, err)
		return n, err
	}
	if c.stopHalf != nil && n > 0 {
		c.stopHalf()
		c.stopHalf = nil
	}
	if c.half = len(p) - n; c.half > 0 && c.stopHalf == nil {
		c.awaitRest(c.half)
	}
	c.watch()
	c.ration()
	return n, nil
}

// complain logs what a client did wrong.
func (c *Cloud) complain(n *conn, err error) {
	c.mistakes.Add(1)
	c.say("host: a client breaks the rules", n, err)
}

// say logs what became of a client, one line a second. Any goroutine.
func (c *Cloud) say(what string, n *conn, err error) {
	now := time.Now().Unix()
	if c.badAt.Swap(now) == now {
		c.badMore.Add(1)
		return
	}
	c.log.Warn(what, "service", n.door.name, "dialect", n.mux.Dialect(), "client", n.remote.Host, "err", err, "others", c.badMore.Swap(0))
}

// awaitRest has a client dropped whose frame does not go on: had is how much of it
// there was.
func (c *conn) awaitRest(had int) {
	c.stopHalf = c.link.After(c.door.cloud.opt.Stall, func() {
		if c.half < had+leastHalf && !c.paused {
			c.link.Abort(errHalf)
			return
		}
		c.awaitRest(c.half)
	})
}

// OnEOF: see loop.Handler.
func (c *conn) OnEOF() { c.mux.OnEOF() }

// OnDrain: see loop.Handler.
func (c *conn) OnDrain() {
	c.mux.OnDrain()
	for w := range c.news {
		w.flush()
	}
	c.work()
	c.settle()
	c.weigh()
}

// OnClose: see loop.Handler.
func (c *conn) OnClose(err error) {
	c.closed = true
	for _, stop := range []func(){c.stopHalf, c.stopStall, c.stopShort} {
		if stop != nil {
			stop()
		}
	}
	c.jobs, c.waiting = nil, 0
	for w := range c.news {
		w.end()
	}
	for b := range c.bridges {
		b.leave()
	}
	c.mux.OnClose(err)
	c.weigh()
	c.door.left(c)
}

// settle reads of the connection unless too much waits for it.
func (c *conn) settle() {
	queued := c.link.Queued()
	pause := c.stopShort != nil || c.waiting >= jobsPause || queued >= outPause || queued > freeHeld && !c.door.cloud.pending.left(1)
	switch {
	case c.closed || pause == c.paused:
	case pause:
		c.paused = true
		c.link.Pause()
	default:
		c.paused = false
		c.link.Resume()
	}
}

// watch has a client dropped who takes nothing of what waits for him.
func (c *conn) watch() {
	c.settle()
	c.weigh()
	if c.stopStall != nil || c.closed || c.link.Queued() == 0 {
		return
	}
	written := c.link.Written()
	c.stopStall = c.link.After(c.door.cloud.opt.Stall, func() {
		c.stopStall = nil
		if c.link.Queued() > 0 && c.link.Written() == written {
			c.link.Abort(errStall)
			return
		}
		c.watch()
	})
}

// A job is a call that a goroutine answers.
type job struct {
	call *Call
	do   func() (Results, error)
}

func (j job) size() int { return len(j.call.s.Args()) + jobCost }

// enqueue has a job done when those before it are.
func (c *conn) enqueue(j job) {
	c.jobs = append(c.jobs, j)
	c.waiting += j.size()
	c.work()
}

// work begins the next job, once the client has taken what he was answered.
func (c *conn) work() {
	if c.working || c.closed || len(c.jobs) == 0 || c.link.Queued() >= session.HighWater {
		return
	}
	j := c.jobs[0]
	c.jobs[0] = job{}
	c.jobs = c.jobs[1:]
	c.working = true
	c.door.cloud.goWork(func() {
		r, err := j.safely()
		answered := make(chan struct{})
		if c.link.Do(func() {
			defer close(answered)
			c.done(j, r, err)
		}) != nil {
			return // the loop has ended
		}
		select { // or loops that are busy would gather answers
		case <-answered:
		case <-c.door.cloud.closing:
		}
	})
}

// done answers a job's call.
func (c *conn) done(j job, r Results, err error) {
	c.working = false
	if c.closed {
		return
	}
	c.waiting -= j.size()
	if err == nil {
		err = j.call.answer(r)
	}
	if err != nil {
		j.call.Fail(err)
	}
	c.work()
	c.settle()
	c.weigh()
}

// safely does the job; a panic is the caller's error, and the log's.
func (j job) safely() (r Results, err error) {
	defer func() {
		if v := recover(); v != nil {
			j.call.conn.door.cloud.log.Error("host: a method panicked", "service", j.call.conn.door.name, "method", j.call.s.Method().Name, "panic", v)
			err = &Error{Category: heddle.CategoryDispatch, Code: codeUncaught, Msg: "uncaught exception"}
		}
	}()
	return j.do()
}

// codeUncaught is CategoryDispatch's (PROTOCOL 3.8).
const codeUncaught = 7

var _ loop.Handler = (*conn)(nil)
