package front

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/heddle-go/heddle/loop"
)

// A client is one connection on a loop, from its first byte until it ends or
// leaves for net/http. It has one request in flight; what is sent ahead of its
// turn is kept, up to aheadLimit, and then the connection is not read.
//
// All its methods are the loop's.
type client struct {
	ln   *lane
	conn *loop.Conn

	x     *call    // the request that is being answered; nil: none
	early []byte   // bytes that came too soon: of a head that is not whole, ahead of their turn, or without credit
	taken int      // of early, from the front: dealt with
	scan  lineScan // over early, while there is no request

	remote, local string // addresses as text; from the first request on
	peer          peer

	need    int    // bytes of early that a plain worker's request has, body and all; 0: it is not known yet
	skip    int64  // bytes of a body that nobody wants, to be passed over
	leaving reason // why it will leave, once its output has
	again   bool   // there was a request, and what is behind it has not been looked at
	posted  bool   // and it was a POST
	pumping bool
	eof     bool // the client has half-closed
	closing bool // nothing it says counts any more
	paused  bool

	at      int32 // in the lane's clients
	wait    deadline
	write   *deadline  // nil until something was written with a WriteTimeout
	writes  *deadlines // where write was entered
	written int64      // bytes, when write was entered
	held    int        // bytes that the lane counts as not taken
}

var _ loop.LeaveHandler = (*client)(nil)

// aheadLimit is how many bytes are kept of what a client sends before it is
// asked for, in bytes; a head may be longer once its turn has come.
const aheadLimit = 64 << 10

// OnOpen begins to wait for the first request.
func (c *client) OnOpen() {
	c.ln.owner.Check()
	if c.ln.s.closed.Load() { // it was dealt to this lane before, and cut did not see it
		c.conn.Abort(http.ErrServerClosed)
		return
	}
	c.ln.waits[forHead].enter(&c.wait)
	c.settle()
}

// OnBytes takes all there is. What cannot be dealt with now is kept here and not
// by the loop, which would drop it when the client half-closes.
func (c *client) OnBytes(p []byte) (int, error) {
	c.ln.owner.Check()
	if c.unread() > 0 || c.pumping {
		c.keep(p)
		c.pump()
		return len(p), nil
	}
	c.pumping = true
	rest := c.take(p)
	c.pumping = false
	if len(rest) > 0 && c.conn != nil {
		c.keep(rest)
	}
	c.settle()
	return len(p), nil
}

// unread is how many bytes are kept.
func (c *client) unread() int { return len(c.early) - c.taken }

func (c *client) keep(p []byte) {
	if c.early == nil {
		c.early = c.ln.getBuffer()
	}
	c.early = append(c.early, p...)
}

// pump deals with the bytes that are kept, as far as it can now.
func (c *client) pump() {
	if c.pumping {
		return // further up
	}
	c.pumping = true
	if c.unread() > 0 {
		p := c.early[c.taken:]
		if rest := c.take(p); c.early != nil {
			c.taken += len(p) - len(rest)
		}
	}
	c.pumping = false
	c.settle()
}

// take deals with p, bytes in the order in which they came, and returns what has
// to wait.
func (c *client) take(p []byte) (rest []byte) {
	for len(p) > 0 && c.conn != nil && !c.closing && c.leaving == stays {
		n := 0
		switch {
		case c.skip > 0:
			n = int(min(c.skip, int64(len(p))))
			if c.skip -= int64(n); c.skip == 0 {
				c.ln.waits[forNext].enter(&c.wait)
			}
		case c.x != nil:
			n = c.x.upload(p)
		case c.behind():
		default:
			n = c.request(p)
		}
		if n == 0 {
			return p
		}
		p = p[n:]
	}
	return p
}

// request begins to answer the request whose head is at the front of p, if it is
// whole, and returns the head's length.
func (c *client) request(p []byte) int {
	h := &c.ln.head
	if c.again {
		if len(p) < firstBytes {
			return 0
		}
		c.again = false
		if n := blankLines(p[:firstBytes]); n > 0 && c.posted {
			return n
		}
	}
	if len(p) < c.need {
		return 0
	}
	if c.unread() > 0 && c.need == 0 { // it comes in pieces
		whole, why := c.scan.next(p)
		if why != stays {
			return c.leave(p, why)
		}
		if !whole {
			return c.await(p)
		}
	}
	n, why := h.parse(p, c.ln.s.o.Limits.MaxHeaders)
	limits := &c.ln.s.o.Limits
	switch {
	case why != stays:
		return c.leave(p, why)
	case n == 0:
		return c.await(p)
	case n > limits.MaxHeaderBytes:
		return c.leave(p, leavesSize)
	}
	to, its := c.ln.route(h)
	switch {
	case to == nil:
		return c.leave(p, leavesRoute)
	case its.MaxBody > 0 && h.length > its.MaxBody:
		return c.leave(p, leavesBody)
	}
	event := ""
	var body []byte
	if plain, ok := to.(PlainOpener); ok {
		var free bool
		if event, free = plain.Plain(c.ln.index); !free || h.length > mostPlainBody {
			return c.leave(p, leavesPlain)
		}
		if need := n + int(h.length); len(p) < need {
			c.need = need
			c.ln.waits[forRest].enter(&c.wait)
			return 0
		}
		body = p[n : n+int(h.length)]
		n += len(body)
	}
	c.scan, c.need = lineScan{}, 0
	c.again, c.posted = true, string(h.method) == http.MethodPost
	c.wait.leave()
	if c.remote == "" {
		c.know()
	}
	c.ln.getCall().ask(c, to, its, event, body)
	return n
}

