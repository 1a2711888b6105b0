package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// A Loop is one goroutine and the connections, listeners and timers it owns.
type Loop struct {
	// Immutable after New.
	opt     Options
	log     *slog.Logger
	base    time.Time // the loop's clock counts from here
	poller  *netpoll.Poller
	wakefd  int // eventfd, edge triggered and never read
	timerfd int
	stats   counters
	ctx     context.Context // ends when the loop closes
	cancel  context.CancelFunc
	done    chan struct{} // closed when everything is torn down
	runner  atomic.Uint64 // id of the goroutine that runs or tears down the loop, 0: none

	// Loop goroutine only.
	owner      Owner
	sources    []source // by descriptor
	timers     timerHeap
	alarm      int64   // what the timerfd is armed for, 0: not armed
	touched    []*Conn // to be settled when the callback has returned
	ripe       []int   // descriptors to close at the end of this turn
	doomed     []int   // and of the next: see doom
	ended      bool    // torn down
	running    []task  // taken from tasks: those from the index ran on are still to run
	ran        int
	io         ioScratch
	attachment netpoll.PollAttachment // for registering, used again each time
	turn       uint32                 // number of the current turn
	events     int                    // events of the current turn so far
	crowded    bool                   // the turn before had more than fewEvents: writes wait for the turn's end

	// Any goroutine.
	much      atomic.Bool // a connection that is not blocked has muchQueued
	mu        sync.Mutex
	dirty     []*Conn // have output or an order for the loop
	spare     []*Conn // the other dirty slice, used in turns
	tasks     []task
	handling  bool // an event is being handled: its end looks at dirty and tasks, so nobody needs to wake the loop
	armed     bool // the eventfd has been written and its event not been handled
	started   bool
	closing   bool // Close was called
	closed    bool // tasks are no longer taken
	resolvers sync.WaitGroup
}

// fewEvents is the size of a turn up to which writing at once is cheaper than
// writing the eventfd and waiting for it.
const fewEvents = 2

// muchQueued is how many bytes on one connection are worth a write of their own: they
// do not wait for the end of a turn, nor for the peer to fall behind meanwhile.
const muchQueued = 64 << 10

// flushRounds bounds how often one event's end flushes what flushing itself, or
// other goroutines meanwhile, made dirty. What is left waits for the turn's end, so
// that busy senders cannot keep the loop from reading.
const flushRounds = 3

// A source is a registered descriptor. Events have the poller's bits.
type source interface{ onEvent(events uint32) }

type task struct {
	fn   func()
	conn *Conn // whose task it is, nil: the loop's
}

type counters struct {
	turns, events, wakeups, tasks, reads, writes, bytesRead, bytesWritten atomic.Uint64
	accepted, acceptPauses, refused, dialed, panics                       atomic.Uint64
	conns, timers                                                         atomic.Int64
}

// New returns a loop that does nothing until Run, and has to be closed.
func New(o Options) (_ *Loop, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	quietPoller()
	l := &Loop{opt: o, log: o.Logger, base: time.Now(), wakefd: -1, timerfd: -1, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.io.buf = make([]byte, o.ReadBuffer)
	defer func() {
		if err != nil {
			l.closeOwn()
		}
	}()
	if l.poller, err = netpoll.OpenPoller(); err != nil {
		return nil, fmt.Errorf("loop: %w", err)
	}
	if l.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("loop: %w", os.NewSyscallError("eventfd", err))
	}
	if l.timerfd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("loop: %w", os.NewSyscallError("timerfd_create", err))
	}
	if err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.wakefd}, true); err != nil {
		return nil, fmt.Errorf("loop: %w", err)
	}
	if err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.timerfd}, true); err != nil {
		return nil, fmt.Errorf("loop: %w", err)
	}
	l.setSource(l.timerfd, &timerSource{l})
	return l, nil
}

// Run is the loop: it returns after Close, when every connection has had its
// OnClose and every descriptor is closed. It may be called once.
func (l *Loop) Run() error {
	l.mu.Lock()
	started, closing := l.started, l.closing
	l.started = true
	l.mu.Unlock()
	switch {
	case started:
		return errors.New("loop: Run called again")
	case closing:
		<-l.done
		return nil
	}
	l.runner.Store(goroutineID())
	l.owner.Check()
	err := l.poller.Polling(l.onEvent)
	l.teardown()
	if errors.Is(err, errorx.ErrEngineShutdown) {
		return nil
	}
	return fmt.Errorf("loop: epoll_wait: %w", err)
}

