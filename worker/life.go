package worker

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// farewell is how long a worker that has finished waits for the engine to take
// its last bytes and close.
const farewell = 5 * time.Second

// How a life leaves its channels.
type parting uint8

const (
	abort   parting = iota // at once; what is unsent is dropped
	deliver                // what is queued is sent, then the channel is closed
	half                   // as deliver, and the engine closes
)

// A life is what one Connect began: a loop, the channels to the engine and the
// goroutines of the handlers.
type life struct {
	// Immutable once begun.
	w      *Worker
	never  bool // never begun: the Worker was not connected yet
	pool   *pool
	budget session.Budget
	ready  chan struct{} // closed when connecting has succeeded
	done   chan struct{} // closed when all is gone

	over atomic.Bool // the last event has happened; set under mu

	// Guarded by w.mu.
	loop     *loop.Loop    // nil with Options.Dial
	ran      chan struct{} // closed when the loop's goroutine has ended
	channels []*channel    // by the engine's loop; the first one is dialled first
	wanted   int           // channels there have to be, once the first welcome has said so
	greeted  bool          // ready is closed
	broken   bool          // the engine was told
	flushing bool          // messages have their last chance
	flushed  bool          // they have had it
	closing  bool          // all channels are gone, done will be closed
	err      error         // why it ended; nil in order
	asked    string        // reason of a leave that came while connecting
	deadline time.Time     // when the worker leaves anyway; zero: never
	timer    *time.Timer   // for deadline, or for the farewell
	drainFor time.Duration // the engine's deadline, for OnDrain
	ending   struct {      // the terminate message that is sent last
		due    bool
		on     *channel
		code   int64
		reason string
	}
}

// newLife returns one that is over; begin makes it live.
func newLife(w *Worker) *life {
	l := &life{w: w, ready: make(chan struct{}), done: make(chan struct{})}
	l.pool = newPool(&w.options, w.serve, l.check)
	return l
}

// newEnded is the life of a Worker that was never connected.
func newEnded(w *Worker) *life {
	l := newLife(w)
	l.never = true
	l.over.Store(true)
	l.closing = true
	close(l.done)
	return l
}

// begin starts the loop and dials the engine's first endpoint.
func (l *life) begin() error {
	if l.w.options.Dial == nil {
		lp, err := loop.New(loop.Options{Logger: l.w.log})
		if err != nil {
			return fmt.Errorf("worker: connect: %w", err)
		}
		l.w.mu.Lock()
		l.loop, l.ran = lp, make(chan struct{})
		l.w.mu.Unlock()
		go l.run() // ends when sweep closes the loop
	}
	return l.dial(0, l.w.launch.Endpoint)
}

// run is the loop's goroutine.
func (l *life) run() {
	err := l.loop.Run()
	l.w.mu.Lock()
	for _, c := range l.channels {
		c.gone = true
	}
	if err == nil {
		err = loop.ErrClosed
	}
	l.loseLocked(fmt.Errorf("%w: %w", ErrLost, err))
	l.sweepLocked()
	close(l.ran)
	l.w.mu.Unlock()
}

// dial begins the channel to one endpoint; its outcome comes as OnConnect or
// OnClose.
func (l *life) dial(index int, endpoint string) error {
	c := &channel{l: l, index: index, endpoint: endpoint}
	l.w.mu.Lock()
	if l.over.Load() {
		l.w.mu.Unlock()
		return nil
	}
	l.channels = append(l.channels, c)
	lp := l.loop
	l.w.mu.Unlock()

	var err error
	attach := func(link session.Link) loop.Handler { return c.attach(link) }
	if dial := l.w.options.Dial; dial != nil {
		err = dial(endpoint, attach)
	} else {
		var network, addr string
		if network, addr, err = splitEndpoint(endpoint); err == nil {
			_, err = lp.Dial(network, addr, func(conn *loop.Conn) loop.Handler { return attach(conn) },
				loop.DialOptions{Timeout: l.w.options.ConnectTimeout})
		}
	}
	if err == nil {
		return nil
	}
	l.w.mu.Lock()
	c.gone = true // no OnClose will come
	l.w.mu.Unlock()
	return fmt.Errorf("worker: connect %s: %w", endpoint, err)
}

