// Package sessiontest gives two ends of a channel in memory, so that whatever
// stands on session can be tested without sockets and inside the bubbles of
// testing/synctest: no file descriptor, no package-level goroutine, and timers
// are package time's.
package sessiontest

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// ErrClosed reports a send on an end that was closed.
var ErrClosed = errors.New("sessiontest: end closed")

// ErrOverflow is what an end is closed with when its outbox passes Limit.
var ErrOverflow = errors.New("sessiontest: outbox over its limit")

// Limit is how many bytes an outbox may hold, as on a real channel.
const Limit = 16 << 20

// Piece is how many bytes an end takes from its peer at a time at most, the
// size of a real loop's read buffer.
const Piece = 128 << 10

// Pipe returns two connected ends. They are closed, and their goroutines have
// ended, before the test is over.
func Pipe(t testing.TB) (a, b *End) {
	a, b = New()
	t.Cleanup(func() {
		a.Abort(nil)
		b.Abort(nil)
		a.Wait()
		b.Wait()
	})
	return a, b
}

// New returns two connected ends that the caller must Start and, in the end,
// Close or Abort.
func New() (a, b *End) {
	a, b = newEnd(), newEnd()
	a.peer, b.peer = b, a
	return a, b
}

// An End is one side of the pipe, a session.Link. Its goroutine is the loop
// that calls the handler given to Start.
type End struct {
	peer *End
	done chan struct{} // closed when the goroutine has ended

	// Its own goroutine only.
	handler loop.Handler
	kept    []byte // bytes that OnBytes left
	eofTold bool

	queued  atomic.Int64
	written atomic.Int64

	mu      sync.Mutex // never held together with the peer's
	wake    *sync.Cond
	tasks   []func()
	data    []byte // the data lane
	control []byte // the control lane
	inbox   []byte // what the peer has sent
	files   [][]*os.File
	arrived []*os.File
	started bool
	stalled bool
	paused  bool
	halfTx  bool // CloseWrite: half-close once the outbox is empty
	sentFin bool
	fin     bool // the peer half-closed
	closing bool // Close or Abort was called
	abort   bool
	reason  error
	peerEnd bool // the peer is gone
	ended   bool
	roomDue bool // OnDrain is owed once the outbox is low
}

var _ session.Link = (*End)(nil)

func newEnd() *End {
	e := &End{done: make(chan struct{})}
	e.wake = sync.NewCond(&e.mu)
	return e
}

// Start begins to call h, on a goroutine that ends when the end is closed.
func (e *End) Start(h loop.Handler) {
	e.mu.Lock()
	e.started = true
	e.mu.Unlock()
	e.handler = h
	go e.run()
}

// Wait returns when the end's goroutine has ended; at once if it was never
// started.
func (e *End) Wait() {
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	if started {
		<-e.done
	}
}

// Stall holds back everything this end sends, as a full socket would, until
// Stall(false).
func (e *End) Stall(on bool) {
	e.mu.Lock()
	e.stalled = on
	e.wake.Signal()
	e.mu.Unlock()
}

// run is the end's loop. It stops when the end is closed, by either side.
func (e *End) run() {
	defer close(e.done)
	e.handler.OnOpen()
	for {
		e.mu.Lock()
		for !e.readyLocked() {
			e.wake.Wait()
		}
		tasks := e.tasks
		e.tasks = nil
		e.mu.Unlock()
		for _, f := range tasks {
			f()
		}
		e.flush()
		e.read()
		if e.finish() {
			return
		}
	}
}

// readyLocked says whether a turn of the loop would do anything.
func (e *End) readyLocked() bool {
	out := len(e.data)+len(e.control) > 0
	switch {
	case len(e.tasks) > 0, e.abort, e.closing && e.peerEnd:
		return true
	case !e.stalled && (out || e.closing || e.halfTx && !e.sentFin || e.roomDue):
		return true
	case !e.paused && (len(e.inbox) > 0 || (e.fin || e.peerEnd) && !e.eofTold):
		return true
	}
	return e.peerEnd && e.eofTold
}

// flush gives the peer what is in the outbox, control first.
func (e *End) flush() {
	e.mu.Lock()
	if e.stalled || e.abort {
		e.mu.Unlock()
		return
	}
	control, data, files := e.control, e.data, e.files
	e.control, e.data, e.files = nil, nil, nil
	n := len(control) + len(data)
	e.queued.Add(-int64(n))
	e.written.Add(int64(len(data)))
	room := e.roomDue
	e.roomDue = false
	fin := e.halfTx && !e.sentFin
	e.sentFin = e.sentFin || fin
	e.mu.Unlock()
	if n > 0 || fin {
		e.peer.deliver(control, data, files, fin)
	}
	if room {
		e.handler.OnDrain()
	}
}

// deliver is called by the peer.
func (e *End) deliver(control, data []byte, files [][]*os.File, fin bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fs := range files {
		e.arrived = append(e.arrived, fs...)
	}
	if e.ended || e.closing {
		closeAll(e.arrived)
		e.arrived = nil
		return
	}
	e.inbox = append(append(e.inbox, control...), data...)
	e.fin = e.fin || fin
	e.wake.Signal()
}

