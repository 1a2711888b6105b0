package httpcompat

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// errNoHead reports a session that ended in order without an answer.
var errNoHead = errors.New("httpcompat: the worker ended without an answer")

// errLate reports an answer whose head has taken longer than HeadTimeout.
var errLate = errors.New("httpcompat: the worker took too long to answer")

// errSwitched reports that the session is the client's connection now.
var errSwitched = errors.New("httpcompat: switched")

// errClient is wrapped by an error in writing to the client.
var errClient = errors.New("httpcompat: client")

// An asking is one request of a Proxy on its way.
type asking struct {
	p       *Proxy
	w       http.ResponseWriter
	r       *http.Request
	s       *session.Session
	sc      *scratch
	heddle  bool // the peer speaks the extensions, and so net/http on its side
	v0      bool // each chunk of the body is packed once more
	lingers bool // an empty chunk ends the body, and the session goes on without it
	expect  bool // the client waits for 100-continue
	asked   bool // it was told, or will not be

	stop func() bool // ends the watch over the client's context

	informed bool // the client was sent a 1xx head
	tunneled bool // the client's connection is the handler's
	headSent bool
	noLength bool // the worker declared none, on purpose
	unframed bool // the answer ends where its connection does
	flushed  bool
	made     int64       // fields of the head that the server makes, not we
	held     bool        // the server has yet to see what it makes them of
	declared http.Header // trailers that the answer announced
	up       *upload     // nil without a body

	verdict Verdict // of the last session, by a Judge

	clock    sync.Mutex
	answered bool // the head has come: no HeadTimeout any more
}

// ask asks for the answer through s and copies it to the client. Body says
// that the request has one.
func (a *asking) ask(s *session.Session, body bool) error {
	a.s, a.heddle, a.v0 = s, s.Mux().Heddle(), s.Mux().Dialect() == heddle.V0
	// The client may have gone or half-closed: nobody here can tell. The
	// handler's context ends, and what it still says is written until that
	// fails, as net/http alone would have it.
	a.stop = context.AfterFunc(a.r.Context(), func() {
		if a.heddle {
			s.Gone()
		} else {
			s.Cancel(context.Cause(a.r.Context()))
		}
	})
	switch {
	case !body:
		a.awaitHead(s)
	case a.up == nil:
		a.startUpload()
	default:
		a.up.replay(s)
	}
	err := a.copyAnswer()
	a.stop()
	if err != nil {
		s.Cancel(err) // no-op if it was the session that ended
	}
	return err
}

// copyAnswer copies what the worker answers to the client, until its end. The
// error says why there is no whole answer.
//
// The client gets everything at once: whenever no further message is at hand,
// what was written is flushed, and only then is the next waited for. Whatever
// arrives in one batch, as a small answer does, leaves in one.
func (a *asking) copyAnswer() error {
	for {
		m, err := a.s.Recv()
		if err == io.EOF {
			if !a.headSent {
				return errNoHead
			}
			if a.noLength && !a.flushed {
				return a.flush() // or the server would make up a length
			}
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errLate
		}
		if err != nil {
			return err
		}
		m.Drop() // an answer brings none
		switch {
		case m.Kind == session.Info:
			if err = a.info(m.Data); err == errSwitched {
				a.headHasCome()
				return a.tunnel()
			}
		case m.Kind == session.Trailers:
			err = a.trailers(m.Data)
		case m.Kind != session.Chunk:
			continue
		case !a.headSent:
			a.headHasCome()
			err = a.head(m.Data)
		default:
			err = a.write(m.Data)
		}
		if err == errWhole {
			return nil
		}
		if err != nil {
			return err
		}
		if a.headSent && !a.held && !a.s.Buffered() {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
}

// awaitHead begins the time that the answer's head may take: s has the whole
// request. Any goroutine.
func (a *asking) awaitHead(s *session.Session) {
	if a.p.HeadTimeout <= 0 {
		return
	}
	a.clock.Lock()
	defer a.clock.Unlock()
	if !a.answered {
		_ = s.SetReadDeadline(time.Now().Add(a.p.HeadTimeout))
	}
}

// headHasCome ends it.
func (a *asking) headHasCome() {
	if a.p.HeadTimeout <= 0 {
		return
	}
	a.clock.Lock()
	defer a.clock.Unlock()
	a.answered = true
	_ = a.s.SetReadDeadline(time.Time{})
}

// head writes the answer's head.
func (a *asking) head(data []byte) error {
	h := &a.sc.resp
	if err := codec.DecodeResponseHead(h, data); err != nil {
		return undecodable(err)
	}
	if h.Code < 200 && (h.Code != http.StatusSwitchingProtocols || !a.heddle) || h.Code > 999 {
		return errHead // other 1xx are no final heads
	}
	if a.heddle {
		a.made = h.Made
	}
	header := a.w.Header()
	before := maps.Clone(header)
	if err := a.fields(header, h.Headers, data); err != nil {
		restore(header, before)
		return err
	}
	if !a.heddle && !a.setLinger(header) {
		restore(header, before)
		return errHead
	}
	if _, ok := header["Content-Type"]; !ok && !a.heddle {
		header["Content-Type"] = nil // nobody looks at the body for a worker of Cocaine's
	}
	if a.heddle {
		// Worker and handler have decided about these; the server this side
		// stands on shall not add its own.
		if _, ok := header["Content-Type"]; !ok && a.made&heddle.MadeType == 0 {
			header["Content-Type"] = nil
		}
		if _, ok := header["Date"]; !ok && a.made&heddle.MadeDate == 0 {
			header["Date"] = nil
		}
	}
	for _, v := range header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			if a.declared == nil {
				a.declared = make(http.Header)
			}
			a.declared[http.CanonicalHeaderKey(strings.TrimSpace(name))] = nil
		}
	}
	a.headSent = true
	a.held = a.made&(heddle.MadeLength|heddle.MadeType) != 0
	a.noLength = a.heddle && header["Content-Length"] == nil && a.made&heddle.MadeLength == 0 && (a.r.Method != "HEAD" || a.held) && bodyAllowed(int(h.Code))
	a.unframed = a.r.ProtoMajor == 1 && a.r.Method != "HEAD" && bodyAllowed(int(h.Code)) && header["Content-Length"] == nil && a.made&heddle.MadeLength == 0 &&
		(a.r.ProtoMinor == 0 || header.Get("Transfer-Encoding") == "identity")
	a.w.WriteHeader(int(h.Code))
	a.letRead()
	if a.made&heddle.MadeClose != 0 {
		closeAfter(a.w)
	}
	return nil
}

