package servicetest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// maxFrame is where the model gives up on a frame that goes on and on.
const maxFrame = 64 << 20 // bytes

// maxQueue is what a client may leave unread.
const maxQueue = 256 << 20 // bytes

// A conn is one client's connection to a service.
type conn struct {
	// Immutable.
	s      *Service
	nc     net.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	// The reading goroutine's only.
	table codec.HeaderTable

	mu      sync.Mutex
	calls   map[uint64]*Call
	highest uint64 // v1: the highest channel seen or opened
	out     []byte // to be written
	closing bool   // once out is
	ready   sync.Cond
}

// serve reads frames until the connection ends or the client slips.
func (c *conn) serve() {
	defer c.cancel(ErrGone)
	var buf []byte
	chunk := make([]byte, 32<<10)
	for {
		n, err := c.nc.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for len(buf) > 0 {
			f, perr := parse(buf, 0)
			if perr == errCut && len(buf) <= maxFrame {
				break
			}
			if perr != nil {
				c.slip(true, buf, "no frame: %v", perr)
				return
			}
			if !c.frame(f, buf[:f.size:f.size]) {
				return
			}
			buf = buf[f.size:]
		}
		// What is kept of a frame may not lie where the next read goes.
		buf = append([]byte(nil), buf...)
		if err != nil {
			return
		}
	}
}

// slip reports a mistake of the client, and returns false if it ends the
// connection.
func (c *conn) slip(drop bool, p []byte, format string, args ...any) bool {
	c.s.cloud.slip(Slip{Service: c.s.name, What: fmt.Sprintf(format, args...), Frame: append([]byte(nil), p[:min(len(p), 4096)]...), Dropped: drop})
	return !drop
}

// frame takes one frame, p its bytes. false: the runtime closes the connection.
func (c *conn) frame(f node, p []byte) bool {
	v0 := c.s.cloud.dialect == heddle.V0
	switch {
	case f.kind != kindArray:
		return c.slip(true, p, "a frame is an array, not %v", f.kind)
	case len(f.list) < 3:
		return c.slip(true, p, "frame of %d elements", len(f.list))
	case v0 && len(f.list) > 3:
		return c.slip(true, p, "frame of %d elements; this dialect has 3", len(f.list))
	}
	names := []string{"channel", "message id"}
	if v0 {
		names = []string{"type", "session"}
	}
	for i, name := range names {
		if e := f.list[i]; e.kind != kindUint {
			return c.slip(true, p, "the %s is %v, want an integer of 0 or more", name, e.kind)
		}
	}
	if f.list[2].kind != kindArray {
		return c.slip(true, p, "the arguments are %v, want an array", f.list[2].kind)
	}
	c.forms(f, p, names)
	if v0 {
		return c.frameOfV0(f.list[0].u, f.list[1].u, f.list[2].list, p)
	}
	var headers []codec.Header
	if len(f.list) > 3 {
		if f.list[3].kind != kindArray {
			return c.slip(true, p, "the headers are %v, want an array", f.list[3].kind)
		}
		off := f.size
		for _, e := range f.list[3:] {
			off -= e.size
		}
		var bad string
		if headers, bad = c.headers(f.list[3].list, p[off:off+f.list[3].size]); bad != "" {
			return c.slip(true, p, "headers: %s", bad)
		}
	}
	return c.frameOfV1(f.list[0].u, f.list[1].u, f.list[2].list, headers, p)
}

// forms reports what these runtimes read and other peers do not (PROTOCOL.md 1).
func (c *conn) forms(f node, p []byte, names []string) {
	if lead := f.young(); lead != 0 {
		c.slip(false, p, "0x%02x is not in the msgpack of 2012", lead)
	}
	if f.lead&0xf0 != 0x90 {
		c.slip(false, p, "a frame begins with 0x%02x, want a fixarray", f.lead)
	}
	if len(f.list) > 4 {
		c.slip(false, p, "frame of %d elements", len(f.list))
	}
	for i, name := range names {
		if !f.list[i].shortest() {
			c.slip(false, p, "the %s is not in shortest form", name)
		}
	}
}

// frameOfV0 takes a call. This runtime closes the connection for what is no
// frame, and for nothing else (PROTOCOL.md 2.2).
func (c *conn) frameOfV0(typ, session uint64, args []node, p []byte) bool {
	c.mu.Lock()
	live := c.calls[session] != nil
	c.mu.Unlock()
	if live {
		c.slip(false, p, "session %d is in use", session)
	}
	call := c.newCall(session, args, nil)
	m := c.s.method(typ)
	if m == nil || m.Serve == nil {
		call.method = &Method{Name: fmt.Sprintf("method %d", typ)}
		call.refuse("unknown message type")
		return true
	}
	call.method = m
	if bad := m.Params.check(args); bad != nil {
		call.refuse(bad.reply)
		return true
	}
	call.up = m.Upstream
	c.start(call)
	return true
}

// refuse is v0's answer to a call that cannot be served.
func (c *Call) refuse(reason string) {
	c.up = Primitive
	_ = c.Error(0, invocation, reason) // fails when the connection has ended
	c.cancel(nil)
}

// invocation is v0's error code for a bad call.
const invocation = 1