// read hands what has arrived to the handler.
func (e *End) read() {
	for {
		e.mu.Lock()
		if e.paused || e.abort || e.closing {
			e.mu.Unlock()
			return
		}
		n := min(len(e.inbox), Piece)
		piece := e.inbox[:n:n]
		e.inbox = e.inbox[n:]
		eof := n == 0 && (e.fin || e.peerEnd)
		e.mu.Unlock()
		if n == 0 {
			if eof && !e.eofTold {
				e.eofTold = true
				e.kept = nil
				e.handler.OnEOF()
			}
			return
		}
		e.kept = append(e.kept, piece...)
		k, err := e.handler.OnBytes(e.kept)
		e.kept = append(e.kept[:0:0], e.kept[k:]...)
		if err != nil {
			e.Close(err) // what was sent before still leaves, as on a real channel
			return
		}
	}
}

// finish ends the loop if the end was closed, or the peer is gone and all it
// sent was read.
func (e *End) finish() bool {
	e.mu.Lock()
	left := len(e.data) + len(e.control)
	over := e.abort || e.closing && (left == 0 || e.peerEnd) || e.peerEnd && e.eofTold
	if !over {
		e.mu.Unlock()
		return false
	}
	if !e.closing && e.reason == nil {
		e.reason = io.EOF
	}
	e.ended, e.closing = true, true
	err := e.reason
	closeAll(e.arrived)
	for _, fs := range e.files {
		closeAll(fs)
	}
	e.arrived, e.files, e.data, e.control, e.tasks = nil, nil, nil, nil, nil
	e.mu.Unlock()

	e.peer.mu.Lock()
	e.peer.peerEnd = true
	e.peer.wake.Signal()
	e.peer.mu.Unlock()
	e.handler.OnClose(err)
	return true
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// Send implements session.Link.
func (e *End) Send(head, body []byte) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.roomLocked(len(head) + len(body)); err != nil {
		return 0, err
	}
	e.data = append(append(e.data, head...), body...)
	return e.written.Load() + int64(len(e.data)), nil
}

// SendControl implements session.Link.
func (e *End) SendControl(frame []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.roomLocked(len(frame)); err != nil {
		return err
	}
	e.control = append(e.control, frame...)
	return nil
}

// SendFiles implements session.Link; the files are duplicated.
func (e *End) SendFiles(frame []byte, files []*os.File) error {
	var dups []*os.File
	for _, f := range files {
		d, err := duplicate(f)
		if err != nil {
			closeAll(dups)
			return err
		}
		dups = append(dups, d)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.roomLocked(len(frame)); err != nil {
		closeAll(dups)
		return err
	}
	e.data = append(e.data, frame...)
	e.files = append(e.files, dups)
	return nil
}

// roomLocked counts n bytes into the outbox, or says why not.
func (e *End) roomLocked(n int) error {
	if e.closing || e.halfTx || e.peerEnd {
		return ErrClosed
	}
	q := e.queued.Add(int64(n))
	if q > Limit {
		e.closing, e.abort, e.reason = true, true, ErrOverflow
		e.wake.Signal()
		return ErrOverflow
	}
	if q >= session.HighWater {
		e.roomDue = true
	}
	e.wake.Signal()
	return nil
}

// TakeFiles implements session.Link.
func (e *End) TakeFiles(n int) ([]*os.File, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n > len(e.arrived) {
		return nil, errors.New("sessiontest: fewer descriptors arrived than announced")
	}
	fs := e.arrived[:n:n]
	e.arrived = e.arrived[n:]
	return fs, nil
}

// Queued implements session.Link.
func (e *End) Queued() int { return int(e.queued.Load()) }

// Written implements session.Link.
func (e *End) Written() int64 { return e.written.Load() }

// Pause implements session.Link.
func (e *End) Pause() { e.pause(true) }

// Resume implements session.Link.
func (e *End) Resume() { e.pause(false) }

func (e *End) pause(on bool) {
	e.mu.Lock()
	e.paused = on
	e.wake.Signal()
	e.mu.Unlock()
}

// CloseWrite implements session.Link.
func (e *End) CloseWrite() {
	e.mu.Lock()
	e.halfTx = true
	e.wake.Signal()
	e.mu.Unlock()
}

// Close implements session.Link.
func (e *End) Close(err error) { e.end(err, false) }

// Abort implements session.Link.
func (e *End) Abort(err error) { e.end(err, true) }

func (e *End) end(err error, abort bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closing {
		e.closing, e.reason = true, err
	}
	e.abort = e.abort || abort
	e.wake.Signal()
}

// After implements session.Link; the timer is package time's.
func (e *End) After(d time.Duration, fn func()) (stop func()) {
	t := time.AfterFunc(d, func() { _ = e.Do(fn) })
	return func() { t.Stop() }
}

// Do implements session.Link.
func (e *End) Do(fn func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return ErrClosed
	}
	e.tasks = append(e.tasks, fn)
	e.wake.Signal()
	return nil
}
