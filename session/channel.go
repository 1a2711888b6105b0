package session

import (
	"fmt"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
)

// A Receiver is told of every whole message that arrives on a Channel. All
// calls are on the loop; every slice is borrowed. An error ends the channel.
type Receiver interface {
	// OnConnect: the channel is established; before any other call.
	OnConnect()

	// OnSocketError: the channel could not be established, or has ended.
	// Called exactly once, last; err is nil when we closed it in order.
	OnSocketError(err error)

	// OnEOF: the peer has half-closed; no message follows, writing may go on.
	OnEOF()

	// OnRoom: the outbox went empty or fell below its low-water mark.
	OnRoom()

	OnHandshake(uuid []byte, offer *heddle.Offer) error
	OnHeartbeat() error
	OnTerminate(code int64, reason []byte) error

	// OnControl: any other message on channel 1; args is its whole array.
	OnControl(id uint64, args []byte) error

	// OnInvoke: the peer opened session sid. window is the upload window it
	// starts with, or -1.
	OnInvoke(sid uint64, event []byte, window int64, headers []codec.Header) error
	OnChunk(sid uint64, p []byte) error
	OnChoke(sid uint64) error
	OnError(sid uint64, category, code int64, msg []byte) error

	// OnExtension: any other message of a session; args is its whole array.
	OnExtension(sid, id uint64, args []byte) error

	// OnCall: any message of a Service channel, of which no other method but
	// OnConnect, OnSocketError, OnEOF and OnRoom is called. id is v0's type;
	// args is its whole array.
	OnCall(sid, id uint64, args []byte, headers []codec.Header) error
}

// ChannelOptions say how a Channel reads its peer. The zero value is v0.
type ChannelOptions struct {
	// Dialect is the wire's; with Detect it is told by the first frame and
	// Dialect is the one assumed for sending before that.
	Dialect heddle.Dialect
	Detect  bool

	// Dialed: this side opened the connection. Between Heddle ends the side
	// that dialled opens odd session ids from 3, the other even ones from 2.
	Dialed bool

	// Heddle: the peer is a Heddle end, so both sides may open sessions and
	// the extensions of PROTOCOL 9 are legal. Without it only the side that
	// accepted opens sessions, as real engines do.
	Heddle bool

	// Service: the channel carries calls of methods (PROTOCOL 2.2, 3.1), which
	// the side that dialled opens, and channel 1 is a session like any other.
	// Heddle is ignored then. Only the side that accepted may Detect.
	Service bool

	// Limits bound what one frame may be; zero fields take the defaults.
	Limits codec.Limits

	// DialTimeout is how long Dial takes at most, a look-up of the name included;
	// default 10 s.
	DialTimeout time.Duration
}

// A Channel decodes the frames of one connection into typed messages.
type Channel struct {
	// Immutable after NewChannel.
	link    Link
	recv    Receiver
	dialed  bool
	service bool
	limits  codec.Limits

	closed atomic.Bool   // Close was called: no callback any more
	gone   chan struct{} // closed once the descriptor is gone

	dialect atomic.Uint32 // heddle.Dialect; set by the loop, at the latest by the first frame

	// Loop goroutine only.
	owner   loop.Owner
	dec     *codec.Decoder
	detect  bool // the dialect is still to be told
	first   bool // no frame has come yet
	heddle  bool
	open    bool
	highest uint64 // highest id that the peer opened
	table   codec.HeaderTable
	headers []codec.Header

	// The generated types that messages are decoded into, one of each.
	handshake heddle.Handshake
	terminate heddle.Terminate
	invoke    heddle.Invoke
	chunk     heddle.Chunk
	errorV0   heddle.ErrorV0
	errorV1   heddle.ErrorV1
	window    heddle.Window
	files     heddle.Files
}

// NewChannel returns a Channel that decodes what link reads for recv. It is
// the loop.Handler of the link.
func NewChannel(link Link, recv Receiver, o ChannelOptions) *Channel {
	ch := &Channel{
		link:    link,
		recv:    recv,
		dialed:  o.Dialed,
		service: o.Service,
		limits:  o.Limits,
		gone:    make(chan struct{}),
		dec:     codec.NewDecoder(o.Dialect, o.Limits),
		detect:  o.Detect,
		heddle:  o.Heddle && !o.Service,
		first:   true,
	}
	ch.dialect.Store(uint32(o.Dialect))
	return ch
}

// Dial connects to addr ("tcp" or "unix") on l and returns at once. cb hears
// OnConnect, or OnSocketError exactly once and nothing after it. l must be
// running, and Dial not be called on it.
func Dial(l *loop.Loop, network, addr string, cb Callbacks, o ChannelOptions) (*Channel, error) {
	o.Dialed = true
	made := make(chan *Channel, 1)
	_, err := l.Dial(network, addr, func(c *loop.Conn) loop.Handler {
		ch := NewChannel(c, &callbackReceiver{cb: cb, link: c}, o)
		made <- ch
		return ch
	}, loop.DialOptions{Timeout: o.DialTimeout})
	if err != nil {
		return nil, err
	}
	return <-made, nil
}

