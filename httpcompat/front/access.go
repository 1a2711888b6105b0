package front

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An Access is one request and what became of it. Whoever is given one borrows
// it, with its text.
type Access struct {
	Loop     int       // on which it was answered, from 0 on; -1: by net/http
	Begun    time.Time // when its head had come
	Duration time.Duration
	Remote   string // the client's address, host:port; "@" or "" on a unix socket
	Method   string // "" with URI and Proto if the head could not be read
	URI      string // as the client wrote it
	Proto    string // "HTTP/1.1"
	Status   int    // that was sent; 499: the client did not stay; 0: the connection was broken off before
	Bytes    int64  // of the answer's body; of what the handler wrote on a connection that it took over, on the loops
	ID       string // of the request
}

// An accessNote is what a call has to remember for Access when its client is gone.
type accessNote struct {
	remote string
	line   []byte // method and URI
	method int    // bytes of line
}

// noteAsked remembers the request.
func (x *call) noteAsked(h *requestHead) {
	n := &x.note
	n.remote, n.method = x.c.remote, len(h.method)
	n.line = append(append(n.line[:0], h.method...), h.target...)
}

// tellAccess is called when a call is over.
func (x *call) tellAccess() {
	n, a := &x.note, &x.ln.access
	line := lend(n.line)
	*a = Access{
		Loop: x.ln.index, Begun: x.begun, Duration: time.Since(x.begun), Remote: n.remote,
		Method: line[:n.method], URI: line[n.method:], Proto: "HTTP/1.1", Status: x.code, Bytes: x.bytes, ID: lend(x.id),
	}
	switch {
	case x.half && !x.whole:
		a.Status = statusGone
	case x.tunnel:
		a.Status = http.StatusSwitchingProtocols
	}
	x.ln.s.o.OnAccess(a)
}

// statusGone is what logs and tallies say of clients that did not stay, as nginx
// has it. Nobody gets to see it.
const statusGone = 499

// tellLate is for a head that took too long, of which nobody knows what it was to
// become.
func (c *client) tellLate(sent int64) {
	a := &c.ln.access
	*a = Access{Loop: c.ln.index, Begun: time.Now(), Remote: c.remote, Status: http.StatusRequestTimeout, Bytes: sent}
	c.ln.s.o.OnAccess(a)
}

// bodyLen is how long the body is of a whole answer.
func bodyLen(answer []byte) int64 {
	_, body, _ := strings.Cut(lend(answer), "\r\n\r\n")
	return int64(len(body))
}

// tellAccess is called when an exchange is over.
func (x *exchange) tellAccess() {
	r := x.r
	a := &Access{
		Loop: -1, Begun: x.begun, Duration: time.Since(x.begun), Remote: r.RemoteAddr,
		Method: r.Method, URI: r.RequestURI, Proto: r.Proto, Status: x.code, Bytes: x.sent, ID: x.id,
	}
	switch {
	case x.gone:
		a.Status = statusGone
	case x.hijacked:
		a.Status = http.StatusSwitchingProtocols
	case a.Status == 0 && x.returned:
		a.Status = http.StatusOK
	}
	x.s.o.OnAccess(a)
}

// A refusedConn finds out what net/http refuses by itself, before there is a
// request: it tells nobody. What it writes then begins like nothing else that is
// written in an answer of a handler's.
type refusedConn struct {
	net.Conn
	s    *Server
	told atomic.Bool
}

// refusal is what stands behind the status line, as net/http's conn.serve has it.
const refusal = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

func (c *refusedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if code, sent := refusedWith(p); code != 0 && !c.told.Swap(true) {
		c.s.o.OnAccess(&Access{Loop: -1, Begun: time.Now(), Remote: c.Conn.RemoteAddr().String(), Status: code, Bytes: sent})
	}
	return n, err
}

// NetConn is the connection below, as crypto/tls has it.
func (c *refusedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite half-closes.
func (c *refusedConn) CloseWrite() error {
	w, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return w.CloseWrite()
}

// A refusedListener accepts refusedConns.
type refusedListener struct {
	net.Listener
	s *Server
}

// Accept waits for a connection.
func (l refusedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &refusedConn{Conn: c, s: l.s}, nil
}

// refusedWith is the status of a refusal; 0: p is none.
func refusedWith(p []byte) (code int, sent int64) {
	const status = "HTTP/1.1 400"
	if len(p) < len(status)+len(refusal) || p[9] != '4' && p[9] != '5' {
		return 0, 0
	}
	line, body, ok := strings.Cut(lend(p), refusal)
	if !ok || strings.Contains(line, "\r") || !strings.HasPrefix(line, "HTTP/1.1 ") {
		return 0, 0
	}
	code, err := strconv.Atoi(line[len("HTTP/1.1 "):len(status)])
	if err != nil {
		return 0, 0
	}
	return code, int64(len(body))
}
