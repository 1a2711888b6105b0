package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// How many connections may be open that have not greeted: those of strangers,
// and all together.
const (
	maxStrangers = 64
	maxPending   = 1024
)

// features are what a worker must offer; both ends of an engine's channel are
// Heddle's, so nothing less is worth supporting.
var features = [...]string{"window", "cancel", "files", "info", "trailers", "gone"}

// errTwice ends a channel that greets again. Whoever is refused sees its
// connection closed; the reason is logged.
var errTwice = errors.New("second handshake on a channel")

// A channel is one accepted connection: a stranger's until its handshake was
// checked, then one of a worker's channels.
type channel struct {
	// Immutable after newChannel.
	e    *Engine
	lane *lane
	link session.Link
	cred func() (pid, uid int, err error) // of the peer
	uid  int                              // who may connect
	mux  *session.Mux

	// Loop goroutine only.
	pid      int    // of the peer
	beaten   bool   // a heartbeat has come
	kin      *child // in whose process group the peer is; nil: a stranger
	greeted  bool
	knocking bool // counted in kin's knocks
	pending  bool // counted in the engine's pending connections
	stranger bool // and in its strangers
	stop     func()
	mate     *ipc.Peer // the worker's, if messages go over this channel

	child  atomic.Pointer[child] // whose channel it is; nil until admitted
	beat   atomic.Int64          // when the last heartbeat came, since the engine's base
	closed atomic.Bool
}

// newChannel returns the handler of a connection that a lane accepted, where the
// user uid may connect.
func newChannel(e *Engine, l *lane, link session.Link, uid int, cred func() (pid, uid int, err error)) loop.Handler {
	ch := &channel{e: e, lane: l, link: link, uid: uid, cred: cred, stop: func() {}}
	o := session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Detect: true},
		Accept:         ch.accept,
		Control:        ch,
		Window:         e.opt.Window,
		OnEnd:          ch.onEnd,
		Budget:         &e.budgets[l.index],
		Logger:         e.log,
	}
	if e.opt.Dialect.foreign() {
		o.Dialect, o.TraceHeaders, o.Strict = e.opt.Dialect.wire(), true, true
		o.OnIdle = ch.onIdle
	}
	ch.mux = session.NewMux(link, o)
	return handler{ch.mux, e}
}

// A handler is a channel's Mux that also lets waiting requests go when there
// is room in the outbox again.
type handler struct {
	*session.Mux
	e *Engine
}

func (h handler) OnDrain() {
	h.Mux.OnDrain()
	h.e.queue.release()
}

// room is how many sessions the channel has, and whether it may have one more.
func (ch *channel) room() (load int, ok bool) {
	load = ch.mux.Load()
	limit := ch.e.opt.Concurrency
	return load, (limit == 0 || load < limit) && ch.link.Queued() < session.HighWater
}

// OnConnect begins the wait for the handshake. Nobody but the workers' user may
// connect, and few at a time who belong to no worker.
func (ch *channel) OnConnect(m *session.Mux) {
	pid, uid, err := ch.cred()
	switch {
	case err != nil:
		m.Abort(err)
		return
	case uid != ch.uid:
		m.Abort(fmt.Errorf("user %d, and this is for user %d", uid, ch.uid))
		return
	}
	ch.pid = pid
	ch.pending = true
	n := ch.e.pending.Add(1)
	ch.kin = ch.e.member(pid)
	switch {
	case ch.kin != nil:
		ch.knock(1)
	case ch.e.starting(func() { _ = ch.link.Do(ch.recognize) }): // it may be the process that is being started; an error: the loop has ended
	default:
		ch.stranger = true
		if ch.e.strangers.Add(1) > maxStrangers {
			m.Abort(fmt.Errorf("%d others have not greeted yet", maxStrangers))
			return
		}
	}
	if n > maxPending {
		m.Abort(fmt.Errorf("%d others have not greeted yet", maxPending))
		return
	}
	timeout := ch.e.opt.HandshakeTimeout
	ch.stop = ch.link.After(timeout, func() {
		m.Abort(fmt.Errorf("no handshake within %v", timeout))
	})
}

// recognize looks again whose process the peer is, once more of them are known.
// Loop only.
func (ch *channel) recognize() {
	if ch.pending && ch.kin == nil && !ch.closed.Load() {
		ch.kin = ch.e.member(ch.pid)
		ch.knock(1)
	}
}

