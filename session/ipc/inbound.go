package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"unicode/utf8"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// mostUnclaimed is how many descriptors may have come whose messages were not
// handled yet.
const mostUnclaimed = mostPassed * MaxFiles

// mostAcks is how many bytes of acknowledgements may wait for the sender to read
// them before no more messages are handled.
const mostAcks = 256 << 10

var errUnclaimed = fmt.Errorf("ipc: more than %d descriptors ahead of their messages", mostUnclaimed)

// An inbound is the messages of one peer in one namespace: the loop appends what
// arrives, one goroutine handles it in order, the loop sends what it acknowledges.
type inbound struct {
	// Immutable after acceptMessages.
	p       *Peer
	ns      *Namespace
	s       *session.Session
	flushFn func()

	// The handling goroutine's.
	cur     []byte // what it reads from
	off     int
	need    int    // of cur[off:], for the message there to be whole, as far as is known
	behind  []byte // comes behind cur, from behOff on
	behOff  int
	granted int64 // bytes handled since credit was given back last
	due     int64 // bytes of credit to be granted again
	r       Received

	mu        sync.Mutex
	wake      sync.Cond
	rx        []byte // arrived
	cost      int64  // credit that rx has cost
	headCame  bool   // the first chunk has come, which costs none
	files     []*os.File
	ended     bool
	busy      bool   // cur is being handled
	failed    error  // what the peer did wrong; whatever comes then is dropped
	tx        []byte // acknowledgements to be sent
	txOff     int
	scheduled bool
}

// acceptMessages begins the goroutine of a stream. Loop only.
func (p *Peer) acceptMessages(s *session.Session, name string) error {
	ns := p.space(name)
	if ns == nil {
		return refusal(codeNoNamespace, "unknown namespace %.64q", realName(name))
	}
	in := &inbound{p: p, ns: ns, s: s}
	in.wake.L = &in.mu
	in.flushFn = in.flush
	p.mu.Lock()
	switch {
	case name[0] == 0 && p.crowdedLocked():
		p.mu.Unlock()
		return refusalFull("namespaces of messages to others")
	case p.over || p.ins[name] != nil:
		p.mu.Unlock()
		return refusal(heddle.CodeException, "there is a stream for namespace %.64q already", name)
	}
	p.ins[name] = in
	p.mu.Unlock()
	s.SetHandler(in)
	s.SetAside() // one for each namespace there is
	p.streams.Add(1)
	p.hub.running.Add(1)
	go in.run() // ends with the session, which ends with the channel at the latest
	return nil
}

// OnMessage takes in what the peer sent.
func (in *inbound) OnMessage(s *session.Session, m session.Message) {
	in.mu.Lock()
	if in.failed != nil {
		in.mu.Unlock()
		m.Drop()
		return
	}
	switch m.Kind {
	case session.Chunk:
		if in.rx == nil {
			in.rx = getBuffer()
		}
		in.rx = append(in.rx, m.Data...)
		if in.headCame {
			in.cost += int64(len(m.Data)) + session.ChunkCost
		}
		in.headCame = true
		in.wake.Signal()
	case session.Files:
		if in.files = append(in.files, m.Files...); len(in.files) <= mostUnclaimed {
			break
		}
		in.mu.Unlock()
		in.p.bad(in.ns.name, nil, errUnclaimed)
		in.stop(errUnclaimed)
		return
	case session.Cancel:
		in.ended = true
		in.wake.Broadcast()
	}
	in.mu.Unlock()
}

// OnWritable goes on where credit or room had ended.
func (in *inbound) OnWritable(*session.Session) { in.flush() }

// OnEnd: what has come is still handled.
func (in *inbound) OnEnd(*session.Session, error) {
	in.mu.Lock()
	in.ended = true
	in.wake.Broadcast()
	in.mu.Unlock()
}

// stop ends the stream because of the peer, who is told when the goroutine has
// ended: then there may be another.
func (in *inbound) stop(err error) {
	in.mu.Lock()
	in.ended, in.failed, in.rx = true, err, nil
	in.wake.Broadcast()
	in.mu.Unlock()
}

