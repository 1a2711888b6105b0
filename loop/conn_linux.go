package loop

import (
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is one TCP or unix stream connection owned by a Loop. It is small when
// nothing happens: no buffer, no goroutine.
type Conn struct {
	// Immutable.
	loop     *Loop
	listener *Listener // that accepted it, or nil
	unix     bool

	// Loop goroutine only.
	stage     stage
	interest  interest // registered for
	paused    bool
	redeliver bool // Resume: give the kept-back bytes again
	eof       bool // input is at its end
	deaf      bool // closing, and DiscardBytes were discarded: read no more
	halfShut  bool // SHUT_WR is done
	dead      bool // the write side failed with failure; unsent bytes were dropped
	faulted   bool // closing for an error of OnBytes: lingering has a total
	lost      bool // and there were some
	leaving   bool // a paused peer's leaving was told
	gone      bool // and that it is gone altogether
	touched   bool // in the loop's list
	fd        int32
	turn      uint32 // of the last event
	discarded int32  // bytes, since Close
	wrote     uint32 // bytes, both lanes; wraps around
	lingering uint32 // wrote when the linger timer was set
	readMost  int32  // bytes, of one read; 0: what the buffer holds
	handler   Handler
	kept      *segment // bytes kept back, nil: none
	lent      []byte   // given to OnBytes, which is running
	arrived   []int32  // descriptors nobody claimed yet
	timer     *Timer   // linger, discard, or dial
	timers    *Timer   // all running timers of this connection
	dial      *dialing // while connecting
	failure   error    // of the write side

	// Any goroutine: mu guards all but reading flags and the outbox's counters.
	mu           sync.Mutex
	flags        atomic.Uint32
	laddr, raddr net.Addr    // written on the loop only
	cred         *unix.Ucred // of a unix connection's peer, or nil
	cause        error       // given to Close or Abort
	out          outbox
	limit        int // of out, bytes
	lowWater     int // bytes
}

type stage uint8

const (
	stageNew        stage = iota // the task that begins it has not run: orders wait for it
	stageConnecting              // the handler is made
	stageOpen                    // or closing: see flagClose
	stageDead                    // finished or detached
)

const (
	flagShut    = 1 << iota // Send is refused
	flagHalf                // CloseWrite was called
	flagClose               // Close was called: no callback but OnClose any more
	flagAbort               // Abort was called: likewise
	flagDead                // stageDead
	flagArmed               // in the loop's dirty list
	flagBlocked             // output waits for room, or for the connection: no need to tell the loop of more
	flagReset               // with flagAbort: by a reset
	flagAbove               // queued was above lowWater since the last OnDrain
)

func (l *Loop) newConn(fd int, isUnix bool) *Conn {
	c := &Conn{loop: l, fd: int32(fd), unix: isUnix, limit: l.opt.OutLimit}
	c.flags.Store(flagBlocked)
	return c
}

// Send queues head and body, one after the other, as one frame. end is the offset in
// the data lane behind it, which Written reaches when the kernel has taken it all.
// ErrClosed: the connection is closing or cannot be written to any more. ErrOverflow:
// the outbox is full and the connection ends. Any goroutine; copies both.
func (c *Conn) Send(head, body []byte) (end int64, err error) {
	c.mu.Lock()
	kick, err := c.reserveLocked(len(head) + len(body))
	if err == nil {
		c.out.end += int64(len(head) + len(body))
		end = c.out.end
		if len(head)+len(body) > 0 {
			c.out.data.append(head, body)
		}
	}
	c.mu.Unlock()
	if kick {
		c.loop.enqueue(c)
	}
	return end, err
}

// SendControl is Send on the control lane, which leaves before queued data, at a
// frame boundary. Any goroutine; copies p.
func (c *Conn) SendControl(p []byte) error {
	c.mu.Lock()
	kick, err := c.reserveLocked(len(p))
	if err == nil && len(p) > 0 {
		c.out.control.append(p, nil)
	}
	c.mu.Unlock()
	if kick {
		c.loop.enqueue(c)
	}
	return err
}

// reserveLocked accounts for n bytes the caller is about to append. kick: he has to
// give c to Loop.enqueue when he has let go of mu.
func (c *Conn) reserveLocked(n int) (kick bool, err error) {
	f := c.flags.Load()
	if f&flagShut != 0 {
		return false, ErrClosed
	}
	queued := int(c.out.queued.Load()) + n
	if queued > c.limit {
		c.cause = ErrOverflow
		c.flags.Or(flagShut | flagAbort)
		return c.armLocked(), ErrOverflow
	}
	if n == 0 {
		return false, nil
	}
	c.out.queued.Store(int64(queued))
	if queued > c.lowWater && f&flagAbove == 0 {
		c.flags.Or(flagAbove)
	}
	if f&flagBlocked != 0 {
		return false, nil
	}
	if queued >= muchQueued {
		c.loop.much.Store(true)
	}
	return c.armLocked(), nil
}

func (c *Conn) armLocked() bool {
	return c.flags.Or(flagArmed)&flagArmed == 0
}

// Queued returns the bytes in the outbox that write(2) has not accepted. Any goroutine.
func (c *Conn) Queued() int { return int(c.out.queued.Load()) }

// Written returns how many bytes of the data lane write(2) has accepted since the
// start; compare it with Send's end. A frame that OnRefuse gave back counts as
// written. Any goroutine.
func (c *Conn) Written() int64 { return c.out.written.Load() }

// Pause stops reading. What the peer may still send is what the socket's buffers
// hold. See LeaveHandler for its leaving. Loop only.
func (c *Conn) Pause() {
	c.loop.owner.Check()
	if !c.paused {
		c.paused = true
		c.loop.touch(c)
	}
}

// Resume goes on reading, after giving kept-back bytes to OnBytes again. Loop only.
func (c *Conn) Resume() {
	c.loop.owner.Check()
	if c.paused {
		c.paused = false
		c.leaving, c.gone = false, false
		c.redeliver = true
		c.loop.touch(c)
	}
}

// SetReadLimit has one read take at most n bytes, from the next one on; 0, or less: as
// many as the buffer holds. Who can deal with no more leaves the rest to the kernel,
// which stops the peer in the end. Bytes that were kept back are given again however
// many they are. Loop only.
func (c *Conn) SetReadLimit(n int) {
	c.loop.owner.Check()
	c.readMost = int32(min(max(n, 0), math.MaxInt32))
}

// CloseWrite half-closes once all that was queued has left; sending more is refused.
// The connection ends when the peer has half-closed too, and is aborted with ErrLinger
// when it has taken nothing of what is queued for LingerTimeout. Any goroutine.
func (c *Conn) CloseWrite() { c.order(flagHalf, nil) }

// Close ends the connection in order: what was queued is delivered if the peer
// takes it, within LingerTimeout without progress. No callback comes any more but
// OnClose(err). Any goroutine; only the first Close counts.
func (c *Conn) Close(err error) { c.order(flagClose, err) }

// Abort ends the connection at once; unsent bytes are dropped. OnClose gets err,
// ErrClosed if that is nil. Any goroutine.
func (c *Conn) Abort(err error) {
	if err == nil {
		err = ErrClosed
	}
	c.order(flagAbort, err)
}

// Reset is Abort in a way that a TCP peer cannot take for an orderly end; what
// the kernel has not delivered yet is dropped too. Any goroutine.
func (c *Conn) Reset(err error) {
	if err == nil {
		err = ErrClosed
	}
	c.order(flagAbort|flagReset, err)
}

func (c *Conn) order(flag uint32, err error) {
	c.mu.Lock()
	f := c.flags.Load()
	if f&(flagDead|flagAbort|flag) != 0 || flag == flagHalf && f&flagClose != 0 {
		c.mu.Unlock()
		return
	}
	c.flags.Or(flag | flagShut)
	if flag != flagHalf {
		c.cause = err
	}
	kick := c.armLocked()
	c.mu.Unlock()
	if kick {
		c.loop.enqueue(c)
	}
}

// After runs fn on the loop after d, unless stopped or the connection has ended
// before. Both After and stop are loop only.
func (c *Conn) After(d time.Duration, fn func()) (stop func()) {
	t := c.newTimer(d, fn)
	return func() { t.Stop() }
}

func (c *Conn) newTimer(d time.Duration, fn func()) *Timer {
	c.loop.owner.Check()
	t := &Timer{loop: c.loop, conn: c, fn: fn, index: -1}
	t.Reset(d)
	return t
}

// Do is Loop.Do with a panic ending this connection; ErrClosed also if it has ended.
// fn may still run after OnClose. Any goroutine.
func (c *Conn) Do(fn func()) error {
	if c.flags.Load()&flagDead != 0 {
		return ErrClosed
	}
	return c.loop.do(task{fn, c})
}

// PeerCred returns who the peer of a unix connection was when it connected or
// listened. Any goroutine, from OnOpen on.
func (c *Conn) PeerCred() (pid, uid, gid int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cred == nil {
		return 0, 0, 0, ErrUnsupported
	}
	return int(c.cred.Pid), int(c.cred.Uid), int(c.cred.Gid), nil
}

// LocalAddr returns our address, also after the end; nil before a dialled connection opened.
func (c *Conn) LocalAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.laddr
}

