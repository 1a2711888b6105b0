package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

var (
	// ErrNotAvailable reports a name that no service of the cloud has. An *Error of
	// the locator's is one, and a resolve reply without endpoints.
	ErrNotAvailable = errors.New("service: not available")

	// ErrDisconnected is wrapped by what calls get whose connection ended before
	// they did, or could not be made. The cause is wrapped beside it; Errno knows
	// its number.
	ErrDisconnected = errors.New("service: disconnected")

	// ErrNoMethod reports a method that the service does not have. Nothing was
	// sent.
	ErrNoMethod = errors.New("service: no such method")

	// ErrNoMessage reports a message that the method's protocol does not have, or
	// not any more. Nothing was sent.
	ErrNoMessage = errors.New("service: no such message at this point of the call")

	// ErrNotOneValue reports an answer that is a stream to a call that wants one
	// value: Stream is for those.
	ErrNotOneValue = errors.New("service: the answer is not one value")

	// ErrOverrun reports a stream that has brought more than Options.Buffer before
	// it was read.
	ErrOverrun = errors.New("service: more came than may wait to be read")

	// ErrClosed reports a Service or Client after Close. It wraps ECONNRESET, which
	// is what calls in flight get.
	ErrClosed error = &closedError{}

	// ErrTimeout reports a call of which nothing was heard for its time-out. It is
	// a context.DeadlineExceeded, too.
	ErrTimeout error = &timeoutError{}
)

type closedError struct{}

func (*closedError) Error() string { return "service: closed" }
func (*closedError) Unwrap() error { return syscall.ECONNRESET }

type timeoutError struct{}

func (*timeoutError) Error() string        { return "service: timed out" }
func (*timeoutError) Timeout() bool        { return true }
func (*timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// An Error is what a service has answered in place of a result.
type Error struct {
	Service, Method string

	Category int64 // PROTOCOL.md 3.8; 0 in dialect v0, which has none
	Code     int64
	Msg      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("service %s: %s: error [%d,%d]: %s", e.Service, e.Method, e.Category, e.Code, e.Msg)
}

// Is knows ErrNotAvailable: [10,1] of v1, of v0 the text.
func (e *Error) Is(target error) bool {
	if target != ErrNotAvailable {
		return false
	}
	return e.Category == heddle.CategoryLocator && e.Code == 1 ||
		e.Category == 0 && e.Code == heddle.CodeV0Invocation && strings.HasSuffix(e.Msg, "service is not available")
}

// A placed error has in front of others' text where they happened, and wraps them.
type placed struct {
	text string
	errs []error
}

func (e *placed) Error() string   { return e.text }
func (e *placed) Unwrap() []error { return e.errs }

// bare is an error's text behind the name of the room, which whoever places it says.
func bare(err error) string { return strings.TrimPrefix(err.Error(), "service: ") }

// failed is an error of what was done with a service.
func failed(service, what string, err error) error {
	return &placed{"service " + service + ": " + what + ": " + bare(err), []error{err}}
}

// disconnected is ErrDisconnected with its cause.
func disconnected(cause error) error {
	return &placed{ErrDisconnected.Error() + ": " + bare(cause), []error{ErrDisconnected, cause}}
}

// refused is what came of asking several locators, on one line.
func refused(errs []error) error {
	var text []string
	for _, err := range errs {
		text = append(text, bare(err))
	}
	return &placed{"service: " + strings.Join(text, "; "), errs}
}

// A StateError reports a method that a service does not have in the state that it
// is in. In StateClosed it is an ErrClosed, too.
type StateError struct {
	Service, Method, State string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("service %s: %s: not in state %s", e.Service, e.Method, e.State)
}

// Is knows ErrClosed.
func (e *StateError) Is(target error) bool { return target == ErrClosed && e.State == StateClosed }

// Errno is the system error number that stands for err: what the system said,
// ESHUTDOWN for the end of the stream, EBADMSG for bytes that are no message,
// ETIMEDOUT for ErrTimeout, ECONNRESET for our own Close, else EIO. 0 for nil.
func Errno(err error) syscall.Errno {
	if errors.Is(err, context.DeadlineExceeded) {
		return syscall.ETIMEDOUT
	}
	return session.Errno(err)
}
