package httpcompat

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A requestContext is a request's context: the session's, with the values that
// net/http promises. It is part of the request's one allocation.
type requestContext struct {
	context.Context                 // the session's: ends when the client has gone
	base            context.Context // Server.BaseContext's; nil for none
	server          *http.Server
	local           string // address the request arrived at, as the front told
	id              string // as the front told: it may name a trace; "" for none
}

// Value looks at net/http's own keys first, then at BaseContext's values.
func (c *requestContext) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return c.server
	case http.LocalAddrContextKey:
		return parseAddr(c.local)
	}
	if c.base != nil {
		if v := c.base.Value(key); v != nil {
			return v
		}
	}
	v := c.Context.Value(key)
	if v == nil && c.id != "" && session.IsTraceKey(key) {
		if t, ok := session.ParseTrace(c.id); ok {
			return t
		}
	}
	return v
}

// AfterFunc lets package context derive contexts without a goroutine for each.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// TraceOfID is the root of the trace that a request's id names (session.ParseTrace),
// or of one of its own.
func TraceOfID(id string) session.Trace {
	if t, ok := session.ParseTrace(id); ok {
		return t
	}
	return session.NewTrace()
}

// parseAddr makes an address of the kind that a listener would have had.
func parseAddr(s string) net.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	if strings.Contains(s, ":") && !strings.Contains(s, "/") {
		return textAddr(s)
	}
	return &net.UnixAddr{Name: s, Net: "unix"}
}

// A textAddr is a host and port whose host is a name.
type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

// A clientConn is what ConnContext gets: the addresses of the client's
// connection, which itself is the front's.
type clientConn struct{ local, remote string }

var _ net.Conn = clientConn{}

func (clientConn) Read([]byte) (int, error)         { return 0, http.ErrNotSupported }
func (clientConn) Write([]byte) (int, error)        { return 0, http.ErrNotSupported }
func (clientConn) Close() error                     { return http.ErrNotSupported }
func (c clientConn) LocalAddr() net.Addr            { return parseAddr(c.local) }
func (c clientConn) RemoteAddr() net.Addr           { return parseAddr(c.remote) }
func (clientConn) SetDeadline(time.Time) error      { return http.ErrNotSupported }
func (clientConn) SetReadDeadline(time.Time) error  { return http.ErrNotSupported }
func (clientConn) SetWriteDeadline(time.Time) error { return http.ErrNotSupported }