// firstBytes is for how many bytes net/http waits behind a request: with fewer the
// connection ends without an answer, and behind a POST those that are line ends
// are passed over, for old clients (RFC 9112 2.2).
const firstBytes = 4

// blankLines is how many bytes at the front of p are line ends.
func blankLines(p []byte) int { return len(p) - len(bytes.TrimLeft(p, "\r\n")) }

// know finds out who the client is.
func (c *client) know() {
	if a := c.conn.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	c.local = c.ln.localText(c.conn)
	c.peer = c.ln.s.o.Trusted.peerOf(c.remote)
}

// await waits for the rest of a head.
func (c *client) await(p []byte) int {
	if len(p) > c.ln.s.o.Limits.MaxHeaderBytes {
		return c.leave(p, leavesSize)
	}
	if c.wait.in == nil || c.wait.in == &c.ln.waits[forNext] {
		c.ln.waits[forHead].enter(&c.wait)
	}
	return 0
}

// over is called when the answer has been written, with what is left of the
// request's body: the next request follows, unless the connection is to end.
func (c *client) over(left int64, last bool) {
	c.x = nil
	switch {
	case last, left >= lingerBytes, left > 0 && c.eof:
		c.close()
		return
	case left > 0:
		c.skip = left
		c.ln.waits[forBody].enter(&c.wait)
	default:
		c.ln.waits[forNext].enter(&c.wait)
	}
	c.pump()
}

// close delivers what was written and ends the connection.
func (c *client) close() {
	c.closing = true
	c.wait.leave()
	c.conn.Close(nil)
}

// settle is the last thing that is done about a client in a callback. It gives the
// buffer back when that is empty, ends the connection if this is its time, and else
// says whether and how much is to be read. Everything that stops the reading has a
// callback that comes here when it is over: OnDrain, the session's OnWritable, the
// answer's end.
func (c *client) settle() {
	if c.conn == nil || c.closing {
		return
	}
	c.tidy()
	if !c.ends() {
		c.pace()
	}
}

// tidy makes room in the buffer, or gives it back.
func (c *client) tidy() {
	n := c.unread()
	if n == 0 && c.early != nil {
		c.ln.putBuffer(c.early)
		c.early, c.taken = nil, 0
	}
	if c.taken > 0 && c.taken >= cap(c.early)/2 {
		copy(c.early, c.early[c.taken:])
		c.early = c.early[:n]
		c.taken = 0
	}
}

// ends ends the connection if nothing is to come any more, and says whether it did.
func (c *client) ends() bool {
	n := c.unread()
	switch {
	case c.x != nil && c.eof:
		c.x.halfClosed()
	case c.x != nil, c.leaving != stays, n > 0 && c.behind():
	case c.eof && c.again && n < firstBytes && c.skip == 0:
		c.close()
		return true
	case c.eof && n > 0 && c.skip == 0:
		c.leave(c.early[c.taken:], leavesEOF) // amid a head: net/http has an answer to that
		return true
	case c.eof, c.ln.draining && n == 0 && c.skip == 0:
		c.close()
		return true
	}
	return c.conn == nil || c.closing // halfClosed may have had the last word
}

// pace reads on, or does not, and no more than can be dealt with.
func (c *client) pace() {
	n := c.unread()
	pause := c.leaving != stays || c.behind() || c.x != nil && n >= aheadLimit
	most := 0
	if c.x != nil && c.x.uploading() {
		most = c.x.room()
		pause = pause || n > 0 || most == 0
	}
	c.conn.SetReadLimit(most)
	switch {
	case pause && !c.paused:
		c.conn.Pause()
	case !pause && c.paused:
		c.conn.Resume()
	}
	c.paused = pause
}

// behind says whether so much of the answers before has not been taken by the client
// that its next request has to wait, as it would for net/http's write.
func (c *client) behind() bool { return c.x == nil && c.conn.Queued() >= mostBehind }

