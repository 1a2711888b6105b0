package workertest

import (
	"fmt"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// features are those that the engine has; it agrees to what the worker has
// too.
var features = []string{"window", "cancel", "files", "info", "trailers", "gone"}

// A channel is the engine's end of one connection: its session.Control.
type channel struct {
	// Immutable after attach.
	e     *Engine
	index int
	mux   *session.Mux

	// Guarded by the Engine's mu.
	greeted bool
	ended   bool
}

// OnConnect: the worker speaks first.
func (c *channel) OnConnect(*session.Mux) {}

// OnHandshake answers with a welcome, toward a worker that offers anything.
func (c *channel) OnHandshake(m *session.Mux, uuid []byte, offer *heddle.Offer) error {
	o := &c.e.options
	h := Handshake{
		UUID: string(uuid), Offered: offer.PID != 0, Version: string(offer.Version), Channel: int(offer.Channel), Frame: int(offer.Frame), PID: int(offer.PID),
	}
	for _, f := range offer.Features {
		h.Features = append(h.Features, string(f))
	}
	c.e.mu.Lock()
	twice := c.greeted
	c.greeted = true
	c.e.seen.Handshakes = append(c.e.seen.Handshakes, h)
	c.e.mu.Unlock()
	switch {
	case twice:
		return fmt.Errorf("workertest: channel %d: second handshake", c.index)
	case h.UUID != UUID:
		return fmt.Errorf("workertest: channel %d: handshake of an unknown worker %q", c.index, uuid)
	case o.Plain:
		c.e.onlineNow()
		return nil
	case o.NoWelcome:
		return nil
	}
	m.Agree(o.Window, o.Sessions)
	return m.SendControl(c.e.Welcome(c.index))
}

// Welcome is the frame that answers a handshake on channel i.
func (e *Engine) Welcome(i int) []byte {
	w := &heddle.WelcomeInfo{
		Frame: codec.DefaultFrame, Head: session.MaxHead, Sessions: uint64(e.options.Sessions), Window: uint64(e.options.Window), Release: heddle.Raw("1"),
		Suspended: e.options.Suspended,
	}
	for _, f := range features {
		w.Features = append(w.Features, heddle.Raw(f))
	}
	for k := range e.options.Channels {
		w.Endpoints = append(w.Endpoints, heddle.Raw(e.endpoint(k)))
	}
	return codec.AppendWelcome(nil, w)
}

// onlineNow lets Open begin.
func (e *Engine) onlineNow() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.up {
		e.up = true
		close(e.online)
	}
}

// OnHeartbeat answers at once.
func (c *channel) OnHeartbeat(m *session.Mux) {
	c.e.mu.Lock()
	c.e.seen.Beats[c.index]++
	mute := c.e.mute
	c.e.mu.Unlock()
	if !mute {
		_ = m.SendControl(codec.AppendHeartbeat(nil, m.Dialect())) // fails when the channel has ended
	}
}

// OnTerminate: the worker leaves, or answers our own.
func (c *channel) OnTerminate(_ *session.Mux, code int64, reason []byte) {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.e.seen.Terminates = append(c.e.seen.Terminates, Terminate{code, string(reason)})
}

// OnControl is one of Heddle's own messages.
func (c *channel) OnControl(_ *session.Mux, id uint64, args []byte) error {
	var r heddle.Reason
	if err := codec.DecodeArgs(&r, args, 0); err != nil {
		return err
	}
	switch id {
	case heddle.CtlOnline:
		c.e.mu.Lock()
		c.e.seen.Online++
		c.e.mu.Unlock()
		c.e.onlineNow()
	case heddle.CtlLeaving:
		c.e.mu.Lock()
		c.e.seen.Leaving = append(c.e.seen.Leaving, string(r.Reason))
		c.e.mu.Unlock()
	case heddle.CtlBroken:
		c.e.mu.Lock()
		c.e.seen.Broken = append(c.e.seen.Broken, string(r.Reason))
		c.e.mu.Unlock()
	default:
		return fmt.Errorf("workertest: channel %d: control message %d", c.index, id)
	}
	return nil
}

// OnEOF: the worker has sent all it will.
func (c *channel) OnEOF(m *session.Mux) {
	c.e.mu.Lock()
	c.e.seen.HalfClosed++
	c.e.mu.Unlock()
	if !c.e.options.KeepOpen {
		m.Close(nil)
	}
}

// OnClose is the channel's end.
func (c *channel) OnClose(_ *session.Mux, err error) {
	e := c.e
	e.mu.Lock()
	defer e.mu.Unlock()
	c.ended = true
	e.seen.Closed = append(e.seen.Closed, err)
	for _, c := range e.channels {
		if !c.ended {
			return
		}
	}
	select {
	case <-e.gone: // a worker came back
	default:
		close(e.gone)
	}
}
