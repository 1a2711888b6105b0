package httpcompat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/heddle-go/heddle/session"
)

// DefaultEvent names the sessions that carry requests (PROTOCOL 4).
const DefaultEvent = "http"

// DefaultMaxBody is how many bytes a request's body may have toward a plain
// Cocaine worker, where it travels whole: what is left of a frame (16 MiB) beside
// its head, and in a channel's outbox beside what may wait there.
const DefaultMaxBody = 14 << 20

// An Opener opens sessions on whoever is to answer: an engine, a channel, a
// service. An error with a method RetryAfter() time.Duration says that it is
// too busy just now, and when to come again.
type Opener interface {
	Open(ctx context.Context, o session.OpenOptions) (*session.Session, error)
}

// An OpenerFunc is a function as an Opener.
type OpenerFunc func(ctx context.Context, o session.OpenOptions) (*session.Session, error)

// Open calls f.
func (f OpenerFunc) Open(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
	return f(ctx, o)
}

// A Proxy is an http.Handler that asks for each answer through a session. Only
// Opener is needed. It answers by itself with
//
//   - 501, if the request asks for an upgrade other than h2c and the workers are plain,
//   - 500, if a plain worker gave an error in place of an answer,
//   - 413, if its body is too long for a plain worker,
//   - 431, if its head has more than 1,024 fields, or more bytes than a session's
//     head may have (session.MaxHead, 1 MiB),
//   - 503 with Retry-After, if the Opener is busy, or Bodies have no room for its body,
//   - 408, if its body comes too slowly and others need that room,
//   - 502, if there is nobody to ask, or the answer broke off before its head or
//     has more than 1,024 fields in it; the log says which.
//
// It flushes, and reads the body while it writes: a ResponseWriter that wraps the
// server's has a method Unwrap, as http.ResponseController wants it.
//
// A request is asked for again if the channel of its session ended before the
// kernel had taken the last byte of the invoke, nothing of the answer has come, and
// all that was read of the body is still at hand (32 KiB of it are kept): nobody
// can have seen it. Any other is asked once, whatever happens.
//
// A handler that hijacks gets the client's connection, through the session: then w
// must be hijackable too, as an HTTP/1 server's is.
//
// An answer that breaks off later, or whose handler gave it up, breaks the
// client's connection, as it would have without sessions in between.
type Proxy struct {
	Opener Opener
	Event  string       // of the sessions; "" means DefaultEvent
	Logger *slog.Logger // nil: slog.Default()

	// HeadTimeout is how long the head of an answer may take once its request
	// has been sent whole; 1xx heads do not count as one. Then the client gets
	// 504, and the handler's context ends. 0: no limit.
	HeadTimeout time.Duration

	// Plain says that the workers are real Cocaine's: the request's body
	// travels in its head, at most MaxBody bytes (0 means DefaultMaxBody).
	Plain   bool
	MaxBody int64

	// Refused is told of requests whose bodies are refused (413, 503, 408); nil: the
	// Logger is, of those for which there is no memory, one a second.
	Refused func(r *http.Request, code int, why string)

	// Bodies bounds what the bodies of requests toward plain workers hold, all
	// together; nil: nothing does.
	Bodies *Bodies
}

// maxAttempts is how many sessions are opened for one request, if of those
// before the last the kernel had not even taken the invoke.
const maxAttempts = 3

// ServeHTTP asks and copies the answer to w.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.Plain && upgrades(r) {
		fail(w, r, http.StatusNotImplemented, "plain Cocaine workers know no upgrades")
		return
	}
	sc := getScratch()
	defer putScratch(sc)
	held := p.Bodies.Hold(w)
	defer held.Drop()
	o, ok := p.options(w, r, sc, held)
	if !ok {
		return
	}
	a := &asking{p: p, w: w, r: r, sc: sc, expect: o.NoCredit}
	// A client that half-closes right after its request looks gone, and is to
	// get its answer all the same: who opens does not look at that.
	ctx := context.WithoutCancel(r.Context())
	var err error
	for attempt := 1; ; attempt++ {
		s, oerr := p.Opener.Open(ctx, o)
		tell(w, s, oerr)
		if oerr != nil {
			a.stopUpload()
			sc.head = o.First[:0]
			p.refused(w, r, oerr)
			return
		}
		err = a.ask(s, !o.Last)
		if err == nil || attempt == maxAttempts || errors.Is(err, errLate) || !a.mayRetry(err, attempt) {
			break
		}
		p.log().Info("httpcompat: asking another worker, since the last was gone before it had the request", "method", r.Method, "uri", r.RequestURI, "session", s.ID(), "err", err)
		s.Discard()
	}
	sc.head = o.First[:0]
	a.stopUpload()
	a.s.Discard()
	if err != nil {
		a.broken(err)
	}
}

// tell says whose session it is, or who had none, to a w with a method AskedOf:
// the tag of the session's channel, or what the error has for one.
func tell(w http.ResponseWriter, s *session.Session, err error) {
	t, ok := w.(interface{ AskedOf(tag any) })
	if !ok {
		return
	}
	var tagged interface{ Tag() any }
	switch {
	case err == nil:
		t.AskedOf(s.Mux().Tag())
	case errors.As(err, &tagged):
		t.AskedOf(tagged.Tag())
	}
}

// upgrades says whether r asks for another protocol. An offer of h2c is one that
// net/http ignores too.
func upgrades(r *http.Request) bool {
	up := r.Header["Upgrade"]
	return len(up) > 0 && !hasToken(up, "h2c") && hasToken(r.Header["Connection"], "upgrade")
}

