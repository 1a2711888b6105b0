package upstream

import (
	"net"
	"sync"
	"time"
)

// endPause is how long after a request with a body was handed over, its last piece
// may take until its write begins.
const endPause = 100 * time.Millisecond

// A line is a connection to a worker that counts what is written to it, so that
// the end of one request's client is passed on behind the request, and never taken
// for that of the next one's.
type line struct {
	net.Conn

	mu    sync.Mutex
	begun uint64 // writes
	done  uint64
	end   uint64 // end what we send after so many writes, if no other has begun; 0: never
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.begun++
	l.mu.Unlock()
	n, err := l.Conn.Write(p)
	l.mu.Lock()
	l.done++
	l.endLocked()
	l.mu.Unlock()
	return n, err
}

// CloseWrite ends what we send, alone.
func (l *line) CloseWrite() error {
	if h, ok := l.Conn.(half); ok {
		return h.CloseWrite()
	}
	return l.Close()
}

// writes is how many have begun.
func (l *line) writes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// endAfter ends what we send as soon as so many writes are done. If another has
// begun then nothing happens; if one begins afterwards it fails before its first
// byte, and is made on another line.
func (l *line) endAfter(writes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = writes
	l.endLocked()
}

func (l *line) endLocked() {
	if l.end > 0 && l.begun == l.end && l.done == l.end {
		_ = l.CloseWrite() // an error: the connection has ended
	}
}

// endSoon is endAfter for a line of a single request, of which nobody can tell how
// many writes it takes.
func (l *line) endSoon() {
	time.AfterFunc(endPause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.begun == l.done { // else the worker does not read, and would not see it
			_ = l.CloseWrite()
		}
	})
}
