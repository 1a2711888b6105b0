package admin

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConns is how many connections may be open. One more ends the one that has
// rested for longest: without a request, or with a head that does not come. If all
// are being answered it waits to be accepted.
const maxConns = 64

// A limited listener accepts while there are places.
type limited struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	once   sync.Once

	mu      sync.Mutex
	resting []net.Conn // oldest first
}

func limit(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, places: make(chan struct{}, n), done: make(chan struct{})}
}

// Accept waits for a connection, then for a place.
func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.places <- struct{}{}:
	default:
		l.evict()
		select {
		case l.places <- struct{}{}:
		case <-l.done:
			_ = c.Close()
			return nil, net.ErrClosed
		}
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// evict ends the connection that has rested for longest, if one rests.
func (l *limited) evict() {
	l.mu.Lock()
	var c net.Conn
	if len(l.resting) > 0 {
		c, l.resting = l.resting[0], l.resting[1:]
	}
	l.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// note is the http.Server's ConnState.
func (l *limited) note(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resting = slices.DeleteFunc(l.resting, func(x net.Conn) bool { return x == c })
	if state == http.StateNew || state == http.StateIdle {
		l.resting = append(l.resting, c)
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// A placed connection has a place until it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
