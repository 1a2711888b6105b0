package front

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
)

// An answer is how far a call's answer has come.
type answer struct {
	begunAnswer bool // anything of it has gone to the client
	headSent    bool
	tunnel      bool // the connection is the handler's
	whole       bool // all of it was written while the client was there
	framing     framing
	rest        int64 // bytes that are still to come, with byLength
	bytes       int64 // of the body, written
	owed        int64 // bytes of credit, until the client has taken what they were for
	code        int   // status that was sent; 0: none
	brokeOff    bool  // behind its head
	lingers     bool  // of a plain worker: an empty chunk is the body's end
}

// A framing is how the client finds the end of an answer's body.
type framing uint8

const (
	noBody   framing = iota // whatever comes is dropped
	byLength                // Content-Length
	byChunks                // chunked
	byEnd                   // that of the connection
)

var (
	errNoHead    = errors.New("the worker ended without an answer")
	errMalformed = errors.New("malformed head")
	errTooMuch   = errors.New("more body than its Content-Length says")
	errSlow      = errors.New("the client takes its answer too slowly, and too much is waiting for others")
	errTooLittle = errors.New("less body than its Content-Length says")
)

// OnMessage is a piece of the answer.
func (x *call) OnMessage(s *session.Session, m session.Message) {
	m.Drop() // an answer brings no descriptors
	if x.c == nil {
		s.Cancel(io.ErrClosedPipe) // nobody is there to be told
		x.end()
		return
	}
	var err error
	switch m.Kind {
	case session.Chunk:
		if !x.headSent && !x.tunnel {
			err = x.onHead(m.Data)
		} else {
			p := m.Data
			if x.event != "" {
				if p, err = x.unpack(p); err == nil && len(p) == 0 && x.lingers {
					x.linger()
					return
				}
			}
			if err == nil {
				err = x.onBody(p)
				x.owe(len(m.Data))
			}
			if x.event != "" && x.ln.held > x.ln.mostHeld {
				x.ln.relieve()
			}
		}
	case session.Info:
		err = x.onInfo(m.Data)
	case session.Trailers:
		err = x.onTrailers(m.Data)
	}
	if err != nil {
		s.Cancel(err)
		x.broken(err)
	}
}

// onHead writes the answer's head.
func (x *call) onHead(data []byte) error {
	h := &x.ln.response
	if err := codec.DecodeResponseHead(h, data); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if x.event != "" && !x.plainly(h) {
		return errMalformed
	}
	out, ok := x.appendHead(x.ln.out[:0], h)
	x.ln.out = out
	if !ok {
		return errMalformed
	}
	x.begunAnswer, x.headSent, x.code = true, true, int(h.Code)
	if x.left == 0 {
		x.c.wait.leave() // else it is for the body
	}
	x.c.send(out, nil)
	return nil
}

// onBody writes a piece of the body, or of what the handler says on a connection
// that it has taken over.
func (x *call) onBody(p []byte) error {
	if x.tunnel {
		if len(p) == 0 {
			x.c.conn.CloseWrite()
			return nil
		}
		x.c.send(p, nil)
		x.bytes += int64(len(p))
		return nil
	}
	if len(p) == 0 {
		return nil
	}
	switch x.framing {
	case noBody:
		return nil
	case byLength:
		if int64(len(p)) > x.rest {
			return errTooMuch
		}
		x.rest -= int64(len(p))
		x.c.send(p, nil)
		x.whole = x.whole || x.rest == 0 && !x.half
	case byChunks:
		b := strconv.AppendUint(x.ln.out[:0], uint64(len(p)), 16)
		b = append(b, "\r\n"...)
		x.ln.out = b
		x.c.send(b, p)
		x.c.send(lineEnd, nil)
	case byEnd:
		x.c.send(p, nil)
	}
	x.bytes += int64(len(p))
	return nil
}

var lineEnd = []byte("\r\n")

// owe remembers to give the worker back what a chunk of n bytes cost it, once
// the client has taken it.
func (x *call) owe(n int) {
	x.owed += int64(n) + session.ChunkCost
	if x.c != nil && x.c.conn.Queued() == 0 {
		x.drained()
	}
}

// drained: the client's socket has taken all that was written. Credit goes back
// by half a window at a time, as readers give it back.
func (x *call) drained() {
	if x.s != nil && x.owed > 0 && x.s.GrantDue(x.owed) {
		x.s.Grant(x.owed)
		x.owed = 0
	}
}

// mostInfos is how many bytes may wait for a client before it gets no more 1xx heads.
const mostInfos = 1 << 20

