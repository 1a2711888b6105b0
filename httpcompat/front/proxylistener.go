package front

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

// proxyTimeout is how long a PROXY protocol header may take where
// ReadHeaderTimeout says nothing.
const proxyTimeout = 10 * time.Second

// A proxyListener's connections begin with a PROXY protocol header.
type proxyListener struct {
	net.Listener
	trusted Trusted // who may connect; empty: anybody
	timeout time.Duration
	log     *slog.Logger
}

// Accept returns the next connection of somebody who may send a header. It does
// not wait for the header: the connection's own goroutine will.
func (l *proxyListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.trusted.Empty() || l.trusted.hasPeer(c.RemoteAddr()) {
			return &proxyConn{Conn: c, timeout: l.timeout, log: l.log}, nil
		}
		l.log.Info("front: connection refused: it is no trusted proxy, and a PROXY protocol header is wanted here", "remote", c.RemoteAddr().String())
		_ = c.Close() // nothing was written to it
	}
}

// A proxyConn is a connection whose addresses its header tells. Whoever asks for
// them first, or reads, reads the header; it is not written to before.
type proxyConn struct {
	net.Conn
	timeout time.Duration
	log     *slog.Logger

	once   sync.Once
	header proxyHeader
	err    error  // why there is no header
	rest   []byte // came behind it; the reader's alone once the header was read
}

// NetConn is the connection below, as crypto/tls has it.
func (c *proxyConn) NetConn() net.Conn { return c.Conn }

// Read reads what is behind the header.
func (c *proxyConn) Read(p []byte) (int, error) {
	c.once.Do(c.readHeader)
	if c.err != nil {
		return 0, c.err
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// RemoteAddr is the source that the header says.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.once.Do(c.readHeader)
	if c.header.source != nil {
		return c.header.source
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the destination that the header says.
func (c *proxyConn) LocalAddr() net.Addr {
	c.once.Do(c.readHeader)
	if c.header.dest != nil {
		return c.header.dest
	}
	return c.Conn.LocalAddr()
}

// CloseWrite half-closes.
func (c *proxyConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// readHeader reads until the header is whole. net/http asks for the remote
// address before it sets any deadline of its own.
func (c *proxyConn) readHeader() {
	err := c.Conn.SetReadDeadline(time.Now().Add(c.timeout))
	buf := make([]byte, 0, 512)
	for err == nil {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, maxProxyBytes), buf...)
		}
		var n int
		n, err = c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 {
			continue
		}
		h, size, perr := parseProxyHeader(buf)
		if perr == nil {
			c.header, c.rest = h, buf[size:]
			err = c.Conn.SetReadDeadline(time.Time{})
			break
		}
		if perr != errProxyShort {
			err = perr
		}
	}
	if err != nil {
		// The server takes this for a client that went away, and is silent.
		c.err = &net.OpError{Op: "read", Net: "tcp", Addr: c.Conn.RemoteAddr(), Err: err}
		level := slog.LevelInfo
		if len(buf) == 0 {
			level = slog.LevelDebug // a health check, most likely
		}
		c.log.Log(context.Background(), level, "front: connection closed: no PROXY protocol header came", "remote", c.Conn.RemoteAddr().String(), "err", err)
	}
}
