package ipc

import (
	"errors"
	"fmt"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

var (
	// ErrUnreachable is wrapped by Dial's error when nobody answers on the
	// path; the cause (syscall.ENOENT, syscall.ECONNREFUSED, a time-out, a
	// connection that ended before the welcome) is wrapped beside it.
	ErrUnreachable = errors.New("ipc: not reachable")

	// ErrClosed reports a request on a client that was closed, or is the
	// cause of a handler's context when its server is being closed.
	ErrClosed = errors.New("ipc: closed")

	// ErrTooLarge reports a message of more than MaxMessage bytes.
	ErrTooLarge = session.ErrTooLarge

	// ErrReplies reports a Request that was answered more than once.
	ErrReplies = errors.New("ipc: more than one reply")
)

// Why a server ends a connection.
var (
	errStranger  = errors.New("ipc: peer is not of this user")
	errHandshake = errors.New("ipc: no handshake in time")
	errAgain     = fmt.Errorf("%w: handshake sent twice", session.ErrProtocol)
	errNoOffer   = fmt.Errorf("%w: handshake without the features that ipc needs", session.ErrProtocol)
	errControl   = fmt.Errorf("%w: unexpected message on channel 1", session.ErrProtocol)
	errCrowded   = errors.New("ipc: too many connections, and this one asked nothing")
	errDeaf      = errors.New("ipc: peer does not read the answers to its heartbeats")
	errJSON      = errors.New("ipc: JSON lines are not spoken yet")
)

// errFiles ends a request with more descriptors than a handler gets.
var errFiles = fmt.Errorf("ipc: more than %d descriptors with one request", MaxFiles)

// codeFailed is CategoryUser's code for a handler's error that is none of ours.
const codeFailed = 1

// failure is what an error message says of a handler's error.
func failure(err error) *session.Error {
	var e *session.Error
	if !errors.As(err, &e) {
		e = &session.Error{Category: heddle.CategoryUser, Code: codeFailed, Msg: err.Error()}
	}
	return e
}
