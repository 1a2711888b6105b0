package session

import (
	"errors"
	"os"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// Write sends p as chunks of at most MaxChunk bytes, waiting for credit and
// for room in the outbox. When it returns, what it took is queued, in order.
// It fails with the error that ended the session, or at the write deadline.
func (s *Session) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k, err := s.writeSome(p[n:], false, true)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// WriteChunk sends p as exactly one chunk, also when it is empty. The first
// chunk of a direction is its head: it needs no credit and may be MaxHead
// bytes long; a later one may not cost more than half the window, since no
// more than that is sure to be granted again.
func (s *Session) WriteChunk(p []byte) error {
	_, err := s.writeSome(p, true, true)
	return err
}

// TryWriteChunk is WriteChunk that does not wait: if the chunk cannot be sent now
// it sends nothing and returns false, and the handler's OnWritable tells when to
// try again. For handlers on the loop.
func (s *Session) TryWriteChunk(p []byte) (bool, error) {
	n, err := s.writeSome(p, true, false)
	return n >= 0 && err == nil, err
}

// TryWrite sends what credit and room allow now, and no more than MaxChunk
// bytes, without waiting. If that is less than all, the handler's OnWritable
// tells when to try again. For handlers on the loop.
func (s *Session) TryWrite(p []byte) (n int, err error) {
	return s.writeSome(p, false, false)
}

// Room is how many bytes TryWrite would take now, called as often as that needs.
// If it is none, the handler's OnWritable tells when to ask again. For handlers
// on the loop.
func (s *Session) Room() int {
	s.mu.Lock()
	if s.writableLocked() != nil || !s.heddle || !s.txHead {
		s.mu.Unlock()
		return HighWater // the end is told, and without credit nobody counts
	}
	room := int(s.credit/(MaxChunk+ChunkCost)) * MaxChunk
	if rest := int(s.credit%(MaxChunk+ChunkCost)) - ChunkCost; rest >= leastWrite {
		room += rest
	}
	full := s.m.link.Queued() >= HighWater
	if full || room == 0 {
		s.wanting = true
	}
	s.mu.Unlock()
	if full {
		s.m.waitRoom(s)
		return 0
	}
	return room
}

// WaitCredit waits until a Write would send something. Between Heddle ends it
// tells, before a byte of the body was read, that the peer wants the body.
func (s *Session) WaitCredit() error {
	_, err := s.writeSome(nil, false, true)
	return err
}

// unsent is the length of a whole chunk that cannot be sent now.
const unsent = -1

// writeSome sends one chunk from the front of p and returns its length. whole
// means all of p or nothing. A nil p that need not be whole waits for the
// moment it could be sent and sends nothing.
func (s *Session) writeSome(p []byte, whole, block bool) (int, error) {
	for {
		s.mu.Lock()
		err := s.writableLocked()
		if err == nil && s.method != nil {
			err = s.writesLocked()
		}
		if err != nil {
			s.mu.Unlock()
			return 0, err
		}
		k, ok, err := s.roomLocked(len(p), whole)
		if err != nil {
			s.mu.Unlock()
			return 0, err
		}
		full := ok && !s.m.claim(k)
		if ok && !full {
			if p == nil && !whole {
				s.m.unclaim(k)
				s.mu.Unlock()
				return 0, nil
			}
			err := s.sendChunkLocked(p[:k:k])
			s.m.unclaim(k)
			s.mu.Unlock()
			return k, err
		}
		if !block {
			s.wanting = true
			s.mu.Unlock()
			if full {
				s.m.waitRoom(s)
			}
			if whole {
				return unsent, nil
			}
			return 0, nil
		}
		ch, deadline := s.writer.armLocked(), s.writer.deadline
		s.mu.Unlock()
		if full {
			s.m.waitRoom(s)
		}
		wait(ch, deadline)
	}
}

// writableLocked is why nothing may be written, or nil.
func (s *Session) writableLocked() error {
	if s.txErr != nil {
		return s.txErr
	}
	if s.tx != dirOpen {
		return ErrEnded
	}
	if s.writer.expired() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// roomLocked is how much of n bytes may be sent as one chunk now, and whether
// anything may.
func (s *Session) roomLocked(n int, whole bool) (k int, ok bool, err error) {
	want := n
	if !whole {
		want = min(n, MaxChunk)
	}
	if !s.txHead || !s.heddle {
		if whole && n > MaxHead && s.heddle {
			return 0, false, ErrTooLarge
		}
		return want, true, nil
	}
	if whole && int64(n)+ChunkCost > s.full/2 {
		return 0, false, ErrTooLarge
	}
	room := s.credit - ChunkCost
	switch {
	case room >= int64(want) && room > 0:
		return want, true, nil
	case !whole && room >= leastWrite:
		return int(room), true, nil
	}
	return 0, false, nil
}

// sendChunkLocked queues one chunk and pays for it.
func (s *Session) sendChunkLocked(p []byte) error {
	if s.txHead && s.heddle {
		s.credit -= int64(len(p)) + ChunkCost
	}
	s.txHead = true
	head := codec.AppendChunkHead(s.scratch[:0], s.m.dialect(), s.id, len(p))
	return s.sendLocked(head, p)
}

// Finish sends each of chunks as one chunk (long ones cut) and ends this
// direction, all in one batch when credit allows.
func (s *Session) Finish(chunks ...[]byte) error {
	if s.method != nil {
		return s.finishCall(chunks)
	}
	s.mu.Lock()
	if err := s.writableLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	if !s.batchLocked(chunks) {
		head := !s.txHead
		s.mu.Unlock()
		for i, p := range chunks {
			var err error
			if head && i == 0 {
				err = s.WriteChunk(p) // a head is never cut
			} else {
				_, err = s.Write(p)
			}
			if err != nil {
				return err
			}
		}
		return s.Close()
	}
	d := s.m.dialect()
	buf := getBuffer()
	for _, p := range chunks {
		if s.txHead && s.heddle {
			s.credit -= int64(len(p)) + ChunkCost
		}
		s.txHead = true
		at := len(buf)
		buf = s.traced(codec.AppendChunk(buf, d, s.id, p), at)
	}
	at := len(buf)
	buf = s.traced(codec.AppendChoke(buf, d, s.id), at)
	_, err := s.m.link.Send(buf, nil)
	putBuffer(buf)
	s.endTxLocked(dirEnded, ErrEnded)
	over := s.overLocked()
	s.mu.Unlock()
	if over {
		s.m.finish(s)
	}
	return err
}

// batchLocked says whether all chunks may be sent at once.
func (s *Session) batchLocked(chunks [][]byte) bool {
	var size, cost int64
	for i, p := range chunks {
		if len(p) > MaxChunk && (s.txHead || i > 0) || len(p) > MaxHead {
			return false
		}
		size += int64(len(p))
		if s.txHead || i > 0 {
			cost += int64(len(p)) + ChunkCost
		}
	}
	return size <= 2*MaxChunk && (!s.heddle || cost <= s.credit) && s.m.link.Queued() < HighWater
}

// SendInfo sends a 1xx head; args is heddle.Info's whole array.
func (s *Session) SendInfo(args []byte) error { return s.sendExtension(heddle.ExtInfo, args) }

// SendTrailers sends the trailers; args is heddle.Trailers' whole array.
func (s *Session) SendTrailers(args []byte) error { return s.sendExtension(heddle.ExtTrailers, args) }

// sendExtension sends a message that is exempt from credit, and waits for room
// in the outbox like any other; on the loop nobody waits.
func (s *Session) sendExtension(id uint64, args []byte) error {
	if !s.heddle {
		return ErrUnsupported
	}
	if len(args) > MaxHead {
		return ErrTooLarge
	}
	for {
		s.mu.Lock()
		if err := s.writableLocked(); err != nil {
			s.mu.Unlock()
			return err
		}
		free := s.handler != nil
		if free || s.m.claim(len(args)) {
			buf := codec.AppendExtension(getBuffer(), s.id, id, args)
			err := s.sendLocked(buf, nil)
			putBuffer(buf)
			s.mu.Unlock()
			if !free {
				s.m.unclaim(len(args))
			}
			return err
		}
		ch, deadline := s.writer.armLocked(), s.writer.deadline
		s.mu.Unlock()
		s.m.waitRoom(s)
		wait(ch, deadline)
	}
}

// SendFiles sends descriptors (1 to 16) that belong to the next chunk. The
// caller keeps its files. Unix channels between Heddle ends only.
func (s *Session) SendFiles(files []*os.File) error {
	if !s.heddle {
		return ErrUnsupported
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	return s.m.link.SendFiles(codec.AppendFiles(s.scratch[:0], s.id, uint64(len(files))), files)
}

// Close ends this direction in order, with a choke. What was written before
// arrives first. A direction that has ended already is left as it is. On a
// call of v1 it is whatever its table has for that: close, or where a value is
// due the void one; if there is nothing, the peer is not told.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.tx != dirOpen {
		s.mu.Unlock()
		return nil
	}
	err := s.sendChokeLocked()
	s.endTxLocked(dirEnded, ErrEnded)
	over := s.overLocked()
	s.mu.Unlock()
	if over {
		s.m.finish(s)
	}
	return err
}

// Abort ends this direction with an error message: an *Error's own category
// and code, else a framework exception with err's text. In dialect v0, which has
// no categories, those of framework, node and overseer become v0's own codes, and
// the choke follows.
func (s *Session) Abort(err error) { s.abort(err, nil) }

// abort is Abort; a cause ends the context too, once nothing can be written.
func (s *Session) abort(err, cause error) {
	category, code, msg := s.words(err)
	s.mu.Lock()
	over := false
	if s.tx == dirOpen {
		s.sendErrorLocked(category, code, msg)
		s.endTxLocked(dirBroken, ErrEnded)
		over = s.overLocked()
	}
	if cause != nil {
		s.ctx.cancel(cause)
	}
	s.mu.Unlock()
	if over {
		s.m.finish(s)
	}
}

// Cancel gives up a session that we opened: nothing more will be read or
// written. The session is kept, as load, until the peer has ended its
// direction too. Toward peers without extensions the direction ends with an
// error message if it is still open.
func (s *Session) Cancel(err error) { s.giveUp(err, ErrCanceled) }

// giveUp cancels a session of ours: the peer is told err, reader and writer
// get cause.
func (s *Session) giveUp(err, cause error) {
	category, code, msg := s.words(err)
	s.mu.Lock()
	if !s.ours || s.canceled != nil || s.rx != dirOpen {
		s.mu.Unlock()
		if s.method != nil && s.ours { // whose own direction may be open still
			s.abort(err, nil)
		}
		return
	}
	s.canceled = cause
	s.ctx.cancel(cause)
	s.reader.wakeLocked()
	if s.heddle {
		buf := codec.AppendCancel(getBuffer(), s.id, category, code, msg)
		// The control lane overtakes data, and must not overtake our invoke.
		if s.m.link.Written() >= s.opened {
			_ = s.m.link.SendControl(buf)
		} else {
			_, _ = s.m.link.Send(buf, nil)
		}
		putBuffer(buf)
	} else if s.tx == dirOpen {
		s.sendErrorLocked(category, code, msg)
	}
	s.txErr = cause
	if s.tx == dirOpen {
		s.endTxLocked(dirBroken, cause)
	}
	h := s.handler
	s.mu.Unlock()
	if cause != ErrCanceled && h != nil {
		h.OnEnd(s, cause)
	}
}

// Untouched says that the channel ended before the kernel had taken the last
// byte of our invoke: the peer can have begun nothing, and whoever asked may
// ask another. Only of a session that has ended so.
func (s *Session) Untouched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ours && s.rx == dirBroken && errors.Is(s.rxErr, ErrLost) && !s.accepted
}