// frameOfV1 takes a call, or what follows one. What is wrong closes the
// connection (PROTOCOL.md 3.1).
func (c *conn) frameOfV1(channel, id uint64, args []node, headers []codec.Header, p []byte) bool {
	c.mu.Lock()
	call := c.calls[channel]
	highest := c.highest
	c.mu.Unlock()
	if call != nil {
		return c.follow(call, channel, id, args, p)
	}
	switch {
	case channel == 0:
		return c.slip(true, p, "channel 0")
	case channel <= highest:
		return c.slip(true, p, "channel %d is over, or was passed over: %d was seen", channel, highest)
	}
	c.mu.Lock()
	c.highest = channel
	c.mu.Unlock()
	call = c.newCall(channel, args, headers)
	var bad string
	if call.trace, bad = traceOf(headers); bad != "" {
		return c.slip(true, p, "headers: %s", bad)
	}
	switch id {
	case ping:
		call.method = &Method{Name: "ping", Upstream: Primitive, Serve: func(*Call) {}}
	case revoke:
		call.method = &Method{Name: "revoke", Params: Takes(Counter, ErrorCode), Upstream: Primitive, Serve: func(*Call) {}}
	default:
		if call.method = c.s.method(id); call.method == nil {
			return c.slip(true, p, "method %d is not in the graph", id)
		}
	}
	m := call.method
	if m.Serve == nil {
		return c.slip(true, p, "method %d (%s) is declared, but the runtime does not have it", id, m.Name)
	}
	if bad := m.Params.check(args); bad != nil {
		return c.slip(true, p, "method %d (%s): %s", id, m.Name, bad.what)
	}
	if id == revoke {
		c.forget(args[0].u)
	}
	call.down, call.up = m.Dispatch, m.Upstream
	c.start(call)
	return true
}

// follow takes what the caller sends after its call.
func (c *conn) follow(call *Call, channel, id uint64, args []node, p []byte) bool {
	call.mu.Lock()
	down := call.down
	call.mu.Unlock()
	if down.empty() {
		return c.slip(true, p, "message %d on channel %d, whose opener has nothing more to say", id, channel)
	}
	a, ok := down.arm(id)
	if !ok {
		return c.slip(true, p, "message %d is not what channel %d may carry next", id, channel)
	}
	if bad := a.Params.check(args); bad != nil {
		return c.slip(true, p, "message %d (%s) on channel %d: %s", id, a.Name, channel, bad.what)
	}
	call.push(a, args)
	c.settle(call)
	return true
}

func (c *conn) newCall(id uint64, args []node, headers []codec.Header) *Call {
	call := &Call{conn: c, id: id, args: args, headers: headers, wake: make(chan struct{}, 1)}
	call.ctx, call.cancel = context.WithCancelCause(c.ctx)
	return call
}

// start serves a call, on a goroutine that ends when the method returns, or
// before the next message is read.
func (c *conn) start(call *Call) {
	call.faults = c.s.note(call)
	c.mu.Lock()
	c.calls[call.id] = call
	c.mu.Unlock()
	serve := func() {
		defer call.cancel(nil)
		call.method.Serve(call)
		call.finish()
		c.settle(call)
	}
	if call.method.Inline && call.faults.Delay == 0 {
		serve()
	} else {
		c.s.wg.Go(serve)
	}
}

// settle forgets a call both directions of which have ended.
func (c *conn) settle(call *Call) {
	if call.over() {
		c.over(call)
	}
}

func (c *conn) over(call *Call) {
	c.mu.Lock()
	if c.calls[call.id] == call {
		delete(c.calls, call.id)
	}
	c.mu.Unlock()
}

// forget ends a call that its caller has revoked.
func (c *conn) forget(channel uint64) {
	c.mu.Lock()
	call := c.calls[channel]
	delete(c.calls, channel)
	c.mu.Unlock()
	if call != nil {
		call.cancel(ErrGone)
	}
}

// revoke tells the client, on a new channel, that one is no more. What it
// answers there is of no interest.
func (c *conn) revoke(channel uint64) error {
	if c.s.cloud.dialect == heddle.V0 {
		return nil // it has no such message
	}
	c.mu.Lock()
	c.highest++
	own := c.highest
	delete(c.calls, channel)
	c.mu.Unlock()
	call := c.newCall(own, nil, nil)
	call.method, call.down = &Method{Name: "revoke"}, Primitive
	c.mu.Lock()
	c.calls[own] = call
	c.mu.Unlock()
	return c.write(frameV1(own, revoke, []any{channel, []any{7, 4}}, [3][]byte{}))
}

// write queues p. The runtime's queue has no bound, and so a client that reads
// nothing stalls nobody; this one has maxQueue.
func (c *conn) write(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil || c.closing {
		return ErrGone
	}
	if c.out = append(c.out, p...); len(c.out) > maxQueue {
		c.cancel(ErrGone)
		return ErrGone
	}
	c.ready.Signal()
	return nil
}

// hangup closes the connection once the queue is empty.
func (c *conn) hangup() {
	c.mu.Lock()
	c.closing = true
	c.ready.Signal()
	c.mu.Unlock()
}

// writeLoop sends what is queued until the connection ends, and closes it.
func (c *conn) writeLoop() {
	defer c.nc.Close()
	stop := context.AfterFunc(c.ctx, func() {
		c.nc.Close() // ends a Write, and the reader's Read
		c.hangup()
	})
	defer stop()
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.closing {
			c.ready.Wait()
		}
		p := c.out
		c.out = nil
		c.mu.Unlock()
		if len(p) == 0 {
			return
		}
		if _, err := c.nc.Write(p); err != nil {
			return
		}
	}
}
