package session

import (
	"io"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A call is a session of a Service channel. What may be said on it is known
// from its method: each direction has a table, and every message moves along
// it. The two directions are independent: whoever opened a call ends his own,
// too, be the answer complete or not.

// noArgs is an empty array of arguments.
var noArgs = []byte{0x90}

// isArgs says whether p is one msgpack array and no more.
func isArgs(p []byte) bool {
	if len(p) == 0 || p[0]&0xf0 != 0x90 && p[0] != 0xdc && p[0] != 0xdd {
		return false
	}
	var v heddle.Value
	rest, err := v.UnmarshalMsg(p)
	return err == nil && len(rest) == 0
}

// Method is what the session calls; nil for one that is no call.
func (s *Session) Method() *Method { return s.method }

// Args is what the peer opened the call with: the whole array of arguments,
// owned by the session. Nil for one that we opened.
func (s *Session) Args() []byte { return s.args }

// openCall is Open on a Service channel.
func (m *Mux) openCall(o OpenOptions) (*Session, error) {
	if o.Method == nil || !m.ch.service || !m.ch.dialed {
		return nil, ErrUnsupported
	}
	if o.First == nil {
		o.First = noArgs
	}
	if !isArgs(o.First) {
		return nil, ErrArgs
	}
	m.mu.Lock()
	s, id, err := m.openCallLocked(o)
	m.mu.Unlock()
	if err != nil || !muteCall(m.dialect(), o.Method) {
		return s, err
	}
	switch {
	case o.Handler != nil: // if the loop has ended, lose tells it
		_ = m.link.Do(func() {
			if m.lookup(id) == s {
				s.endRx(dirEnded, io.EOF)
			}
		})
	case o.Last || o.Method.Dispatch.Empty(): // over, and nobody else knows it
		s.ctx.cancel(ErrEnded)
		if m.end != nil {
			m.end(s)
		}
	}
	return s, nil
}

// muteCall says whether a call of the method is not answered at all.
func muteCall(d heddle.Dialect, method *Method) bool {
	return d == heddle.V1 && method.Upstream.Empty()
}

// openCallLocked opens a call. Once the lock is released the session is the
// loop's, too, and may even be over.
func (m *Mux) openCallLocked(o OpenOptions) (*Session, uint64, error) {
	if err := m.mayOpenLocked(o.Aside); err != nil {
		return nil, 0, err
	}
	if m.next == 0 {
		return nil, 0, ErrTooMany // the peer has used up the numbers
	}
	d := m.dialect()
	if o.Write != nil && (d == heddle.V0 || o.Method.Dispatch == nil || !o.Method.Dispatch.writes) {
		return nil, 0, ErrNoArm
	}
	s := m.newSessionLocked()
	s.chunks = o.Chunks && d == heddle.V1
	s.m, s.id, s.event, s.ours, s.label, s.handler = m, m.next, o.Event, true, o.Label, o.Handler
	if o.Handler == nil {
		s.headers = o.Headers
	}
	if s.event == "" {
		s.event = o.Method.Name
	}
	s.ctx.base = m.base
	s.trace = m.traceOf(&o)
	s.full, s.window, s.most, s.credit = m.window, m.window, m.window, m.window
	s.method, s.hears, s.says = o.Method, o.Method.Upstream, o.Method.Dispatch
	if d == heddle.V0 {
		s.hears = Streaming // every method answers, if only with a choke
	}
	if s.says.Empty() {
		s.tx, s.txErr = dirEnded, ErrEnded
	}
	if s.hears.Empty() && s.handler == nil {
		s.rx, s.rxErr = dirEnded, io.EOF
	}
	buf := codec.AppendMethod(m.buf[:0], d, s.id, o.Method.ID, o.First)
	buf = s.withHeaders(buf, o.Headers)
	call := len(buf)
	if o.Write != nil {
		buf = codec.AppendChunk(buf, d, s.id, o.Write)
		s.txHead = true
	}
	if o.Last && s.tx == dirOpen {
		buf = s.appendClose(buf)
		s.tx, s.txErr = dirEnded, ErrEnded
	}
	if m.buf = buf[:0]; cap(buf) > keepSize {
		m.buf = nil
	}
	end, err := m.link.Send(buf, nil)
	if err != nil {
		return nil, 0, err
	}
	s.opened, s.invoked = end, end-int64(len(buf)-call)
	m.next++
	m.counters.opened.Add(1)
	if s.aside = o.Aside; s.overLocked() {
		return s, s.id, nil
	}
	if !s.aside {
		m.active.Add(1)
		m.load.Add(1)
	}
	m.fresh = append(m.fresh, s)
	return s, s.id, nil
}

// Say sends a message of our direction of a call and moves along its table;
// args is the message's whole array of arguments. One after which nothing may
// follow ends the direction. It waits for room in the outbox as Write does; on
// the loop nobody waits.
//
// In dialect v0, which has no other messages, a value is a chunk of its one
// argument packed (of all of them, as an array, if they are several) and a
// choke, of no argument the choke alone; a write is a chunk of its argument,
// as it is if that is a raw, else packed.
//
// It fails with ErrArgs or ErrNoArm (the table has no such message) before
// anything is sent, with ErrUnsupported on a session that is no call, and like
// Write.
func (s *Session) Say(id uint64, args []byte) error {
	if s.method == nil {
		return ErrUnsupported
	}
	if !isArgs(args) {
		return ErrArgs
	}
	for {
		s.mu.Lock()
		err := s.writableLocked()
		a := s.says.find(id)
		if err == nil && a == nil {
			err = ErrNoArm
		}
		if err != nil {
			s.mu.Unlock()
			return err
		}
		free := s.handler != nil // the loop does not wait
		if free || s.m.claim(len(args)) {
			err := s.sayLocked(a, args)
			if !free {
				s.m.unclaim(len(args))
			}
			return err
		}
		ch, deadline := s.writer.armLocked(), s.writer.deadline
		s.mu.Unlock()
		s.m.waitRoom(s)
		wait(ch, deadline)
	}
}

// sayLocked is Say once it may be said. It unlocks.
func (s *Session) sayLocked(a *arm, args []byte) error {
	var err error
	if s.m.dialect() == heddle.V0 {
		err = s.sayV0Locked(a, args)
	} else {
		err = s.sendLocked(codec.AppendMethod(s.scratch[:0], heddle.V1, s.id, a.ID, nil), args)
	}
	if err == ErrNoArm || err == ErrArgs {
		s.mu.Unlock()
		return err
	}
	s.txHead = true
	s.says = s.says.after(a)
	over := false
	if s.says.Empty() {
		d := dirEnded
		if a.fails {
			d = dirBroken
		}
		s.endTxLocked(d, ErrEnded)
		over = s.overLocked()
	}
	s.mu.Unlock()
	if over {
		s.m.finish(s)
	}
	return err
}

// sayV0Locked says a message with what dialect v0 has.
func (s *Session) sayV0Locked(a *arm, args []byte) error {
	switch {
	case a.closes:
		return s.sendChokeLocked()
	case a.fails:
		var e heddle.ErrorV1
		if err := codec.DecodeArgs(&e, args, 1); err != nil {
			return ErrArgs
		}
		s.sendErrorLocked(e.Code.Category, e.Code.Code, string(e.Reason))
		return nil
	case a.Name != armValue && a.Name != armWrite:
		return ErrNoArm
	}
	size, count, _ := heddle.Head(args) // isArgs has seen it
	p := args[size:]
	if count > 1 {
		p = args
	}
	if a.Name == armWrite {
		if count == 0 {
			return ErrArgs
		}
		var raw heddle.Raw
		if _, err := raw.UnmarshalMsg(p); err == nil && count == 1 {
			p = raw
		}
	}
	buf := getBuffer()
	if count > 0 {
		buf = codec.AppendChunk(buf, heddle.V0, s.id, p)
	}
	if a.last() {
		buf = codec.AppendChoke(buf, heddle.V0, s.id)
	}
	_, err := s.m.link.Send(buf, nil)
	putBuffer(buf)
	return err
}

// writesLocked is why Write may not send chunks on a call, or nil.
func (s *Session) writesLocked() error {
	if s.m.dialect() == heddle.V1 && !s.says.writes {
		return ErrNoArm
	}
	return nil
}

// finishCall is Finish on a call.
func (s *Session) finishCall(chunks [][]byte) error {
	for _, p := range chunks {
		if err := s.WriteChunk(p); err != nil {
			return err
		}
	}
	return s.Close()
}

// appendClose appends what ends our direction of a call in order; nothing if
// its table has no such message, for then the peer need not be told. In place
// of a value that is the void one.
func (s *Session) appendClose(buf []byte) []byte {
	at := len(buf)
	switch {
	case s.m.dialect() == heddle.V0:
		return codec.AppendChoke(buf, heddle.V0, s.id)
	case s.says == nil || s.says.closes == nil:
		return buf
	}
	return s.traced(codec.AppendMethod(buf, heddle.V1, s.id, s.says.closes.ID, noArgs), at)
}

// sendCloseLocked queues what appendClose appends.
func (s *Session) sendCloseLocked() error {
	buf := s.appendClose(getBuffer())
	defer putBuffer(buf)
	if len(buf) == 0 {
		return nil
	}
	_, err := s.m.link.Send(buf, nil)
	return err
}

// failLocked queues the error message of a v1 call; where its table has none, the
// orderly end.
func (s *Session) failLocked(category, code int64, msg string) {
	switch {
	case s.says == nil:
		return
	case s.says.fails == nil:
		if c := s.says.closes; c != nil && c.closes { // a void value would be a lie
			_ = s.sendCloseLocked()
		}
		return
	}
	buf := codec.AppendMethod(getBuffer(), heddle.V1, s.id, s.says.fails.ID, nil)
	buf = codec.AppendErrorArgs(buf, category, code, msg)
	_ = s.sendLocked(buf, nil)
	putBuffer(buf)
}