// Close asks Run to return and waits until it has, except on the loop's own
// goroutine. Any goroutine; calling it again waits again.
func (l *Loop) Close() error {
	l.mu.Lock()
	first, started := !l.closing, l.started
	l.closing = true
	if started {
		l.wakeLocked()
	}
	l.mu.Unlock()
	switch {
	case first && !started: // nobody will ever Run it
		l.runner.Store(goroutineID())
		l.teardown()
	case l.runner.Load() != goroutineID():
		<-l.done
	}
	return nil
}

// Do runs fn on the loop soon, never at once. After an error, ErrClosed, fn will
// never run; otherwise it will, at the latest when the loop ends. Any goroutine.
func (l *Loop) Do(fn func()) error { return l.do(task{fn: fn}) }

func (l *Loop) do(t task) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.tasks = append(l.tasks, t)
	if !l.handling {
		l.wakeLocked()
	}
	return nil
}

// enqueue has c looked after at the end of this turn. Any goroutine; c.armed keeps
// a connection from being queued twice.
func (l *Loop) enqueue(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.dirty = append(l.dirty, c)
	if !l.handling {
		l.wakeLocked()
	}
}

// wakeLocked marks the end of a turn: it makes the eventfd report. Needs mu.
func (l *Loop) wakeLocked() {
	if l.armed || l.closed {
		return
	}
	l.armed = true
	l.stats.wakeups.Add(1)
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1) // eventfd(2): added to a counter of 64 bits, which will not overflow
	for {
		if _, err := unix.Write(l.wakefd, one[:]); err != unix.EINTR {
			return
		}
	}
}

// onEvent is the poller's callback, once per event. An error would end the loop.
func (l *Loop) onEvent(fd int, events netpoll.IOEvent, _ netpoll.IOFlags) error {
	l.stats.events.Add(1)
	l.mu.Lock()
	l.handling = true
	woken := fd == l.wakefd
	if woken {
		l.armed = false
	}
	l.mu.Unlock()

	if woken {
		l.endTurn()
		l.closeRipe()
		l.runTasks()
	} else if fd < len(l.sources) && l.sources[fd] != nil {
		s := l.sources[fd]
		if c, ok := s.(*Conn); ok {
			if c.turn == l.turn {
				l.endTurn() // one batch does not name a descriptor twice
			}
			c.turn = l.turn
			l.events++
		}
		s.onEvent(events)
	}
	return l.endEvent(woken || !l.crowded && l.events <= fewEvents || l.much.Load() && l.much.Swap(false))
}

// endEvent does what the callbacks of one event have left to do. flush: write now
// rather than at the end of the turn.
func (l *Loop) endEvent(flush bool) error {
	l.settleTouched()
	for round := 0; flush && round < flushRounds && l.flushDirty(); round++ {
		l.settleTouched()
	}
	l.setAlarm()

	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.dirty) > 0 || len(l.tasks) > 0 || l.ran < len(l.running) || len(l.touched) > 0 || len(l.ripe) > 0 || len(l.doomed) > 0 {
		l.wakeLocked()
	}
	l.handling = false
	if l.closing {
		return errorx.ErrEngineShutdown
	}
	return nil
}

func (l *Loop) endTurn() {
	l.stats.turns.Add(1)
	l.crowded = l.events > fewEvents
	l.events = 0
	l.turn++
}

// flushDirty looks after the connections that are dirty now and reports whether
// there were any.
func (l *Loop) flushDirty() bool {
	l.mu.Lock()
	conns := l.dirty
	if len(conns) == 0 {
		l.mu.Unlock()
		return false
	}
	l.dirty = l.spare[:0]
	l.spare = nil
	l.mu.Unlock()
	for _, c := range conns {
		c.onTurn()
	}
	clear(conns)
	l.mu.Lock()
	l.spare = conns[:0]
	l.mu.Unlock()
	return true
}

// runTasks runs functions given to Do, a bounded number so that reading goes on.
func (l *Loop) runTasks() {
	n := 0
	for ; n < l.opt.TasksPerTurn; n++ {
		if l.ran == len(l.running) {
			clear(l.running)
			l.mu.Lock()
			l.running, l.tasks = l.tasks, l.running[:0]
			l.mu.Unlock()
			if l.ran = 0; len(l.running) == 0 {
				break
			}
		}
		t := l.running[l.ran]
		l.ran++
		l.call(t.conn, "Do", t.fn)
	}
	l.stats.tasks.Add(uint64(n))
}

