package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/heddle-go/heddle/loop"
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
	KindDial                    // another failure to connect
	KindTimeout                 // no answer within the time-out: it came late, or never
	KindReset                   // the server reset the connection
	KindClosed                  // the server closed it before it answered
	KindTruncated               // the server closed it amid an answer
	KindMalformed               // what came is no HTTP/1.x answer
	KindTooLarge                // the answer's head is too large
	KindStatus                  // the answer's status is not the one expected
	KindBody                    // the answer's body is not the one expected
	kinds
)

var kindNames = [kinds]string{
	"resolve", "refused", "connect timeout", "no descriptors", "no ports", "connect",
	"timeout", "reset", "closed", "truncated", "malformed", "too large", "status", "body",
}

func (k Kind) String() string { return kindNames[k] }

// dialKind sorts the error of an attempt to connect.
func dialKind(err error) Kind {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return KindResolve
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return KindRefused
	case errors.Is(err, loop.ErrTimeout), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return KindDialTimeout
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return KindDescriptors
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return KindPorts
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