// options are those of r's session; its head is encoded into sc. It has
// answered by itself if r cannot be carried.
func (p *Proxy) options(w http.ResponseWriter, r *http.Request, sc *scratch, held *Held) (o session.OpenOptions, ok bool) {
	o = session.OpenOptions{Event: p.Event, Label: r.Header.Get("X-Request-Id"), Last: true}
	if o.Event == "" {
		o.Event = DefaultEvent
	}
	if !p.Plain {
		o.Last = r.Body == nil || r.Body == http.NoBody || endedHead(r)
		o.NoCredit = !o.Last && expectsContinue(r)
		var local string
		if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			local = addr.String()
		}
		o.First, ok = appendRequestHead(sc.head[:0], r, local)
		if !ok {
			failFields(w, r)
		}
		return o, ok
	}
	if o.Trace = session.TraceOf(r.Context()).Child(); o.Trace.TraceID == 0 {
		o.Trace = TraceOfID(o.Label)
	}
	var body []byte
	if r.Body != nil {
		limit := p.MaxBody
		if limit <= 0 {
			limit = DefaultMaxBody
		}
		if r.ContentLength > limit { // not read to be told that
			p.tooLong(w, r, limit)
			return o, false
		}
		var err error
		if body, err = held.Read(http.MaxBytesReader(w, r.Body, limit)); err != nil {
			p.unread(w, r, err, limit)
			return o, false
		}
	}
	if o.First, ok = appendPlainHead(sc.head[:0], r, body); !ok {
		failFields(w, r)
	}
	held.Keep(int64(len(o.First)))
	return o, ok
}

// unread answers a request whose body could not be had.
func (p *Proxy) unread(w http.ResponseWriter, r *http.Request, err error, limit int64) {
	switch e := (*http.MaxBytesError)(nil); {
	case errors.As(err, &e):
		p.tooLong(w, r, limit)
	case err == errBodies:
		p.tell(r, http.StatusServiceUnavailable, err)
		w.Header().Set("Connection", "close") // the rest is not read
		RefuseBusy(w, r, err)
	case err == ErrLateBody:
		p.tell(r, http.StatusRequestTimeout, err)
		fail(w, r, http.StatusRequestTimeout, err.Error())
	default:
		fail(w, r, http.StatusBadRequest, err.Error())
	}
}

// tell says that a request is refused for want of memory.
func (p *Proxy) tell(r *http.Request, code int, err error) {
	switch {
	case p.Refused != nil:
		p.Refused(r, code, err.Error())
	case p.Bodies.mayLog():
		p.log().Warn("httpcompat: a request is refused", "code", code, "why", err, "method", r.Method, "uri", r.RequestURI)
	}
}

// tooLong answers a request whose body is.
func (p *Proxy) tooLong(w http.ResponseWriter, r *http.Request, limit int64) {
	why := fmt.Sprintf("the body has more than %d bytes", limit)
	if p.Refused != nil {
		p.Refused(r, http.StatusRequestEntityTooLarge, why)
	}
	w.Header().Set("Connection", "close")
	fail(w, r, http.StatusRequestEntityTooLarge, why)
}

// endedHead says whether r's head was all of it. HTTP/2's server gives each
// request a body, and says by its length that nothing comes. Only of a server's
// request is that known: in one made by a program 0 means unknown.
func endedHead(r *http.Request) bool {
	return r.ProtoMajor == 2 && r.ContentLength == 0 && len(r.Trailer) == 0 && r.Context().Value(http.ServerContextKey) != nil
}

// Busy says whether err, an Opener's, means that nobody could take a request in
// time: it, or what it wraps, has the method RetryAfter() time.Duration, and may
// have Why() string. Why is then what clients are told, and after when to come
// again, in seconds, at least one.
func Busy(err error) (why string, after int64, ok bool) {
	var busy interface{ RetryAfter() time.Duration }
	if !errors.As(err, &busy) {
		return "", 0, false
	}
	why = "every worker is busy"
	if b, ok := busy.(interface{ Why() string }); ok {
		why = b.Why()
	}
	return why + "; come again later", max(1, int64((busy.RetryAfter()+time.Second-1)/time.Second)), true
}

// failFields answers a request whose head no worker would take.
func failFields(w http.ResponseWriter, r *http.Request) {
	fail(w, r, http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request has more than %d header fields", maxFields))
}

// refused answers a request for which no session could be opened, also if its
// client looks gone: it may have half-closed.
func (p *Proxy) refused(w http.ResponseWriter, r *http.Request, err error) {
	if RefuseBusy(w, r, err) {
		return
	}
	if errors.Is(err, session.ErrTooLarge) {
		fail(w, r, http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request's head has more than %d bytes", session.MaxHead))
		return
	}
	p.log().Error("httpcompat: no session for a request", "method", r.Method, "uri", r.RequestURI, "err", err)
	fail(w, r, http.StatusBadGateway, "no worker could be asked")
}

func (p *Proxy) log() *slog.Logger {
	if p.Logger != nil {
		return p.Logger
	}
	return slog.Default()
}

// fail answers with a plain text that names the request, if it has a name.
func fail(w http.ResponseWriter, r *http.Request, code int, why string) {
	text := fmt.Sprintf("%d %s: %s", code, http.StatusText(code), why)
	if id := r.Header.Get("X-Request-Id"); id != "" {
		text += " (request " + id + ")"
	}
	http.Error(w, text, code)
}