// Send queues one encoded frame (made by a codec.Append function) of session
// sid. It refuses bytes that are not exactly one whole frame of that session.
// Any goroutine.
func (ch *Channel) Send(sid uint64, frame []byte) error {
	if ch.closed.Load() {
		return ErrEnded
	}
	f, n, err := codec.NewDecoder(ch.Dialect(), ch.limits).Next(frame)
	if err != nil {
		return fmt.Errorf("session: send: %w", err)
	}
	if n != len(frame) || f.Session != sid {
		return fmt.Errorf("session: send: not one frame of session %d: %w", sid, ErrProtocol)
	}
	_, err = ch.link.Send(frame, nil)
	return err
}

// Dialect is the wire's dialect. Until the first frame has told it, it is the
// one given in the options.
func (ch *Channel) Dialect() heddle.Dialect { return heddle.Dialect(ch.dialect.Load()) }

// Close closes the descriptor and drops what was not sent. No callback is
// called after Close has returned when it is called on the loop, and none
// begins after it otherwise; Gone is closed once the descriptor is.
func (ch *Channel) Close() error {
	if ch.closed.CompareAndSwap(false, true) {
		ch.link.Abort(nil)
	}
	return nil
}

// Gone is closed once the descriptor is gone.
func (ch *Channel) Gone() <-chan struct{} { return ch.gone }

// OnOpen is the loop's: the connection is established.
func (ch *Channel) OnOpen() {
	ch.owner.Check()
	ch.open = true
	if !ch.closed.Load() {
		ch.recv.OnConnect()
	}
}