// fields enters headers, decoded from data, into header. A Heddle worker's
// handler talks to the client, and what it says goes there as it is, but for
// what the server makes. Of a plain worker's, those that concern one connection
// only are left out.
func (a *asking) fields(header http.Header, headers []heddle.Header, data []byte) error {
	ar := newArena(data)
	values := make([]string, len(headers))
	for i := range headers {
		sent := ar.cut(headers[i].Name)
		name, ok := canonical(sent)
		value := ar.cut(headers[i].Value)
		if !ok || !validValue(value) {
			return errHead
		}
		if a.heddle {
			if !a.headSent && a.makes(sent, value) {
				continue
			}
			name = sent
		}
		if vv, ok := header[name]; ok {
			header[name] = append(vv, value)
			continue
		}
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	if a.heddle {
		return nil
	}
	dropHops(header)
	return nil
}

// dropHops takes out what concerns one connection only (RFC 9110 7.6.1).
func dropHops(header http.Header) {
	for _, v := range header["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range [...]string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Trailer"} {
		delete(header, name)
	}
}

// lingering is the field by which a plain worker says how its body ends
// (PROTOCOL 4).
const lingering = "X-Cocaine-Http-Proto-Version"

// setLinger takes that field, which is not for clients. False: it says what nobody
// knows.
func (a *asking) setLinger(header http.Header) bool {
	v := header.Get(lingering)
	delete(header, lingering)
	a.lingers = v == "1.1"
	return a.lingers || v == "" || v == "1.0"
}

// errWhole reports that an empty chunk has ended the body.
var errWhole = errors.New("httpcompat: whole")

// makes says whether the server will make a field of the head. It knows the
// length only at the end; who wraps it is told.
func (a *asking) makes(name, value string) bool {
	switch name {
	case "Date":
		return a.made&heddle.MadeDate != 0
	case "Content-Type":
		return a.made&heddle.MadeType != 0
	case "Content-Length":
		if a.made&heddle.MadeLength == 0 {
			return false
		}
		if w, ok := a.w.(interface{ ExpectLength(n int64) }); ok {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				w.ExpectLength(n)
			}
		}
		return true
	}
	return false
}

// info writes a 1xx head: its fields are the client's alone, not the final
// head's.
func (a *asking) info(args []byte) error {
	var i heddle.Info
	if err := codec.DecodeArgs(&i, args, 2); err != nil {
		return undecodable(err)
	}
	if i.Code == 0 && a.heddle {
		return errSwitched
	}
	if i.Code < 100 || i.Code > 199 || i.Code == http.StatusSwitchingProtocols {
		return errHead
	}
	if a.headSent {
		return nil
	}
	tells := i.Code == http.StatusContinue && a.expect && !a.asked
	header := a.w.Header()
	before := maps.Clone(header)
	defer restore(header, before)
	clear(header)
	if err := a.fields(header, i.Headers, args); err != nil {
		return err
	}
	a.informed = true
	if !tells || a.r.ProtoMajor == 1 { // HTTP/2 says it once more when the body is read
		a.w.WriteHeader(int(i.Code))
	}
	if tells {
		a.letRead()
	}
	return nil
}

