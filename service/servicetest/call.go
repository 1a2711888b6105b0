package servicetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// ErrGone reports that a call's connection has ended, or that its caller has
// revoked it.
var ErrGone = errors.New("servicetest: the caller is gone")

// A Call is what a Method serves: one channel of dialect v1, one session of v0.
// Its methods may be called from any goroutine.
type Call struct {
	// Immutable after the first message.
	conn    *conn
	method  *Method
	id      uint64
	args    []node
	faults  Faults
	headers []codec.Header
	trace   [3][]byte // trace, span and parent id; nil unless the caller gave all three
	ctx     context.Context
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	down   *Table        // what the caller may send next
	up     *Table        // what it gets next
	inbox  []Message     // what it has sent
	wake   chan struct{} // has one element when inbox or down has changed
	failed bool          // a fault has cut the answer
	blob   bool          // v0: Piece has returned it
}

// A Message is what a caller sends after its call.
type Message struct {
	ID   uint64
	Name string
	Args []any // as of Unpack
}

// Dialect is the runtime's.
func (c *Call) Dialect() heddle.Dialect { return c.conn.s.cloud.dialect }

// Session is the call's channel or session id.
func (c *Call) Session() uint64 { return c.id }

// Method is the name of the method.
func (c *Call) Method() string { return c.method.Name }

// Context is done when the connection ends, the caller revokes the channel, or
// the service stops.
func (c *Call) Context() context.Context { return c.ctx }

// Args are the arguments, as of Unpack.
func (c *Call) Args() []any { return values(c.args) }

// Arg is argument i, nil if there is none.
func (c *Call) Arg(i int) any {
	if i >= len(c.args) {
		return nil
	}
	return c.args[i].value()
}

// Text is argument i, empty if there is none or it is no text.
func (c *Call) Text(i int) string {
	s, _ := c.Arg(i).(string)
	return s
}

// Int is argument i, 0 if there is none or it is no integer.
func (c *Call) Int(i int) int64 {
	n, _ := c.Arg(i).(int64)
	return n
}

// Headers are the headers of the call's first message, of dialect v1.
func (c *Call) Headers() []codec.Header { return c.headers }

// Recv waits for what the caller sends next. io.EOF: it has ended its direction
// or has none. ErrGone: see there.
func (c *Call) Recv() (Message, error) {
	for {
		c.mu.Lock()
		if len(c.inbox) > 0 {
			m := c.inbox[0]
			c.inbox = c.inbox[1:]
			c.mu.Unlock()
			return m, nil
		}
		ended := c.down.empty()
		c.mu.Unlock()
		if ended {
			return Message{}, io.EOF
		}
		select {
		case <-c.wake:
		case <-c.ctx.Done():
			return Message{}, ErrGone
		}
	}
}

// Value sends the result of a Primitive. In dialect v0 several results are one
// array.
func (c *Call) Value(results ...any) error { return c.Send("value", results...) }

// Write sends a piece of a stream.
func (c *Call) Write(args ...any) error { return c.Send("write", args...) }

// Close ends a stream.
func (c *Call) Close() error { return c.Send("close") }

// Error ends the answer. Dialect v0 has no category.
func (c *Call) Error(category, code int64, msg string) error {
	return c.Send("error", []any{category, code}, msg)
}