// knock tells the child whose process group the peer is in of a connection that
// is not its channel yet, n = 1, or not any more, n = -1.
func (ch *channel) knock(n int) {
	if ch.kin == nil || ch.knocking == (n > 0) {
		return
	}
	ch.knocking = n > 0
	ch.kin.tell(func(f *facts) { f.knocks += n })
}

// OnHandshake checks who it is. A worker may be faster than the return of the
// call that started it; its handshake is then looked at when its pid is known.
func (ch *channel) OnHandshake(m *session.Mux, uuid []byte, offer *heddle.Offer) error {
	if ch.greeted {
		return errTwice
	}
	ch.greeted = true
	c := ch.e.find(string(uuid))
	if c == nil {
		return fmt.Errorf("no live worker has the id %.64q", uuid)
	}
	number, able := offer.Channel, offers(offer, featureIPC)
	if c.foreign {
		number = uint64(ch.lane.index)
		if err := ch.e.opt.Dialect.matches(m.Dialect()); err != nil {
			c.reject(ch.pid, err)
			return err
		}
	} else if err := supports(offer); err != nil {
		c.hint(err.Error())
		return err
	}
	if c.started(func() {
		_ = ch.link.Do(func() { ch.admit(m, c, number, able) }) // an error: the loop has ended, and the channel with it
	}) {
		ch.admit(m, c, number, able)
	}
	return nil
}

// supports says whether a worker can do what the engine needs.
func supports(offer *heddle.Offer) error {
	if len(offer.Features) == 0 {
		return fmt.Errorf("worker speaks Cocaine's plain protocol: %w without a dialect (heddle run --dialect v0 or v1)", errors.ErrUnsupported)
	}
	for _, f := range features {
		if offers(offer, f) {
			continue
		}
		return fmt.Errorf("worker's Heddle (version %.32q) lacks %q: build it with this engine's version: %w", offer.Version, f, errors.ErrUnsupported)
	}
	return nil
}

func offers(offer *heddle.Offer, feature string) bool {
	return slices.ContainsFunc(offer.Features, func(f heddle.Raw) bool { return string(f) == feature })
}

// admit makes the connection c's channel of this lane, or ends it. Loop only.
func (ch *channel) admit(m *session.Mux, c *child, number uint64, able bool) {
	if ch.closed.Load() {
		return
	}
	if err := c.admit(ch, number); err != nil {
		c.hint(err.Error())
		m.Abort(err)
		return
	}
	ch.settle()
	ch.beat.Store(ch.e.now())
	ch.child.Store(c)
	m.SetTag(c.g.origin)
	if c.foreign {
		online := ch.beaten || ch.e.opt.Dialect == DialectV1
		c.tell(func(f *facts) {
			f.greeted++
			f.online = online
		})
		ch.knock(-1)
		return
	}
	sessions := ch.e.opt.Concurrency
	if sessions == 0 {
		sessions = session.DefaultMaxSessions
	}
	m.Agree(ch.e.opt.Window, sessions)
	if err := m.Send(codec.AppendWelcome(nil, ch.e.welcome(c, able))); err != nil {
		m.Abort(err)
		return
	}
	if c.plain != nil {
		if _, drained := c.wishes(); drained {
			_ = m.Drain(c.drainFrame()) // an error: the channel has ended
		}
	}
	ch.attach(c, able)
	c.tell(func(f *facts) { f.greeted++ })
	ch.knock(-1)
}

// settle takes the connection out of those that have not greeted.
func (ch *channel) settle() {
	ch.stop()
	if ch.pending {
		ch.pending = false
		ch.e.pending.Add(-1)
	}
	if ch.stranger {
		ch.stranger = false
		ch.e.strangers.Add(-1)
	}
}

// OnHeartbeat answers at once.
func (ch *channel) OnHeartbeat(m *session.Mux) {
	if !ch.greeted {
		m.Abort(errors.New("heartbeat before the handshake"))
		return
	}
	ch.beat.Store(ch.e.now())
	_ = m.SendControl(codec.AppendHeartbeat(nil, m.Dialect())) // a closed channel is told by OnClose
	if !ch.beaten {
		ch.beaten = true
		if c := ch.child.Load(); c != nil && c.foreign {
			c.tell(func(f *facts) { f.online = true })
		}
	}
}

// OnTerminate: the worker leaves.
func (ch *channel) OnTerminate(m *session.Mux, code int64, reason []byte) {
	c := ch.child.Load()
	if c == nil {
		m.Abort(errors.New("terminate before the handshake"))
		return
	}
	text := clip(reason)
	c.tell(func(f *facts) {
		if f.ended == "" {
			f.ended = fmt.Sprintf("said terminate (%d, %q)", code, text)
			f.unfit = c.foreign && c.e.opt.Dialect == DialectV0 && code == terminateAbnormal
		}
	})
}