// touch has c settled once the current callback has returned.
func (l *Loop) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
	}
}

// settleTouched settles connections until none is touched, or a handler seems to
// keep touching for ever.
func (l *Loop) settleTouched() {
	for i := 0; i < len(l.touched) && i < 4096; i++ {
		c := l.touched[i]
		c.touched = false
		l.touched[i] = nil
		c.settle()
	}
	l.touched = slices.DeleteFunc(l.touched, func(c *Conn) bool { return c == nil })
}

func (l *Loop) setSource(fd int, s source) {
	for fd >= len(l.sources) {
		l.sources = append(l.sources, nil)
	}
	l.sources[fd] = s
}

// doom closes fd, which is not registered any more, once no event for it can be
// left. The kernel hands out a batch of events at a time; if fd were closed within
// one, an accept in the same batch could get its number and then its events. So
// close(2) waits for the second end of a turn from now: the first may have been
// reported in the current batch.
func (l *Loop) doom(fd int) {
	if fd < len(l.sources) {
		l.sources[fd] = nil
	}
	l.doomed = append(l.doomed, fd)
}

func (l *Loop) closeRipe() {
	for _, fd := range l.ripe {
		_ = unix.Close(fd)
	}
	l.ripe, l.doomed = l.doomed, l.ripe[:0]
}

// call runs a callback that is no Handler's method. A panic ends c, if there is one.
func (l *Loop) call(c *Conn, what string, fn func()) {
	defer l.caught(c, what)
	fn()
}

// caught is deferred around every callback.
func (l *Loop) caught(c *Conn, what string) {
	r := recover()
	if r == nil {
		return
	}
	l.stats.panics.Add(1)
	attrs := []any{"callback", what, "panic", r, "stack", string(debug.Stack())}
	if c != nil {
		attrs = append(attrs, "remote", c.raddr)
		c.Abort(fmt.Errorf("%w: %v", ErrPanic, r))
	}
	l.log.Error("loop: callback panicked", attrs...)
}

// teardown ends everything that is left: tasks run, connections get their OnClose,
// descriptors are closed.
func (l *Loop) teardown() {
	defer close(l.done)
	l.cancel()
	l.owner.Check()
	l.mu.Lock()
	l.closing, l.closed, l.handling = true, true, true
	l.mu.Unlock()
	for l.ran < len(l.running) || len(l.tasks) > 0 { // tasks does not grow any more
		l.runTasks()
	}
	for fd := 0; fd < len(l.sources); fd++ {
		switch s := l.sources[fd].(type) {
		case *Conn:
			s.finish(ErrClosed)
		case *Listener:
			s.end()
		}
	}
	l.ended = true
	for len(l.timers) > 0 {
		// What is left belongs to connections that never had a descriptor, or to nobody.
		t := l.timers[0]
		t.Stop()
		if t.conn != nil {
			t.conn.finish(ErrClosed)
		}
	}
	l.resolvers.Wait()
	l.closeRipe()
	l.closeRipe()
	l.closeOwn()
}

// closeOwn closes the loop's own descriptors.
func (l *Loop) closeOwn() {
	l.cancel()
	l.mu.Lock() // a late wakeLocked must not write to a number used again
	defer l.mu.Unlock()
	l.closed = true
	if l.wakefd >= 0 {
		_ = unix.Close(l.wakefd)
	}
	if l.timerfd >= 0 {
		_ = unix.Close(l.timerfd)
	}
	if l.poller != nil {
		_ = l.poller.Close()
	}
}

// Stats returns the loop's counters. Any goroutine.
func (l *Loop) Stats() Stats {
	s := &l.stats
	return Stats{
		Turns: s.turns.Load(), Events: s.events.Load(), Wakeups: s.wakeups.Load(), Tasks: s.tasks.Load(),
		Reads: s.reads.Load(), Writes: s.writes.Load(), BytesRead: s.bytesRead.Load(), BytesWritten: s.bytesWritten.Load(),
		Accepted: s.accepted.Load(), AcceptPauses: s.acceptPauses.Load(), Refused: s.refused.Load(), Dialed: s.dialed.Load(), Panics: s.panics.Load(),
		Conns: s.conns.Load(), Timers: s.timers.Load(),
	}
}
