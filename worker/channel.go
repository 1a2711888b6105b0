package worker

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// features are the extensions that this worker offers (PROTOCOL 9).
func features() []heddle.Raw {
	return []heddle.Raw{heddle.Raw("window"), heddle.Raw("cancel"), heddle.Raw("files"), heddle.Raw("info"), heddle.Raw("trailers"), heddle.Raw("gone"), heddle.Raw(featureIPC)}
}

// featureIPC is that messages and requests go over channel 0.
const featureIPC = "ipc"

// A channel is one connection to the engine: its session.Control.
type channel struct {
	// Immutable after dial.
	l        *life
	index    int // which of the engine's loops
	endpoint string

	// Guarded by the Worker's mu; mux is immutable once set.
	mux       *session.Mux // nil until the link is made
	open      bool         // connected
	up        bool         // and welcomed
	drained   bool         // no new session comes
	suspended bool         // the engine holds work back
	gone      bool         // OnClose was called, or never will be

	// Loop goroutine only.
	owner      loop.Owner
	welcomed   bool
	due        time.Time // when the engine must have answered
	stopBeat   func()
	stopDisown func()
	peer       *ipc.Peer // the engine, if messages go over this channel
}

// attach makes the Mux of a link that is being connected.
func (c *channel) attach(link session.Link) loop.Handler {
	o := &c.l.w.options
	m := session.NewMux(link, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: c.l.w.launch.Dialect, Dialed: true, Limits: o.Limits},
		Accept:         c.accept,
		Control:        c,
		Buffer:         o.Buffer,
		MaxSessions:    o.MaxSessions,
		Budget:         &c.l.budget,
		Context:        o.Context,
		OnIdle:         c.l.check,
		Logger:         c.l.w.log.With("channel", c.index),
	})
	c.l.w.mu.Lock()
	defer c.l.w.mu.Unlock()
	c.mux = m
	if c.l.over.Load() {
		m.Abort(ErrClosed)
	}
	return m
}

// OnConnect greets the engine.
func (c *channel) OnConnect(m *session.Mux) {
	c.owner.Check()
	w := c.l.w
	w.mu.Lock()
	c.open = true
	w.mu.Unlock()
	// All on the control lane, so that no heartbeat overtakes the handshake.
	_ = m.SendControl(codec.AppendHandshake(nil, w.launch.Dialect, w.launch.UUID, c.offer())) // a failed send ends the channel
	c.watch(w.options.DisownTimeout)
	c.beat()
	if !w.launch.Heddle {
		c.l.welcomed(c, nil)
	}
}

// offer is what this end can do; nil toward plain runtimes.
func (c *channel) offer() *heddle.Offer {
	w := c.l.w
	if !w.launch.Heddle {
		return nil
	}
	frame := w.options.Limits.Frame
	if frame <= 0 {
		frame = codec.DefaultFrame
	}
	return &heddle.Offer{
		Features: features(), Version: heddle.Raw(w.options.Version), Channel: uint64(c.index), Frame: uint64(frame), PID: uint64(os.Getpid()),
	}
}

// beat sends a heartbeat, and the next one an interval later.
func (c *channel) beat() {
	c.owner.Check()
	w := c.l.w
	if c.mux.SendControl(codec.AppendHeartbeat(nil, w.launch.Dialect)) != nil {
		return // the channel has ended
	}
	w.counters.beats.Add(1)
	c.stopBeat = c.mux.Link().After(w.options.HeartbeatInterval, c.beat)
}

// watch gives the engine until d from now to be heard of.
func (c *channel) watch(d time.Duration) {
	c.owner.Check()
	if c.stopDisown != nil {
		c.stopDisown()
	}
	c.due = time.Now().Add(d)
	c.stopDisown = c.mux.Link().After(d, c.silence)
}

// silence: the time is over. If it is over for long, this process itself stood
// still (it was stopped, or the machine was) and the engine's answers may
// wait to be read: it gets another interval.
func (c *channel) silence() {
	c.owner.Check()
	w := c.l.w
	if late := time.Since(c.due); late > w.options.HeartbeatInterval {
		w.log.Warn("stood still", "channel", c.index, "for", late)
		c.watch(w.options.HeartbeatInterval)
		return
	}
	if !c.l.end(eventDisown, ErrDisowned) {
		c.l.lose(ErrDisowned) // while connecting that is a failure; once over, nothing
	}
}

// accept gives a session that the engine opened to a handler.
func (c *channel) accept(s *session.Session) error {
	c.owner.Check()
	w := c.l.w
	if w.launch.Heddle && !c.welcomed {
		err := c.violation("invoke of session %d before welcome", s.ID())
		c.mux.Abort(err)
		return err
	}
	if c.l.over.Load() {
		w.counters.refused.Add(1)
		return &session.Error{ID: s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeException, Msg: "worker has left"}
	}
	if w.launch.Heddle && ipc.Ours(s.Event()) { // a Cocaine app may name its events as it likes
		if c.peer == nil {
			return &session.Error{ID: s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: "no messages were agreed on for this channel"}
		}
		return c.peer.Accept(s)
	}
	c.l.pool.start(s)
	return nil
}

