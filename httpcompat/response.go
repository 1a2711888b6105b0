package httpcompat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// errDone reports a write to a response whose handler has returned.
var errDone = errors.New("httpcompat: write after the handler has returned")

// prefixRoom is what the head of a response's encoded head may take, at most:
// array(2), a status of three bytes, and an array32. It is put in front of the
// fields when their number is known.
const prefixRoom = 9

// A response is the http.ResponseWriter of a session.
//
// The first bytes of the body are held back, up to bufferSize, so that a small
// answer leaves as one batch of head, body and choke with its length declared.
// The header is encoded when WriteHeader is called, which is why changes after
// it have no effect and why no copy of the map is needed.
type response struct {
	h   *handler
	s   *session.Session
	req *http.Request
	sc  *scratch // nil once the handler has returned

	header   http.Header
	status   int
	length   int64 // as declared by Content-Length; -1 if it was not
	written  int64 // bytes that the handler wrote, sent or held back
	buffered int   // bytes held back in sc.body
	fields   int   // pairs encoded in sc.head so far
	made     int64 // which of them are ours and not the handler's
	err      error // sending failed: nothing more is sent, and the end is an abort

	declared []string // trailers that the Trailer header announced

	body  *body     // the request's
	local string    // the address that the request arrived at
	conn  *hijacked // the client's connection, once the handler has taken it over

	wroteHeader bool
	headSent    bool
	over        bool // more than length was written, and refused
	heddle      bool // the peer speaks the extensions
	v0          bool // each chunk of the body is packed once more
	fullDuplex  bool // the handler said that it reads while it writes
	noLength    bool // none is made up
	hasType     bool // Content-Type was set, if only to nothing
	hasCoding   bool // Content-Encoding
	hasTransfer bool // Transfer-Encoding
	hasDate     bool
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
	_ io.StringWriter     = (*response)(nil)
	_ http.Hijacker       = (*response)(nil)
)

// Header is the map that WriteHeader sends, and trailers are taken from.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader sets the status. 1xx ones are sent at once and may be followed
// by others.
func (w *response) WriteHeader(code int) {
	if w.conn != nil {
		w.h.logf("httpcompat: WriteHeader(%d) on a hijacked connection from %s", code, caller())
		return
	}
	if w.wroteHeader || w.sc == nil {
		w.h.logf("httpcompat: superfluous WriteHeader(%d) from %s", code, caller())
		return
	}
	if code < 100 || code > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(code))
	}
	if code < 200 && code != http.StatusSwitchingProtocols {
		w.sendInfo(code)
		return
	}
	w.wroteHeader = true
	w.status = code
	if _, ok := w.header["Content-Length"]; ok {
		w.noLength = true
	}
	if cl := w.header.Get("Content-Length"); cl != "" {
		n, err := strconv.ParseInt(cl, 10, 64)
		if err == nil && n >= 0 {
			w.length = n
		} else {
			w.h.logf("httpcompat: invalid Content-Length %q from %s", cl, caller())
			w.header.Del("Content-Length")
		}
	}
	w.encode()
}

// Write holds p back or sends it. http.ErrBodyNotAllowed and
// http.ErrContentLength say that the response has no room for it.
func (w *response) Write(p []byte) (int, error) {
	if err := w.begin(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	n := copy(w.sc.body[w.buffered:], p)
	w.buffered += n
	if n == len(p) {
		return n, nil
	}
	if err := w.flush(); err != nil {
		return n, err
	}
	if rest := p[n:]; len(rest) < bufferSize {
		w.buffered = copy(w.sc.body[:], rest)
	} else if err := w.send(rest); err != nil {
		return n, err
	}
	return len(p), nil
}

// WriteString is Write without a copy.
func (w *response) WriteString(s string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// ReadFrom copies src to the client, a chunk for each of its reads once it is
// longer than what is held back.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	if w.conn != nil {
		return 0, http.ErrHijacked
	}
	if w.sc == nil {
		return 0, errDone
	}
	for !w.headSent || w.req.Method == "HEAD" {
		if w.buffered == bufferSize {
			if err := w.begin(0); err != nil {
				return n, err
			}
			if err := w.flush(); err != nil {
				return n, err
			}
			continue
		}
		k, rerr := src.Read(w.sc.body[w.buffered:])
		if k > 0 {
			n += int64(k)
			if err := w.begin(k); err != nil {
				return n - int64(k), err
			}
			w.buffered += k
		}
		if rerr != nil {
			return n, eof(rerr)
		}
	}
	p := getPiece()
	defer putPiece(p)
	for {
		k, rerr := src.Read(p[:])
		if k > 0 {
			if err := w.begin(k); err != nil {
				return n, err
			}
			if err := w.flush(); err != nil {
				return n, err
			}
			if err := w.send(p[:k]); err != nil {
				return n, err
			}
			n += int64(k)
		}
		if rerr != nil {
			return n, eof(rerr)
		}
	}
}