// OnControl hears online, broken and leaving.
func (ch *channel) OnControl(m *session.Mux, id uint64, args []byte) error {
	c := ch.child.Load()
	if c == nil {
		return fmt.Errorf("message %d before the welcome", id)
	}
	if c.foreign {
		return fmt.Errorf("%w: a worker does not send message %d on channel 1", session.ErrProtocol, id)
	}
	switch id {
	case heddle.CtlOnline:
		if ch.lane.index != 0 || !c.complete() {
			return fmt.Errorf("%w: online before the welcome of every channel", session.ErrProtocol)
		}
		again := false
		c.tell(func(f *facts) {
			again = f.online && !f.again
			f.again = f.online
			f.online = true
			f.waits = false
		})
		if again {
			c.logger().Warn("engine: worker says once more that it is online, which changes nothing")
		}
	case heddle.CtlBroken, heddle.CtlLeaving:
		var r heddle.Reason
		if _, err := r.UnmarshalMsg(args); err != nil {
			return fmt.Errorf("%w: arguments of message %d: %w", session.ErrProtocol, id, err)
		}
		text := clip(r.Reason)
		c.tell(func(f *facts) {
			if id == heddle.CtlBroken {
				f.broken, f.why = true, text
			} else {
				f.leaving, f.why = true, text
			}
		})
	default:
		return fmt.Errorf("%w: a worker does not send control message %d", session.ErrProtocol, id)
	}
	return nil
}

// clip makes a peer's text fit for logs.
func clip(p []byte) string { return string(p[:min(len(p), 256)]) }

// OnEOF: what was sent is delivered, and the channel ends.
func (ch *channel) OnEOF(m *session.Mux) { m.Close(nil) }

// OnClose tells the worker's child, or logs a stranger.
func (ch *channel) OnClose(_ *session.Mux, err error) {
	ch.settle()
	n := ch.mux.Counters()
	ch.e.stats.ignored.Add(n.Ignored)
	ch.e.stats.overrun.Add(n.Overrun)
	ch.e.stats.refusedOpen.Add(n.Refused)
	ch.closed.Store(true)
	c := ch.child.Load()
	if c == nil {
		ch.e.refused(ch, err)
		ch.knock(-1) // now that it has been said why
		return
	}
	ch.knock(-1)
	if !ordinary(err) {
		ch.e.log.Warn("engine: channel ended", "worker", c.place(), "id", c.id, "loop", ch.lane.index, "err", err)
	}
	ch.detach(c, err)
	c.lost(ch, err)
}

// ordinary says whether err is how the channel of a process that ended may
// end; a reset when it died with bytes unread.
func ordinary(err error) bool {
	for _, usual := range []error{nil, io.EOF, syscall.ECONNRESET, syscall.EPIPE, loop.ErrClosed, errOutlived} {
		if errors.Is(err, usual) {
			return true
		}
	}
	return false
}

// onEnd hears of every session that has ended: a waiting request may have its
// place, and one that had no answer is lost. Any goroutine.
func (ch *channel) onEnd(s *session.Session) {
	if ipc.Ours(s.Event()) && !ch.e.opt.Dialect.foreign() {
		return
	}
	if err := s.Cause(); ch.opened(s) && err != session.ErrEnded && errors.Is(err, session.ErrLost) {
		if c := ch.child.Load(); c != nil {
			c.lose(ch, s)
		}
	}
	ch.e.queue.release()
}

// opened says whether we did that, and not the peer: toward a worker of Cocaine's
// always, toward our own we open even ids (PROTOCOL 9).
func (ch *channel) opened(s *session.Session) bool {
	return ch.e.opt.Dialect.foreign() || s.ID()%2 == 0
}

// refused logs a connection that never became a worker's, at most one each
// second. Any loop.
func (e *Engine) refused(ch *channel, err error) {
	if err == nil {
		err = io.EOF
	}
	if !ordinary(err) {
		e.hint(ch.pid, err.Error())
	}
	n := e.stats.strangers.Add(1)
	now, last := e.now()+1, e.lastRefused.Load() // 0 is never
	if last != 0 && now-last < int64(time.Second) || !e.lastRefused.CompareAndSwap(last, now) {
		return
	}
	e.log.Warn("engine: connection refused; workers are not concerned", "loop", ch.lane.index, "pid", ch.pid, "err", err, "refused", n)
}
