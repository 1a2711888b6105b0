package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A bridge joins a client's call to a worker's session. Both live on one loop, and
// so does the bridge. Chunks go over as they are, copied once into the next outbox, or
// wait while nobody takes them: those to the worker until it has credit, those to the
// client until he reads. The directions are independent.
type bridge struct {
	call   *Call
	app    *App
	event  string
	client *session.Session
	worker *session.Session // nil: not yet, or not any more
	cancel func() bool      // while a worker is waited for
	far    *far             // in place of both, when it may be on another loop
	timer  func()           // stops the caller's own time-out; nil: he has none
	up     flow             // client to worker
	down   flow             // worker to client
	over   bool             // nothing more goes to the client
	packs  bool             // what goes to the client is msgpack once more
	headed bool             // the worker's first chunk has come
}

func newBridge(call *Call, a *App, event string) *bridge {
	b := &bridge{call: call, app: a, client: call.s, event: event}
	b.up.budget, b.down.budget = &call.conn.door.cloud.pending, &call.conn.door.cloud.pending
	b.up.most, b.down.most = call.conn.door.cloud.opt.Blob, call.conn.door.cloud.opt.Blob
	b.up.http = a.HTTP != "" && event == a.HTTP
	b.packs = call.Dialect() == heddle.V0 && a.HTTP != "" && event == a.HTTP
	return b
}

// begin asks for a worker. data is v0's one chunk; in v1 it is nil, and the client
// goes on.
func (b *bridge) begin(data []byte) error {
	n := b.call.conn
	o := session.OpenOptions{Event: b.event, Headers: forwarded(b.client), Handler: (*workerSide)(b)}
	if b.call.Dialect() == heddle.V0 {
		if data == nil {
			data = []byte{}
		}
		if len(data) > session.MaxHead { // see flow.send
			if err := b.up.push(data, 0); err != nil {
				return err
			}
			_ = b.up.end(nil) // there is nobody yet to send it to
		} else {
			o.First, o.Last = data, true
		}
	}
	var s *session.Session
	var cancel func() bool
	if b.app.Free == nil || b.app.Open == nil || b.app.Free(n.lane) {
		var err error
		if s, cancel, err = b.app.Opener.OpenOn(n.lane, o, b.opened); err != nil {
			b.up.drop()
			return openError(err)
		}
	} else {
		o.Handler = nil
		o.First = bytes.Clone(o.First) // the call's arguments go with it
		b.goFar(o)
	}
	b.call.Serve((*clientSide)(b))
	n.bridges[b] = struct{}{}
	b.down.to = b.client
	if d, ok := timeout(b.client.Headers()); ok {
		b.timer = n.link.After(d, func() {
			b.timer = nil
			b.fail(&Error{Category: heddle.CategoryNode, Code: heddle.CodeNodeTimeout, Msg: "invocation has timed out"})
		})
	}
	b.cancel = cancel
	if s != nil {
		b.opened(s, nil)
	}
	return nil
}

// opened: a worker was found, or none.
func (b *bridge) opened(s *session.Session, err error) {
	b.cancel = nil
	switch {
	case err != nil:
		b.fail(openError(err))
		return
	case b.over: // the client has left meanwhile
		s.Cancel(errClient)
		s.Release()
		return
	}
	b.worker, b.up.to, b.down.from = s, s, s
	b.packs = b.packs && s.Mux().Heddle() // a worker of v0 does it itself
	if err := b.up.drain(); err != nil {
		b.failUp(err)
	}
}

// failUp is fail for what the worker cannot be sent.
func (b *bridge) failUp(err error) {
	switch {
	case errors.Is(err, session.ErrTooLarge):
		err = openError(err)
	case err != errSlow:
		err = endError(b.call.Dialect(), err)
	}
	b.fail(err)
}

// errClient is what a worker is told when its caller has gone.
var errClient = &session.Error{Category: heddle.CategoryAsio, Code: int64(syscall.ECANCELED), Msg: "the client is gone"}

// fail tells the client of err and gives the worker up.
func (b *bridge) fail(err error) {
	if !b.over {
		b.call.Fail(err)
	}
	b.leave()
}

// leave ends whatever the bridge still has.
func (b *bridge) leave() {
	b.over = true
	if b.cancel != nil && b.cancel() {
		b.cancel = nil
	}
	if s := b.worker; s != nil {
		b.worker, b.up.to, b.down.from = nil, nil, nil
		s.Cancel(errClient)
		s.Release()
	}
	if b.far != nil {
		b.far.cancel()
	}
	b.forget()
}

// forget gives back what the bridge holds once nothing more goes over it.
func (b *bridge) forget() {
	if b.timer != nil {
		b.timer()
		b.timer = nil
	}
	b.up.drop()
	b.down.drop()
	delete(b.call.conn.bridges, b)
}

// clientSide is a bridge as the handler of the client's session.
type clientSide bridge