// mostBehind is that much, in bytes.
const mostBehind = 64 << 10

// OnEOF: the client has half-closed. It still gets its answers.
func (c *client) OnEOF() {
	c.ln.owner.Check()
	c.eof = true
	c.settle()
}

// OnLeave: a client that is not read has left; only if it is gone altogether that
// means anything before its bytes are looked at.
func (c *client) OnLeave(gone bool) {
	if gone {
		c.conn.Abort(os.NewSyscallError("read", syscall.ECONNRESET))
	}
}

// OnDrain: the kernel has taken all that was written.
func (c *client) OnDrain() {
	c.ln.owner.Check()
	c.write.leave()
	c.hold(0)
	switch {
	case c.x != nil:
		c.x.drained()
	case c.leaving != stays:
		why := c.leaving
		c.leaving = stays
		c.leave(c.early[c.taken:], why)
	default:
		c.pump() // it may have been behind
	}
}

// OnClose is the connection's end.
func (c *client) OnClose(err error) {
	c.ln.owner.Check()
	c.forget()
	if c.x != nil {
		c.x.gone(err)
	}
}

// forget takes the client out of the lane.
func (c *client) forget() {
	c.wait.leave()
	c.write.leave()
	c.hold(0)
	if c.early != nil {
		c.ln.putBuffer(c.early)
		c.early, c.taken = nil, 0
	}
	c.conn = nil
	c.ln.lose(c)
}

// send writes to the client, in time unless its handler has taken the connection
// over. It never fails: a connection that has ended says so by OnClose.
func (c *client) send(head, body []byte) {
	_, _ = c.conn.Send(head, body)
	if !c.closing {
		c.hold(c.conn.Queued())
	}
	limit := c.ln.s.limits.WriteTimeout
	if c.x != nil {
		limit = c.x.limits.WriteTimeout
	}
	if limit > 0 && (c.x == nil || !c.x.tunnel) && (c.write == nil || c.write.in == nil) {
		if c.write == nil {
			c.write = &deadline{c: c}
		}
		c.written, c.writes = c.conn.Written(), c.ln.stalling(limit)
		c.writes.enter(c.write)
	}
}

// hold counts n bytes as what the client has not taken (lane.relieve).
func (c *client) hold(n int) {
	c.ln.held += n - c.held
	c.held = n
}

// stuck: of what was written nothing, or not all, was taken in time.
func (c *client) stuck() {
	switch n := c.conn.Written(); {
	case c.conn.Queued() == 0:
	case n > c.written: // but something
		c.written = n
		c.writes.enter(c.write)
	default:
		c.breakOff(os.NewSyscallError("write", syscall.ETIMEDOUT))
	}
}

// breakOff ends the connection at once, and so that the end of an answer that has no
// other does not look like one.
func (c *client) breakOff(err error) {
	c.closing = true
	if c.x != nil && c.x.headSent && c.x.framing == byEnd {
		c.conn.Reset(err)
		return
	}
	c.conn.Abort(err)
}

// expired: what the client waits for, or is waited for, did not come in time.
func (c *client) expired() {
	switch {
	case c.x != nil:
		c.x.late()
	case c.skip == 0 && c.unread() > 0 && !c.again: // amid a head
		if c.remote == "" {
			c.know()
		}
		c.ln.s.slow.add(c.ln.s.log, "", c.remote, "the request's head took too long")
		answer := appendFailure(nil, failure{code: http.StatusRequestTimeout, why: "the request's head took too long", last: true})
		c.send(answer, nil)
		if c.ln.s.o.OnAccess != nil {
			c.tellLate(bodyLen(answer))
		}
		c.close()
	default:
		c.close()
	}
}

// leave gives the connection to net/http, with p: the bytes that were not
// answered. While there is output, it waits. It returns 0, for take.
func (c *client) leave(p []byte, why reason) int {
	nc, _, err := c.conn.Detach() // of what OnBytes was given now, p is the part that counts
	switch {
	case err == loop.ErrBusy:
		c.leaving = why
		return 0
	case err != nil:
		c.ln.s.log.Error("front: a connection cannot leave its loop", "remote", c.remote, "err", err)
		c.closing = true
		c.conn.Abort(err)
		return 0
	}
	c.ln.counted.handedOver[why].Add(1)
	c.ln.s.handed.give(nc, append([]byte(nil), p...))
	c.forget()
	return 0
}

// resetError is what reading says of a client that is gone.
func resetError(c *client, err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return &net.OpError{Op: "read", Net: "tcp", Source: textAddr(c.local), Addr: textAddr(c.remote), Err: err}
}

// A textAddr is an address of which the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }
