package workertest

import (
	"errors"
	"fmt"
	"io"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A Call is one session that a Runtime has opened on its worker.
type Call struct {
	// Immutable.
	r  *Runtime
	p  *peer
	id uint64
	hs []codec.Header

	// Guarded by the Runtime's mu.
	got    [][]byte // chunks that were not read yet
	choked bool     // the worker has ended its direction
	failed bool     // by an error; 0.11: which a choke is to follow
	lost   bool     // the connection has ended
	err    *session.Error
	ended  bool // ours is
}

// InvokeOptions say what goes with an invoke; the zero value is nothing.
type InvokeOptions struct {
	Trace   session.Trace  // 0.12
	Headers []codec.Header // 0.12: behind the trace's, on every frame of the session
	First   []byte         // the first chunk, in one piece with the invoke
	Last    bool           // and our direction ends there
}

// Invoke opens a session on the worker, once that may be given work.
func (r *Runtime) Invoke(event string, o InvokeOptions) (*Call, error) {
	var p *peer
	err := r.wait("for the worker", func() bool { p = r.worker; return r.active })
	if err != nil {
		return nil, err
	}
	p.order.Lock() // until it is sent: the worker may count on rising ids
	defer p.order.Unlock()
	r.mu.Lock()
	if p.gone || p.left {
		r.mu.Unlock()
		return nil, ErrGone
	}
	c := &Call{r: r, p: p, id: r.next, ended: o.Last, hs: append(o.Trace.Headers(), o.Headers...)}
	r.next += 1 + r.o.Gap
	r.calls[c.id] = c
	r.mu.Unlock()
	d := r.version.Dialect()
	frames := r.traced(codec.AppendInvoke(nil, d, c.id, event, -1), c.hs)
	if o.First != nil {
		frames = append(frames, r.traced(codec.AppendChunk(nil, d, c.id, o.First), c.hs)...)
	}
	if o.Last {
		frames = append(frames, r.traced(codec.AppendChoke(nil, d, c.id), c.hs)...)
	}
	if err := p.send(frames); err != nil {
		return nil, err
	}
	return c, nil
}

// Ask is a whole question: invoke, one chunk and the end, as the 0.11 runtime sends
// every request. Answer reads what comes of it.
func (r *Runtime) Ask(event string, data []byte) (*Call, error) {
	return r.Invoke(event, InvokeOptions{First: data, Last: true})
}

// ID is the session's number.
func (c *Call) ID() uint64 { return c.id }

// Write sends a chunk to the worker, also when that has ended its own direction.
func (c *Call) Write(p []byte) error {
	return c.say(codec.AppendChunk(nil, c.r.version.Dialect(), c.id, p), false)
}

// Close ends our direction in order; Fail ends it with an error, 0.11: and the choke.
func (c *Call) Close() error {
	return c.say(codec.AppendChoke(nil, c.r.version.Dialect(), c.id), true)
}

// Fail is Close with an error; 0.11 knows no category.
func (c *Call) Fail(category, code int64, reason string) error {
	d := c.r.version.Dialect()
	frames := c.r.traced(codec.AppendError(nil, d, c.id, category, code, reason), c.hs)
	if c.r.version == Runtime011 {
		frames = codec.AppendChoke(frames, d, c.id)
	}
	return c.sayAll(frames, true)
}

func (c *Call) say(frame []byte, end bool) error { return c.sayAll(c.r.traced(frame, c.hs), end) }

func (c *Call) sayAll(frames []byte, end bool) error {
	c.p.order.Lock() // so that no two senders change places
	defer c.p.order.Unlock()
	c.r.mu.Lock()
	ended, lost := c.ended, c.lost || c.p.gone
	c.ended = c.ended || end
	c.r.mu.Unlock()
	switch {
	case ended:
		return session.ErrEnded
	case lost:
		return ErrGone
	}
	return c.p.send(frames)
}

// Next waits for the next chunk of the worker. io.EOF: it has ended its direction. A
// *session.Error: with an error. ErrGone: its connection has ended before.
func (c *Call) Next() ([]byte, error) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	err := c.r.waitLocked(fmt.Sprintf("for session %d", c.id), func() bool { return len(c.got) > 0 || c.failed || c.choked || c.lost })
	switch {
	case err != nil:
		return nil, err
	case len(c.got) > 0:
		p := c.got[0]
		c.got = c.got[1:]
		return p, nil
	case c.failed:
		return nil, c.err
	case c.choked:
		return nil, io.EOF
	}
	return nil, ErrGone
}

// Answer reads all chunks until the end, as one. The error is nil after an orderly
// end.
func (c *Call) Answer() ([]byte, error) {
	var all []byte
	for {
		p, err := c.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return all, err
		}
		all = append(all, p...)
	}
}

func (c *Call) chunkLocked(p []byte) {
	c.got = append(c.got, append([]byte{}, p...))
	c.r.cond.Broadcast()
}

func (c *Call) chokeLocked() {
	c.choked = true
	c.r.cond.Broadcast()
}

func (c *Call) failLocked(category, code int64, reason string) {
	c.failed, c.err = true, &session.Error{ID: c.id, Category: category, Code: code, Msg: reason, Remote: true}
	c.r.cond.Broadcast()
}
