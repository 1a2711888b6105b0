package session

// SetAside keeps the session out of Mux.Load, Mux.Sessions and OnIdle, as
// OpenOptions.Aside does. Only within Options.Accept, once; whoever accepts those
// bounds them, for Options.MaxSessions does not.
func (s *Session) SetAside() {
	s.m.owner.Check()
	s.aside = true
	s.m.leave()
}

// leave counts a session out of those that are open.
func (m *Mux) leave() {
	if m.active.Add(-1) == 0 && m.idle != nil {
		m.idle()
	}
}
