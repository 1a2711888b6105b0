package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// TLS is how a server is made sure of.
type TLS struct {
	Insecure   bool   // not at all
	ServerName string // the name that is sent to it, and that its certificate has to be for; default the target's host
	CACert     []byte // PEM, of those who may vouch for it; default the system's
}

// config is what the standard library wants of it.
func (o *TLS) config(t *Target) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: o.Insecure, ServerName: o.ServerName}
	if c.ServerName == "" {
		c.ServerName = t.Host
		if host, _, err := net.SplitHostPort(t.Host); err == nil {
			c.ServerName = host
		}
	}
	if len(o.CACert) > 0 {
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(o.CACert) {
			return nil, errors.New("bench: no certificate is among those that may vouch for the server")
		}
	}
	switch t.HTTP {
	case HTTP1:
		c.NextProtos = []string{"http/1.1"}
	case HTTP2:
		c.NextProtos = []string{"h2"}
	default:
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c, nil
}

// A tlsError is why TLS was not agreed on.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "bench: TLS: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

var errNoHTTP2 = errors.New("bench: the server does not speak HTTP/2")

func (e *tlsError) kind() Kind {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	err := e.err
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return KindDialTimeout
	case errors.As(err, &unknown):
		return KindTLSUnknown
	case errors.As(err, &name):
		return KindTLSName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return KindTLSExpired
	case errors.As(err, &record):
		return KindTLSPlain
	case errors.As(err, &op) && op.Err.Error() == errNoProtocol.Error(): // of a type that has no name
		return KindNoHTTP2
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		return KindTLSClosed
	}
	return KindTLS
}

// errNoProtocol is no_application_protocol (RFC 7301, 3.2).
const errNoProtocol = tls.AlertError(120)

// isReset says whether err is that the other side has reset the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
