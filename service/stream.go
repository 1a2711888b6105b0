package service

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A Message is one message of a call, as the service's graph names it.
type Message struct {
	ID   uint64
	Name string
	Args []byte // its whole array of arguments; borrowed until the stream is read again
}

// A Stream is a call whose two directions are streams, each by itself. What is
// read is for one goroutine at a time, and so is what is said; Close may come from
// any.
type Stream struct {
	// Immutable.
	c        *conn
	method   string
	sess     *session.Session // set before the Stream is anybody's
	ctx      context.Context
	timeout  int64 // ns; 0: none
	deadline atomic.Int64
	wake     chan struct{} // has one element when there is something for a reader who waits

	// The reader's.
	out   []byte // messages not read yet, as in
	base  []byte // the whole of what out is the end of
	hears *session.Table
	rest  []byte // of a piece that Read did not take whole

	sayMu sync.Mutex // held while our direction moves
	says  *session.Table

	mu      sync.Mutex
	in      []byte // messages: id uint64 and length uint32, little endian, and the data
	waiting bool
	err     error // why no message follows; io.EOF at the end
	stop    func() bool
	hushed  bool          // our direction has ended
	quiet   chan struct{} // closed when it is hushed; nil: nobody waits
}

const streamHead = 12 // bytes before a message in a queue

// Stream opens a call whose answer is a stream, or takes messages. It is closed
// with Close, or read to its end and its own direction ended. The errors are
// those of Call. The end of ctx ends the stream.
func (s *Service) Stream(ctx context.Context, method string, args ...any) (*Stream, error) {
	in := Invocation{Service: s, Method: method, Args: args, stream: true}
	r, err := s.invoke(ctx, s.plans.of(method), &in)
	if err != nil {
		return nil, err
	}
	st, ok := r.(*Stream)
	if !ok {
		return nil, fmt.Errorf("service %s: %s: the definition makes a %T of the stream", s.o.Name, method, r)
	}
	return st, nil
}

func (s *Service) open(ctx context.Context, pl *plan, method string, args []any) (*Stream, error) {
	for again := 0; ; again++ {
		c, m, err := s.prepare(ctx, pl, method)
		if err != nil {
			return nil, err
		}
		st := &Stream{
			c: c, method: method, ctx: ctx, timeout: int64(pl.Timeout), wake: make(chan struct{}, 1), hears: m.Upstream, says: m.Dispatch, hushed: m.Dispatch.Empty(),
		}
		st.renew()
		x := newCall(c, pl) // for its buffer
		if x.buf, err = pl.pack(x.buf[:0], c.dialect, args); err == nil {
			err = c.room.enter(ctx, pl.Timeout, len(x.buf), nil)
		}
		if err == nil {
			st.sess, err = c.mux.Open(session.OpenOptions{Method: m, First: x.buf, Headers: headersOf(ctx, c.dialect), Handler: st})
			c.room.leave(len(x.buf))
		}
		x.put()
		if err != nil {
			if isLost(err) && s.mayRetry(again) {
				<-c.gone
				continue
			}
			return nil, c.fail(method, err)
		}
		if pl.Timeout > 0 {
			c.watch()
		}
		if ctx.Done() != nil {
			stop := context.AfterFunc(ctx, func() { st.cancel(context.Cause(ctx)) })
			st.mu.Lock()
			over := st.err != nil && (st.hushed || isLost(st.err))
			st.stop = stop
			st.mu.Unlock()
			if over {
				stop()
			}
		}
		return st, nil
	}
}

func (st *Stream) renew() {
	if st.timeout > 0 {
		st.deadline.Store(now() + st.timeout)
	}
}

// OnMessage queues a message for the reader.
func (st *Stream) OnMessage(s *session.Session, m session.Message) {
	st.renew()
	st.mu.Lock()
	if st.err != nil {
		st.mu.Unlock()
		return
	}
	if len(st.in) > 0 && len(st.in)+len(m.Data)+streamHead > st.c.s.o.Buffer {
		st.mu.Unlock()
		st.giveUp(s, ErrOverrun)
		return
	}
	st.in = binary.LittleEndian.AppendUint64(st.in, m.ID)
	st.in = binary.LittleEndian.AppendUint32(st.in, uint32(len(m.Data)))
	st.in = append(st.in, m.Data...)
	st.wakeLocked()
	st.mu.Unlock()
}

func (st *Stream) wakeLocked() {
	if st.waiting {
		st.waiting = false
		st.wake <- struct{}{}
	}
}

// OnWritable is nobody's: writers wait in their own goroutines.
func (st *Stream) OnWritable(*session.Session) {}

