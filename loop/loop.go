// Package loop moves bytes between the kernel's stream sockets and the rooms
// above. It is the only room that knows gnet (its poller) and sockets; it knows
// no message.
//
// # What runs on the loop
//
// A Loop is one goroutine, the one that called Run. It owns its connections,
// listeners and timers and makes every callback: a Handler's methods, timer
// functions, functions given to Do. Callbacks of one loop therefore never
// overlap. None may block: while one runs, every connection of the loop waits. A
// panic in a callback is recovered and logged with its stack; it ends the
// connection it belongs to (ErrPanic), never the loop.
//
// From inside a callback every method of the same or another connection may be
// called. No callback runs inside such a call: what it causes, OnClose included,
// happens after the current callback has returned.
//
// # What may be called from anywhere
//
// Loop: Listen, Dial, Adopt, Do, Close, Stats. Conn: Send, SendControl, SendFiles,
// Queued, Written, CloseWrite, Close, Abort, Reset, Do, SetLowWater, SetLimit, PeerCred
// and the addresses. Everything else is marked "Loop only" and checked under the
// build tag loopcheck.
//
// # How long a slice is lent
//
// OnBytes borrows its slice: it is valid until OnBytes returns. It holds the bytes
// that were kept back before, then the new ones; whatever is not consumed is kept
// and given again with what follows. Send and its sisters copy what they are given,
// so the caller keeps his slices.
//
// # Batches
//
// A Send appends to the connection's outbox. The first one that finds the loop
// asleep wakes it; all that was appended by the end of the turn leaves in one
// write. A turn is one batch of events from the kernel. The poller has no hook at
// its end, so the loop marks it with an eventfd of its own: written during a batch,
// it is reported in a later one. That costs a write and an empty wait, which pays
// only if a batch is large; while batches hold at most two events the loop writes
// as soon as the callback has returned. It learns their size from two facts: the
// eventfd's event ends a turn, and one batch never names a descriptor twice.
//
// # What happens to unsent bytes
//
// Close delivers what was queued before it, as long as the peer takes some of it
// every LingerTimeout; then it half-closes, discards input for at most
// DiscardTimeout or DiscardBytes (closing a TCP socket with unread input would
// send a reset, which can destroy what the peer has not read yet) and closes.
// An error of OnBytes closes so too, but all has to leave within one LingerTimeout:
// such a peer cannot hold the connection by taking a little at a time. CloseWrite
// half-closes once all that was queued before it has left, and aborts when the peer
// takes none of it for LingerTimeout. Abort, a failed write, ErrOverflow and the end of the loop drop unsent bytes. A failed
// write does not end the connection at once: what the peer sent before it left is
// read and delivered first. Written tells how much the kernel took, exactly.
package loop

import (
	"errors"
	"log/slog"
	"os"
	"time"
)

// Options configures a Loop; the zero value works.
type Options struct {
	Logger *slog.Logger // nil: slog.Default()

	ReadBuffer int // bytes read at most at once, shared by all connections; default 128 KiB
	KeepLimit  int // bytes a handler may keep back on one connection; default 64 MiB
	OutLimit   int // bytes queued on one connection before ErrOverflow; default 16 MiB

	LingerTimeout  time.Duration // a closing connection's longest time without progress, in all after an error of OnBytes; default 5 s
	DiscardTimeout time.Duration // how long a closing connection reads input to discard it; default 500 ms
	DiscardBytes   int           // and how much at most; default 256 KiB
	AcceptPause    time.Duration // how long accepting rests when descriptors have run out; default 100 ms

	TasksPerTurn int // functions given to Do that run in one turn at most; default 256
}

func (o Options) withDefaults() (Options, error) {
	if o.ReadBuffer < 0 || o.KeepLimit < 0 || o.OutLimit < 0 || o.DiscardBytes < 0 || o.TasksPerTurn < 0 ||
		o.LingerTimeout < 0 || o.DiscardTimeout < 0 || o.AcceptPause < 0 {
		return o, errors.New("loop: negative value in Options")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.ReadBuffer, 128<<10)
	setDefault(&o.KeepLimit, 64<<20)
	setDefault(&o.OutLimit, 16<<20)
	setDefault(&o.LingerTimeout, 5*time.Second)
	setDefault(&o.DiscardTimeout, 500*time.Millisecond)
	setDefault(&o.DiscardBytes, 256<<10)
	setDefault(&o.AcceptPause, 100*time.Millisecond)
	setDefault(&o.TasksPerTurn, 256)
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// ListenOptions configures a Listener; the zero value works.
type ListenOptions struct {
	Mode     os.FileMode  // of a unix path; default 0600
	Backlog  int          // default 1024; the kernel caps it at net.core.somaxconn
	Deal     func() *Loop // called on the listener's loop for each connection: the loop that gets it; nil: this loop
	MaxConns int          // open connections accepted here; accepting rests at the limit; 0: no limit

	// Refuse resets a connection at once that is one too many, by MaxConns or
	// because no descriptor is left, and logs that; without it, it waits.
	Refuse bool
}

// DialOptions configures one Dial; the zero value works.
type DialOptions struct {
	Timeout time.Duration // default 10 s
}

// A Handler is told what happens on one connection, on the loop's goroutine, and
// must not block. A panic in it ends the connection.
type Handler interface {
	// OnOpen is called once the connection is there, before any byte.
	OnOpen()

	// OnBytes is given input: kept-back bytes first, then new ones. It borrows p,
	// consumes n bytes from the front, and is given the rest again with more
	// behind it. An error is Close(err): what was queued before, a parting error
	// frame say, is still delivered, but within one LingerTimeout in total, however
	// steadily the peer takes it.
	OnBytes(p []byte) (n int, err error)

	// OnEOF is called once, after all input was given, when the peer has
	// half-closed. Bytes kept back then are dropped. Writing may go on.
	OnEOF()

	// OnDrain is called when the outbox went empty, or, with a low-water mark,
	// fell to the mark after having been above it.
	OnDrain()

	// OnClose is the last call and made exactly once, also when a dialled
	// connection never opened. A nil err says that we closed in order. No method
	// has an effect on the connection any more.
	OnClose(err error)
}

// A LeaveHandler is a Handler that wants to hear of a paused peer's leaving.
//
// While a connection is paused its input is not read, so an orderly half-close is
// seen but OnEOF has to wait for Resume, and OnLeave(false) is the only sign.
// OnLeave(true) says that the peer is gone altogether and no answer can reach it:
// the handler may Resume, to be given what the peer sent before it left, or Abort.
//
// A Handler without OnLeave gets OnClose at once when its paused peer is gone; input that was
// not read is dropped.
type LeaveHandler interface {
	Handler
	OnLeave(gone bool)
}
