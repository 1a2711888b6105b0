package httpcompat

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// errNoHead reports a session that ended in order without an answer.
var errNoHead = errors.New("httpcompat: the worker ended without an answer")

// errClient is wrapped by an error in writing to the client.
var errClient = errors.New("httpcompat: client")

// An asking is one request of a Proxy on its way.
type asking struct {
	p      *Proxy
	w      http.ResponseWriter
	r      *http.Request
	s      *session.Session
	sc     *scratch
	heddle bool // the peer speaks the extensions, and so net/http on its side
	v0     bool // each chunk of the body is packed once more
	expect bool // the client waits for 100-continue

	headSent bool
	noLength bool // the worker declared none, on purpose
	flushed  bool
	declared http.Header // trailers that the answer announced
	up       *upload     // nil without a body
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
		if err != nil {
			return err
		}
		for _, f := range m.Files {
			_ = f.Close() // an answer brings none
		}
		switch {
		case m.Kind == session.Info:
			err = a.info(m.Data)
		case m.Kind == session.Trailers:
			err = a.trailers(m.Data)
		case m.Kind != session.Chunk:
			continue
		case !a.headSent:
			err = a.head(m.Data)
		default:
			err = a.write(m.Data)
		}
		if err != nil {
			return err
		}
		if a.headSent && !a.s.Buffered() {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
}

// head writes the answer's head.
func (a *asking) head(data []byte) error {
	h := &a.sc.resp
	if err := codec.DecodeResponseHead(h, data); err != nil {
		return undecodable(err)
	}
	if h.Code < 200 || h.Code > 999 {
		return errHead // 101 comes with upgrades, other 1xx are no final heads
	}
	header := a.w.Header()
	if err := a.fields(header, h.Headers, data); err != nil {
		clear(header)
		return err
	}
	if a.heddle {
		// Worker and handler have decided about these; the server this side
		// stands on shall not add its own.
		for _, name := range [...]string{"Content-Type", "Date"} {
			if _, ok := header[name]; !ok {
				header[name] = nil
			}
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
	a.noLength = a.heddle && header["Content-Length"] == nil && a.r.Method != "HEAD" && bodyAllowed(int(h.Code))
	a.w.WriteHeader(int(h.Code))
	return nil
}

// fields enters headers, decoded from data, into header, but for those that
// concern one connection only. Of these a wish to close it is kept.
func (a *asking) fields(header http.Header, headers []heddle.Header, data []byte) error {
	ar := newArena(data)
	values := make([]string, len(headers))
	var connection []string
	for i := range headers {
		name, ok := canonical(ar.cut(headers[i].Name))
		value := ar.cut(headers[i].Value)
		if !ok || !validValue(value) {
			return errHead
		}
		switch name {
		case "Connection":
			connection = append(connection, value)
			continue
		case "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Upgrade":
			continue
		}
		if vv, ok := header[name]; ok {
			header[name] = append(vv, value)
			continue
		}
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	for _, v := range connection {
		for name := range strings.SplitSeq(v, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	if a.heddle && hasToken(connection, "close") {
		header.Set("Connection", "close")
	}
	return nil
}

// info writes a 1xx head: its fields are the client's alone, not the final
// head's.
func (a *asking) info(args []byte) error {
	var i heddle.Info
	if err := codec.DecodeArgs(&i, args, 2); err != nil {
		return undecodable(err)
	}
	if i.Code < 100 || i.Code > 199 || i.Code == http.StatusSwitchingProtocols {
		return errHead
	}
	if a.headSent {
		return nil
	}
	header := a.w.Header()
	if err := a.fields(header, i.Headers, args); err != nil {
		return err
	}
	a.w.WriteHeader(int(i.Code))
	clear(header)
	return nil
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
	if undeclared {
		// A server that has not sent the head yet would declare a length.
		return a.flush()
	}
	return nil
}

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
		return nil
	}
	_, err := a.w.Write(p)
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
	if errors.Is(err, errClient) {
		panic(http.ErrAbortHandler) // nobody is there to be told
	}
	log := a.p.log()
	var e *session.Error
	if errors.As(err, &e) && e.Remote && a.heddle && e.Category == errAborted.Category && e.Code == errAborted.Code {
		_ = a.flushHead()
		panic(http.ErrAbortHandler) // the worker has logged why
	}
	log.Error("httpcompat: answer broke off", "method", a.r.Method, "uri", a.r.RequestURI, "session", a.s.ID(), "head", a.headSent, "err", err)
	if a.headSent || a.r.Context().Err() != nil {
		_ = a.flushHead()
		panic(http.ErrAbortHandler)
	}
	clear(a.w.Header())
	fail(a.w, a.r, http.StatusBadGateway, "the worker gave no answer")
}

// flushHead shows the client what has come of an answer that then broke off.
func (a *asking) flushHead() error {
	if !a.headSent {
		return nil
	}
	return a.flush()
}

// Bounds on what is read of a body that nobody wants any more, so that the
// client's connection can be used again. The bytes are net/http's.
const (
	lingerBytes = 256 << 10
	lingerTime  = 500 * time.Millisecond
)

// An upload copies a request's body to the session.
type upload struct {
	done chan struct{} // closed when the goroutine has ended
	read bool          // set before done is closed: nothing of it is left to be taken for a request
}

// startUpload begins to copy the body, on a goroutine that ends at the body's
// end, with the session, or when stopUpload makes reads fail.
func (a *asking) startUpload() {
	// Without this the server reads the rest of the body before it sends the
	// answer's head, and would wait for the goroutine to do so.
	_ = http.NewResponseController(a.w).EnableFullDuplex()
	a.up = &upload{done: make(chan struct{})}
	go func() {
		defer close(a.up.done)
		a.up.read = a.copyBody()
	}()
}

// copyBody copies the body and says whether nothing of it is left that could
// be taken for the next request. The server does not look after that: once it
// was told to leave the body alone, it forgives any error in what follows.
func (a *asking) copyBody() bool {
	// The first read of the body tells a client that waits for 100-continue to
	// go on. That is the handler's decision: its first read gives credit.
	p := getPiece()
	defer putPiece(p)
	if a.s.WaitCredit() != nil {
		// Reading now would ask for a body that nobody wants; the server knows
		// that it was not asked for, and closes the connection.
		return a.expect || a.drainBody(p[:])
	}
	for {
		n, err := a.r.Body.Read(p[:])
		if n > 0 {
			if _, werr := a.s.Write(p[:n]); werr != nil {
				return err == io.EOF || a.drainBody(p[:])
			}
		}
		switch {
		case err == io.EOF:
			if len(a.r.Trailer) > 0 && a.heddle {
				t := appendFields(codec.AppendArray([]byte{0x91}, countFields(a.r.Trailer)), a.r.Trailer)
				_ = a.s.SendTrailers(t) // a session that has ended needs none
			}
			_ = a.s.Close()
			return true
		case err != nil:
			a.s.Abort(&session.Error{ID: a.s.ID(), Category: heddle.CategoryMisc, Code: 2, Msg: "request body: " + err.Error()})
			return false
		}
	}
}

// drainBody reads the rest of a body that the handler did not want, and says
// whether it was properly ended.
func (a *asking) drainBody(p []byte) bool {
	if a.r.ContentLength > lingerBytes {
		return false
	}
	for left := lingerBytes; left > 0; {
		n, err := a.r.Body.Read(p[:min(left, len(p))])
		if left -= n; err != nil {
			return err == io.EOF
		}
	}
	return false
}

// stopUpload returns when the body will not be read any more. The session has
// ended, so the goroutine is at its end, or it waits for the client.
func (a *asking) stopUpload() {
	if a.up == nil {
		return
	}
	select {
	case <-a.up.done:
	default:
		a.linger()
	}
	if !a.up.read {
		closeAfter(a.w)
	}
}

// linger gives a client that is still sending a moment to get to its end, so
// that its connection may be used again.
func (a *asking) linger() {
	_ = a.flushHead()
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-a.up.done:
		return
	case <-t.C:
	}
	if http.NewResponseController(a.w).SetReadDeadline(past) != nil {
		_ = a.r.Body.Close() // not a server's: closing ends a read
	}
	<-a.up.done
}

// closeAfter has the server close the client's connection after the answer:
// on it are bytes of a body, and what follows must not be taken for a request.
// A body over its limit is what net/http lets a handler say that with.
// Only the server's own writer listens, not one that wraps it.
func closeAfter(w http.ResponseWriter) {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
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