// OnEnd is the end of the answer.
func (st *Stream) OnEnd(_ *session.Session, err error) {
	if err == nil {
		err = io.EOF
	}
	st.end(err)
}

// end says, once, that no message follows. While our direction is open the end of
// the context still ends that.
func (st *Stream) end(err error) bool {
	st.mu.Lock()
	if st.err != nil {
		st.mu.Unlock()
		return false
	}
	st.err = err
	stop := st.stop
	if !st.hushed && !isLost(err) {
		stop = nil
	}
	st.wakeLocked()
	st.mu.Unlock()
	if stop != nil {
		stop()
	}
	return true
}

func (st *Stream) ended() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err != nil
}

// giveUp ends the stream before the service has. Loop only.
func (st *Stream) giveUp(s *session.Session, err error) {
	if !st.end(err) {
		s.Abort(err) // nothing, if our direction has ended
		st.hush()
		return
	}
	st.mu.Lock()
	st.in = nil // of no use without the end
	st.mu.Unlock()
	st.c.giveUp(s, err)
	st.hush()
}

// hush has nobody wait any more to say something: our direction has ended. That the
// answer has is no reason.
func (st *Stream) hush() {
	st.mu.Lock()
	if st.hushed {
		st.mu.Unlock()
		return
	}
	st.hushed = true
	if st.quiet != nil {
		close(st.quiet)
	}
	stop := st.stop
	if st.err == nil {
		stop = nil
	}
	st.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// whenHushed is closed when our direction has ended: then nobody waits to say something.
func (st *Stream) whenHushed() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.quiet == nil {
		st.quiet = make(chan struct{})
		if st.hushed {
			close(st.quiet)
		}
	}
	return st.quiet
}

// cancel is giveUp from any goroutine.
func (st *Stream) cancel(err error) {
	_ = st.c.mux.Link().Do(func() { st.giveUp(st.sess, err) }) // an error: the loop has ended, and so has the stream
}

func (st *Stream) expire(s *session.Session, now int64) int64 {
	d := st.deadline.Load()
	switch {
	case st.ended():
		return 0
	case d == 0 || now < d:
		return d
	}
	st.giveUp(s, ErrTimeout)
	return 0
}

// next returns the next message: its id and data, borrowed until the call after.
func (st *Stream) next() (id uint64, p []byte, err error) {
	for len(st.out) == 0 {
		st.mu.Lock()
		switch {
		case len(st.in) > 0:
			spare := st.base[:0]
			if cap(spare) > keepSize {
				spare = nil
			}
			st.out, st.base, st.in = st.in, st.in, spare
			st.mu.Unlock()
			continue
		case st.err != nil:
			err = st.err
			st.mu.Unlock()
			if err == io.EOF {
				return 0, nil, io.EOF
			}
			return 0, nil, st.c.fail(st.method, err)
		}
		st.waiting = true
		st.mu.Unlock()
		<-st.wake
	}
	id = binary.LittleEndian.Uint64(st.out)
	n := int(binary.LittleEndian.Uint32(st.out[8:]))
	p = st.out[streamHead : streamHead+n : streamHead+n]
	st.out = st.out[streamHead+n:]
	return id, p, nil
}

// piece returns the msgpack of the next message's value, nil for none. In v0 that
// is the chunk's data; in v1 its one argument, or all of them as an array.
func (st *Stream) piece() ([]byte, error) {
	id, p, err := st.next()
	if err != nil {
		return nil, err
	}
	if st.c.dialect == heddle.V0 {
		return p, nil
	}
	st.hear(id)
	return oneOf(p), nil
}

// hear moves along the graph and returns the name of the message.
func (st *Stream) hear(id uint64) string {
	a, _ := st.hears.Arm(id) // the session knows that there is one
	if a.Next != nil {
		st.hears = a.Next
	}
	return a.Name
}

// Recv returns the next piece of the stream as the Go type that comes closest, nil
// for one without arguments. io.EOF: the stream has ended in order. The other
// errors are those of Call, and ErrOverrun.
func (st *Stream) Recv() (any, error) { return Recv[any](st) }

// Recv is Stream.Recv with pieces of type T.
func Recv[T any](st *Stream) (T, error) {
	var v T
	p, err := st.piece()
	if err != nil || len(p) == 0 {
		return v, err
	}
	if err := decodeInto(p, &v); err != nil {
		return v, st.c.fail(st.method, fmt.Errorf("piece: %w", err))
	}
	return v, nil
}

