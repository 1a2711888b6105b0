package session

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"unicode/utf8"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

var (
	// ErrProtocol is wrapped by the error of a channel whose peer broke the
	// rules of its dialect; the channel is closed with it.
	ErrProtocol = errors.New("session: protocol violation")

	// ErrLost is wrapped by what sessions get when their channel ended
	// before they did; the cause is wrapped beside it.
	ErrLost = errors.New("session: channel lost")

	// ErrCanceled reports a session that the peer's cancel message, or our
	// own Cancel, gave up for good.
	ErrCanceled = errors.New("session: canceled")

	// ErrGone is the cause of a context cancelled because the asker's side
	// was half-closed; the answer is still delivered.
	ErrGone = errors.New("session: asker half-closed")

	// ErrEnded reports a write to a direction that has ended, or the cause of
	// a context whose session has ended in order.
	ErrEnded = errors.New("session: ended")

	// ErrTooMany reports that a channel has as many open sessions as it may.
	ErrTooMany = errors.New("session: too many open sessions")

	// ErrTooLarge reports a head that may never be sent: over MaxHead.
	ErrTooLarge = errors.New("session: head too large")

	// ErrUnsupported reports an extension that the peer did not agree to.
	ErrUnsupported = errors.New("session: not agreed with this peer")

	// ErrArgs reports arguments of a call that are no msgpack array, or not
	// those that the dialect's message has.
	ErrArgs = errors.New("session: arguments are not one array of msgpack")

	// ErrNoArm reports a message that the call's protocol does not have, or
	// not any more.
	ErrNoArm = errors.New("session: the method's protocol has no such message here")

	// ErrDraining reports a channel on which no session may be opened any
	// more, though those that are open go on.
	ErrDraining = errors.New("session: channel is draining")
)

// codeClosedUpstream is CategoryProtocol's only code (PROTOCOL 3.8).
const codeClosedUpstream = 1

// An Error is a session's abrupt end: what the peer said in its error message
// (Remote), or what this side says in its own.
type Error struct {
	ID       uint64 // session
	Category int64  // PROTOCOL 3.8; 0 in dialect v0, which has none
	Code     int64
	Msg      string
	Remote   bool // the peer's word, not ours
}

// Error has the first MaxText bytes of Msg: a peer's text goes into logs.
func (e *Error) Error() string {
	who := "local"
	if e.Remote {
		who = "remote"
	}
	return fmt.Sprintf("session %d: %s error [%d,%d]: %s", e.ID, who, e.Category, e.Code, clip(e.Msg))
}

// Errno is the system error number that stands for err, for callers who want
// one: end of file is ESHUTDOWN and a frame that cannot be decoded EBADMSG,
// as the Cocaine framework for Node.js had it (PROTOCOL 5).
func Errno(err error) syscall.Errno {
	var no syscall.Errno
	var syn *codec.SyntaxError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &no):
		return no
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return syscall.ESHUTDOWN
	case errors.As(err, &syn), errors.Is(err, codec.ErrTooLarge), errors.Is(err, ErrProtocol):
		return syscall.EBADMSG
	}
	return syscall.EIO
}

// words are the category, code and text that an error message says err with.
func (s *Session) words(err error) (category, code int64, msg string) {
	var e *Error
	if errors.As(err, &e) {
		if s.m.dialect() == heddle.V0 {
			return 0, codeV0(e.Category, e.Code), clip(e.Msg)
		}
		return e.Category, e.Code, clip(e.Msg)
	}
	msg = "aborted"
	if err != nil {
		msg = clip(err.Error())
	}
	if s.m.dialect() == heddle.V0 {
		return 0, heddle.CodeV0Invocation, msg
	}
	return heddle.CategoryFramework, heddle.CodeException, msg
}

// codeV0 is the one number by which dialect v0 says what v1 says with a category
// (PROTOCOL 2.1, 3.8). What v0 has no word for keeps its code.
func codeV0(category, code int64) int64 {
	switch category {
	case heddle.CategoryFramework:
		switch code {
		case heddle.CodeException:
			return heddle.CodeV0Invocation
		case heddle.CodeNoHandler:
			return heddle.CodeV0NoHandler
		}
	case heddle.CategoryOverseer:
		return heddle.CodeV0Resource // a queue or a pool is full
	case heddle.CategoryNode:
		switch code {
		case heddle.CodeNodeDeadline:
			return heddle.CodeV0Deadline
		case heddle.CodeNodeResource:
			return heddle.CodeV0Resource
		case heddle.CodeNodeTimeout:
			return heddle.CodeV0Timeout
		}
	}
	return code
}

// MaxText is how many bytes of an error's text the peer is told: a text must
// never be what makes a frame too large for him.
const MaxText = 1 << 10

// clip cuts text at MaxText, before the character that would not fit whole.
func clip(text string) string {
	if len(text) <= MaxText {
		return text
	}
	n := MaxText
	for n > MaxText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