// OnBytes is the loop's: it hands each whole frame at the front of p to the
// receiver and returns how many bytes they took.
func (ch *Channel) OnBytes(p []byte) (n int, err error) {
	ch.owner.Check()
	if ch.first && !ch.heddle && !ch.service {
		defer func() { // of a stranger, little is kept
			if err == nil && n == 0 && len(p) > MaxFirst {
				err = errFirst
			}
		}()
	}
	if ch.detect {
		d, err := codec.Detect(p)
		if err != nil {
			if err == codec.ErrShort {
				return 0, nil
			}
			return 0, err
		}
		ch.detect = false
		if d != ch.Dialect() {
			ch.dialect.Store(uint32(d))
			ch.dec = codec.NewDecoder(d, ch.limits)
		}
	}
	v0 := ch.Dialect() == heddle.V0
	for n < len(p) && !ch.closed.Load() {
		f, k, err := ch.dec.Next(p[n:])
		if err != nil {
			if err == codec.ErrShort {
				return n, nil
			}
			return n, err
		}
		n += k
		ch.first = false
		switch {
		case ch.service:
			err = ch.dispatchCall(&f)
		case v0:
			err = ch.dispatchV0(&f)
		default:
			err = ch.dispatchV1(&f)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// OnEOF is the loop's: the peer has half-closed.
func (ch *Channel) OnEOF() {
	ch.owner.Check()
	if !ch.closed.Load() {
		ch.recv.OnEOF()
	}
}

// OnDrain is the loop's: there is room in the outbox again.
func (ch *Channel) OnDrain() {
	ch.owner.Check()
	if !ch.closed.Load() {
		ch.recv.OnRoom()
	}
}

// OnClose is the loop's: the connection has ended, or never came to be.
func (ch *Channel) OnClose(err error) {
	ch.owner.Check()
	if !ch.closed.Swap(true) {
		ch.recv.OnSocketError(err)
	}
	close(ch.gone)
}

// dispatchV0 hands over a frame of dialect v0: [type, session, args]. Types
// that nobody knows are dropped, as the real runtime does (PROTOCOL 2.4).
func (ch *Channel) dispatchV0(f *codec.Frame) (err error) {
	if f.Type <= heddle.TypeV0Terminate && f.Session != 0 && ch.dialed {
		return errV0b
	}
	switch f.Type {
	case heddle.TypeV0Handshake:
		return ch.handshakeArgs(f.Args)
	case heddle.TypeV0Heartbeat:
		return ch.recv.OnHeartbeat()
	case heddle.TypeV0Terminate:
		return ch.terminateArgs(f.Args)
	case heddle.TypeV0Invoke:
		return ch.invokeArgs(f.Session, f.Args)
	case heddle.TypeV0Chunk:
		return ch.chunkArgs(f.Session, f.Args)
	case heddle.TypeV0Error:
		if err = codec.DecodeArgs(&ch.errorV0, f.Args, 1); err != nil {
			return argsError("error", err)
		}
		return ch.recv.OnError(f.Session, 0, ch.errorV0.Code, ch.errorV0.Reason)
	case heddle.TypeV0Choke:
		return ch.recv.OnChoke(f.Session)
	}
	return nil
}

// dispatchV1 hands over a frame of dialect v1: [channel, id, args, headers].
// Headers are decoded also when the frame is of no use, because their table
// is the connection's.
func (ch *Channel) dispatchV1(f *codec.Frame) (err error) {
	if err = ch.decodeHeaders(f); err != nil {
		return err
	}
	if f.Session <= heddle.ControlChannel {
		if f.Session == 0 {
			return errSessionZero
		}
		return ch.controlV1(f)
	}
	if f.Session > ch.highest && ch.peerOpens(f.Session) {
		if f.Type != heddle.MsgInvoke {
			return fmt.Errorf("%w: message %d on session %d, which was never opened", ErrProtocol, f.Type, f.Session)
		}
		return ch.invokeArgs(f.Session, f.Args)
	}
	switch f.Type {
	case heddle.MsgWrite:
		return ch.chunkArgs(f.Session, f.Args)
	case heddle.MsgError:
		if err = codec.DecodeArgs(&ch.errorV1, f.Args, 1); err != nil {
			return argsError("error", err)
		}
		return ch.recv.OnError(f.Session, ch.errorV1.Code.Category, ch.errorV1.Code.Code, ch.errorV1.Reason)
	case heddle.MsgClose:
		return ch.recv.OnChoke(f.Session)
	}
	if !ch.heddle {
		return fmt.Errorf("%w: unknown message %d on session %d", ErrProtocol, f.Type, f.Session)
	}
	return ch.recv.OnExtension(f.Session, f.Type, f.Args)
}

// dispatchCall hands over a frame of a Service channel.
func (ch *Channel) dispatchCall(f *codec.Frame) error {
	if err := ch.decodeHeaders(f); err != nil {
		return err
	}
	return ch.recv.OnCall(f.Session, f.Type, f.Args, ch.headers)
}

func (ch *Channel) decodeHeaders(f *codec.Frame) (err error) {
	ch.headers = ch.headers[:0]
	if len(f.Headers) > 1 {
		ch.headers, err = ch.table.Decode(ch.headers, f.Headers)
	}
	return err
}

// controlV1 hands over a message of channel 1. A handshake and a heartbeat
// share id 0 and differ in their arguments.
func (ch *Channel) controlV1(f *codec.Frame) error {
	switch f.Type {
	case heddle.MsgHandshake:
		if codec.ArgCount(f.Args) == 0 {
			return ch.recv.OnHeartbeat()
		}
		return ch.handshakeArgs(f.Args)
	case heddle.MsgTerminate:
		return ch.terminateArgs(f.Args)
	}
	return ch.recv.OnControl(f.Type, f.Args)
}

// peerOpens says whether the peer may open a session with this id.
func (ch *Channel) peerOpens(sid uint64) bool {
	if ch.heddle {
		return sid > heddle.ControlChannel && (sid%2 == 0) == ch.dialed
	}
	return ch.dialed && sid > heddle.ControlChannel
}

func (ch *Channel) handshakeArgs(args []byte) error {
	if err := codec.DecodeArgs(&ch.handshake, args, 1); err != nil {
		return argsError("handshake", err)
	}
	return ch.recv.OnHandshake(ch.handshake.UUID, &ch.handshake.Offer)
}

func (ch *Channel) terminateArgs(args []byte) error {
	if err := codec.DecodeArgs(&ch.terminate, args, 1); err != nil {
		return argsError("terminate", err)
	}
	return ch.recv.OnTerminate(ch.terminate.Code, ch.terminate.Reason)
}

func (ch *Channel) invokeArgs(sid uint64, args []byte) error {
	if err := codec.DecodeArgs(&ch.invoke, args, 1); err != nil {
		return argsError("invoke", err)
	}
	if sid > ch.highest {
		ch.highest = sid
	}
	return ch.recv.OnInvoke(sid, ch.invoke.Event, ch.invoke.Window, ch.headers)
}

func (ch *Channel) chunkArgs(sid uint64, args []byte) error {
	if err := codec.DecodeArgs(&ch.chunk, args, 1); err != nil {
		return argsError("chunk", err)
	}
	return ch.recv.OnChunk(sid, ch.chunk.Data)
}

// MaxFirst is how many bytes the first frame may take of a channel on which
// nothing was agreed. It is a handshake, a welcome or an invoke, and until it
// has come nobody knows who the peer is.
const MaxFirst = 64 << 10

var errFirst = fmt.Errorf("session: first frame: %w (%d bytes)", codec.ErrTooLarge, MaxFirst)

// errSessionZero: v1 has no session 0 (PROTOCOL 3.1).
var errSessionZero = fmt.Errorf("%w: message on session 0", ErrProtocol)

// errV0b: no v0 engine says this of a session. The early 0.12 does, whose frames begin
// with the channel, and control is on channel 1 (PROTOCOL 0).
var errV0b = fmt.Errorf("%w: control of a session; this runtime may be 0.12.0, whose dialect (v0b) is not spoken", ErrProtocol)

// argsError is the channel's error for arguments of the wrong shape.
func argsError(what string, err error) error {
	return fmt.Errorf("%w: arguments of %s: %w", ErrProtocol, what, err)
}
