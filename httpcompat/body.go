package httpcompat

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A body is a request's body, read from the session as it arrives. The first
// Read of a request that waits for 100-continue is what lets the client send.
//
// The handler may keep it beyond its return, even in a Read; the session may
// not be touched then, so all use of it is under mu.
type body struct {
	over      atomic.Bool // the handler has returned: an end that comes now is not the body's
	continues atomic.Bool // the client waits for 100-continue, and the answer's head has not left

	mu     sync.Mutex
	s      *session.Session
	req    *http.Request
	plain  []byte // the whole body, borrowed from the session; only if whole
	whole  bool
	left   int64 // bytes of the declared length still to come; -1 if unknown
	err    error // what every further Read returns
	closed bool
	late   bool // the last Read ended by its deadline
}

var past = time.Unix(1, 0)

// Read reads what has arrived, waiting for it. A body that ends before its
// declared length, or because client or channel have gone, fails with
// io.ErrUnexpectedEOF; a closed one, or one whose handler has returned, with
// http.ErrBodyReadAfterClose.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	case b.whole:
		n = copy(p, b.plain)
		if b.plain = b.plain[n:]; len(b.plain) == 0 {
			b.err = io.EOF
		}
		return n, b.err
	}
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.continues.CompareAndSwap(true, false) {
		_ = b.s.SendInfo(continued) // if it fails, so does the read
	}
	n, err = b.s.Read(p)
	if b.left >= 0 {
		if b.left -= int64(n); b.left == 0 {
			b.err = io.EOF
			return n, b.err
		}
	}
	switch {
	case err == nil || err == os.ErrDeadlineExceeded:
		b.late = err != nil
		return n, err
	case b.over.Load():
		b.err = http.ErrBodyReadAfterClose
	case err == io.EOF:
		b.err = b.end()
	default:
		b.err = bodyCause(err)
	}
	return n, b.err
}

// continued is the Info in front of the credit that a first read gives: the front
// has one goroutine for what it says and another that waits for the body, and
// only the first of them can keep a 100 behind the 1xx heads before it.
//
// array(2): code int 100, headers array(0)
var continued = []byte{0x92, 100, 0x90}

// bodyPrefix begins the message by which a front says what was wrong with a
// request's body.
const bodyPrefix = "request body: "

// BodyError tells the handler's side, by Session.Abort, what reading the body
// came to.
func BodyError(s *session.Session, err error) *session.Error {
	return &session.Error{ID: s.ID(), Category: heddle.CategoryMisc, Code: 2, Msg: bodyPrefix + err.Error()}
}

// bodyCause is BodyError's reverse: an error that reads as the front's did, and
// can be told apart as far as another process can be believed about it. Any
// other end of the session is an unexpected one of the body.
func bodyCause(err error) error {
	var e *session.Error
	if !errors.As(err, &e) || !e.Remote || e.Category != heddle.CategoryMisc || e.Code != 2 {
		return io.ErrUnexpectedEOF
	}
	text, ok := strings.CutPrefix(e.Msg, bodyPrefix)
	switch {
	case !ok || text == io.ErrUnexpectedEOF.Error():
		return io.ErrUnexpectedEOF
	case strings.HasSuffix(text, os.ErrDeadlineExceeded.Error()):
		return &readError{text, os.ErrDeadlineExceeded}
	case strings.HasSuffix(text, syscall.ECONNRESET.Error()):
		return &readError{text, syscall.ECONNRESET}
	}
	return errors.New(text)
}

// A readError is what the front got when it read the body.
type readError struct {
	text string
	is   error
}

func (e *readError) Error() string { return e.text }
func (e *readError) Unwrap() error { return e.is }

// end takes what follows the last chunk: trailers, then the choke.
func (b *body) end() error {
	for {
		m, err := b.s.Recv()
		if err == io.EOF && b.left <= 0 {
			return io.EOF
		}
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		m.Drop() // nobody could ask for it
		if m.Kind == session.Trailers {
			if err := b.trailers(m.Data); err != nil {
				return err
			}
		}
	}
}

// trailers enters what came after the body into the request.
func (b *body) trailers(args []byte) error {
	var t heddle.Trailers
	if err := codec.DecodeArgs(&t, args, 1); err != nil {
		return errHead
	}
	a := newArena(args)
	if b.req.Trailer == nil {
		b.req.Trailer = make(http.Header, len(t.Headers))
	}
	for _, f := range t.Headers {
		name, ok := canonical(a.cut(f.Name))
		value := a.cut(f.Value)
		if !ok || !validValue(value) {
			return errHead
		}
		b.req.Trailer[name] = append(b.req.Trailer[name], value)
	}
	return nil
}

// spoils says whether a head that leaves now has to announce that the client's
// connection will be closed, since too much of the body is left on it. A
// handler that reads while it writes is trusted to come to the end.
func (b *body) spoils(fullDuplex bool) bool {
	if !b.mu.TryLock() {
		return false // somebody reads
	}
	defer b.mu.Unlock()
	switch {
	case b.whole || b.err == io.EOF:
		return false
	case expectsContinue(b.req):
		return true
	}
	cut := b.err == io.ErrUnexpectedEOF && b.left > 0 // the client ended: there will be no other request
	return !fullDuplex && (b.err != nil && !cut || b.late || b.left >= lingerBytes)
}

// Close makes further reads fail; what still arrives is dropped when the
// handler has returned.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return nil
}

// release ends the body because its handler has returned. A goroutine that the
// handler left behind in Read is woken first.
func (b *body) release() {
	if !b.mu.TryLock() {
		_ = b.s.SetReadDeadline(past)
		b.mu.Lock()
	}
	b.closed, b.plain = true, nil
	b.mu.Unlock()
}