// RemoteAddr returns the peer's address, also after the end.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raddr
}

func (c *Conn) setAddrs(local, remote net.Addr) {
	c.mu.Lock()
	c.laddr, c.raddr = local, remote
	c.mu.Unlock()
}

// Loop returns the loop that owns c.
func (c *Conn) Loop() *Loop { return c.loop }

// SetLowWater sets the bytes queued at which OnDrain is called after there have been
// more; default 0. Any goroutine.
func (c *Conn) SetLowWater(n int) {
	c.mu.Lock()
	c.lowWater = n
	c.mu.Unlock()
}

// SetLimit sets how many bytes may be queued before ErrOverflow; default
// Options.OutLimit. Any goroutine.
func (c *Conn) SetLimit(n int) {
	c.mu.Lock()
	c.limit = n
	c.mu.Unlock()
}

// open makes c's descriptor, connected and non-blocking, a source of events.
func (c *Conn) open() {
	l := c.loop
	c.stage = stageOpen
	if c.unix {
		if u, err := unix.GetsockoptUcred(int(c.fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			c.mu.Lock()
			c.cred = u
			c.mu.Unlock()
		}
	}
	l.setSource(int(c.fd), c)
	c.turn = l.turn - 1
	c.flags.And(^uint32(flagBlocked))
	if c.telling() {
		c.callOpen()
	}
	c.mu.Lock()
	kick := c.flags.Load()&(flagShut) != 0 || c.out.queued.Load() > 0
	kick = kick && c.armLocked()
	c.mu.Unlock()
	if kick {
		l.enqueue(c)
	}
	l.touch(c)
}

// telling says whether the handler still wants to hear of anything but the end.
func (c *Conn) telling() bool {
	return c.stage == stageOpen && c.flags.Load()&(flagClose|flagAbort) == 0
}

func (c *Conn) callOpen() {
	defer c.loop.caught(c, "OnOpen")
	c.handler.OnOpen()
}

func (c *Conn) callBytes(p []byte) (int, error) {
	defer c.loop.caught(c, "OnBytes")
	return c.handler.OnBytes(p)
}

func (c *Conn) callEOF() {
	defer c.loop.caught(c, "OnEOF")
	c.handler.OnEOF()
}

func (c *Conn) callDrain() {
	defer c.loop.caught(c, "OnDrain")
	c.handler.OnDrain()
}

func (c *Conn) callClose(err error) {
	defer c.loop.caught(c, "OnClose")
	c.handler.OnClose(err)
}

func (c *Conn) callLeave(h LeaveHandler, gone bool) {
	defer c.loop.caught(c, "OnLeave")
	h.OnLeave(gone)
}

func (c *Conn) callRefuse(h RefuseHandler, frame []byte, err error) {
	defer c.loop.caught(c, "OnRefuse")
	h.OnRefuse(frame, err)
}

// makeHandler asks for c's handler. A panic or nil leaves none.
func (c *Conn) makeHandler(h func(*Conn) Handler) bool {
	defer c.loop.caught(c, "handler maker")
	c.handler = h(c)
	return c.handler != nil
}

// release makes c take no more orders, releases what it holds but its descriptor, and
// takes it out of the loop. What OnBytes is borrowing, deliver releases.
func (c *Conn) release() {
	l := c.loop
	c.stage = stageDead
	c.mu.Lock()
	c.flags.Or(flagShut | flagDead)
	files := c.out.drop()
	c.mu.Unlock()
	closeAll(files)
	closeAll(c.arrived)
	c.arrived = nil
	if c.lent == nil {
		c.keep(nil)
	}
	for c.timers != nil {
		c.timers.Stop()
	}
	c.timer = nil
	if c.fd >= 0 {
		_ = c.register(interestNone)
		if c.flags.Load()&flagReset != 0 && !c.unix {
			_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // socket(7)
		}
		l.doom(int(c.fd))
		c.fd = -1
	}
	if c.dial != nil {
		c.dial.cancel()
		c.dial = nil
	}
	if c.listener != nil {
		c.listener.left()
	}
	l.stats.conns.Add(-1)
}

// finish ends c now. It is never called from within one of c's callbacks.
func (c *Conn) finish(err error) {
	if c.stage == stageDead {
		return
	}
	c.release()
	if c.handler != nil {
		c.callClose(err)
	}
}

// register changes what c's descriptor is registered for.
func (c *Conn) register(to interest) error {
	l := c.loop
	l.attachment.FD = int(c.fd)
	err := change(l.poller, &l.attachment, c.interest, to)
	if err != nil {
		// Whether the old registration is still there is not known; drop it for good.
		_ = l.poller.Delete(int(c.fd))
		to = interestNone
	}
	c.interest = to
	return err
}

// Detach takes c out of the loop and returns it as an ordinary connection with the
// input that was not consumed; within OnBytes that is all OnBytes was given. No
// callback comes any more, not even OnClose. ErrBusy: not open, or output is queued.
// Loop only.
func (c *Conn) Detach() (nc net.Conn, unread []byte, err error) {
	c.loop.owner.Check()
	c.mu.Lock()
	busy := c.stage != stageOpen || c.out.queued.Load() > 0 || c.flags.Load()&flagShut != 0
	if !busy {
		c.flags.Or(flagShut)
	}
	c.mu.Unlock()
	if busy {
		return nil, nil, ErrBusy
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		f := os.NewFile(uintptr(fd), "detached") // non-blocking already, so Close cannot wait
		nc, err = net.FileConn(f)
		_ = f.Close()
	}
	if err != nil {
		c.mu.Lock()
		c.flags.And(^uint32(flagShut))
		c.mu.Unlock()
		return nil, nil, err
	}
	switch {
	case c.lent != nil:
		unread = append([]byte(nil), c.lent...)
	case c.kept != nil:
		unread = append([]byte(nil), c.kept.unread()...)
	}
	c.release()
	return nc, unread, nil
}