// restore gives header the contents it had before, which may be others' than ours.
func restore(header, before http.Header) {
	clear(header)
	maps.Copy(header, before)
}

// trailers leaves the trailers where the server finds them after the body.
func (a *asking) trailers(args []byte) error {
	var t heddle.Trailers
	if err := codec.DecodeArgs(&t, args, 1); err != nil {
		return undecodable(err)
	}
	fields := make(http.Header, len(t.Headers))
	if err := a.fields(fields, t.Headers, args); err != nil {
		return err
	}
	header := a.w.Header()
	undeclared := false
	for name, vv := range fields {
		if _, ok := a.declared[name]; ok {
			header[name] = vv
		} else {
			header[http.TrailerPrefix+name] = vv
			undeclared = true
		}
	}
	if undeclared && a.r.ProtoMajor == 1 {
		// A server that has not sent the head yet would declare a length.
		return a.flush()
	}
	return nil
}

// sniffLen is how many bytes http.DetectContentType looks at.
const sniffLen = 512

// write writes a piece of the body.
func (a *asking) write(p []byte) error {
	if a.v0 {
		var packed heddle.Raw
		rest, err := packed.UnmarshalMsg(p)
		if err != nil || len(rest) > 0 {
			return errHead
		}
		p = packed
	}
	if len(p) == 0 {
		if a.lingers {
			return errWhole
		}
		return nil
	}
	sniffed := a.held && a.made&heddle.MadeLength == 0
	a.held = a.made&heddle.MadeLength != 0 // until the end, which is at hand
	_, err := a.w.Write(p)
	if sniffed && len(p) < sniffLen && err == nil {
		return a.flush() // the type is that of these bytes, without those that follow
	}
	if err == http.ErrBodyNotAllowed {
		return nil // plain workers may send one all the same
	}
	if err != nil {
		return errors.Join(errClient, err)
	}
	return nil
}

func (a *asking) flush() error {
	a.flushed = true
	err := http.NewResponseController(a.w).Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errClient, err)
	}
	return nil
}

// broken deals with an answer that is not whole. Before its head a status says
// so; later, or when it was the handler that gave up, the connection breaks.
func (a *asking) broken(err error) {
	if a.tunneled {
		a.p.log().Debug("httpcompat: hijacked connection broke", "method", a.r.Method, "uri", a.r.RequestURI, "session", a.s.ID(), "err", err)
		return // and was reset
	}
	if errors.Is(err, errClient) {
		panic(http.ErrAbortHandler) // nobody is there to be told
	}
	log := a.p.log()
	if a.heddle && Aborted(err) {
		log.Info("httpcompat: the handler gave its answer up", "request", a.r.Header.Get("X-Request-Id"), "method", a.r.Method, "uri", a.r.RequestURI, "head", a.headSent)
		a.breakOff() // the worker has logged why
		return
	}
	log.Error("httpcompat: answer broke off", "request", a.r.Header.Get("X-Request-Id"), "method", a.r.Method, "uri", a.r.RequestURI, "app", AppOf(a.s), "session", a.s.ID(), "head", a.headSent, "err", err)
	if a.headSent {
		a.breakOff()
		return
	}
	if errors.Is(err, errLate) {
		fail(a.w, a.r, http.StatusGatewayTimeout, "the worker took too long to answer")
		return
	}
	if v := a.verdict; v.Code != 0 {
		if v.RetryAfter > 0 {
			a.w.Header().Set("Retry-After", strconv.FormatInt(int64((v.RetryAfter+time.Second-1)/time.Second), 10))
		}
		fail(a.w, a.r, v.Code, v.Why)
		return
	}
	if e := (*session.Error)(nil); !a.heddle && errors.As(err, &e) && e.Remote {
		fail(a.w, a.r, http.StatusInternalServerError, "the worker failed")
		return
	}
	fail(a.w, a.r, http.StatusBadGateway, "the worker gave no answer")
}

// Aborted says whether a session ended because its handler gave its answer up, by
// a panic: its worker has logged that.
func Aborted(err error) bool {
	var e *session.Error
	return errors.As(err, &e) && e.Remote && e.Category == errAborted.Category && e.Code == errAborted.Code
}

// breakOff shows the client what has come of its answer, and that this is not
// all: where the end of the connection would be the answer's, by a reset.
func (a *asking) breakOff() {
	_ = a.flushHead()
	if a.headSent && a.unframed {
		if conn, _, err := http.NewResponseController(a.w).Hijack(); err == nil {
			reset(conn)
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// flushHead shows the client what has come of an answer that then broke off.
func (a *asking) flushHead() error {
	if !a.headSent {
		return nil
	}
	return a.flush()
}

// hasToken says whether a comma-separated field has this element.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
