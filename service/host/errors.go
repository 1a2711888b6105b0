package host

import (
	"errors"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// errAnnouncement ends the connection to a locator that tells no services.
var errAnnouncement = errors.New("host: neighbour: no announcement of services")

// An Error is what a caller is told in place of an answer, in either dialect.
type Error struct {
	Category, Code int64  // dialect v1, PROTOCOL 3.8
	Msg            string // likewise

	CodeV0 int64  // dialect v0; 0: 1, a bad call
	MsgV0  string // likewise; "": Msg
}

func (e *Error) Error() string { return "host: " + e.Msg }

// in is the session's error in a dialect.
func (e *Error) in(d heddle.Dialect) *session.Error {
	if d == heddle.V1 {
		return &session.Error{Category: e.Category, Code: e.Code, Msg: e.Msg}
	}
	s := &session.Error{Code: e.CodeV0, Msg: e.MsgV0}
	setDefault(&s.Code, heddle.CodeV0Invocation)
	setDefault(&s.Msg, e.Msg)
	return s
}

// errorIn is how err is told in a dialect.
func errorIn(d heddle.Dialect, err error) error {
	var e *Error
	var no syscall.Errno
	switch {
	case errors.As(err, &e):
		return e.in(d)
	case errors.As(err, &no):
		return (&Error{Category: heddle.CategoryGeneric, Code: int64(no), Msg: no.Error()}).in(d)
	}
	return err // session's own words, or an exception's
}

// badArgs is v0's answer to arguments of the wrong kind; v1 ends the
// connection (PROTOCOL 2.2, 3.1).
const badArgs = "argument type mismatch"

// errnoError is a bad call that has an errno of its own in dialect v1.
func errnoError(no syscall.Errno, msg string) error {
	return &Error{Category: heddle.CategoryGeneric, Code: int64(no), Msg: msg}
}
