package ipc

import (
	"errors"
	"time"

	"github.com/heddle-go/heddle/session"
)

// giveUp ends the waiting for a message, and takes it out of the queue unless it
// has begun to leave.
func (o *outbound) giveUp(a *Ack, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending[a.seq] != a {
		return
	}
	delete(o.pending, a.seq)
	for i := o.first; i < len(o.recs); i++ {
		if o.recs[i].ack == a {
			if o.startLocked(i) >= o.base+int64(o.off) {
				o.removeLocked(i)
			}
			break
		}
	}
	a.finishLocked(Reply{}, err)
	o.giveLocked()
	o.roomLocked()
}

// empty returns a channel that is closed when nothing is queued, nil if it is so.
func (o *outbound) empty() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.retired || len(o.recs) == 0 {
		return nil
	}
	if o.drained == nil {
		o.drained = make(chan struct{})
	}
	return o.drained
}

// removeLocked takes a queued message out that has not begun to leave.
func (o *outbound) removeLocked(i int) {
	from := o.startLocked(i)
	at, n := int(from-o.base), o.recs[i].end-from
	o.buf = append(o.buf[:at], o.buf[at+int(n):]...)
	if a := o.recs[i].ack; a != nil && a.passes {
		o.passers--
	}
	for j := i + 1; j < len(o.recs); j++ {
		o.recs[j].end -= n
	}
	o.recs = append(o.recs[:i], o.recs[i+1:]...)
	o.advanceLocked()
}

// expireOld drops the messages that have waited too long for the peer to be ready.
func (o *outbound) expireOld() {
	age := o.p.hub.o.QueueAge
	var lost int
	o.mu.Lock()
	o.age = nil
	if o.ready || o.retired {
		o.mu.Unlock()
		return
	}
	now := time.Now()
	for o.first < len(o.recs) {
		e := o.recs[o.first]
		if left := age - now.Sub(e.at); left > 0 {
			o.age = time.AfterFunc(left, o.expireOld)
			break
		}
		o.removeLocked(o.first)
		if lost++; e.ack != nil {
			delete(o.pending, e.ack.seq)
			e.ack.finishLocked(Reply{}, o.p.ended(o.ns, e.ack.topic, e.ack.seq, ErrExpired))
		}
	}
	o.giveLocked()
	o.roomLocked()
	o.mu.Unlock()
	if lost > 0 {
		o.p.hub.counters.expired.Add(uint64(lost))
		o.p.hub.trouble(o.p, o.p.ended(o.ns, "", 0, ErrExpired))
	}
}

// retire ends the stream: whatever waits fails with err, and the next message
// begins another.
func (o *outbound) retire(err error) {
	o.mu.Lock()
	if o.retired {
		o.mu.Unlock()
		return
	}
	o.retired = true
	if o.age != nil {
		o.age.Stop()
	}
	lost := 0
	for _, e := range o.recs[o.first:] {
		if e.ack == nil || e.ack.done == nil {
			lost++
		}
	}
	for seq, a := range o.pending {
		delete(o.pending, seq)
		a.finishLocked(Reply{}, o.p.ended(o.ns, a.topic, a.seq, err))
	}
	passing := 0
	for _, n := range o.passing {
		passing += n
	}
	if clear(o.passing); passing > 0 { // the link may have some still
		l := o.mux.Link()
		o.p.whenSent(l, int64(l.Queued())+l.Written(), func() { o.p.giveFiles(passing) })
	}
	o.buf, o.recs, o.off, o.first = nil, nil, 0, 0
	o.giveLocked()
	if o.drained != nil {
		close(o.drained)
		o.drained = nil
	}
	o.roomLocked()
	s := o.s
	o.mu.Unlock()
	o.p.drop(o)
	if s != nil {
		_ = s.Close() // fails only of a channel that has ended
	}
	o.p.hub.counters.lost.Add(uint64(lost))
	var e *session.Error
	if errors.As(err, &e) {
		o.p.hub.trouble(o.p, o.p.ended(o.ns, "", 0, err))
	}
}

// OnMessage takes in acknowledgements.
func (o *outbound) OnMessage(s *session.Session, m session.Message) {
	m.Drop()
	if m.Kind != session.Chunk {
		return
	}
	p, whole := m.Data, len(o.part) == 0
	if !whole {
		o.part = append(o.part, p...)
		p = o.part
	}
	for len(p) > 0 {
		a, n, err := nextAck(p, o.p.hub.o.MaxMessage)
		if err == errShort {
			break
		}
		if err != nil {
			o.p.bad(o.ns, p, err)
			s.Cancel(err)
			o.retire(err)
			return
		}
		o.onAck(&a)
		p = p[n:]
	}
	if o.part = append(o.part[:0], p...); cap(o.part) > keepBuffer && len(p) == 0 {
		o.part = nil
	}
	if !o.acked {
		o.acked = true
		return
	}
	if o.due += int64(len(m.Data)) + session.ChunkCost; s.GrantDue(o.due) {
		s.Grant(o.due)
		o.due = 0
	}
}

// onAck ends the waiting for one message.
func (o *outbound) onAck(r *ackRecord) {
	o.mu.Lock()
	a := o.pending[r.seq]
	n, passed := o.passing[r.seq]
	if passed {
		delete(o.passing, r.seq)
		o.p.giveFiles(n)
	}
	if a == nil || len(a.files) > 0 {
		// Nobody waits any more, or it was not even sent.
		kick := passed && o.kickLocked()
		o.mu.Unlock()
		o.p.hub.counters.late.Add(1)
		o.schedule(kick)
		return
	}
	delete(o.pending, r.seq)
	var trouble error
	if r.failed {
		trouble = &RemoteError{o.p.id, realName(o.ns), a.topic, r.seq, r.category, r.code, string(r.data)}
		a.finishLocked(Reply{}, trouble)
	} else {
		reply := Reply{Format: r.format, hub: o.p.hub}
		if len(r.data) > 0 {
			reply.Payload = append([]byte(nil), r.data...)
		}
		a.finishLocked(reply, nil)
	}
	kick := passed && o.kickLocked()
	o.mu.Unlock()
	o.schedule(kick)
	if trouble != nil && a.done == nil {
		o.p.hub.trouble(o.p, trouble)
	}
}

// OnWritable goes on where credit or room had ended.
func (o *outbound) OnWritable(*session.Session) { o.flush() }

// OnEnd is the peer's end of the stream: it refused it, or has gone.
func (o *outbound) OnEnd(_ *session.Session, err error) { o.retire(err) }
