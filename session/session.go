package session

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A Handler receives what arrives on a session, on the loop, instead of the
// blocking methods. Slices are borrowed; nothing may block.
type Handler interface {
	// OnMessage: a chunk, info, trailers or files, what was said on a call; on the side that was
	// asked also Gone, and a Cancel that comes after OnEnd. The bytes of chunks come back as credit by Grant.
	OnMessage(s *Session, m Message)

	// OnWritable: a TryWrite that took less than all may be tried again.
	OnWritable(s *Session)

	// OnEnd: the peer's direction has ended; once, last of what arrives.
	// err is nil after a choke, an *Error after an error message,
	// ErrCanceled after a cancel, and wraps ErrLost when the channel ended.
	OnEnd(s *Session, err error)
}

// A Session is one numbered conversation on a channel. Its blocking methods
// are for one reading and one writing goroutine at a time; ends (Close,
// Abort, Cancel, Gone) and deadlines may come from any.
type Session struct {
	// Immutable after the session was opened.
	m       *Mux
	id      uint64
	event   string
	headers []codec.Header
	label   string  // of our own, for logs
	ours    bool    // we opened it
	heddle  bool    // windows and extensions hold on it
	full    int64   // bytes of credit that either stream begins with
	method  *Method // of a call; else nil
	args    []byte  // that the peer opened the call with
	trace   Trace   // that our frames carry, where frames carry any

	// Loop goroutine only.
	handler  Handler // nil: the blocking methods are used, or it was released
	hears    *Table  // of a call: what the peer may say next
	chunks   bool    // and its writes are chunks
	released bool    // by its handler: to be opened again once it is over
	aside    bool    // not counted; written before it is given to anybody else

	// The reader's.
	readHead bool  // the peer's first chunk was read
	consumed int64 // bytes read and not yet granted again

	mu        sync.Mutex
	rx, tx    direction
	listed    bool  // in the Mux's finished; guarded by the Mux's mu
	roomless  bool  // in the Mux's waiting; likewise
	rxErr     error // why rx is not open: io.EOF after choke
	txErr     error // writes fail with it; tx itself may still be open for its end
	q         queue
	reader    waiter
	writer    waiter
	credit    int64    // bytes that the peer lets us send
	window    int64    // bytes that we still let the peer send
	most      int64    // and when all is read; written by the reader alone
	given     int64    // bytes granted since most has grown
	rxHead    bool     // the peer's first chunk has arrived
	txHead    bool     // our first chunk was sent
	discard   bool     // nobody reads any more: what arrives is dropped
	skipChoke bool     // the peer's next choke ends its body, not its direction
	inBudget  bool     // the budget knows that something is owed
	over      bool     // both directions ended and the mux knows
	wanting   bool     // a TryWrite fell short: OnWritable is owed
	accepted  bool     // lost after the kernel had taken the invoke
	canceled  error    // what the reader gets since we gave the session up; nil: we have not
	owed      int64    // bytes of credit that are the peer's once the reader, or the budget, lets them be granted
	lost      int64    // bytes that were read after the peer's choke, which Reopen owes again
	charged   int64    // bytes counted in the budget
	invoked   int64    // the data lane's offset behind our invoke message
	opened    int64    // and behind all that went with it
	says      *Table   // of a call: what we may say next
	scratch   [64]byte // a frame but for its payload

	ctx sessionContext
}

// ID is the session's number on its channel.
func (s *Session) ID() uint64 { return s.id }

// Event is the name that the session was opened with.
func (s *Session) Event() string { return s.event }

// Headers are those of the invoke message, owned by the session.
func (s *Session) Headers() []codec.Header { return s.headers }

// Label is what whoever opened the session wants it called in logs.
func (s *Session) Label() string { return s.label }

// Mux is the channel's.
func (s *Session) Mux() *Mux { return s.m }

// Context ends when the peer cancels or is gone (a plain one says so by an error
// message), when the channel ends, and when the session has ended; Cause tells which. Its values are those of
// Options.Context, and TraceOf and HeadersOf what the invoke message carried.
func (s *Session) Context() context.Context { return &s.ctx }

// Cause is why Context ended: ErrCanceled, ErrGone, ErrEnded, an *Error, or
// one that wraps ErrLost. Nil while it has not.
func (s *Session) Cause() error {
	s.ctx.mu.Lock()
	defer s.ctx.mu.Unlock()
	return s.ctx.cause
}

// SetHandler makes h the session's handler. Only within Options.Accept.
func (s *Session) SetHandler(h Handler) {
	s.m.owner.Check()
	s.handler = h
}

