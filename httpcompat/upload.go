package httpcompat

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// Bounds on what is read of a body that nobody wants any more, so that the
// client's connection can be used again. The bytes are net/http's.
const (
	lingerBytes = 256 << 10
	lingerTime  = 500 * time.Millisecond
)

// leastPiece is the room that a read of the body is given at least.
const leastPiece = 4 << 10

// An upload copies a request's body to the session, on a goroutine of its own.
// What it read first it keeps, up to a piece, so that another session can be
// given it should this one come to nothing.
type upload struct {
	a     *asking
	done  chan struct{} // closed when the goroutine has ended
	asked chan struct{} // closed when a client that waits for 100-continue was told, or will not be
	clean bool          // set before done is closed: nothing of the body is left to be taken for a request

	mu     sync.Mutex
	s      *session.Session
	piece  *[session.MaxChunk]byte
	read   int64  // bytes of the body that were read
	taken  int    // bytes of the body in piece, if all that was read is still there
	lost   bool   // more was read than is in piece
	whole  bool   // the body's end was read
	halted bool   // the rest is the client's connection's, not the body's
	ended  bool   // the goroutine will write no more
	rest   []byte // of piece: what was read and could not be written when it was halted
}

// startUpload begins to copy the body, on a goroutine that ends at the body's
// end, with the session, or when stopUpload makes reads fail.
func (a *asking) startUpload() {
	// Without this the server reads the rest of the body before it sends the
	// answer's head, and would wait for the goroutine to do so.
	_ = http.NewResponseController(a.w).EnableFullDuplex()
	a.up = &upload{a: a, s: a.s, piece: getPiece(), done: make(chan struct{}), asked: make(chan struct{})}
	if !a.expect {
		a.letRead()
	}
	a.up.start()
}

// letRead lets the body be read. The server's first read of one whose client
// waits for 100-continue writes that by itself, unless it was written or the
// head was: so nobody else writes at that moment.
func (a *asking) letRead() {
	if !a.asked && a.up != nil {
		a.asked = true
		close(a.up.asked)
	}
}

func (u *upload) start() {
	go func() { // ends with copyBody
		defer close(u.done)
		u.clean = u.copyBody()
	}()
}

// copyBody copies the body and says whether nothing of it is left that could
// be taken for the next request. The server does not look after that: once it
// was told to leave the body alone, it forgives any error in what follows.
func (u *upload) copyBody() bool {
	// The first read of the body tells a client that waits for 100-continue to
	// go on. That is the handler's decision: its first read gives credit.
	for {
		s := u.session()
		if s.WaitCredit() == nil {
			<-u.asked // by the Info or head before that credit, or by the session's end
			if s.WaitCredit() == nil {
				break
			}
		}
		if u.leave(s, nil) {
			// Reading now would ask for a body that nobody wants; the server knows
			// that it was not asked for, and closes the connection.
			return !u.again(s) && (u.a.expect || u.drainBody())
		}
	}
	for {
		p := u.room()
		n, err := u.a.r.Body.Read(p)
		s := u.took(n, err)
		if n > 0 {
			if k, werr := s.Write(p[:n]); werr != nil && u.leave(s, p[k:n]) {
				return err == io.EOF || !u.again(s) && u.drainBody()
			}
		}
		switch {
		case err == io.EOF:
			u.finish()
			return true
		case err != nil:
			if u.leave(s, nil) && !u.isHalted() {
				s.Abort(BodyError(s, err))
			}
			return err == io.ErrUnexpectedEOF && u.a.r.ContentLength > 0 // the client's end: nothing follows
		}
	}
}

// room is where the next bytes of the body go: behind the first ones while
// there is room.
func (u *upload) room() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.lost && session.MaxChunk-u.taken < leastPiece {
		u.lost = true
	}
	if u.lost {
		return u.piece[:]
	}
	return u.piece[u.taken:]
}

// took counts what was read, and returns whom it is for.
func (u *upload) took(n int, err error) *session.Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.read += int64(n)
	if !u.lost {
		u.taken += n
	}
	u.whole = err == io.EOF
	return u.s
}