// Send sends the message with that name of the table that the answer is at.
func (c *Call) Send(name string, args ...any) error {
	if c.faults.Delay > 0 && !sleep(c.ctx, c.faults.Delay) {
		return ErrGone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil || c.failed {
		return ErrGone
	}
	a, ok := c.up.named(name)
	if !ok {
		return fmt.Errorf("servicetest: %s has no message %q where its answer is at", c.method.Name, name)
	}
	next := a.Next
	if next == nil {
		next = c.up
	}
	c.up = next
	return c.say(a, next.empty(), args)
}

// Raw sends p on the call's connection as it is.
func (c *Call) Raw(p []byte) error { return c.conn.write(p) }

// Hangup ends the connection, once all is sent that was said.
func (c *Call) Hangup() { c.conn.hangup() }

// Drop ends the call without another word to the caller.
func (c *Call) Drop() {
	c.mu.Lock()
	c.failed = true
	c.mu.Unlock()
}

// say sends message a, or what the fault makes of it. It is called with mu held, so
// that an answer's messages stay in order.
func (c *Call) say(a Arm, last bool, args []any) error {
	if last && c.down.empty() {
		c.conn.over(c) // first: in v0 the caller may use the id again at once
	}
	frames := c.frames(c.id, a, last, args, c.faults.Fault == NoChoke)
	switch c.faults.Fault {
	case Silent:
		c.failed = true
		return nil
	case NeverEnds:
		if last {
			c.failed = true
			return nil
		}
	case Stranger:
		frames = append(c.frames(c.id+1000, a, last, args, false), frames...)
	case AfterEnd:
		if last {
			frames = append(frames, c.frames(c.id, Arm{ID: 0, Name: "write"}, false, []any{"late"}, false)...)
		}
	case Garbage:
		c.failed, frames = true, []byte{0xc1, 0xff, 0x00, 0x13}
	case HalfFrame:
		c.failed = true
		err := c.conn.write(frames[:len(frames)/2])
		c.conn.hangup()
		return err
	case HugeHead:
		c.failed, frames = true, c.hugeHead()
	case HangUp:
		c.failed = true
		c.conn.hangup()
		return nil
	case Revoked:
		c.failed = true
		return c.conn.revoke(c.id)
	}
	return c.conn.write(frames)
}

// hugeHead begins a message whose argument is said to be of 4 GiB.
func (c *Call) hugeHead() []byte {
	p := []byte{0x93}
	if c.Dialect() == heddle.V0 {
		p = appendUint(append(p, heddle.TypeV0Chunk), c.id)
	} else {
		p = append(appendUint(p, c.id), heddle.MsgWrite)
	}
	return append(p, 0x91, 0xdb, 0xff, 0xff, 0xff, 0xff)
}

// frames are the bytes that say a message on a session.
func (c *Call) frames(id uint64, a Arm, last bool, args []any, noChoke bool) []byte {
	if c.Dialect() == heddle.V1 {
		return frameV1(id, a.ID, args, c.trace)
	}
	var p []byte
	switch a.Name {
	case "error":
		code := args[0].([]any)[1]
		p = appendFrameV0(p, heddle.TypeV0Error, id, code, args[1])
	case "value", "write":
		switch {
		case len(args) == 1 && c.method.Raw:
			p = appendFrameV0(p, heddle.TypeV0Chunk, id, args[0])
		case len(args) == 1:
			p = appendFrameV0(p, heddle.TypeV0Chunk, id, []byte(Pack(args[0])))
		case len(args) > 1:
			p = appendFrameV0(p, heddle.TypeV0Chunk, id, []byte(Pack(args)))
		}
	}
	if last && !noChoke {
		p = appendFrameV0(p, heddle.TypeV0Choke, id)
	}
	return p
}

// finish ends what Serve has left open of the answer.
func (c *Call) finish() {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	name := "close"
	if _, ok := up.named("value"); ok {
		name = "value"
	}
	if c.Dialect() == heddle.V0 && c.method.Upstream.empty() {
		c.mu.Lock()
		c.up = &Table{[]Arm{{Name: "close", Next: End}}} // v0 ends every answer
		c.mu.Unlock()
	}
	_ = c.Send(name) // fails when the answer has ended, or the connection, or in a graph of the test's own
}

// push takes what the caller has sent and moves its direction on.
func (c *Call) push(a Arm, args []node) {
	c.mu.Lock()
	c.inbox = append(c.inbox, Message{a.ID, a.Name, values(args)})
	if a.Next != nil {
		c.down = a.Next
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// over tells whether both directions have ended.
func (c *Call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down.empty() && c.up.empty()
}

func values(nodes []node) []any {
	all := make([]any, len(nodes))
	for i, n := range nodes {
		all[i] = n.value()
	}
	return all
}