// Recv returns the next message, waiting for it. After the last one it
// returns io.EOF (choke), an *Error (error message), ErrCanceled, or an error
// that wraps ErrLost; os.ErrDeadlineExceeded at the read deadline.
func (s *Session) Recv() (Message, error) {
	for {
		if k, p, ok := s.q.peek(); ok {
			s.q.skip(len(p))
			s.consume(k, len(p))
			m := Message{Kind: k, Data: p}
			switch k {
			case Files:
				s.mu.Lock()
				m.Data, m.Files = nil, s.q.files[0]
				s.q.files = s.q.files[1:]
				s.mu.Unlock()
			case Said:
				m.ID, m.Data = binary.LittleEndian.Uint64(p), p[saidHead:]
			}
			return m, nil
		}
		if err := s.await(); err != nil {
			return Message{}, err
		}
	}
}

// Read reads the bytes of chunks, like an io.Reader. It returns io.EOF at the
// choke and before a message that is no chunk, which Recv then returns.
func (s *Session) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		k, data, ok := s.q.peek()
		switch {
		case !ok:
			if err := s.await(); err != nil {
				return 0, err
			}
		case k != Chunk:
			return 0, io.EOF
		case len(data) <= len(p):
			n := copy(p, data)
			s.q.skip(n)
			s.consume(k, n)
			if n > 0 {
				return n, nil
			}
		default:
			n := copy(p, data)
			s.q.trim(n)
			if s.readHead {
				s.consumed += int64(n) // the chunk's own cost comes with its end
			}
			return n, nil
		}
	}
}

// await waits until the reader has a message, or says why none will come.
func (s *Session) await() error {
	for {
		s.mu.Lock()
		switch {
		case s.canceled == ErrCanceled: // by our own word: what has come is of no use
			s.mu.Unlock()
			return ErrCanceled
		case s.q.fillLocked():
			s.mu.Unlock()
			return nil
		case s.canceled != nil:
			err := s.canceled
			s.mu.Unlock()
			return err
		case s.rx != dirOpen:
			err := s.rxErr
			s.m.budget.add(-s.charged) // all was read
			s.charged = 0
			s.mu.Unlock()
			s.m.budget.relieve()
			return err
		case s.reader.expired():
			s.mu.Unlock()
			return os.ErrDeadlineExceeded
		}
		// All that came was read, so the peer may have its whole window
		// back; a session that began with none gets its first here.
		var due int64
		if s.readHead && s.consumed+s.owed >= s.most/2 {
			due = s.consumed
			s.consumed = 0
		}
		more := due > 0 || s.owed > 0 && s.readHead && !s.inBudget
		ch, deadline := s.reader.armLocked(), s.reader.deadline
		s.mu.Unlock()
		if more {
			s.grant(due)
		}
		wait(ch, deadline)
	}
}

// consume counts a message as read and grants its cost again once half the
// window is due.
func (s *Session) consume(k Kind, n int) {
	switch {
	case k == Said:
		n -= saidHead
	case k != Chunk:
		return
	case !s.readHead:
		s.readHead = true
		return
	}
	if s.consumed += int64(n) + ChunkCost; s.consumed >= s.most/2 {
		due := s.consumed
		s.consumed = 0
		s.grant(due)
	}
}

// Discard says that nobody will read any more: what is queued is dropped and
// its memory given back, and so is what still arrives. No reader may be in
// Recv or Read, nor hold what they lent. Every session used with the blocking
// methods is read to its end or discarded. If our direction has ended too, the
// context ends here.
func (s *Session) Discard() {
	s.mu.Lock()
	s.discard = true
	s.q.releaseLocked()
	s.m.budget.add(-s.charged)
	s.charged = 0
	done := !s.ours && s.tx != dirOpen
	s.mu.Unlock()
	s.m.budget.relieve()
	if done { // the peer may take its time to end its own direction
		s.ctx.cancel(ErrEnded)
	}
}

// Buffered says whether Recv would return at once: because a message has
// arrived, or because none will come any more. For the reading goroutine.
func (s *Session) Buffered() bool {
	if s.q.off < len(s.q.out) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.q.in) > 0 || s.rx != dirOpen || s.canceled != nil
}

// SetReadDeadline makes Recv and Read fail with os.ErrDeadlineExceeded from t
// on; the zero time means never.
func (s *Session) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.reader.deadline = t
	s.reader.wakeLocked()
	s.mu.Unlock()
	return nil
}

