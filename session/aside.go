package session

// SetAside keeps the session out of Mux.Load, Mux.Sessions and OnIdle, as
// OpenOptions.Aside does. Only within Options.Accept, once. Of those there may be
// Options.MaxSessions beside the others.
func (s *Session) SetAside() {
	s.m.owner.Check()
	s.aside = true
	s.m.asides.Add(1)
	s.m.leave()
}

// leave counts a session out of those that are open.
func (m *Mux) leave() {
	if m.active.Add(-1) == 0 && m.idle != nil {
		m.idle()
	}
}