// run handles the messages.
func (in *inbound) run() {
	returned := false
	defer func() {
		if !returned {
			go in.run() // a handler has ended this goroutine by runtime.Goexit; ends as this one does
		}
	}()
	for again := in.off < len(in.cur); again || in.fill(); again = false {
		for {
			w, n, err := nextRecord(in.cur[in.off:], in.p.hub.most(in.ns.name))
			if err == errShort {
				in.need = n
				break
			}
			if err == nil {
				err = in.claim(&w)
			}
			if err != nil {
				in.p.bad(in.ns.name, in.cur[in.off:], err)
				in.stop(err)
				in.off = len(in.cur)
				in.behind, in.behOff = nil, 0
				break
			}
			in.handle(&w, n)
		}
	}
	in.mu.Lock()
	files, failed := in.files, in.failed
	in.files = nil
	in.mu.Unlock()
	in.unclaimed(files)
	in.p.mu.Lock()
	delete(in.p.ins, in.ns.name)
	in.p.mu.Unlock()
	in.flush()
	if failed != nil {
		in.s.Abort(failed)
	} else {
		_ = in.s.Close() // fails only of a channel that has ended
	}
	in.p.streams.Add(-1)
	in.p.hub.running.Add(-1)
	returned = true
}

// fill waits for more and gives back the credit of what was read; false at the end.
func (in *inbound) fill() bool {
	if in.behind != nil {
		in.join()
		return true
	}
	if in.due > 0 && in.s.GrantDue(in.due) {
		in.s.Grant(in.due)
		in.due = 0
	}
	in.granted = 0
	if in.off == len(in.cur) {
		putBuffer(in.cur) // none while nothing comes
		in.cur, in.off = nil, 0
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.busy = false
	for !in.ended && (len(in.rx) == 0 || len(in.tx)-in.txOff > mostAcks) {
		in.wake.Wait()
	}
	if len(in.rx) == 0 {
		return false
	}
	rest := in.cur[in.off:]
	if len(rest) == 0 {
		in.cur, in.off = in.rx, 0
	} else {
		in.cur, in.off = in.cur[:copy(in.cur, rest)], 0
		in.behind, in.behOff = in.rx, 0
		in.join()
	}
	in.rx, in.busy = nil, true
	in.due += in.cost
	in.cost = 0
	return true
}

// join goes on with what is behind cur, of which only the rest of a message that has
// begun in cur is copied.
func (in *inbound) join() {
	if rest := in.cur[in.off:]; len(rest) > 0 {
		n := min(max(in.need-len(rest), 1), len(in.behind)-in.behOff)
		in.cur = append(in.cur, in.behind[in.behOff:in.behOff+n]...)
		if in.behOff += n; in.behOff == len(in.behind) {
			putBuffer(in.behind)
			in.behind = nil
		}
		return
	}
	putBuffer(in.cur)
	in.cur, in.off, in.behind = in.behind, in.behOff, nil
}

// repay gives back the credit of n bytes that were read, once they are much: the
// sender need not stand still while a long batch is handled.
func (in *inbound) repay(n int64) {
	if in.granted += n; in.granted < in.due && in.granted >= in.s.Window()/2 {
		in.s.Grant(in.granted)
		in.due -= in.granted
		in.granted = 0
	}
}

// claim takes the message's descriptors from those that came.
func (in *inbound) claim(w *record) error {
	if w.files == 0 {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if w.files > len(in.files) {
		return fmt.Errorf("%w: %d descriptors announced, %d came", errRecord, w.files, len(in.files))
	}
	in.r.files = append([]*os.File(nil), in.files[:w.files]...)
	in.files = append(in.files[:0], in.files[w.files:]...)
	return nil
}

func (in *inbound) unclaimed(files []*os.File) {
	if len(files) > 0 {
		closeFiles(files)
		in.p.hub.counters.unclaimed.Add(uint64(len(files)))
	}
}

// handle has one message of n bytes handled and acknowledged, also if the handler ends
// the goroutine.
func (in *inbound) handle(w *record, n int) {
	generic, own, topic := in.ns.find(w.topic)
	r := &in.r
	files := r.files
	*r = Received{Namespace: in.ns.name, Topic: topic, Peer: in.p, Format: w.format, Payload: w.payload, in: in, seq: w.seq, files: files}
	err := error(errExited)
	defer func() {
		in.unclaimed(r.files)
		r.files = nil
		switch {
		case r.seq == 0 || r.settled:
			if err != nil && !errors.As(err, new(panicError)) {
				in.p.hub.trouble(in.p, fmt.Errorf("ipc: message: %s: %w", where(in.p.id, in.ns.name, topic, r.seq), err))
			}
		default:
			_ = in.settle(r.seq, nil, err) // fails if the sender has gone
		}
		in.off += n
		in.repay(int64(n))
	}()
	if generic == nil && own == nil {
		err = refusal(heddle.CodeNoHandler, "unknown topic %.64q in namespace %q", topic, in.ns.name)
	} else {
		err = in.p.run(in.s.Context(), r, generic, own)
	}
}

// run has the handlers handle a message, generic first.
func (p *Peer) run(ctx context.Context, r *Received, generic, own MessageHandler) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = p.panicked("message", r.Namespace, r.Topic, recover())
		}
	}()
	if generic != nil {
		err = generic(ctx, r)
	}
	if err == nil && own != nil {
		err = own(ctx, r)
	}
	returned = true
	return err
}

