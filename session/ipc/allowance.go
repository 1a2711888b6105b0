package ipc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/session"
)

// An allowance is what several streams share, such as the bytes that may wait for one
// peer. Whoever finds too little left waits for what the others give back.
type allowance struct {
	used    atomic.Int64
	waiting atomic.Bool // free is set

	mu   sync.Mutex
	free chan struct{} // closed when something is given back; nil if nobody waits
}

// take takes n, so that no more than most are used, or finds that this cannot be now.
// More than most at once can be had if nothing else is.
func (a *allowance) take(n, most int) bool {
	for {
		used := a.used.Load()
		if used > 0 && used+int64(n) > int64(most) {
			return false
		}
		if a.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// takeOr is take, or returns a channel that says when to try again.
func (a *allowance) takeOr(n, most int) (wait <-chan struct{}) {
	if a.take(n, most) {
		return nil
	}
	a.mu.Lock()
	if a.free == nil {
		a.free = make(chan struct{})
	}
	wait = a.free
	a.waiting.Store(true)
	a.mu.Unlock()
	if a.take(n, most) { // what was given back before waiting was set told nobody
		return nil
	}
	return wait
}

// give gives n back and wakes all that wait: each knows itself what is enough.
func (a *allowance) give(n int) {
	if n == 0 {
		return
	}
	a.used.Add(int64(-n))
	if !a.waiting.Load() {
		return
	}
	a.mu.Lock()
	if a.free != nil {
		close(a.free)
		a.free = nil
	}
	a.waiting.Store(false)
	a.mu.Unlock()
}

// takeFiles waits until n descriptors more may be on their way to the peer.
func (p *Peer) takeFiles(ctx context.Context, m *Message, deadline time.Time) (n int, err error) {
	h := p.hub
	if n = len(m.Files); n == 0 || n > MaxFiles || !p.info.Files {
		return 0, nil // duplicate refuses it
	}
	var late <-chan time.Time
	for {
		wait := p.files.takeOr(n, h.o.PeerFiles)
		if wait == nil {
			if wait = h.files.takeOr(n, h.o.HubFiles); wait == nil {
				return n, nil
			}
			p.files.give(n)
		}
		switch {
		case m.NoWait:
			h.counters.full.Add(1)
			return 0, ErrQueueFull
		case !m.QueueFiles && !p.Ready(m.Namespace) && p.Err() == nil:
			return 0, ErrNotReady
		}
		if late == nil && !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-wait:
		case <-p.done:
			p.mu.RLock()
			defer p.mu.RUnlock()
			return 0, p.goneLocked()
		case <-ctx.Done():
			return 0, fmt.Errorf("ipc: %s: %w", where(p.id, m.Namespace, m.Topic, 0), context.Cause(ctx))
		case <-late:
			return 0, &TimeoutError{Peer: p.id, Namespace: realName(m.Namespace), Topic: m.Topic}
		}
	}
}

// giveFiles gives back what takeFiles has taken for n descriptors.
func (p *Peer) giveFiles(n int) {
	p.files.give(n)
	p.hub.files.give(n)
}

// whenSent calls then once link has sent the data lane up to end, or the peer has gone.
func (p *Peer) whenSent(link session.Link, end int64, then func()) {
	select {
	case <-p.done:
	default:
		if link.Queued() > 0 && link.Written() < end {
			time.AfterFunc(lookEvery, func() { p.whenSent(link, end, then) })
			return
		}
	}
	then()
}

// lookEvery is how often whenSent looks.
const lookEvery = 20 * time.Millisecond

// goneLocked is what those get who want something of a peer that has gone.
func (p *Peer) goneLocked() error {
	if p.err != nil {
		return fmt.Errorf("%w: %w", ErrPeerDied, p.err)
	}
	return ErrPeerDied
}

// takeLocked has the peer's allowances for one more message of at most size bytes, or
// says what to wait for.
func (o *outbound) takeLocked(size int) (wait <-chan struct{}) {
	p, h := o.p, &o.p.hub.o
	if wait = p.messages.takeOr(1, h.PeerMessages); wait != nil {
		return wait
	}
	if wait = p.bytes.takeOr(size, h.PeerBytes); wait != nil {
		p.messages.give(1)
		return wait
	}
	o.messages++
	o.bytes += size
	return nil
}

// giveLocked gives back what the queue has taken and does not hold, or not any more.
func (o *outbound) giveLocked() {
	n, q := len(o.recs)-o.first, len(o.buf)-o.off
	messages, bytes := o.messages-n, o.bytes-q
	o.messages, o.bytes = n, q
	o.p.messages.give(messages)
	o.p.bytes.give(bytes)
}

// retireIdle retires a stream that has nothing and no session, and says whether it did.
func (o *outbound) retireIdle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.s != nil || o.scheduled || len(o.recs) > o.first || len(o.pending) > 0 {
		return false
	}
	o.retired = true
	o.roomLocked()
	if o.age != nil {
		o.age.Stop()
	}
	return true
}
