package loop

import "errors"

var (
	// ErrClosed reports a call on a loop, listener or connection that is closed,
	// closing, or can no longer be written to.
	ErrClosed = errors.New("loop: closed")

	// ErrOverflow ends a connection whose outbox grew beyond its limit.
	ErrOverflow = errors.New("loop: outbox is full")

	// ErrKept ends a connection whose handler kept back more than Options.KeepLimit.
	ErrKept = errors.New("loop: handler keeps back too many bytes")

	// ErrPanic ends a connection one of whose callbacks panicked.
	ErrPanic = errors.New("loop: callback panicked")

	// ErrLinger ends a closing connection whose peer took nothing for LingerTimeout.
	ErrLinger = errors.New("loop: peer does not take what was sent")

	// ErrTimeout ends a dialled connection that was not there in time. It says
	// true to Timeout() bool, as net.Error wants.
	ErrTimeout error = timeoutError{}

	// ErrFiles reports descriptors that were not sent with the frame that needs
	// them, or arrived in a way that lost some.
	ErrFiles = errors.New("loop: descriptors are missing")

	// ErrBusy reports a Detach while output is queued or the connection is not open.
	ErrBusy = errors.New("loop: connection is busy")

	// ErrNotSocket reports a unix path where there is something that is no socket; it
	// is left as it is. The error is EADDRINUSE too.
	ErrNotSocket = errors.New("loop: not a socket, and left as it is")

	// ErrUnsupported reports a system this package has not been written for.
	ErrUnsupported = errors.New("loop: unsupported on this system")
)

type timeoutError struct{}

func (timeoutError) Error() string   { return "loop: dial timed out" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