// welcomed is told by a channel that the engine has agreed, or that nothing
// has to be agreed on. The first one brings the endpoints of the others; a channel
// that is fast may be welcomed before the last one is dialled.
func (l *life) welcomed(c *channel, endpoints []string) {
	l.w.mu.Lock()
	c.up = true
	l.wanted = max(l.wanted, 1, len(endpoints))
	l.w.mu.Unlock()
	for i := 1; i < len(endpoints); i++ {
		if err := l.dial(i, endpoints[i]); err != nil {
			l.end(eventFail, err)
			return
		}
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.completeLocked() {
		l.holdLocked()
		l.greetLocked()
	}
}

// completeLocked says whether every channel is there and welcomed.
func (l *life) completeLocked() bool {
	return len(l.channels) >= max(l.wanted, 1) && !slices.ContainsFunc(l.channels, func(c *channel) bool { return !c.up })
}

// greetLocked: every channel is there.
func (l *life) greetLocked() {
	if l.over.Load() || !l.w.lifecycle.fireLocked(eventGreet) {
		return
	}
	ok, broken := l.w.standing.mayOnline()
	if broken != nil {
		_ = l.sayBrokenLocked(*broken) // a failed send ends the channel, which OnClose tells
	}
	if ok {
		l.onlineLocked()
	}
	l.readyLocked() // whoever sees Connect return sees the worker online, if it is
	if l.asked != "" {
		l.leaveLocked(l.asked)
	}
	for _, c := range l.channels {
		if c.drained {
			l.drainLocked()
			return
		}
	}
}

// onlineLocked has the engine send sessions.
func (l *life) onlineLocked() {
	if l.over.Load() || !l.w.lifecycle.fireLocked(eventOnline) {
		return
	}
	if l.w.launch.Heddle {
		// A failed send ends the channel, which OnClose tells.
		_ = l.channels[0].mux.SendControl(codec.AppendControl(nil, heddle.CtlOnline))
		l.w.standing.talk.online()
	}
	l.w.events.post(l.w.options.OnConnect)
}

// reportOnline passes on the program's word; while connecting, greetLocked does
// that.
func (l *life) reportOnline() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if err := l.overLocked(); err != nil {
		return err
	}
	if ok, _ := l.w.standing.mayOnline(); ok {
		l.onlineLocked()
	}
	return nil
}

// overLocked is ErrClosed when the life has ended; a Worker that was not
// connected yet has it before it.
func (l *life) overLocked() error {
	if l.over.Load() && !l.never {
		return ErrClosed
	}
	return nil
}

// readyLocked lets Connect return.
func (l *life) readyLocked() {
	if !l.greeted {
		l.greeted = true
		close(l.ready)
	}
}

// leave asks the engine to drain this worker, once it is welcomed, and sets the
// time by which it leaves anyway; 0 sets none.
func (l *life) leave(reason string, within time.Duration) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.over.Load() {
		return
	}
	if within > 0 {
		l.armLocked(within)
	}
	switch l.w.lifecycle.current() {
	case StateConnecting:
		l.asked = reason
	case StateGreeted, StateConnected:
		l.leaveLocked(reason)
	}
}

// leaveLocked: a plain runtime cannot be asked, so there the worker serves
// what comes until nothing is open. A worker that is not online has nothing to be
// drained of: it says that it ends.
func (l *life) leaveLocked(reason string) {
	if l.w.lifecycle.current() == StateGreeted {
		l.endSoonLocked(l.channels[0], l.plainCode(), reason)
		return
	}
	l.w.lifecycle.fireLocked(eventLeave)
	if l.w.launch.Heddle {
		_ = l.channels[0].mux.SendControl(codec.AppendReason(nil, heddle.CtlLeaving, reason)) // as for online
		return
	}
	l.endWithLocked(l.channels[0], l.plainCode(), reason)
	l.channels[0].drained = true
	l.w.lifecycle.fireLocked(eventDrain)
	l.w.standing.ending.set(true)
	l.checkLocked()
}

// terminateAbnormal is the v0 code by which a worker has its whole app put aside.
const terminateAbnormal = 2

// plainCode is what a plain runtime takes for a normal end.
func (l *life) plainCode() int64 {
	if l.w.launch.Dialect == heddle.V0 {
		return 1
	}
	return 0
}

// drain is the engine's word that c brings no new session.
func (l *life) drain(c *channel, within time.Duration) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.over.Load() {
		return
	}
	c.drained = true
	l.drainFor = within
	if within <= 0 {
		within = l.w.options.ShutdownTimeout
	}
	l.armLocked(within)
	l.drainLocked()
}

func (l *life) drainLocked() {
	if l.w.lifecycle.fireLocked(eventDrain) {
		l.w.standing.ending.set(true)
		if f, d := l.w.options.OnDrain, l.drainFor; f != nil {
			l.w.events.post(func() { f(d) })
		}
	}
	l.checkLocked()
}

