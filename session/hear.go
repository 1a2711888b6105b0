package session

import (
	"fmt"
	"io"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// What arrives on a Service channel. Dialect v1 is as strict as the real
// runtime: what the tables do not have ends the channel. Dialect v0 is as
// tolerant as its runtime was: what is of no use is counted and dropped.

// errUnread ends a v0 call whose peer sent a message that cannot be read.
var errUnread = fmt.Errorf("%w: arguments of a message", ErrProtocol)

// unknownMethod is what a v0 caller of an unknown method is told (PROTOCOL 2.2).
const unknownMethod = "unknown message type"

// OnCall dispatches a message of a Service channel.
func (r *receiver) OnCall(sid, id uint64, args []byte, headers []codec.Header) error {
	m := r.mux()
	s := m.lookup(sid)
	switch v0 := m.dialect() == heddle.V0; {
	case s != nil && v0:
		m.hearV0(s, id, args)
		return nil
	case s != nil:
		return m.hear(s, id, args)
	case !v0:
		return m.hearNew(sid, id, args, headers)
	case m.ch.dialed: // a reply that comes late, or to nobody
		m.counters.ignored.Add(1)
		return nil
	}
	return m.answer(sid, id, args, nil)
}

// hear dispatches a message of a v1 call that is known, along the table of its
// direction.
func (m *Mux) hear(s *Session, id uint64, args []byte) error {
	a := s.hears.find(id)
	if a == nil {
		if m.ch.dialed && isControl(id) { // its number crossed one of ours
			m.counters.ignored.Add(1)
			return nil
		}
		return fmt.Errorf("%w: message %d on session %d, whose protocol has none such there", ErrProtocol, id, s.id)
	}
	s.hears = s.hears.after(a)
	switch {
	case a.fails:
		e := &m.ch.errorV1
		if err := codec.DecodeArgs(e, args, 1); err != nil {
			return argsError("error", err)
		}
		s.endRx(dirBroken, &Error{ID: s.id, Category: e.Code.Category, Code: e.Code.Code, Msg: string(e.Reason), Remote: true})
		return nil
	case a.closes && codec.ArgCount(args) == 0:
		s.endRx(dirEnded, io.EOF)
		return nil
	}
	last, sid := a.last(), s.id
	var err error
	if s.chunks && a.ID == heddle.MsgWrite && a.Name == armWrite {
		c := &m.ch.chunk
		if err := codec.DecodeArgs(c, args, 1); err != nil {
			return argsError("write", err)
		}
		err = s.push(Chunk, 0, c.Data, nil)
	} else {
		err = s.push(Said, id, args, nil)
	}
	if err != nil {
		m.offend(s, err)
	}
	if last && m.sessions[sid] == s { // not ended by offend, and used again
		s.endRx(dirEnded, io.EOF)
	}
	return nil
}

// hearV0 dispatches a message of a v0 call that is known.
func (m *Mux) hearV0(s *Session, typ uint64, args []byte) {
	if s.hears.Empty() {
		m.counters.ignored.Add(1)
		return
	}
	switch typ {
	case heddle.TypeV0Chunk:
		c := &m.ch.chunk
		err := codec.DecodeArgs(c, args, 1)
		if err != nil {
			err = errUnread
		} else {
			err = s.push(Chunk, 0, c.Data, nil)
		}
		if err != nil {
			m.offend(s, err)
		}
	case heddle.TypeV0Error:
		s.hears = nil // whether a choke follows or not
		e := &m.ch.errorV0
		if err := codec.DecodeArgs(e, args, 1); err != nil {
			s.endRx(dirBroken, s.refused(errUnread))
			return
		}
		s.endRx(dirBroken, &Error{ID: s.id, Code: e.Code, Msg: string(e.Reason), Remote: true})
	case heddle.TypeV0Choke:
		s.hears = nil
		s.endRx(dirEnded, io.EOF)
	default:
		m.counters.ignored.Add(1)
	}
}

// hearNew dispatches a v1 message of a session that is not in the table: it
// opens one, or breaks the rules.
func (m *Mux) hearNew(sid, id uint64, args []byte, headers []codec.Header) error {
	if sid == 0 {
		return errSessionZero
	}
	m.mu.Lock()
	fresh := sid > m.ch.highest && (!m.ch.dialed || m.next != 0 && sid >= m.next)
	if fresh && m.ch.dialed {
		m.next = sid + 1 // the numbers are of both
	}
	m.mu.Unlock()
	switch {
	case !fresh && (sid <= m.lenient || m.ch.dialed && isControl(id)):
		m.counters.ignored.Add(1)
		return nil
	case !fresh:
		return fmt.Errorf("%w: message %d on session %d, which has ended", ErrProtocol, id, sid)
	}
	m.ch.highest = sid
	switch {
	case isControl(id):
		return m.hearControl(sid, id, args)
	case m.ch.dialed:
		return fmt.Errorf("%w: message %d on session %d, which was never opened", ErrProtocol, id, sid)
	}
	return m.answer(sid, id, args, headers)
}

// isControl says whether id is one of the control methods of v1.
func isControl(id uint64) bool { return id >= heddle.MethodGoaway && id <= heddle.MethodRevoke }

// hearControl does what a control method says (PROTOCOL 3.1). Those that the
// real runtime does not implement are counted and left without an answer.
func (m *Mux) hearControl(sid, id uint64, args []byte) error {
	switch id {
	case heddle.MethodPing:
	case heddle.MethodRevoke:
		target, category, code, err := codec.Revoke(args)
		if err != nil {
			return argsError("revoke", err)
		}
		if s := m.lookup(target); s != nil {
			// As when the channel ends: nothing more may be said there.
			s.lose(&Error{ID: target, Category: category, Code: code, Msg: "revoked", Remote: true})
		} else {
			m.counters.ignored.Add(1)
		}
	default:
		m.counters.ignored.Add(1)
		return nil
	}
	buf := m.traced(codec.AppendMethod(getBuffer(), heddle.V1, sid, 0, noArgs), 0)
	err := m.link.SendControl(buf)
	n := int64(len(buf))
	putBuffer(buf)
	if err == nil && m.refusals.wait(m.link, n) >= HighWater {
		return errDeaf
	}
	return nil // a closed channel is told by OnSocketError
}

// answer opens a call that the peer asked for.
func (m *Mux) answer(sid, id uint64, args []byte, headers []codec.Header) error {
	var method *Method
	if m.methods != nil {
		method = m.methods(id)
	}
	d := m.dialect()
	if method == nil {
		if d == heddle.V1 {
			return fmt.Errorf("%w: unknown method %d", ErrProtocol, id)
		}
		return m.unknown(sid)
	}
	m.counters.accepted.Add(1)
	m.mu.Lock()
	s := m.newSessionLocked()
	s.full, s.most, s.credit, s.window = m.window, m.window, m.window, m.window
	m.mu.Unlock()
	s.m, s.id, s.event, s.method = m, sid, method.Name, method
	s.ctx.base = m.base
	s.args = append(make([]byte, 0, len(args)), args...)
	s.keepHeaders(headers)
	if m.traces && tracedWhole(s.headers) {
		s.trace = traceOf(s.headers)
	}
	s.hears, s.says = method.Dispatch, method.Upstream
	switch {
	case d == heddle.V0 && !s.hears.Empty():
		s.hears = Streaming
	case d == heddle.V1 && s.says.Empty():
		s.tx, s.txErr = dirEnded, ErrEnded
	}
	alone := s.hears.Empty()
	if err := m.admit(s); err != nil {
		return err
	}
	if alone && m.sessions[sid] == s { // not refused
		s.endRx(dirEnded, io.EOF)
	}
	return nil
}

// unknown tells a v0 caller that nobody has the method.
func (m *Mux) unknown(sid uint64) error {
	m.counters.accepted.Add(1)
	m.counters.refused.Add(1)
	buf := codec.AppendError(getBuffer(), heddle.V0, sid, 0, heddle.CodeV0Invocation, unknownMethod)
	buf = codec.AppendChoke(buf, heddle.V0, sid)
	_, err := m.link.Send(buf, nil)
	n := int64(len(buf))
	putBuffer(buf)
	if err == nil && m.refusals.wait(m.link, n) >= HighWater {
		return errDeaf
	}
	return nil
}

// Forget takes a call of ours that was given up (Session.Cancel) for answered, so
// that it does not count until the peer has ended its direction, which it may
// never do. What still comes for it is ignored and counted; in v1 so is what comes
// for any older call that has ended, since nobody knows which they were. Loop only.
func (m *Mux) Forget(id uint64) {
	m.owner.Check()
	s := m.lookup(id)
	if s == nil || !s.ours || s.method == nil {
		return
	}
	s.mu.Lock()
	canceled := s.canceled != nil
	s.mu.Unlock()
	if canceled {
		m.lenient = max(m.lenient, id)
		s.endRx(dirEnded, io.EOF)
	}
}

// tolerate lets the peer speak on a call that we ended while its own direction
// was open: it may not know yet.
func (m *Mux) tolerate(s *Session) {
	if s.method != nil && !s.ours && !s.hears.Empty() {
		m.lenient = max(m.lenient, s.id)
	}
}
