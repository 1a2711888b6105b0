package front

import (
	"net"
	"net/http"
	"sync"
)

// A handover is where connections come out that have left their loops, as a
// listener of net/http's.
type handover struct {
	mu     sync.Mutex
	come   *sync.Cond
	conns  []net.Conn
	closed bool
}

func newHandover() *handover {
	h := new(handover)
	h.come = sync.NewCond(&h.mu)
	return h
}

// give hands a connection over, with what was read of it and not answered. Any
// goroutine; it does not wait.
func (h *handover) give(c net.Conn, read []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = c.Close() // nobody is there any more
		return
	}
	h.conns = append(h.conns, &handedConn{Conn: c, read: read})
	h.come.Signal()
}

// Accept waits for a connection.
func (h *handover) Accept() (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.conns) == 0 {
		if h.closed {
			return nil, http.ErrServerClosed
		}
		h.come.Wait()
	}
	c := h.conns[0]
	h.conns[0] = nil
	if h.conns = h.conns[1:]; len(h.conns) == 0 {
		h.conns = nil
	}
	return c, nil
}

// Close ends Accept, and the connections that nobody has taken yet.
func (h *handover) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, c := range h.conns {
		_ = c.Close() // nothing was written to it
	}
	h.conns = nil
	h.come.Broadcast()
	return nil
}

// Addr is nobody's: each connection has its own.
func (h *handover) Addr() net.Addr { return handedAddr{} }

type handedAddr struct{}

func (handedAddr) Network() string { return "loop" }
func (handedAddr) String() string  { return "loop" }

// A handedConn gives again what the loop had read.
type handedConn struct {
	net.Conn
	read []byte // the reader's alone
}

// NetConn is the connection below, as crypto/tls has it.
func (c *handedConn) NetConn() net.Conn { return c.Conn }

// Read reads first what was read before.
func (c *handedConn) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite half-closes.
func (c *handedConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }
