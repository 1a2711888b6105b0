package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/session"
)

// A Kind is why a request, or an attempt to connect, failed.
type Kind uint8

// The kinds. Those up to KindDial are of attempts to connect, the others of requests.
const (
	KindResolve     Kind = iota // the host has no address
	KindRefused                 // nobody listens
	KindDialTimeout             // no answer to an attempt to connect
	KindDescriptors             // this process may not open any more
	KindPorts                   // no local port is left
	KindTLSUnknown              // nobody trusted vouches for the server's certificate
	KindTLSName                 // its certificate is another host's
	KindTLSExpired              // its certificate is not valid now
	KindTLSPlain                // it does not speak TLS
	KindTLSClosed               // it closed the connection before TLS was agreed on
	KindTLS                     // another failure of TLS, at any time
	KindNoHTTP2                 // it does not speak HTTP/2, which was asked for
	KindNoApp                   // the locator knows no such app
	KindDial                    // another failure to connect
	KindTimeout                 // no answer within the time-out: it came late, or never
	KindReset                   // the server reset the connection
	KindClosed                  // the server closed it before it answered
	KindTruncated               // the server closed it amid an answer
	KindMalformed               // what came is no answer of HTTP, or of sessions
	KindTooLarge                // the answer's head is too large
	KindStatus                  // the answer's status is not the one expected
	KindBody                    // the answer's body is not the one expected
	kinds
)

var kindNames = [kinds]string{
	"resolve", "refused", "connect timeout", "no descriptors", "no ports",
	"TLS: unknown authority", "TLS: other name", "TLS: expired", "TLS: not spoken", "TLS: closed", "TLS", "no HTTP/2", "no such app", "connect",
	"timeout", "reset", "closed", "truncated", "malformed", "too large", "status", "body",
}

func (k Kind) String() string { return kindNames[k] }

// dialKind sorts the error of an attempt to connect.
func dialKind(err error) Kind {
	var dns *net.DNSError
	var secure *tlsError
	switch {
	case errors.As(err, &secure):
		return secure.kind()
	case err == errNoHTTP2:
		return KindNoHTTP2
	case errors.As(err, &dns):
		return KindResolve
	case errors.Is(err, service.ErrNotAvailable), err == errNoApp:
		return KindNoApp
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return KindRefused
	case errors.Is(err, loop.ErrTimeout), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return KindDialTimeout
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return KindDescriptors
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return KindPorts
	case isReset(err): // of a locator, which was connected to
		return KindReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return KindClosed
	case errors.Is(err, loop.ErrClosed), errors.Is(err, session.ErrEnded): // a locator hung up before it was asked
		return KindClosed
	}
	return KindDial
}

// connKind sorts the error that ended a connection.
func connKind(err error) Kind {
	if err == nil || errors.Is(err, io.EOF) {
		return KindClosed
	}
	return KindReset
}

// answerKind sorts an error of answer.
func answerKind(err error) Kind {
	if err == errTooBig {
		return KindTooLarge
	}
	return KindMalformed
}

// errEnded is what a connection is aborted with that is not needed any more.
var errEnded = errors.New("bench: the generator needs the connection no more")
