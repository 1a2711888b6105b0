package ipc

import (
	"errors"
	"fmt"
	"os"

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
	errLate      = fmt.Errorf("ipc: peer does not read its replies: %w", os.ErrDeadlineExceeded)
	errJSON      = errors.New("ipc: JSON lines are not spoken here")
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

var (
	// ErrName refuses the name of a namespace or a topic.
	ErrName = errors.New("ipc: not a name")

	// ErrUnknownNamespace reports that the peer has no such namespace, and
	// ErrUnknownTopic that nobody handles this topic in it.
	ErrUnknownNamespace = errors.New("ipc: unknown namespace")
	ErrUnknownTopic     = errors.New("ipc: unknown topic")

	// ErrPeerDied reports that the peer went before it acknowledged or
	// answered, or that it is gone already.
	ErrPeerDied = errors.New("ipc: the peer died")

	// ErrNotReady refuses descriptors for a peer that is not ready.
	ErrNotReady = errors.New("ipc: the peer is not ready")

	// ErrQueueFull reports a message that may not wait and finds the queue full.
	ErrQueueFull = errors.New("ipc: the queue for this peer is full")

	// ErrExpired reports a message that waited too long for its peer to be ready.
	ErrExpired = errors.New("ipc: the peer was not ready in time")

	// ErrSelector reports that a hub's Router does not understand whom something is
	// for, or that it cannot be for so many.
	ErrSelector = errors.New("ipc: not for these")

	// ErrAcked refuses a second acknowledgement.
	ErrAcked = errors.New("ipc: acknowledged already")

	// ErrSlow is why a peer was dropped that reads too slowly for a Broadcast.
	ErrSlow = errors.New("ipc: peer reads too slowly")

	// ErrDown reports a Connector that is not connected now.
	ErrDown = errors.New("ipc: not connected")

	// ErrListening refuses a second Listen.
	ErrListening = errors.New("ipc: listening already")

	// ErrNoRouter reports a message for others, or on their behalf, to a peer whose
	// protocol has no word for it.
	ErrNoRouter = errors.New("ipc: this peer's protocol names nobody else")

	// ErrNoAcks reports a Send or Request to a peer whose protocol has neither.
	ErrNoAcks = errors.New("ipc: this peer's protocol has no acknowledgements")

	// ErrNotJSON refuses a body other than JSON for a peer that gets nothing else.
	ErrNotJSON = errors.New("ipc: this peer gets JSON bodies only")
)

// Codes of error messages, of heddle.CategoryFramework; CodeNoHandler is an unknown topic.
const codeNoNamespace = 201

// CodeSelector is ErrSelector's, for a Router's errors.
const CodeSelector = 207

// knownErrors have codes of that category, so that they are told on the other side of a
// channel, too.
var knownErrors = [...]struct {
	code int64
	err  error
}{
	{heddle.CodeNoHandler, ErrUnknownTopic},
	{codeNoNamespace, ErrUnknownNamespace},
	{202, os.ErrDeadlineExceeded},
	{203, ErrPeerDied},
	{204, ErrQueueFull},
	{205, ErrNotReady},
	{206, ErrExpired},
	{CodeSelector, ErrSelector},
}

// An UnknownPeerError reports an id that no peer has, or has any more.
type UnknownPeerError struct {
	ID    string
	Topic string // of the message that was to be sent, if any
}

func (e *UnknownPeerError) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("ipc: no peer %.64q", e.ID)
	}
	return fmt.Sprintf("ipc: no peer %.64q for a message of topic %q", e.ID, e.Topic)
}

// A RemoteError is what the peer's handler failed with, or why the peer refused.
// errors.Is tells ErrUnknownNamespace and ErrUnknownTopic; of what went by way of others
// os.ErrDeadlineExceeded, ErrPeerDied, ErrQueueFull, ErrNotReady, ErrExpired and ErrSelector, too.
type RemoteError struct {
	Peer, Namespace, Topic string
	Seq                    uint64 // of a message
	Category, Code         int64
	Msg                    string // as the handler said it
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("ipc: %s: [%d,%d] %s", where(e.Peer, e.Namespace, e.Topic, e.Seq), e.Category, e.Code, e.Msg)
}

// Is makes errors.Is tell those.
func (e *RemoteError) Is(target error) bool {
	for _, k := range knownErrors {
		if target == k.err {
			return e.Category == heddle.CategoryFramework && e.Code == k.code
		}
	}
	return false
}

// A TimeoutError reports that no acknowledgement or reply came in time. errors.Is
// tells os.ErrDeadlineExceeded.
type TimeoutError struct {
	Peer, Namespace, Topic string
	Seq                    uint64 // of a message
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("ipc: %s: no answer in time", where(e.Peer, e.Namespace, e.Topic, e.Seq))
}

// Timeout makes it a net.Error's kind of time-out.
func (e *TimeoutError) Timeout() bool { return true }

// Is makes errors.Is tell os.ErrDeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// A DataError reports that a peer sent what is no message.
type DataError struct {
	Peer, Namespace string
	Data            []byte // the first bytes of it, at most 256
	Err             error
}

func (e *DataError) Error() string {
	return fmt.Sprintf("ipc: peer %s, namespace %q: %v: %.32x", e.Peer, e.Namespace, e.Err, e.Data)
}

// Unwrap gives what was wrong.
func (e *DataError) Unwrap() error { return e.Err }

func where(peer, ns, topic string, seq uint64) string {
	ns = realName(ns)
	if seq == 0 {
		return fmt.Sprintf("topic %q to peer %s, namespace %q", topic, peer, ns)
	}
	return fmt.Sprintf("topic %q, sequence %d to peer %s, namespace %q", topic, seq, peer, ns)
}

// refusal is what a stream or a request is ended with.
func refusal(code int64, format string, args ...any) *session.Error {
	return &session.Error{Category: heddle.CategoryFramework, Code: code, Msg: fmt.Sprintf(format, args...)}
}

// refusalFull is for who asks too much at once.
func refusalFull(what string) *session.Error {
	return &session.Error{Category: heddle.CategoryOverseer, Code: heddle.CodePoolFull, Msg: "too many " + what + " at once; try again"}
}

// ended is what an end of a session means for who waits on a message of it.
func (p *Peer) ended(ns, topic string, seq uint64, err error) error {
	var e *session.Error
	switch {
	case errors.As(err, &e) && e.Remote:
		return &RemoteError{p.id, realName(ns), topic, seq, e.Category, e.Code, e.Msg}
	case err == nil:
		return fmt.Errorf("%w: %s", ErrPeerDied, where(p.id, ns, topic, seq))
	case errors.Is(err, ErrPeerDied), !errors.Is(err, session.ErrLost) && !errors.Is(err, session.ErrDraining):
		return fmt.Errorf("%w: %s", err, where(p.id, ns, topic, seq))
	}
	return fmt.Errorf("%w before it answered: %s: %w", ErrPeerDied, where(p.id, ns, topic, seq), err)
}