// Gone tells the peer that the asker's side was half-closed: it cancels the
// handler's context and still delivers what the handler answers.
func (s *Session) Gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ours || !s.heddle || s.canceled != nil || s.rx != dirOpen {
		return
	}
	_, _ = s.m.link.Send(codec.AppendGone(s.scratch[:0], s.id), nil)
}

// SetWriteDeadline makes writes fail with os.ErrDeadlineExceeded from t on,
// those that wait too; the zero time means never. Ends may still be sent.
func (s *Session) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	s.writer.deadline = t
	s.writer.wakeLocked()
	s.mu.Unlock()
	return nil
}

// onWindow is the peer's grant. Loop only.
func (s *Session) onWindow(n uint64) error {
	s.mu.Lock()
	if n > maxCredit || s.credit+int64(n) > maxCredit {
		s.mu.Unlock()
		return errCredit
	}
	s.credit += int64(n)
	s.mu.Unlock()
	s.wakeWriter()
	return nil
}

// wakeWriter tells whoever waits to write to try again. Loop only.
func (s *Session) wakeWriter() {
	s.mu.Lock()
	s.writer.wakeLocked()
	owed := s.wanting
	s.wanting = false
	s.mu.Unlock()
	if owed && s.handler != nil {
		s.handler.OnWritable(s)
	}
}