// push takes in a message of the peer's stream. A non-nil error is the
// session's, not the channel's: the peer overran its window or wrote after
// its end. Loop only.
func (s *Session) push(k Kind, id uint64, p []byte, files []*os.File) error {
	s.mu.Lock()
	if _, err := next(s.rx, k); err != nil {
		s.mu.Unlock()
		return err
	}
	if s.canceled != nil { // given up: whatever comes is dropped
		s.mu.Unlock()
		closeFiles(files)
		return nil
	}
	paid := k == Chunk && s.rxHead && s.heddle // by credit, which a handler gives back
	if err := s.chargeLocked(k, len(p)); err != nil {
		s.mu.Unlock()
		return err
	}
	if s.discard {
		s.mu.Unlock()
		closeFiles(files)
		return nil
	}
	if s.handler != nil {
		if paid {
			s.charged += int64(len(p)) + ChunkCost
			s.m.budget.add(int64(len(p)) + ChunkCost)
		}
		s.mu.Unlock()
		s.handler.OnMessage(s, Message{Kind: k, ID: id, Data: p, Files: files})
		return nil
	}
	if k == Files {
		if len(s.q.files) >= maxUnread {
			s.mu.Unlock()
			return errFiles
		}
		s.q.files = append(s.q.files, files)
	}
	if k == Said {
		s.q.pushSaidLocked(id, p)
	} else {
		s.q.pushLocked(k, p)
	}
	n := int64(len(p)) + ChunkCost
	s.charged += n
	s.m.budget.add(n)
	s.reader.wakeLocked()
	s.mu.Unlock()
	return nil
}

// chargeLocked takes the cost of a message from the peer's window.
func (s *Session) chargeLocked(k Kind, n int) error {
	first := k == Chunk && !s.rxHead
	if k == Chunk {
		s.rxHead = true
	}
	if !s.heddle {
		switch size := s.q.sizeLocked() + n; {
		case size > s.m.buffer:
			return errBuffer
		case size > fairShare && s.m.budget.spent():
			return errBudget
		}
		return nil
	}
	if k != Chunk || first {
		// Exempt from credit, so bounded by themselves.
		if n > MaxHead || s.q.sizeLocked()+n > int(s.most)+2*MaxHead {
			return errHead
		}
		return nil
	}
	if s.window -= int64(n) + ChunkCost; s.window < 0 {
		return errOverrun
	}
	return nil
}

// endRx ends the peer's direction. The side that opened the session ends its
// own at once (PROTOCOL 9), which frees the session on both; not so that of a
// call. Loop only.
func (s *Session) endRx(d direction, err error) {
	s.mu.Lock()
	if s.rx != dirOpen || s.passLocked(err) {
		s.mu.Unlock()
		return
	}
	s.rx, s.rxErr = d, err
	s.reader.wakeLocked()
	if s.ours && s.tx == dirOpen && s.method == nil {
		_ = s.sendChokeLocked()
		s.endTxLocked(dirEnded, ErrEnded)
	}
	over, h := s.overLocked(), s.toldLocked()
	s.mu.Unlock()
	if over {
		s.m.forget(s)
	}
	if h != nil {
		if err == io.EOF {
			err = nil
		}
		h.OnEnd(s, err)
	}
}

// toldLocked is the handler that is still to be told of the end; nil for none. It is
// asked for before forget, which may give a released session to somebody else.
func (s *Session) toldLocked() Handler {
	if s.canceled != nil && s.canceled != ErrCanceled {
		return nil // giveUp has told it
	}
	return s.handler
}

// onCancel is the peer's cancel: nothing more is worth sending, though the
// end of our direction is still owed. Loop only.
func (s *Session) onCancel(err error) {
	s.mu.Lock()
	open := s.rx == dirOpen
	if open {
		s.rx, s.rxErr = dirBroken, ErrCanceled
	}
	// Whoever is woken, by the context too, finds writes refused and the cause set.
	s.txErr = ErrCanceled
	s.ctx.cancel(err)
	s.reader.wakeLocked()
	s.writer.wakeLocked()
	over, h := s.overLocked(), s.handler
	s.mu.Unlock()
	if over {
		s.m.forget(s)
	}
	switch {
	case h == nil:
	case open:
		h.OnEnd(s, ErrCanceled)
	default:
		h.OnMessage(s, Message{Kind: Cancel})
	}
}

// lose ends both directions because the channel has ended, and says whether the
// peer cannot have seen the session. Loop only.
func (s *Session) lose(err error) (untouched bool) {
	s.mu.Lock()
	open := s.rx == dirOpen
	if open {
		s.rx, s.rxErr = dirBroken, err
	}
	s.accepted = s.m.link.Written() >= s.invoked
	untouched = s.ours && open && !s.accepted
	if s.txErr == nil {
		s.txErr = err
	}
	s.ctx.cancel(err) // before anybody is woken: the cause must be this one
	s.reader.wakeLocked()
	if s.tx == dirOpen {
		s.endTxLocked(dirBroken, err)
	}
	over, h := s.overLocked(), s.toldLocked()
	s.mu.Unlock()
	if over {
		s.m.forget(s)
	}
	if open && h != nil {
		h.OnEnd(s, err)
	}
	return untouched
}

// overLocked says, once, that both directions have ended.
func (s *Session) overLocked() bool {
	if s.over || s.rx == dirOpen || s.tx == dirOpen {
		return false
	}
	s.over = true
	return true
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// refused makes the session's error of what push refused.
func (s *Session) refused(err error) *Error {
	return &Error{ID: s.id, Category: heddle.CategoryProtocol, Code: codeClosedUpstream, Msg: err.Error()}
}
