package session

// mostFree is how many released sessions a Mux keeps to be used again.
const mostFree = 1024

// Release says that the session's Handler is done with it, and knows it no more:
// nothing is called any more, and once both directions have ended the Mux uses
// it again under another number. Only of a session with a Handler, in or after
// OnEnd or Cancel; one whose Handler was set by SetHandler may be released, and
// need not. Loop only.
//
// Whoever else may hold the session in its own lists at that time (writers that
// wait for room, readers that are owed credit) does it no harm by a call that
// comes late.
func (s *Session) Release() {
	m := s.m
	m.owner.Check()
	s.mu.Lock()
	if s.handler == nil || s.released {
		s.mu.Unlock()
		return
	}
	s.released, s.handler, s.discard, s.label = true, nil, true, ""
	over := s.over
	s.mu.Unlock()
	if !over {
		return // forget or reap will see it
	}
	m.mu.Lock()
	m.freeLocked(s)
	m.mu.Unlock()
}

// Handler is the session's; nil if it has none, or was released. Loop only.
func (s *Session) Handler() Handler {
	s.m.owner.Check()
	return s.handler
}

// Accepted says whether the kernel has taken our invoke: from then on the peer
// may have begun.
func (s *Session) Accepted() bool { return s.m.link.Written() >= s.invoked }

// freeLocked keeps a session that is over and released. Loop only; needs the
// Mux's mu, which nests in no session's.
func (m *Mux) freeLocked(s *Session) {
	if !s.released || s.listed || m.sessions[s.id] == s {
		return
	}
	s.reset()
	if len(m.free) < mostFree {
		m.free = append(m.free, s)
	}
}

// newSessionLocked returns a session as if it were new.
func (m *Mux) newSessionLocked() *Session {
	n := len(m.free)
	if n == 0 {
		s := new(Session)
		s.ctx.of = s
		return s
	}
	s := m.free[n-1]
	m.free[n-1] = nil
	m.free = m.free[:n-1]
	return s
}

// reset gives every field but the mutexes and what waiters keep its zero value.
func (s *Session) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.releaseLocked()
	s.m, s.id, s.event, s.headers, s.label, s.ours, s.heddle, s.full = nil, 0, "", nil, "", false, false, 0
	s.method, s.args, s.trace, s.hears, s.says, s.chunks = nil, nil, Trace{}, nil, nil, false
	s.handler, s.released, s.aside = nil, false, false
	s.readHead, s.consumed = false, 0
	s.rx, s.tx, s.rxErr, s.txErr = dirOpen, dirOpen, nil, nil
	s.reader, s.writer = waiter{}, waiter{}
	s.credit, s.window, s.most, s.given, s.rxHead, s.txHead, s.discard, s.skipChoke, s.canceled = 0, 0, 0, 0, false, false, false, false, nil
	s.owed, s.inBudget, s.lost, s.over, s.wanting, s.charged = 0, false, 0, false, false, 0
	s.invoked, s.opened, s.accepted, s.listed, s.roomless = 0, 0, false, false, false
	s.ctx.reset()
}

func (c *sessionContext) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.done, c.err, c.cause, c.after = nil, nil, nil, nil, nil
}