// sendLocked queues a frame of this session on the data lane.
func (s *Session) sendLocked(head, body []byte) error {
	if !s.m.traces {
		_, err := s.m.link.Send(head, body)
		return err
	}
	buf := append(append(getBuffer(), head...), body...)
	buf = s.traced(buf, 0)
	_, err := s.m.link.Send(buf, nil)
	putBuffer(buf)
	return err
}

func (s *Session) sendChokeLocked() error {
	if s.method != nil {
		return s.sendCloseLocked()
	}
	return s.sendLocked(codec.AppendChoke(s.scratch[:0], s.m.dialect(), s.id), nil)
}

// sendErrorLocked queues an error message; v0 wants a choke behind it.
func (s *Session) sendErrorLocked(category, code int64, msg string) {
	d := s.m.dialect()
	if s.method != nil && d == heddle.V1 {
		s.failLocked(category, code, msg)
		return
	}
	buf := codec.AppendError(getBuffer(), d, s.id, category, code, msg)
	_ = s.sendLocked(buf, nil)
	putBuffer(buf)
	if d == heddle.V0 {
		_ = s.sendChokeLocked()
	}
}

// endTxLocked ends our direction; err is what later writes get.
func (s *Session) endTxLocked(d direction, err error) {
	s.tx = d
	if s.txErr == nil {
		s.txErr = err
	}
	s.writer.wakeLocked()
}
