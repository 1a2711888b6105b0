package session

import (
	"errors"
	"fmt"
	"io"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// What a session ends with when its peer sends more than it may. They are the
// session's end only; the channel lives on.
var (
	errOverrun = errors.New("session: peer sent more than its window")
	errBudget  = errors.New("session: too much is queued in all streams, and in this one")
	errBuffer  = errors.New("session: peer sent more than the stream's buffer holds")
	errHead    = errors.New("session: peer sent a head over its limit")
	errFiles   = errors.New("session: peer sent more descriptors than may wait unread")
	errCredit  = errors.New("session: peer granted an impossible window")
)

// errDeaf ends a channel whose peer opens sessions and does not read that they
// are refused: nothing else would bound what it makes us say.
var errDeaf = fmt.Errorf("%w: peer opens sessions without reading the answers", ErrProtocol)

// receiver is the Mux as its Channel's Receiver: step 4 of a message's walk.
// A type of its own so that these methods are not part of Mux's face.
type receiver Mux

func (r *receiver) mux() *Mux { return (*Mux)(r) }

func (r *receiver) OnConnect() { r.control.OnConnect(r.mux()) }

func (r *receiver) OnSocketError(err error) {
	m := r.mux()
	m.lose(err)
	m.control.OnClose(m, err)
}

// OnEOF: what the peer has not answered by now it never will.
func (r *receiver) OnEOF() {
	m := r.mux()
	m.lose(io.EOF)
	m.control.OnEOF(m)
}

func (r *receiver) OnRoom() { r.mux().wakeRoom() }

func (r *receiver) OnHandshake(uuid []byte, offer *heddle.Offer) error {
	return r.control.OnHandshake(r.mux(), uuid, offer)
}

func (r *receiver) OnHeartbeat() error {
	r.control.OnHeartbeat(r.mux())
	return nil
}

func (r *receiver) OnTerminate(code int64, reason []byte) error {
	r.control.OnTerminate(r.mux(), code, reason)
	return nil
}

func (r *receiver) OnControl(id uint64, args []byte) error {
	return r.control.OnControl(r.mux(), id, args)
}

// OnInvoke opens a session that the peer asked for, or refuses it alone.
func (r *receiver) OnInvoke(sid uint64, event []byte, window int64, headers []codec.Header) error {
	m := r.mux()
	if m.dialect() == heddle.V0 && !m.ch.dialed { // from a worker it is none that the real runtime knows
		m.counters.ignored.Add(1)
		return nil
	}
	if m.lookup(sid) != nil {
		return fmt.Errorf("%w: session %d opened twice", ErrProtocol, sid)
	}
	m.counters.accepted.Add(1)
	m.mu.Lock()
	s := m.newSessionLocked()
	s.m, s.id, s.event = m, sid, m.intern(event)
	s.ctx.base = m.base
	s.heddle, s.full, s.most, s.credit, s.window = m.heddle, m.window, m.window, m.window, m.window
	m.mu.Unlock()
	if window >= 0 && s.heddle {
		s.window = min(window, s.full)
		s.owed = s.full - s.window
	}
	s.keepHeaders(headers)
	return m.admit(s)
}

// admit gives a session that the peer opened to whoever accepts it, or refuses
// it alone.
func (m *Mux) admit(s *Session) error {
	m.active.Add(1)
	m.sessions[s.id] = s
	var err error
	switch {
	case m.accept == nil:
		err = &Error{ID: s.id, Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: "nobody accepts sessions here"}
	case m.active.Load()-m.load.Load() > int64(m.max), m.asides.Load() >= int64(m.max):
		err = &Error{ID: s.id, Category: heddle.CategoryOverseer, Code: heddle.CodePoolFull, Msg: ErrTooMany.Error()}
	default:
		err = m.accept(s)
	}
	if err == nil {
		return nil
	}
	_, _, text := s.words(err)
	m.refuse(s, err)
	if m.refusals.wait(m.link, int64(len(text))+refusalCost) >= HighWater {
		return errDeaf
	}
	return nil
}

// keepHeaders copies the headers that the session was opened with, all bytes into
// one piece of memory.
func (s *Session) keepHeaders(headers []codec.Header) {
	if len(headers) == 0 {
		return
	}
	n := 0
	for _, h := range headers {
		n += len(h.Name) + len(h.Value)
	}
	text := make([]byte, 0, n)
	keep := func(p []byte) []byte {
		at := len(text)
		text = append(text, p...)
		return text[at:len(text):len(text)]
	}
	s.headers = make([]codec.Header, 0, len(headers))
	for _, h := range headers {
		s.headers = append(s.headers, codec.Header{Name: keep(h.Name), Value: keep(h.Value)})
	}
}

// refusalCost is about what a refusal costs in the outbox beside its text.
const refusalCost = 32

// refusals count the bytes of refusals that wait in the outbox: what else is there,
// such as answers, says nothing against the peer.
type refusals struct {
	mark        int64 // of the data lane; the older ones end before it
	older, late int64 // bytes
}

// wait counts a refusal of n bytes that was just queued, and returns how many bytes
// of them wait, or a little more.
func (r *refusals) wait(link Link, n int64) int64 {
	queued, written := int64(link.Queued()), link.Written()
	switch {
	case queued < HighWater:
		*r = refusals{} // then they are no danger
		return 0
	case written >= r.mark:
		r.older, r.late, r.mark = r.late, 0, written+queued
	}
	r.late += n
	return r.older + r.late
}

// refuse ends a session that was opened but will not be served.
func (m *Mux) refuse(s *Session, err error) {
	m.counters.refused.Add(1)
	m.tolerate(s)
	s.Discard()
	s.Abort(err)
	// Nothing of it is awaited: a peer that opens and never ends must not
	// fill the table. What still comes for it is ignored.
	s.endRx(dirBroken, err)
}

// intern returns event as a string, made once for each of the names seen.
func (m *Mux) intern(event []byte) string {
	if s, ok := m.events[string(event)]; ok {
		return s
	}
	s := string(event)
	if len(m.events) < 256 && len(s) <= 256 {
		m.events[s] = s
	}
	return s
}

func (r *receiver) OnChunk(sid uint64, p []byte) error {
	m := r.mux()
	s := m.lookup(sid)
	if s == nil {
		return m.orphan(sid)
	}
	if err := s.push(Chunk, 0, p, nil); err != nil {
		m.offend(s, err)
	}
	return nil
}

func (r *receiver) OnChoke(sid uint64) error {
	m := r.mux()
	s := m.lookup(sid)
	if s == nil {
		return m.orphan(sid)
	}
	s.endRx(dirEnded, io.EOF)
	return nil
}

func (r *receiver) OnError(sid uint64, category, code int64, msg []byte) error {
	m := r.mux()
	s := m.lookup(sid)
	if s == nil {
		return m.orphan(sid)
	}
	err := &Error{ID: sid, Category: category, Code: code, Msg: string(msg), Remote: true}
	s.endRx(dirBroken, err)
	if !s.ours && !s.heddle {
		// A plain peer has no other word for an asker that is gone. What the
		// handler answers all the same is still sent.
		s.ctx.cancel(err)
	}
	return nil
}

func (r *receiver) OnExtension(sid, id uint64, args []byte) error {
	m := r.mux()
	s := m.lookup(sid)
	if id == heddle.ExtFiles {
		files, err := m.takeFiles(args)
		if err != nil {
			return err
		}
		if s == nil {
			closeFiles(files)
			return m.orphan(sid)
		}
		if err := s.push(Files, 0, nil, files); err != nil {
			closeFiles(files)
			m.offend(s, err)
		}
		return nil
	}
	if s == nil {
		return m.orphan(sid)
	}
	var err error
	switch id {
	case heddle.ExtWindow:
		if err = codec.DecodeArgs(&m.ch.window, args, 1); err != nil {
			return argsError("window", err)
		}
		err = s.onWindow(m.ch.window.Bytes)
	case heddle.ExtCancel:
		if err = codec.DecodeArgs(&m.ch.errorV1, args, 1); err != nil {
			return argsError("cancel", err)
		}
		if s.ours {
			return fmt.Errorf("%w: cancel of session %d, which the peer did not open", ErrProtocol, sid)
		}
		s.onCancel(ErrCanceled)
		return nil
	case heddle.ExtInfo:
		err = s.push(Info, 0, args, nil)
	case heddle.ExtTrailers:
		err = s.push(Trailers, 0, args, nil)
	case heddle.ExtGone:
		if s.ours {
			return fmt.Errorf("%w: gone on session %d, which the peer did not open", ErrProtocol, sid)
		}
		s.onGone()
	default:
		return fmt.Errorf("%w: unknown message %d on session %d", ErrProtocol, id, sid)
	}
	if err != nil {
		m.offend(s, err)
	}
	return nil
}

// onGone cancels the handler's context; what it answers is still delivered.
func (s *Session) onGone() {
	s.ctx.cancel(ErrGone)
	if s.handler != nil {
		s.handler.OnMessage(s, Message{Kind: Gone})
	}
}

// offend ends a session whose peer broke its rules, and nobody else is
// concerned: the reader gets the error, and the peer is told. One that we
// opened is kept, as after Cancel, until the peer has ended it. What comes
// after the peer's own end is only counted.
func (m *Mux) offend(s *Session, err error) {
	if err == ErrEnded {
		m.counters.ignored.Add(1)
		return
	}
	m.counters.overrun.Add(1)
	e := s.refused(err)
	m.log.Warn("session ended", "session", s.id, "event", s.event, "err", e)
	if s.ours {
		s.giveUp(e, e)
		return
	}
	m.tolerate(s)
	s.abort(e, e)
	s.endRx(dirBroken, e)
}