// RecvRaw returns the bytes of the next piece, borrowed until the stream is read
// again: in v0 those of the chunk, packed or not; in v1 those of a write whose one
// argument is a raw, or its msgpack.
func (st *Stream) RecvRaw() ([]byte, error) {
	p, err := st.piece()
	if err != nil || st.c.dialect == heddle.V0 || len(p) == 0 {
		return p, err
	}
	var raw heddle.Raw
	if rest, err := raw.UnmarshalMsg(p); err == nil && len(rest) == 0 && raw != nil {
		return raw, nil
	}
	return p, nil
}

// Read reads the bytes of RecvRaw's pieces, as an io.Reader.
func (st *Stream) Read(p []byte) (int, error) {
	for len(st.rest) == 0 {
		var err error
		if len(p) == 0 {
			return 0, nil
		}
		if st.rest, err = st.RecvRaw(); err != nil {
			return 0, err
		}
	}
	n := copy(p, st.rest)
	st.rest = st.rest[n:]
	return n, nil
}

// Next returns the next message by its name, for services whose graphs have other
// messages than write and value. In v0, which has no graphs, it is a chunk by the
// name of write, and Args is an array of its data. Errors of the peer and the end
// of the stream are errors, as of Recv.
func (st *Stream) Next() (Message, error) {
	id, p, err := st.next()
	switch {
	case err != nil:
		return Message{}, err
	case st.c.dialect == heddle.V0:
		return Message{heddle.MsgWrite, armWrite, codec.AppendRaw([]byte{0x91}, p)}, nil
	}
	return Message{id, st.hear(id), p}, nil
}

// Names of the messages of standard streams.
const (
	armWrite = "write"
	armClose = "close"
)

// Send says write with these arguments, packed as those of a call.
func (st *Stream) Send(args ...any) error { return st.Say(armWrite, args...) }

// Say says a message by its name in the service's graph. It waits while the
// connection takes nothing more. ErrNoMessage: there is none of that name where
// our direction is; nothing was sent.
func (st *Stream) Say(name string, args ...any) error {
	st.sayMu.Lock()
	defer st.sayMu.Unlock()
	a, ok := st.says.Named(name)
	if !ok {
		return st.c.fail(st.method, fmt.Errorf("%w: %s", ErrNoMessage, name))
	}
	buf, err := PackEach(nil, st.c.dialect, args)
	if err == nil {
		err = st.enter(len(buf))
	}
	if err == nil {
		err = st.sess.Say(a.ID, buf)
		st.c.room.leave(len(buf))
	}
	if err != nil {
		return st.c.fail(st.method, st.cause(err))
	}
	st.renew()
	if a.Next != nil {
		if st.says = a.Next; st.says.Empty() {
			st.hush()
		}
	}
	return nil
}

// enter waits until n bytes may be queued.
func (st *Stream) enter(n int) error {
	return st.c.room.enter(st.ctx, time.Duration(st.timeout), n, st.whenHushed)
}

// cause is why the stream has ended, where that says more than err.
func (st *Stream) cause(err error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if (errors.Is(err, session.ErrCanceled) || errors.Is(err, session.ErrEnded)) && st.err != nil && st.err != io.EOF {
		return st.err
	}
	return err
}

// SendRaw says write with one raw of these bytes, which are copied.
func (st *Stream) SendRaw(p []byte) error {
	st.sayMu.Lock()
	defer st.sayMu.Unlock()
	err := st.enter(len(p))
	if err == nil {
		err = st.sess.WriteChunk(p)
		st.c.room.leave(len(p))
	}
	if err != nil {
		return st.c.fail(st.method, st.cause(err))
	}
	st.renew()
	return nil
}

// Write is SendRaw, as an io.Writer.
func (st *Stream) Write(p []byte) (int, error) {
	if err := st.SendRaw(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseSend ends our direction in order. What the service says goes on.
func (st *Stream) CloseSend() error {
	if err := st.sess.Close(); err != nil {
		return st.c.fail(st.method, err)
	}
	st.hush()
	return nil
}

// Abort ends our direction with an error message: an *Error's own category and
// code, else those of a framework's exception.
func (st *Stream) Abort(err error) {
	var e *Error
	if errors.As(err, &e) {
		err = &session.Error{Category: e.Category, Code: e.Code, Msg: e.Msg}
	}
	st.sess.Abort(err)
	st.hush()
}

// errStreamClosed is what a reader gets after Close.
var errStreamClosed = errors.New("service: the stream was closed")

// Close is done with the stream: our direction ends in order if the answer has,
// else with an error message, and what still comes is dropped. It may be called
// more than once.
func (st *Stream) Close() error {
	if st.ended() {
		_ = st.sess.Close() // fails when the connection has ended
		st.hush()
		return nil
	}
	st.cancel(errStreamClosed)
	return nil
}