// OnMessage: a chunk of the client's.
func (h *clientSide) OnMessage(s *session.Session, m session.Message) {
	b := (*bridge)(h)
	if m.Kind != session.Said {
		return
	}
	p, ok := rawIn(m.Data)
	if !ok {
		_ = b.call.conn.fail("enqueue: a chunk that is no raw")
		return
	}
	if b.over || b.up.ended {
		return // the worker has said all that it had to
	}
	if err := b.up.push(p, 0); err != nil {
		b.failUp(err)
	}
	b.far.kick()
}

// OnWritable: the client has taken something.
func (h *clientSide) OnWritable(*session.Session) {
	b := (*bridge)(h)
	if err := b.down.drain(); err != nil {
		b.leave() // his own call has ended
		return
	}
	b.far.resume()
	b.settle()
}

// settle ends the bridge once the client has been told all.
func (b *bridge) settle() {
	if b.down.told {
		b.over = true
		b.forget()
	}
	b.call.conn.watch()
}

// OnEnd: the client has no more to say. In dialect v0 it is so from the start.
func (h *clientSide) OnEnd(s *session.Session, err error) {
	b := (*bridge)(h)
	var e *session.Error
	switch {
	case b.over || b.call.Dialect() == heddle.V0 && err == nil:
	case err == nil:
		if err := b.up.end(nil); err != nil {
			b.failUp(err)
		}
	case errors.As(err, &e):
		if err := b.up.end(e); err != nil {
			b.failUp(err)
		}
	default: // his connection has ended
		b.leave()
	}
	b.far.kick()
}

// workerSide is a bridge as the handler of the worker's session.
type workerSide bridge

// OnMessage: a chunk of the worker's. What plain clients have no word for is left out.
func (h *workerSide) OnMessage(s *session.Session, m session.Message) {
	b := (*bridge)(h)
	if m.Kind != session.Chunk {
		m.Drop()
		return
	}
	cost := int64(0)
	if b.headed {
		cost = int64(len(m.Data)) + session.ChunkCost
	}
	b.hear(m.Data, cost)
}

// hear gives the client a chunk of the worker's.
func (b *bridge) hear(p []byte, cost int64) {
	if b.packs && b.headed {
		p = codec.AppendRaw(nil, p)
	}
	b.headed = true
	if len(b.down.waiting) == 0 && !b.call.conn.room(len(p)) {
		b.fail(errSlow)
		return
	}
	if err := b.down.push(p, cost); err != nil {
		b.fail(err)
		return
	}
	b.call.conn.watch()
}

// OnWritable: the worker has credit, or room, again.
func (h *workerSide) OnWritable(*session.Session) {
	b := (*bridge)(h)
	if err := b.up.drain(); err != nil {
		b.failUp(err)
	}
}

// OnEnd: the worker has ended its direction, and with it the session.
func (h *workerSide) OnEnd(s *session.Session, err error) {
	b := (*bridge)(h)
	b.worker, b.up.to, b.down.from = nil, nil, nil
	s.Release()
	b.ended(err)
}

// ended: the worker has ended its direction with err, or in order.
func (b *bridge) ended(err error) {
	b.up.ended = true
	b.up.drop()
	if b.over {
		return
	}
	if err != nil {
		b.call.tally.failed.Add(1)
		err = errorIn(b.call.Dialect(), endError(b.call.Dialect(), err))
	}
	if err := b.down.end(err); err != nil {
		b.leave()
		return
	}
	b.settle()
}

// rawIn is the first argument of a message, if it is a raw. It borrows.
func rawIn(args []byte) (p []byte, ok bool) {
	size, members, err := heddle.Head(args)
	if err != nil || members == 0 || !isRaw(args[size]) {
		return nil, false
	}
	var raw heddle.Raw
	_, err = raw.UnmarshalMsg(args[size:])
	return raw, err == nil
}

// forwarded are the headers that go with the invoke: the caller's own, with his
// trace first, which some workers read without a look (PROTOCOL 3.2). None: he sent
// none.
func forwarded(s *session.Session) []codec.Header {
	hs := s.Headers()
	if len(hs) == 0 {
		return nil
	}
	all := session.TraceOf(s.Context()).Headers()
	for _, h := range hs {
		switch string(h.Name) {
		case "trace_id", "span_id", "parent_id":
		default:
			all = append(all, h)
		}
	}
	return all
}

// timeout is how long the caller wants to wait at most.
//
// header request_timeout: 8 bytes of milliseconds, little endian (PROTOCOL 3.2)
func timeout(hs []codec.Header) (time.Duration, bool) {
	for _, h := range hs {
		if string(h.Name) == "request_timeout" && len(h.Value) == 8 {
			ms := binary.LittleEndian.Uint64(h.Value)
			return time.Duration(min(ms, 86_400_000)) * time.Millisecond, true
		}
	}
	return 0, false
}