func (u *upload) session() *session.Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.s
}

// leave says that nothing more can be written to s, with rest unwritten. It
// reports false if another session has taken its place meanwhile, which then
// has all that was read.
func (u *upload) leave(s *session.Session, rest []byte) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.s != s {
		return false
	}
	u.ended, u.rest = true, rest
	return true
}

// again says that the rest of the body is still wanted: by another session, or
// as the client's connection. A channel refuses to be written to before its
// sessions are told of its end, and only then is it known what they had sent.
func (u *upload) again(s *session.Session) bool {
	if u.isHalted() {
		return true
	}
	<-s.Context().Done() // in time: a session that cannot be written to ends
	return s.Untouched() || u.isHalted()
}

func (u *upload) isHalted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.halted
}

// finish ends the session's direction behind the whole body.
func (u *upload) finish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	u.closeLocked()
}

// closeLocked sends the trailers and the choke. A session that has ended needs
// none.
func (u *upload) closeLocked() {
	if t := u.a.r.Trailer; len(t) > 0 && u.s.Mux().Heddle() {
		_ = u.s.SendTrailers(appendFields(codec.AppendArray([]byte{0x91}, countFields(t)), t))
	}
	_ = u.s.Close()
	u.a.awaitHead(u.s)
}

// replayable says whether another session can be given the whole body.
func (u *upload) replayable() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.lost
}

// replay gives s, whose window is whole, what was read so far and all that
// follows.
func (u *upload) replay(s *session.Session) {
	u.mu.Lock()
	u.s = s
	lost, ended := u.lost, u.ended
	switch {
	case lost: // more has come since replayable was asked
		s.Abort(errLostBody)
	case u.taken > 0:
		_, _ = s.Write(u.piece[:u.taken]) // its error is the session's, and is told to its reader
	}
	u.mu.Unlock()
	if lost || !ended {
		return
	}
	<-u.done // at once: the goroutine was on its way out
	if u.whole {
		u.closeLocked()
		return
	}
	u.ended, u.rest, u.done = false, nil, make(chan struct{})
	u.start()
}

var errLostBody = errors.New("httpcompat: part of the body is lost")

// halt ends the copying and leaves the rest of the body where it is, in the
// client's connection. It returns what was read and not written.
func (u *upload) halt() []byte {
	rc := http.NewResponseController(u.a.w)
	u.mu.Lock()
	u.halted = true
	s := u.s
	u.mu.Unlock()
	u.a.letRead()
	select {
	case <-u.done:
	default:
		_ = s.SetWriteDeadline(past)
		if rc.SetReadDeadline(past) != nil {
			_ = u.a.r.Body.Close()
		}
		<-u.done
		_ = s.SetWriteDeadline(time.Time{})
		_ = rc.SetReadDeadline(time.Time{})
	}
	rest := append([]byte(nil), u.rest...)
	u.free()
	return rest
}

// free gives the piece back once the goroutine has ended.
func (u *upload) free() {
	putPiece(u.piece)
	u.piece = nil
}

// drainBody reads the rest of a body that the handler did not want, and says
// whether it was properly ended.
func (u *upload) drainBody() bool {
	u.mu.Lock()
	u.lost = true // what is read now is kept nowhere
	u.mu.Unlock()
	if u.a.r.ContentLength-u.read >= lingerBytes {
		return false
	}
	for left := lingerBytes; left > 0; {
		n, err := u.a.r.Body.Read(u.piece[:min(left, len(u.piece))])
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
	a.letRead()
	select {
	case <-a.up.done:
	default:
		a.linger()
	}
	if !a.up.clean {
		closeAfter(a.w)
	}
	a.up.free()
	a.up = nil
}

// linger gives a client that is still sending a moment to get to its end, so
// that its connection may be used again.
func (a *asking) linger() {
	if !a.held { // else its length is not known to the server before the end
		_ = a.flushHead()
	}
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
