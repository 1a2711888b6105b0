package front

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
	"unsafe"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
)

// A call is one request on a loop and its answer: the Handler of the request's
// session. Calls are used again, so nobody may keep one that is over.
//
// All its methods are the loop's.
type call struct {
	// Kept while it is used again.
	ln    *lane
	later func(*session.Session, error) // its opened
	head  []byte                        // the request's, as it goes to the worker
	id    []byte                        // of the request
	sent  []byte                        // of the body: what somebody else would have to be given too
	tail  []byte                        // the answer's trailers, as they go to the client

	c       *client          // nil: it has gone
	to      Opener           // who answers
	limits  *AppLimits       // within which
	trace   session.Trace    // that a plain worker is told
	event   string           // of a plain worker's sessions; "": they are Heddle's
	headers []codec.Header   // of the session
	adds    []heddle.Header  // to the answer
	s       *session.Session // nil: in the queue
	cancel  func() bool      // takes the request out of the queue

	// The request.
	begun  time.Time
	left   int64 // bytes of the body that are still to come
	length int64 // and in all
	tries  int
	tag    any // of who said that nobody can be asked
	method method
	isHead bool // the method is HEAD
	last   bool // the client wants the connection to end
	lost   bool // sent is not all that was sent
	cut    bool // the session was told that the body will not be whole
	half   bool // the client has half-closed, or gone: it is logged as 499
	cutErr error
	note   accessNote // with OnAccess

	answer
}

// maxAttempts is how many sessions are opened for one request, as Proxy has it.
const maxAttempts = 3

// mostSent is how many bytes of a body are kept in case another worker has to be
// asked.
const mostSent = 32 << 10

// ask asks to for the answer to the request in the lane's head.
// Event is that of a plain worker, who has the body with the head, and "" for
// Heddle's own.
func (x *call) ask(c *client, to Opener, limits *AppLimits, event string, body []byte) {
	h := &x.ln.head
	x.c, c.x, x.to, x.limits, x.event = c, x, to, limits, event
	x.begun = time.Now()
	if event == "" {
		x.length, x.left = h.length, h.length
	}
	x.headers, x.adds = x.ln.dispatch.Headers, x.ln.dispatch.Answer
	x.method, x.last = methodOf(lend(h.method)), h.close
	x.isHead = x.method == headMethod
	x.ln.counted.requests.Add(1)
	x.ln.counted.active.Add(1)
	x.encode(h, body)
	if x.ln.s.o.OnAccess != nil {
		x.noteAsked(h)
	}
	if x.left > 0 {
		x.ln.waits[forRest].enter(&c.wait)
	}
	x.open()
}

// encode makes the head that goes to the worker.
func (x *call) encode(h *requestHead, body []byte) {
	r, c := &x.ln.request, x.c
	r.Method, r.URI, r.Version = h.method, h.target, version11
	r.Headers = x.ln.withFacts(r.Headers[:0], h, c.peer, &x.id)
	if x.event != "" {
		x.trace = httpcompat.TraceOfID(lend(x.id))
		r.Headers = append(withoutHops(r.Headers), heddle.Header{Name: nameHostField, Value: h.host})
		r.Headers = append(r.Headers, x.ln.dispatch.Fields...)
		if x.ln.dispatch.Target != nil {
			r.URI = x.ln.dispatch.Target
		}
		r.Body = body
		x.head = codec.AppendRequestHead(x.head[:0], r, true)
		r.Body = nil
		return
	}
	r.Extra.RemoteAddr, r.Extra.LocalAddr = raw(c.remote), raw(c.local)
	r.Extra.RequestID = x.id
	r.Extra.ContentLength = h.length
	r.Extra.Host = h.host
	r.Extra.Close = h.close
	x.head = codec.AppendRequestHead(x.head[:0], r, false)
}

var version11 = heddle.Raw("1.1")

