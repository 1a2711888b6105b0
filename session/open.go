package session

import (
	"github.com/heddle-go/heddle/codec"
)

// OpenOptions say how a session begins. Only Event is needed.
type OpenOptions struct {
	Event   string
	Headers []codec.Header // v1; toward peers that read them. Of a call with a Handler they are lent until Open returns

	// Trace is what every frame of ours carries, on a channel with
	// Options.TraceHeaders (default: that among Headers, or zeros). Elsewhere
	// nothing is sent of it.
	Trace Trace

	// Method makes the session a call of it, on a Service channel, where
	// nothing else is opened. First is then the whole msgpack array of its
	// arguments (nil: none), and Event only for logs (default: the method's
	// name). Last ends our direction, if its table lets it be open at all.
	//
	// Of a v1 call whose Upstream is empty nothing is heard but the end: the
	// loop tells a Handler, and Recv returns io.EOF at once.
	Method *Method

	// Chunks makes a Chunk of each write of a v1 call's answer, of the one raw that
	// it has, as all that comes in v0 is. One that has none ends the channel.
	Chunks bool

	// Write is sent behind a v1 call in the same batch, as the first write of our
	// direction; nil: none. ErrNoArm where the method or the dialect has none.
	Write []byte

	// First is the first chunk (the head), sent in one batch with the invoke.
	// Last says that it is the only one: the choke follows in the same batch.
	First []byte
	Last  bool

	// Label is what logs may call the session, such as a request's id. It is not
	// sent. With a Handler it may be borrowed until Release.
	Label string

	// NoCredit makes our direction begin without credit: the peer's first
	// read grants (a request that expects 100-continue).
	NoCredit bool

	// Aside keeps the session out of Load, Sessions and OnIdle: for one that is no
	// work. Drain, Hold and the limit of sessions do not concern it. Whoever opens
	// those bounds them.
	Aside bool

	// Handler uses the session on the loop. Off the loop it may be called before
	// Open has returned.
	Handler Handler
}

// Open opens a session. Any goroutine. It fails with ErrDraining, ErrTooMany, an error that wraps ErrLost,
// or what the link said; with ErrUnsupported where this side opens nothing or nothing of this kind, and
// with ErrArgs for a call whose First is no array.
func (m *Mux) Open(o OpenOptions) (*Session, error) {
	if o.Method != nil || m.ch.service {
		return m.openCall(o)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.mayOpenLocked(o.Aside)
	switch {
	case err != nil:
		return nil, err
	case m.ch.dialed && !m.heddle:
		return nil, ErrUnsupported // a worker opens nothing toward a real engine
	case !m.heddle && len(o.First) > MaxHead && m.link.Queued() >= HighWater:
		return nil, ErrTooMany // a whole request, and another one: the outbox has an end
	}
	s := m.newSessionLocked()
	s.m, s.event, s.ours, s.label, s.handler, s.headers = m, o.Event, true, o.Label, o.Handler, o.Headers
	s.ctx.base = m.base
	s.trace = m.traceOf(&o)
	s.id, s.heddle, s.full = m.next, m.heddle, m.window
	s.window, s.most, s.credit = m.window, m.window, m.window
	window := int64(-1)
	if o.NoCredit && m.heddle {
		s.credit, window = 0, 0
	}
	d := m.dialect()
	buf := codec.AppendInvoke(m.buf[:0], d, s.id, o.Event, window)
	buf = s.withHeaders(buf, o.Headers)
	invoke := len(buf)
	if o.First != nil {
		if len(o.First) > MaxHead && m.heddle {
			return nil, ErrTooLarge
		}
		at := len(buf)
		buf = s.traced(codec.AppendChunk(buf, d, s.id, o.First), at)
		s.txHead = true
	}
	if o.Last {
		at := len(buf)
		buf = s.traced(codec.AppendChoke(buf, d, s.id), at)
		s.tx, s.txErr = dirEnded, ErrEnded
	}
	if m.buf = buf[:0]; cap(buf) > keepSize {
		m.buf = nil
	}
	end, err := m.link.Send(buf, nil)
	if err != nil {
		return nil, err
	}
	s.opened, s.invoked = end, end-int64(len(buf)-invoke)
	m.next += m.step
	if s.aside = o.Aside; !s.aside {
		m.active.Add(1)
		m.load.Add(1)
	}
	m.counters.opened.Add(1)
	m.fresh = append(m.fresh, s)
	return s, nil
}

// mayOpenLocked is why we may open nothing now, or nil.
func (m *Mux) mayOpenLocked(aside bool) error {
	switch {
	case m.err != nil:
		return m.err
	case (m.draining || m.held) && !aside:
		return ErrDraining
	case m.load.Load() >= m.limit && !aside:
		return ErrTooMany
	}
	return nil
}
