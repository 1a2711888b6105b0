package session

import (
	"fmt"
	"io"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// Callbacks are the low-level face of a channel as plain functions; nil ones
// are skipped. All run on the loop, all slices are borrowed, each is called
// only for a whole message.
type Callbacks struct {
	OnConnect     func()
	OnSocketError func(no syscall.Errno) // once; end of file is ESHUTDOWN, a malformed frame EBADMSG
	OnLost        func(err error)        // once, before OnSocketError: all that is known of it
	OnHandshake   func(uuid []byte)
	OnHeartbeat   func()
	OnTerminate   func(code int64, reason []byte)
	OnInvoke      func(sid uint64, event []byte)
	OnChunk       func(sid uint64, p []byte)
	OnChoke       func(sid uint64)
	OnError       func(sid uint64, code int64, msg []byte)
	OnCall        func(sid, id uint64, args []byte) // of a Service channel, whatever it is
}

// callbackReceiver makes a Receiver of Callbacks.
type callbackReceiver struct {
	cb   Callbacks
	link Link
}

var errEOF = fmt.Errorf("session: peer closed: %w", io.EOF)

func (r *callbackReceiver) OnConnect() {
	if r.cb.OnConnect != nil {
		r.cb.OnConnect()
	}
}

func (r *callbackReceiver) OnSocketError(err error) {
	if err == nil {
		err = errEOF
	}
	if r.cb.OnLost != nil {
		r.cb.OnLost(err)
	}
	if r.cb.OnSocketError != nil {
		r.cb.OnSocketError(Errno(err))
	}
}

// OnEOF ends the channel: this face has no half-open state.
func (r *callbackReceiver) OnEOF() { r.link.Close(errEOF) }

func (r *callbackReceiver) OnRoom() {}

func (r *callbackReceiver) OnHandshake(uuid []byte, _ *heddle.Offer) error {
	if r.cb.OnHandshake != nil {
		r.cb.OnHandshake(uuid)
	}
	return nil
}

func (r *callbackReceiver) OnHeartbeat() error {
	if r.cb.OnHeartbeat != nil {
		r.cb.OnHeartbeat()
	}
	return nil
}

func (r *callbackReceiver) OnTerminate(code int64, reason []byte) error {
	if r.cb.OnTerminate != nil {
		r.cb.OnTerminate(code, reason)
	}
	return nil
}

func (r *callbackReceiver) OnControl(uint64, []byte) error { return nil }

func (r *callbackReceiver) OnInvoke(sid uint64, event []byte, _ int64, _ []codec.Header) error {
	if r.cb.OnInvoke != nil {
		r.cb.OnInvoke(sid, event)
	}
	return nil
}

func (r *callbackReceiver) OnChunk(sid uint64, p []byte) error {
	if r.cb.OnChunk != nil {
		r.cb.OnChunk(sid, p)
	}
	return nil
}

func (r *callbackReceiver) OnChoke(sid uint64) error {
	if r.cb.OnChoke != nil {
		r.cb.OnChoke(sid)
	}
	return nil
}

func (r *callbackReceiver) OnError(sid uint64, _, code int64, msg []byte) error {
	if r.cb.OnError != nil {
		r.cb.OnError(sid, code, msg)
	}
	return nil
}

func (r *callbackReceiver) OnExtension(uint64, uint64, []byte) error { return nil }

func (r *callbackReceiver) OnCall(sid, id uint64, args []byte, _ []codec.Header) error {
	if r.cb.OnCall != nil {
		r.cb.OnCall(sid, id, args)
	}
	return nil
}