// raw lends s as bytes, which must not be written to.
func raw(s string) heddle.Raw { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// lend lends p as a string, as long as p is not written to.
func lend(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// open opens a session for the request, now or when somebody is free.
func (x *call) open() {
	x.tries++
	o := session.OpenOptions{Event: x.eventOf(), Headers: x.headers, First: x.head, Last: x.length == 0, Label: lend(x.id), Trace: x.trace, Handler: x}
	s, cancel, err := x.to.OpenOn(x.ln.index, o, x.later)
	if s == nil && err == nil {
		x.cancel = cancel
		return
	}
	x.opened(s, err)
}

// opened is told what came of open.
func (x *call) opened(s *session.Session, err error) {
	x.cancel = nil
	if err != nil {
		x.refused(err)
		return
	}
	x.s = s
	if x.length > 0 {
		if len(x.sent) > 0 && x.write(x.sent) < len(x.sent) { // to the session before this one
			x.cutErr = errLostBody
		}
		switch {
		case x.cutErr != nil:
			x.cutOff(x.cutErr)
		case x.left == 0:
			_ = s.Close()
		}
	}
	if x.half {
		s.Gone()
	}
	if x.c == nil {
		return
	}
	if x.left == 0 {
		x.awaitHead()
	}
	if x.length > 0 {
		x.c.pump()
	}
}

// awaitHead begins the time that the answer's head may take, since the worker has
// the whole request; unless it was faster.
func (x *call) awaitHead() {
	if x.headSent {
		x.c.wait.leave()
		return
	}
	x.ln.answering(x.limits.ResponseHeaderTimeout).enter(&x.c.wait)
}

var errLostBody = errors.New("part of the body is lost")

// upload gives the session what it takes of p, the request's body and, on a
// connection that was taken over, whatever the client says. It returns how much.
func (x *call) upload(p []byte) int {
	switch {
	case x.tunnel:
	case x.left == 0, x.s == nil:
		return 0
	default:
		p = p[:min(int64(len(p)), x.left)]
	}
	n := 0
	for n < len(p) {
		k := x.write(p[n:])
		if k == 0 {
			break
		}
		if !x.tunnel {
			x.keep(p[n : n+k])
		}
		n += k
	}
	if x.tunnel || n == 0 {
		return n
	}
	if x.left -= int64(n); x.left == 0 {
		x.awaitHead()
		_ = x.s.Close() // fails only if the session has, which is told
	}
	return n
}

// write gives the session what it takes of p. What an ended session does not
// want it takes all the same: the client sends it.
func (x *call) write(p []byte) int {
	n, err := x.s.TryWrite(p)
	if err != nil {
		return len(p)
	}
	return n
}

// keep remembers what was sent while somebody else may have to be asked.
func (x *call) keep(p []byte) {
	switch {
	case x.lost:
	case x.s.Accepted():
		x.lost = true
	case len(x.sent)+len(p) > mostSent:
		x.lost = true
	default:
		x.sent = append(x.sent, p...)
	}
}

// uploading says whether more of what the client sends is wanted, and only just
// now not.
func (x *call) uploading() bool { return x.left > 0 || x.tunnel }

// room is how many bytes of the body can be dealt with now, so that no more is read
// than the session takes at once. If it is none, the client is told later.
func (x *call) room() int {
	if x.s == nil {
		return 0
	}
	return x.s.Room()
}

// OnWritable: there is room for more of the body.
func (x *call) OnWritable(*session.Session) {
	if x.c != nil {
		x.c.pump()
	}
}

// halfClosed: the client says nothing more. What it did not say is missing.
func (x *call) halfClosed() {
	switch {
	case x.uploading() && x.c.unread() > 0:
		return // not before what it did say; the client will tell once more
	case x.tunnel:
		_ = x.s.Close()
		return
	case x.half:
		return
	}
	x.half = true
	if x.left > 0 {
		x.cutOff(io.ErrUnexpectedEOF)
	}
	if x.s != nil {
		x.s.Gone()
	}
}

// late: the body takes too long, or the answer.
func (x *call) late() {
	if x.left == 0 {
		x.overdue()
		return
	}
	x.cutOff(resetError(x.c, os.ErrDeadlineExceeded))
	x.last = true
}

// overdue: the worker has not begun its answer in time.
func (x *call) overdue() {
	method, uri := x.line()
	x.ln.s.log.Error("front: the worker took too long to answer", "request", string(x.id), "method", method, "uri", uri, "app", httpcompat.AppOf(x.s))
	x.s.Cancel(errLate)
	x.fail(failure{code: 504, why: "the worker took too long to answer"})
}

var errLate = errors.New("the worker took too long to answer")

// cutOff tells the handler why there is no more of the body.
func (x *call) cutOff(err error) {
	if x.s == nil {
		x.cutErr = err // for opened
		return
	}
	if x.cut {
		return
	}
	x.cut = true
	x.s.Abort(httpcompat.BodyError(x.s, err))
}

// gone: the client's connection has ended.
func (x *call) gone(err error) {
	c := x.c
	x.c = nil
	switch {
	case x.cancel != nil:
		x.half = true
		if x.cancel() {
			x.end()
		} else if x.left > 0 { // opened will be called all the same
			x.cutErr = resetError(c, err)
		}
		return
	case x.s == nil:
		return // refused, just now
	case x.tunnel:
		x.whole = true
		x.s.Cancel(err)
		x.end()
		return
	case x.owed > 0: // the handler writes, and may wait for credit that nobody gives back any more
		x.half = true
		x.s.Cancel(err)
		x.end()
		return
	}
	x.half = true
	if x.left > 0 {
		x.cutOff(resetError(c, err))
	}
	x.s.Gone() // and its first word will be told that nobody listens
}

// mayRetry says whether nobody can have seen the request, and it can be asked
// for once more.
func (x *call) mayRetry(err error) bool {
	if x.tries >= maxAttempts || x.c == nil || x.begunAnswer || x.lost || x.cut {
		return false
	}
	e := (*session.Error)(nil)
	if v, ok := x.judged(err); ok {
		return v.Again && (x.s.Untouched() || errors.As(err, &e) && e.Remote)
	}
	return x.s.Untouched()
}

// retry asks somebody else.
func (x *call) retry(err error) {
	method, uri := x.line()
	x.ln.s.log.Info("front: asking another worker, since the last was gone before it had the request", "request", string(x.id), "method", method, "uri", uri, "err", err)
	x.s.Release()
	x.s = nil
	if x.left == 0 {
		x.c.wait.leave()
	}
	x.open()
}

// refused answers a request for which no session could be opened.
func (x *call) refused(err error) {
	f := failure{code: 502, why: "no worker could be asked"}
	why, after, busy := httpcompat.Busy(err)
	x.tag = tagOf(err)
	switch {
	case busy:
		f = failure{code: 503, why: why, retry: after}
	case errors.Is(err, session.ErrTooLarge):
		f = failure{code: 431, why: "the request's head has more than 1048576 bytes"}
	default:
		method, uri := x.line()
		x.ln.s.log.Error("front: no session for a request", "request", string(x.id), "method", method, "uri", uri, "err", err)
	}
	x.fail(f)
}

// fail answers by ourselves, and names the request.
func (x *call) fail(f failure) {
	if x.c == nil {
		x.end()
		return
	}
	f.id, f.last, f.noBody = x.id, x.last || x.left >= lingerBytes || x.ln.draining, x.isHead
	f.adds = x.adds
	x.last, x.code = f.last, f.code
	x.ln.out = appendFailure(x.ln.out[:0], f)
	x.bytes = bodyLen(x.ln.out)
	x.c.send(x.ln.out, nil)
	x.whole = !x.half
	x.finish()
}

// line is the request's first line, for logs.
func (x *call) line() (method, uri string) {
	var h heddle.RequestHead
	_ = codec.DecodeRequestHead(&h, x.head) // it was made here
	return string(h.Method), string(h.URI)
}

// finish is the end of an answer that was written.
func (x *call) finish() {
	c, left, last := x.c, x.left, x.last
	if x.cut {
		last = true
	}
	x.end()
	if c != nil {
		c.over(left, last)
	}
}

// end gives the call back. The client is told by who calls it.
func (x *call) end() {
	if x.half && !x.whole && !x.ln.s.closed.Load() {
		method, uri := x.line()
		x.ln.counted.gone.Add(1)
		x.ln.s.logGone(string(x.id), method, uri, x.begun, x.bytes)
	}
	if x.ln.s.o.OnAccess != nil {
		x.tellAccess()
	}
	if x.ln.s.o.Tallies {
		x.count()
	}
	if x.s != nil {
		x.s.Release()
	}
	x.ln.counted.active.Add(-1)
	x.ln.putCall(x)
}

// count enters the call in the tally of who answered it.
func (x *call) count() {
	tag, code, took := x.tag, x.code, time.Duration(-1)
	if x.s != nil {
		tag = x.s.Mux().Tag()
	}
	if x.half && !x.whole && !x.ln.s.closed.Load() {
		code = statusGone
	}
	if !x.tunnel {
		took = time.Since(x.begun)
	}
	t := x.ln.tallies.of(tag)
	t.add(x.method, code, took)
	if x.brokeOff {
		t.broken.Add(1)
	}
}

// tagOf is the tag of who an error says could not take a request, nil if it does
// not say.
func tagOf(err error) any {
	var t interface{ Tag() any }
	if errors.As(err, &t) {
		return t.Tag()
	}
	return nil
}

// logGone says that a client did not stay for its answer's end.
func (s *Server) logGone(id, method, uri string, begun time.Time, sent int64) {
	s.log.Info("front: the client has gone", slog.Int("status", 499), slog.String("request", id),
		slog.String("method", method), slog.String("uri", uri), slog.Duration("duration", time.Since(begun)), slog.Int64("sent", sent))
}