// OnHandshake: nobody shakes hands with a worker.
func (c *channel) OnHandshake(*session.Mux, []byte, *heddle.Offer) error {
	return c.violation("handshake from the engine")
}

// OnHeartbeat is the engine's answer.
func (c *channel) OnHeartbeat(*session.Mux) {
	c.l.w.counters.answers.Add(1)
	c.watch(c.l.w.options.DisownTimeout)
}

// OnTerminate ends the worker.
func (c *channel) OnTerminate(_ *session.Mux, code int64, reason []byte) {
	c.owner.Check()
	c.l.w.log.Info("terminated by the engine", "channel", c.index, "code", code, "reason", string(reason))
	c.l.terminated(c, code, string(reason))
}

// OnControl is one of Heddle's own messages; one that is not known is ignored
// and counted.
func (c *channel) OnControl(_ *session.Mux, id uint64, args []byte) error {
	c.owner.Check()
	w := c.l.w
	if !w.launch.Heddle {
		w.counters.ignored.Add(1)
		return nil
	}
	switch id {
	case heddle.CtlWelcome:
		return c.welcome(args)
	case heddle.CtlSuspend:
		c.l.suspend(c)
	case heddle.CtlResume:
		var r heddle.Resume
		if err := codec.DecodeArgs(&r, args, 0); err != nil {
			return c.violation("resume: %w", err)
		}
		if r.Index < -1 || r.Index > math.MaxInt32 {
			return c.violation("resume as worker %d", r.Index)
		}
		c.l.resume(c, int(r.Index))
	case heddle.CtlDrain:
		var d heddle.Drain
		if err := codec.DecodeArgs(&d, args, 0); err != nil {
			return c.violation("drain: %w", err)
		}
		c.l.drain(c, time.Duration(min(d.Deadline, math.MaxInt64/uint64(time.Millisecond)))*time.Millisecond)
	default:
		w.counters.ignored.Add(1)
		w.log.Debug("unknown control message", "channel", c.index, "id", id)
	}
	return nil
}

// welcome is the engine's answer to the offer.
func (c *channel) welcome(args []byte) error {
	if c.welcomed {
		return c.violation("second welcome")
	}
	var msg heddle.Welcome
	if err := codec.DecodeArgs(&msg, args, 1); err != nil {
		return c.violation("welcome: %w", err)
	}
	info := &msg.Welcome
	for _, need := range []string{"window", "cancel"} {
		if !slices.ContainsFunc(info.Features, func(f heddle.Raw) bool { return string(f) == need }) {
			return c.violation("welcome without %q", need)
		}
	}
	const most = 1 << 30
	c.mux.Agree(int(min(info.Window, most)), int(min(info.Sessions, most)))
	c.welcomed = true
	c.l.w.mu.Lock()
	c.suspended = info.Suspended
	if c.l.w.launch.HTTP && !info.Suspended { // it may be long since the process was started
		c.l.w.standing.index.Store(int64(min(info.Index, math.MaxInt32)))
	}
	c.l.w.mu.Unlock()
	var endpoints []string
	if c.index == 0 {
		agreed := slices.ContainsFunc(info.Features, func(f heddle.Raw) bool { return string(f) == featureIPC })
		c.peer = c.l.w.standing.talk.attach(c.mux, agreed)
		for _, e := range info.Endpoints {
			endpoints = append(endpoints, string(e))
		}
	}
	c.l.welcomed(c, endpoints)
	return nil
}

func (c *channel) violation(format string, args ...any) error {
	return fmt.Errorf("%w: channel %d: %w", ErrProtocol, c.index, fmt.Errorf(format, args...))
}

// OnEOF: the engine has closed its side. After our farewell that is what we
// wait for.
func (c *channel) OnEOF(m *session.Mux) {
	c.owner.Check()
	if c.l.over.Load() {
		m.Close(nil)
		return
	}
	c.l.lose(fmt.Errorf("%w: channel %d: the engine closed it: %w", ErrLost, c.index, io.EOF))
}

// OnClose is the channel's end, or that of the attempt to connect it.
func (c *channel) OnClose(_ *session.Mux, err error) {
	c.owner.Check()
	for _, stop := range []func(){c.stopBeat, c.stopDisown} {
		if stop != nil {
			stop()
		}
	}
	w := c.l.w
	if c.peer != nil {
		w.standing.talk.end(c.peer, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.gone = true
	switch {
	case err == nil:
		err = io.EOF
		fallthrough
	case c.open:
		err = fmt.Errorf("%w: channel %d: %w", ErrLost, c.index, err)
	default:
		err = fmt.Errorf("worker: connect %s: %w", c.endpoint, err)
	}
	c.l.loseLocked(err)
	c.l.sweepLocked()
}

// partLocked leaves the channel.
func (c *channel) partLocked(how parting, err error) {
	switch {
	case c.gone || c.mux == nil: // attach aborts what comes later
	case how == abort || !c.open:
		c.mux.Abort(err)
	case how == deliver:
		c.mux.Close(err)
	default:
		c.mux.Link().CloseWrite()
	}
}

// indexOf finds the channel of a Mux, for the log; -1 for none.
func (l *life) indexOf(m *session.Mux) int {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return slices.IndexFunc(l.channels, func(c *channel) bool { return c.mux == m })
}
