package loop

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

var errCrowded = errors.New("as many connections as there may be")

// A spare is a descriptor that is kept so that there is one to accept a connection
// with that has to be refused, when all others are in use.
type spare struct {
	fd     int // of /dev/null
	kept   bool
	logged time.Time // when a refusal was logged last
	quiet  int       // refusals since
}

// keep opens it. False: there is none left.
func (s *spare) keep() bool {
	if s.kept {
		return true
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	s.fd, s.kept = fd, err == nil
	return s.kept
}

// give closes it. False: there was none.
func (s *spare) give() bool {
	if !s.kept {
		return false
	}
	s.kept = false
	_ = unix.Close(s.fd) // it was never registered, so no event can be left
	return true
}

// refusalsLogged is how often refusals are logged, at most.
const refusalsLogged = time.Second

// refuse resets a connection that was accepted only for that.
func (ln *Listener) refuse(fd int, sa unix.Sockaddr, why error) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(fd) // it was never registered, so no event can be left
	ln.loop.stats.refused.Add(1)
	s := &ln.spare
	if time.Since(s.logged) < refusalsLogged {
		s.quiet++
		return
	}
	ln.loop.log.Warn("loop: a connection was refused", "addr", ln.addr, "remote", netAddr(sa), "open", ln.live.Load(), "unlogged", s.quiet, "err", why)
	s.logged, s.quiet = time.Now(), 0
}
