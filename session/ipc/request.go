package ipc

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime/debug"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// A Request is one question that a Handler answers. It is the handler's until
// it returns.
type Request struct {
	Topic   string
	Payload []byte // owned by the handler

	s       *session.Session
	files   []*os.File // that nobody took
	timeout time.Duration
	base    context.Context // the server's, which ends when Close gives up waiting
}

// lastReply is how long a reply waits once the server is being closed and waits no
// longer, instead of Options.ReplyTimeout; less than closeGrace.
const lastReply = closeGrace / 2

// MaxFiles is how many descriptors may come with a request.
const MaxFiles = 16

// TakeFiles hands over the descriptors that came with the payload, in the order
// of the client, nil if there are none; a second call gives none. They are the
// handler's to close; those that it does not take are closed when it returns.
// Each shares its file description with the client's and is non-blocking;
// os.File.Fd would make it blocking for both: SyscallConn does not.
func (r *Request) TakeFiles() []*os.File {
	files := r.files
	r.files = nil
	return files
}

// Reply sends p, at most MaxMessage bytes, as one of the replies; it may be
// called any number of times. It waits for a client that is slow to read, at
// most Options.ReplyTimeout (half a second once ctx has ended because the server
// is closed), and fails with os.ErrDeadlineExceeded then, or with why the client
// is gone.
func (r *Request) Reply(p []byte) error {
	if len(p) > MaxMessage {
		return ErrTooLarge
	}
	_ = r.s.SetWriteDeadline(time.Now().Add(r.timeout)) // never fails
	if r.base.Err() != nil {
		r.hurry()
	}
	return r.s.WriteChunk(p)
}

// hurry makes a reply that waits do so for lastReply at most.
func (r *Request) hurry() { _ = r.s.SetWriteDeadline(time.Now().Add(lastReply)) }

// serve answers one session; it ends the session whatever happens.
func (s *Server) serve(h Handler, p *peer, sess *session.Session) {
	defer s.left(p)
	ended := false
	defer func() {
		if ended {
			return
		}
		// A panic, or runtime.Goexit by the handler.
		s.log.Error("handler panicked", "topic", sess.Event(), "session", sess.ID(), "panic", recover(), "stack", string(debug.Stack()))
		sess.Discard()
		sess.Abort(&session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeException, Msg: "the handler panicked; the server's log has the stack"})
	}()
	err := s.answer(h, sess)
	ended = true
	sess.Discard()
	if err != nil {
		sess.Abort(failure(err))
		return
	}
	_ = sess.Close() // fails only if the channel has ended, and with it the session
}

// answer reads the payload and runs the handler.
func (s *Server) answer(h Handler, sess *session.Session) error {
	_ = sess.SetReadDeadline(time.Now().Add(s.o.PayloadTimeout)) // never fails
	payload, files, err := question(sess)
	if err != nil {
		return err
	}
	r := &Request{Topic: sess.Event(), Payload: payload, s: sess, files: files, timeout: s.o.ReplyTimeout, base: s.base}
	defer func() { closeFiles(r.files) }()
	sess.Discard() // nobody reads what comes behind the payload
	ctx, cancel := context.WithCancelCause(sess.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.base, func() {
		cancel(context.Cause(s.base))
		r.hurry()
	})()
	return h(ctx, r)
}

// question returns the payload, nil if the client sends none, and the
// descriptors before it, both owned.
func question(s *session.Session) (payload []byte, files []*os.File, err error) {
	for {
		m, err := s.Recv()
		if err == nil && m.Kind == session.Chunk {
			return bytes.Clone(m.Data), files, nil
		}
		files = append(files, m.Files...)
		if len(files) > MaxFiles {
			err = errFiles
		}
		if err != nil {
			closeFiles(files)
			if err == io.EOF {
				err = nil
			}
			return nil, nil, err
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// receive returns the next chunk, owned; io.EOF at the end of the stream.
func receive(s *session.Session) ([]byte, error) {
	for {
		m, err := s.Recv()
		if err != nil {
			return nil, err
		}
		if m.Kind == session.Chunk {
			return bytes.Clone(m.Data), nil
		}
		m.Drop() // nobody asked for descriptors
	}
}