func eof(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// begin says whether n more bytes may be written, and counts them.
func (w *response) begin(n int) error {
	if w.conn != nil {
		return http.ErrHijacked
	}
	if w.sc == nil {
		return errDone
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	if w.over || w.length >= 0 && w.written+int64(n) > w.length {
		w.over = true
		return http.ErrContentLength
	}
	w.written += int64(n)
	return w.err
}

// flush sends the head, if it is still to be sent, and what is held back.
func (w *response) flush() error { return w.flushAll(false) }

// flushAll is flush; end says that nothing of the body follows.
func (w *response) flushAll(end bool) error {
	if w.err != nil {
		return w.err
	}
	held := w.sc.body[:w.buffered]
	w.buffered = 0
	if !w.headSent {
		if w.err = w.s.WriteChunk(w.head(held, end)); w.err != nil {
			return w.err
		}
		if w.showsHead() {
			_, w.err = w.s.Write(held)
			return w.err
		}
	}
	return w.send(held)
}

// send sends a piece of the body.
func (w *response) send(p []byte) error {
	if len(p) == 0 || w.req.Method == "HEAD" || w.err != nil {
		return w.err
	}
	if !w.v0 {
		_, w.err = w.s.Write(p)
		return w.err
	}
	for len(p) > 0 && w.err == nil {
		k := min(len(p), session.MaxChunk)
		w.err = w.s.WriteChunk(codec.AppendRaw(make([]byte, 0, k+5), p[:k]))
		p = p[k:]
	}
	return w.err
}

// Flush sends all that was written, at once.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	if err := w.begin(0); err != nil {
		return err
	}
	return w.flush()
}

// SetReadDeadline is for http.ResponseController: reads of the body fail with
// os.ErrDeadlineExceeded from t on.
func (w *response) SetReadDeadline(t time.Time) error { return w.s.SetReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController: writes that wait for the
// client fail with os.ErrDeadlineExceeded from t on, and break the response.
func (w *response) SetWriteDeadline(t time.Time) error { return w.s.SetWriteDeadline(t) }

// EnableFullDuplex is for http.ResponseController. A session always is; with
// this the client's connection is kept whatever is left of the body.
func (w *response) EnableFullDuplex() error {
	w.fullDuplex = true
	return nil
}

// CloseNotify sends once the client has gone.
//
// Deprecated: it is here for old handlers; the request's context tells.
func (w *response) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.req.Context(), func() { gone <- true })
	return gone
}

// finish ends the response after the handler's return: what is held back, its
// length if it was not declared, the trailers, and the choke.
func (w *response) finish() {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil {
		w.err = w.sendEnd()
	}
	if w.err != nil {
		w.s.Abort(&session.Error{ID: w.s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeException, Msg: "response cut short: " + w.err.Error()})
	}
}

// sendEnd sends what finish ends with. An error is the reason to end abruptly.
func (w *response) sendEnd() error {
	if w.length >= 0 && (w.written != w.length || w.over && w.req.ProtoMajor == 1) && w.req.Method != "HEAD" && bodyAllowed(w.status) {
		if err := w.flush(); err != nil {
			return err
		}
		return http.ErrContentLength
	}
	if w.headSent || w.noLength || w.hasTransfer || w.req.ProtoMajor >= 2 { // else it has a length, and no trailers
		if t := w.finalTrailers(); t != nil {
			if err := w.flushAll(w.req.ProtoMajor >= 2); err != nil {
				return err
			}
			if err := w.s.SendTrailers(t); err != nil && err != session.ErrUnsupported {
				return err
			}
			return w.s.Close()
		}
	}
	held := w.sc.body[:w.buffered]
	w.buffered = 0
	if w.headSent {
		if len(held) == 0 || w.req.Method == "HEAD" {
			return w.s.Close()
		}
		return w.s.Finish(w.packed(held))
	}
	head := w.head(held, true)
	if len(held) == 0 || w.req.Method == "HEAD" && !w.showsHead() {
		return w.s.Finish(head)
	}
	return w.s.Finish(head, w.packed(held))
}

// packed is p as it travels: in dialect v0 msgpack once more.
func (w *response) packed(p []byte) []byte {
	if !w.v0 {
		return p
	}
	return codec.AppendRaw(make([]byte, 0, len(p)+5), p)
}

// bodyAllowed says whether a response of this status has a body, RFC 9110 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// caller is the file and line outside of this package and of net/http that
// called the method of a response.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, "httpcompat.(*response)") && !strings.Contains(f.Function, "httpcompat.streamResponse.") && !strings.HasPrefix(f.Function, "net/http.") {
			return f.Function + " (" + f.File + ":" + strconv.Itoa(f.Line) + ")"
		}
		if !more {
			return "unknown"
		}
	}
}
