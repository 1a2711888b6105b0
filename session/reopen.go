package session

import "io"

// Reopen begins the asker's direction anew after its choke, for a session that
// from here on carries the bytes of a connection in both directions (PROTOCOL
// 9, HTTP): the end of the request's body is not the end of what the client
// says. Both sides call it. The one that was asked goes first and then tells
// the asker, by an Info of its own; if the choke is still to come, it will be
// passed over. The asker has sent its choke.
//
// An asker whose peer has ended meanwhile still gets nil and what the peer said.
// It fails with ErrUnsupported toward plain peers, else with the reason why
// there is nothing to begin anew. The window is the one that the body left.
func (s *Session) Reopen() error {
	if !s.heddle {
		return ErrUnsupported
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ours {
		switch {
		case s.canceled != nil:
			return s.canceled
		case s.rx == dirBroken:
			return s.rxErr
		case s.tx != dirEnded:
			return ErrEnded
		case s.rx == dirEnded: // nobody listens any more; writes say so
			return nil
		}
		s.tx, s.txErr = dirOpen, nil
		return nil
	}
	switch {
	case s.tx != dirOpen:
		return ErrEnded
	case s.rx == dirEnded:
		s.rx, s.rxErr = dirOpen, nil
	case s.rx == dirOpen && !s.skipChoke:
		s.skipChoke = true
	case s.rx == dirBroken:
		return s.rxErr
	default:
		return ErrProtocol
	}
	// What was read after the choke could not be granted then.
	s.owed += s.lost
	s.lost = 0
	return nil
}

// passLocked says that an end of the peer's direction is only the one that
// Reopen spoke of.
func (s *Session) passLocked(err error) bool {
	pass := s.skipChoke && err == io.EOF
	if pass {
		s.skipChoke = false
	}
	return pass
}