// panicked logs a panic, or a Goexit, and is what the sender is told of it.
func (p *Peer) panicked(what, ns, topic string, v any) error {
	if v == nil {
		v = "it called runtime.Goexit" // a panic's value is never nil
	}
	p.hub.log.Error("handler panicked", "what", what, "namespace", realName(ns), "topic", topic, "peer", p.id, "panic", v, "stack", string(debug.Stack()))
	p.hub.trouble(p, fmt.Errorf("ipc: %s: the handler panicked: %v", where(p.id, ns, topic, 0), v))
	return panicError{refusal(heddle.CodeException, "the handler panicked: %v", v)}
}

// errExited is what a handler fails with that calls runtime.Goexit.
var errExited = panicError{refusal(heddle.CodeException, "the handler called runtime.Goexit")}

// A panicError is of a handler that panicked, which was told where it happened.
type panicError struct{ error }

func (e panicError) Unwrap() error { return e.error }

// clip cuts a text as those of error messages are, before the character that would
// not fit whole.
func clip(text string) []byte {
	n := min(len(text), session.MaxText)
	for n < len(text) && n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return []byte(text[:n])
}

// settle acknowledges a message: with a failure, or with body.
func (in *inbound) settle(seq uint64, body *Body, failed error) error {
	a := ackRecord{seq: seq}
	switch {
	case failed != nil:
		e := failure(failed)
		a.failed, a.category, a.code = true, e.Category, e.Code
		a.data = clip(e.Msg)
	case body != nil:
		data, err := in.p.hub.payload(nil, body)
		if err != nil {
			return err
		}
		if len(data) > in.p.hub.o.MaxMessage {
			return ErrTooLarge
		}
		a.format, a.data = body.format, data
	}
	in.mu.Lock()
	if in.ended && in.s.Context().Err() != nil {
		in.mu.Unlock()
		return ErrPeerDied
	}
	if in.tx == nil {
		in.tx = getBuffer()
	}
	in.tx = appendAck(in.tx, &a)
	kick := !in.scheduled
	in.scheduled = true
	in.mu.Unlock()
	if kick && in.s.Mux().Link().Do(in.flushFn) != nil {
		return ErrPeerDied
	}
	return nil
}

// flush sends acknowledgements, as far as the sender takes them.
func (in *inbound) flush() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.scheduled = false
	for in.txOff < len(in.tx) {
		n, err := in.s.TryWrite(in.tx[in.txOff:])
		if err != nil {
			break
		}
		if n == 0 {
			return // OnWritable goes on
		}
		in.txOff += n
	}
	putBuffer(in.tx)
	in.tx, in.txOff = nil, 0
	in.wake.Signal()
}
