package loop

import (
	"container/heap"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Timer calls a function on the loop once its time has come. All its methods are
// loop only.
type Timer struct {
	loop *Loop
	conn *Conn // whose timer it is, nil: the loop's
	fn   func()

	when   int64 // ns since the loop's base: due then
	placed int64 // its key in the heap: when, or earlier if Reset moved it on
	index  int   // in the heap, -1: not running

	next, prev *Timer // in conn's list while running
}

// After runs fn on the loop after d. Loop only.
func (l *Loop) After(d time.Duration, fn func()) *Timer {
	l.owner.Check()
	t := &Timer{loop: l, fn: fn, index: -1}
	t.Reset(d)
	return t
}

// Stop keeps t from firing and reports whether it was going to.
func (t *Timer) Stop() bool {
	t.loop.owner.Check()
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.loop.timers, t.index)
	t.unlink()
	t.loop.stats.timers.Add(-1)
	return true
}

// Reset lets t fire after d from now, whether it was running or not. Moving a
// running timer to a later time costs a field write, so a time-out may be renewed
// with every message.
func (t *Timer) Reset(d time.Duration) {
	l := t.loop
	l.owner.Check()
	t.when = l.now() + int64(max(d, 0))
	switch {
	case l.ended || t.conn != nil && t.conn.stage == stageDead:
		t.Stop() // nobody to call any more
	case t.index < 0:
		t.placed = t.when
		heap.Push(&l.timers, t)
		t.link()
		l.stats.timers.Add(1)
	case t.when < t.placed:
		t.placed = t.when
		heap.Fix(&l.timers, t.index)
	}
}

func (t *Timer) link() {
	if t.conn == nil {
		return
	}
	t.next = t.conn.timers
	if t.next != nil {
		t.next.prev = t
	}
	t.conn.timers = t
}

func (t *Timer) unlink() {
	if t.conn == nil {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		t.conn.timers = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
}

// timerSource is the loop's timerfd as a source of events. It is registered edge
// triggered: each expiry is one event and nothing has to be read.
type timerSource struct{ loop *Loop }

func (s *timerSource) onEvent(uint32) {
	l := s.loop
	l.alarm = 0
	now := l.now()
	// A function may start timers that are due at once; they wait for the next event.
	for n := len(l.timers); n > 0 && len(l.timers) > 0; n-- {
		t := l.timers[0]
		if t.placed > now {
			break
		}
		if t.when > now { // moved on by Reset
			t.placed = t.when
			heap.Fix(&l.timers, 0)
			continue
		}
		t.Stop()
		l.call(t.conn, "timer", t.fn)
	}
}

// setAlarm arms the timerfd for the earliest timer. An alarm that comes too early
// does no harm, so a stopped timer does not move it.
func (l *Loop) setAlarm() {
	if len(l.timers) == 0 {
		return
	}
	when := l.timers[0].placed
	if l.alarm != 0 && l.alarm <= when {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(when-l.now(), 1))} // 0 would disarm it
	if err := unix.TimerfdSettime(l.timerfd, 0, &spec, nil); err != nil {
		l.log.Error("loop: timer", "err", os.NewSyscallError("timerfd_settime", err))
		return
	}
	l.alarm = when
}

// now is the loop's clock: nanoseconds since its base, never 0 or less.
func (l *Loop) now() int64 { return int64(time.Since(l.base)) + 1 }

// timerHeap orders timers by placed; it implements heap.Interface.
type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].placed < h[j].placed }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