// onInfo writes a 1xx head, or gives the handler the connection.
func (x *call) onInfo(args []byte) error {
	i := &x.ln.info
	if err := codec.DecodeArgs(i, args, 2); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch {
	case i.Code == 0:
		return x.switched()
	case i.Code < 100 || i.Code > 199 || i.Code == 101:
		return errMalformed
	case x.headSent:
		return nil
	case x.c.conn.Queued() >= mostInfos:
		return nil // no credit holds them up, and nobody has to be told
	}
	out, ok := x.ln.appendInfo(x.ln.out[:0], i)
	x.ln.out = out
	if !ok {
		return errMalformed
	}
	x.begunAnswer = true
	x.c.send(out, nil)
	return nil
}

// switched: from here on the session carries the connection's bytes, in both
// directions, until either side has ended both or the connection breaks.
// Time-outs meant for requests end here.
func (x *call) switched() error {
	_ = x.s.Close() // what follows is no body
	if err := x.s.Reopen(); err != nil {
		return err
	}
	x.begunAnswer, x.tunnel, x.code = true, true, 101
	x.c.wait.leave()
	x.c.write.leave()
	x.c.pump()
	return nil
}

// onTrailers keeps the trailers until the end of the body.
func (x *call) onTrailers(args []byte) error {
	t := &x.ln.trailers
	if err := codec.DecodeArgs(t, args, 1); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if x.framing != byChunks {
		return nil
	}
	out, ok := x.ln.appendFields(x.tail[:0], t.Headers, isTrailer)
	x.tail = out
	if !ok {
		return errMalformed
	}
	return nil
}

// OnEnd is the end of the answer.
func (x *call) OnEnd(s *session.Session, err error) {
	switch {
	case x.c == nil:
		x.end()
	case err != nil:
		x.broken(err)
	case x.tunnel:
		c := x.c
		x.whole = true
		x.end()
		c.x = nil
		c.close()
	case !x.headSent:
		x.broken(errNoHead)
	case x.framing == byLength && x.rest > 0:
		x.broken(errTooLittle)
	default:
		x.endBody()
	}
}

// endBody writes what comes behind the body.
func (x *call) endBody() {
	if x.framing == byChunks {
		x.ln.out = append(append(append(x.ln.out[:0], "0\r\n"...), x.tail...), "\r\n"...)
		x.c.send(x.ln.out, nil)
	}
	x.last = x.last || x.framing == byEnd
	x.finish()
}

// relieve ends the client that has left most of its answers untaken, if all together
// have left too much: no credit holds back workers that are none of Heddle's.
func (ln *lane) relieve() {
	var most *client
	for _, c := range ln.clients {
		if c.closing || c.x != nil && c.x.event == "" {
			continue
		}
		c.hold(c.conn.Queued())
		if most == nil || c.held > most.held {
			most = c
		}
	}
	if most == nil || most.held == 0 || ln.held <= ln.mostHeld {
		return
	}
	ln.s.log.Error("front: client ended", "remote", most.remote, "untaken", most.held, "err", errSlow)
	most.hold(0) // it is as good as gone, which another message may not wait for
	if most.x != nil {
		most.x.brokeOff = true
	}
	most.breakOff(errSlow)
}

// broken deals with an answer that is not whole. Before its head a status says
// so; later, or when it was the handler that gave up, the connection breaks.
func (x *call) broken(err error) {
	if x.mayRetry(err) {
		x.retry(err)
		return
	}
	c := x.c
	gaveUp := x.event == "" && httpcompat.Aborted(err)
	method, uri := x.line()
	switch {
	case x.tunnel:
		x.ln.s.log.Debug("front: hijacked connection broke", "request", string(x.id), "method", method, "uri", uri, "err", err)
		x.whole = true
		x.end()
		c.x = nil
		c.closing = true
		c.conn.Reset(err)
		return
	case gaveUp: // the worker has logged why, and knows the session alone
		x.ln.s.log.Info("front: the handler gave its answer up", "request", string(x.id), "method", method, "uri", uri, "head", x.headSent)
	default:
		x.ln.s.log.Error("front: answer broke off", "request", string(x.id), "method", method, "uri", uri, "app", httpcompat.AppOf(x.s), "session", x.s.ID(), "head", x.headSent, "err", err)
	}
	if !x.headSent && !gaveUp {
		x.fail(x.failed(err))
		return
	}
	unframed := x.headSent && x.framing == byEnd
	x.whole, x.brokeOff = x.whole || !x.half, x.headSent
	x.end()
	c.x = nil
	if unframed { // or the end would look like the answer's
		c.closing = true
		c.conn.Reset(err)
		return
	}
	c.close()
}
