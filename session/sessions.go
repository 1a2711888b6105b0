package session

// lookup finds an open session by id, or nil. Loop only.
func (m *Mux) lookup(sid uint64) *Session {
	if s := m.sessions[sid]; s != nil {
		return s
	}
	m.adopt()
	return m.sessions[sid]
}

// adopt puts the sessions that were opened off the loop into the table.
func (m *Mux) adopt() {
	m.mu.Lock()
	m.adoptLocked()
	m.mu.Unlock()
}

func (m *Mux) adoptLocked() {
	for i, s := range m.fresh {
		m.sessions[s.id] = s
		m.fresh[i] = nil
	}
	m.fresh = m.fresh[:0]
}

// Each calls f for every open session, in no order. Loop only.
func (m *Mux) Each(f func(s *Session)) {
	m.owner.Check()
	m.adopt()
	m.reap()
	for _, s := range m.sessions {
		f(s)
	}
}

// reap takes the sessions that ended off the loop out of the table.
func (m *Mux) reap() {
	m.mu.Lock()
	m.adoptLocked() // a call can end before anything was heard of it
	for i, s := range m.finished {
		if m.sessions[s.id] == s {
			delete(m.sessions, s.id)
		}
		m.finished[i] = nil
		s.listed = false
		m.freeLocked(s)
	}
	m.finished = m.finished[:0]
	m.mu.Unlock()
}

// forget takes an ended session out of the table. Loop only.
func (m *Mux) forget(s *Session) {
	m.lookup(s.id) // it may be fresh still
	delete(m.sessions, s.id)
	m.ended(s)
	if s.released {
		m.mu.Lock()
		m.freeLocked(s)
		m.mu.Unlock()
	}
}

// mostFinished is how many sessions may have ended off the loop before it is
// asked to take them out of the table; usually the next message does.
const mostFinished = 1024

// finish is forget from any goroutine; the table follows later.
func (m *Mux) finish(s *Session) {
	m.ended(s) // before it is listed: then a released one may become another
	m.mu.Lock()
	m.finished = append(m.finished, s)
	s.listed = true
	full := len(m.finished) == mostFinished
	m.mu.Unlock()
	if full {
		// Who calls and is never answered would hear nothing, and reap
		// nothing. An error means that the loop has ended.
		_ = m.link.Do(m.reap)
	}
}

// ended counts a session out and ends its context.
func (m *Mux) ended(s *Session) {
	s.ctx.cancel(ErrEnded)
	s.uncharge()
	switch {
	case !s.aside:
		if s.ours {
			m.load.Add(-1)
		}
		m.leave()
	case !s.ours:
		m.asides.Add(-1)
	}
	if m.end != nil {
		m.end(s)
	}
}