// terminated is the engine's terminate: finish, answer with the same words and
// leave. The v0 code of an abnormal end is not given back: from a worker it would
// keep the whole app from being used (PROTOCOL 2.4).
func (l *life) terminated(c *channel, code int64, reason string) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	answer := code
	if l.w.launch.Dialect == heddle.V0 && code == terminateAbnormal {
		answer = l.plainCode()
	}
	if !l.endSoonLocked(c, answer, reason) {
		return
	}
	l.readyLocked()
	if f := l.w.options.OnTerminate; f != nil {
		l.w.events.post(func() { f(code, reason) })
	}
}

// endSoonLocked has the worker leave with a terminate message when its sessions
// have ended, or their time is over.
func (l *life) endSoonLocked(c *channel, code int64, reason string) bool {
	if l.over.Load() || !l.w.lifecycle.fireLocked(eventTerminate) {
		return false
	}
	l.w.standing.ending.set(true)
	l.endWithLocked(c, code, reason)
	l.armLocked(l.w.options.TerminateTimeout)
	l.checkLocked()
	return true
}

// terminate is ours.
func (l *life) terminate(code int64, reason string) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.over.Load() || l.w.lifecycle.current() == StateConnecting || !l.w.lifecycle.fireLocked(eventTerminate) {
		return ErrClosed
	}
	l.endWithLocked(l.channels[0], code, reason)
	l.endLocked(eventFinish, nil, half)
	return nil
}

// reportBroken is likewise. A worker that is drained or ended is being replaced
// anyway.
func (l *life) reportBroken() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if err := l.overLocked(); err != nil {
		return err
	}
	switch _, broken := l.w.standing.mayOnline(); l.w.lifecycle.current() {
	case StateGreeted, StateConnected, StateLeaving:
		return l.sayBrokenLocked(*broken)
	}
	return nil
}

// sayBrokenLocked tells the engine, once.
func (l *life) sayBrokenLocked(reason string) error {
	if l.broken {
		return nil
	}
	l.broken = true
	return l.channels[0].mux.SendControl(codec.AppendReason(nil, heddle.CtlBroken, reason))
}

// suspend is the engine's word on one channel.
func (l *life) suspend(c *channel) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	c.suspended = true
	l.holdLocked()
}

// resume is the end of suspend. An index of 0 or more is the worker's from now
// on, and is so before it is released.
func (l *life) resume(c *channel, index int) {
	l.w.mu.Lock()
	promoted := false
	if l.w.life == l && index >= 0 {
		promoted = l.w.standing.index.Swap(int64(index)) != int64(index)
	}
	c.suspended = false
	l.holdLocked()
	l.w.mu.Unlock()
	if promoted {
		l.w.log.Info("index changed", "index", index)
	}
}

// holdLocked has work held back while any channel is suspended, and released
// when none is. Before all are there, those that are missing have not been heard:
// then it stays as it was.
func (l *life) holdLocked() {
	if l.w.life != l || l.over.Load() {
		return
	}
	if slices.ContainsFunc(l.channels, func(c *channel) bool { return c.suspended }) {
		l.w.standing.resumed.set(false)
	} else if l.completeLocked() {
		l.w.standing.resumed.set(true)
	}
}

// endWithLocked has the worker leave with a terminate message.
func (l *life) endWithLocked(c *channel, code int64, reason string) {
	l.ending.due, l.ending.on, l.ending.code, l.ending.reason = true, c, code, reason
}

// check leaves if nothing is left to do. Any goroutine, without locks; called
// when the last session of a channel has ended and when no handler runs.
func (l *life) check() {
	switch l.w.lifecycle.current() {
	case StateDraining, StateTerminating:
		l.w.mu.Lock()
		l.checkLocked()
		l.w.mu.Unlock()
	}
}

func (l *life) checkLocked() {
	if l.over.Load() || l.pool.busy() > 0 {
		return
	}
	terminating := l.w.lifecycle.current() == StateTerminating
	for _, c := range l.channels {
		if c.mux != nil && c.mux.Sessions() > 0 || !terminating && !c.drained {
			return
		}
	}
	if p := l.w.standing.talk.settling(); p != nil && !l.flushed {
		if !l.flushing {
			l.flushing = true
			go l.flush(p) // ends within messageGrace
		}
		return
	}
	l.endLocked(eventFinish, nil, half)
}

// armLocked sets the time to leave anyway; an earlier one stays.
func (l *life) armLocked(d time.Duration) {
	at := time.Now().Add(d)
	if l.timer != nil {
		if !at.Before(l.deadline) {
			return
		}
		l.timer.Stop()
	}
	l.deadline = at
	l.timer = time.AfterFunc(d, func() { l.abandon(ErrDeadline) })
}
