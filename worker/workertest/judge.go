package workertest

import (
	"fmt"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A peer is one connection of a worker to a Runtime. All is guarded by the
// Runtime's mu, but for what is set once.
type peer struct {
	r    *Runtime
	send func(p []byte) error // immutable; any goroutine
	shut func()               // immutable; closes the connection at once, and may be called again

	order sync.Mutex // held while something of a session is sent; before mu

	in      []byte // what has come and is no whole frame yet
	table   codec.HeaderTable
	greeted bool
	beaten  bool        // a heartbeat has come
	left    bool        // the worker said terminate
	gone    bool        // the connection has ended, or is about to
	timer   *time.Timer // for what the worker owes next

	frame []byte // the one that is looked at
}

// feed takes in bytes of the worker and returns what is to be said to it at once.
func (p *peer) feedLocked(b []byte) (out []byte) {
	p.in = append(p.in, b...)
	for !p.gone {
		var s slips
		v, rest, err := readValue(p.in, 0, &s)
		if err == errShort {
			break
		}
		if err != nil {
			p.frame = p.in
			p.breaksLocked(RuleFrame, true, "it is no msgpack: %v", err)
			break
		}
		p.frame = v.bytes
		if s.newSpec {
			p.breaksLocked(RuleOldSpec, false, "str8, bin or ext")
		}
		if s.wide {
			p.breaksLocked(RuleShortest, false, "an integer or a head is longer than it need be")
		}
		out = append(out, p.takeLocked(v)...)
		p.in = rest
	}
	if len(p.in) == 0 {
		p.in = nil
	}
	return out
}

// takeLocked looks at one frame.
func (p *peer) takeLocked(v value) (out []byte) {
	e := v.elems
	v1 := p.r.version == Runtime012
	switch {
	case v.kind != kindArray, len(e) < 3, !v1 && len(e) != 3:
		p.breaksLocked(RuleFrame, true, "an array of three elements is wanted")
	case e[0].kind != kindUint || e[1].kind != kindUint:
		p.breaksLocked(RuleFrame, true, "the first two elements are to be integers from 0")
	case e[2].kind != kindArray:
		p.breaksLocked(RuleFrame, true, "the arguments are no array")
	case !v1:
		return p.takeV0Locked(e[0].n, e[1].n, e[2].elems)
	case len(e) > 3 && e[3].kind != kindArray:
		p.breaksLocked(RuleHeaders, true, "they are no array")
	default:
		if len(e) > 3 {
			if _, err := p.table.Decode(nil, e[3].bytes); err != nil {
				p.breaksLocked(RuleHeaders, true, "%v", err)
				return nil
			}
		}
		return p.takeV1Locked(e[0].n, e[1].n, e[2].elems)
	}
	return nil
}

// takeV0Locked: what is wrong but has the right shape is dropped, and the
// connection lives on.
func (p *peer) takeV0Locked(typ, sid uint64, args []value) []byte {
	if !p.greeted {
		if typ != heddle.TypeV0Handshake || sid != 0 {
			p.breaksLocked(RuleHandshake, true, "the first frame is of type %d", typ)
			return nil
		}
		return p.greetLocked(args)
	}
	p.behindTerminateLocked()
	if !p.beaten && typ != heddle.TypeV0Heartbeat {
		p.breaksLocked(RuleFirstBeat, false, "there is a frame of type %d before it", typ)
	}
	if typ <= heddle.TypeV0Terminate && sid != 0 {
		p.breaksLocked(RuleSession, false, "handshake, heartbeat and terminate are of session 0")
	}
	switch typ {
	case heddle.TypeV0Handshake:
		p.breaksLocked(RuleHandshake, false, "there is a second one")
	case heddle.TypeV0Heartbeat:
		return p.beatLocked()
	case heddle.TypeV0Terminate:
		p.terminateLocked(args, false)
	case heddle.TypeV0Chunk, heddle.TypeV0Error, heddle.TypeV0Choke:
		c := p.callLocked(sid, false)
		if c == nil {
			return nil
		}
		if c.choked || c.failed && typ != heddle.TypeV0Choke {
			p.breaksLocked(RuleEnded, false, "session %d had ended", sid)
			return nil
		}
		switch {
		case typ == heddle.TypeV0Choke:
			c.chokeLocked()
		case typ == heddle.TypeV0Chunk && (len(args) < 1 || args[0].kind != kindRaw):
			p.breaksLocked(RuleArguments, false, "a chunk has a raw")
		case typ == heddle.TypeV0Chunk:
			c.chunkLocked(args[0].raw)
		default:
			code, reason, ok := codeAndReason(args, 2)
			if !ok {
				p.breaksLocked(RuleArguments, false, "an error has a code and a reason")
				return nil
			}
			c.failLocked(0, code, reason)
		}
	default:
		p.breaksLocked(RuleMessage, false, "a worker sends none of type %d", typ)
	}
	return nil
}

// takeV1Locked: whatever the table of a session does not have ends the connection.
func (p *peer) takeV1Locked(channel, id uint64, args []value) []byte {
	if !p.greeted {
		if channel != heddle.ControlChannel || id != heddle.MsgHandshake {
			p.breaksLocked(RuleHandshake, true, "the first frame is message %d of channel %d", id, channel)
			return nil
		}
		return p.greetLocked(args)
	}
	p.behindTerminateLocked()
	if channel == heddle.ControlChannel {
		switch {
		case id == heddle.MsgHeartbeat && len(args) > 0:
			p.breaksLocked(RuleHandshake, false, "there is a second one, which is taken for a heartbeat")
			return p.beatLocked()
		case id == heddle.MsgHeartbeat:
			return p.beatLocked()
		case id == heddle.MsgTerminate:
			p.terminateLocked(args, true)
		default:
			p.breaksLocked(RuleMessage, true, "channel 1 has no message %d", id)
		}
		return nil
	}
	c := p.callLocked(channel, true)
	switch {
	case c == nil:
	case c.choked || c.failed:
		p.breaksLocked(RuleEnded, true, "the worker had ended its direction of session %d", channel)
	case id == heddle.MsgWrite && (len(args) < 1 || args[0].kind != kindRaw):
		p.breaksLocked(RuleArguments, true, "a write has a raw")
	case id == heddle.MsgWrite:
		c.chunkLocked(args[0].raw)
	case id == heddle.MsgClose:
		c.chokeLocked()
	case id == heddle.MsgError:
		var category, code int64
		ok := len(args) > 0 && args[0].kind == kindArray && len(args[0].elems) >= 2
		if ok {
			var ok1, ok2 bool
			category, ok1 = args[0].elems[0].isInt()
			code, ok2 = args[0].elems[1].isInt()
			ok = ok1 && ok2
		}
		reason := ""
		if ok && len(args) > 1 {
			reason, ok = string(args[1].raw), args[1].kind == kindRaw
		}
		if !ok {
			p.breaksLocked(RuleArguments, true, "an error has [category, code] and a reason")
			return nil
		}
		c.failLocked(category, code, reason)
	default:
		p.breaksLocked(RuleMessage, true, "a session has no message %d", id)
	}
	return nil
}

// greetLocked is the handshake.
func (p *peer) greetLocked(args []value) []byte {
	r := p.r
	switch {
	case len(args) < 1 || args[0].kind != kindRaw:
		p.breaksLocked(RuleArguments, true, "a handshake has a uuid")
		return nil
	case string(args[0].raw) != UUID:
		p.breaksLocked(RuleHandshake, true, "no worker was started as %q", clipped(args[0].raw))
		return nil
	case r.worker != nil:
		p.breaksLocked(RuleHandshake, true, "this worker is connected already")
		return nil
	}
	p.greeted = true
	r.worker, r.asked = p, nil
	if r.version == Runtime012 { // v1: it gets work from now on
		r.active = true
		p.dueLocked(r.o.HeartbeatTimeout, RuleHeartbeat, "none came in time")
	}
	r.cond.Broadcast()
	return nil
}

// beatLocked answers at once.
func (p *peer) beatLocked() []byte {
	r := p.r
	r.beats++
	p.beaten, r.active = true, !p.left
	if r.asked == nil {
		p.dueLocked(r.o.HeartbeatTimeout, RuleHeartbeat, "none came in time")
	}
	r.cond.Broadcast()
	if r.mute || p.left {
		return nil
	}
	return r.traced(codec.AppendHeartbeat(nil, r.version.Dialect()), nil)
}

// terminateLocked is the worker's own, or its answer.
func (p *peer) terminateLocked(args []value, drops bool) {
	code, reason, ok := codeAndReason(args, 2)
	if !ok {
		p.breaksLocked(RuleArguments, drops, "terminate has a code and a reason")
		return
	}
	r := p.r
	p.left = true
	r.active = false
	r.terminates = append(r.terminates, Terminate{code, reason})
	if r.asked == nil { // else the time to leave is running
		p.dueLocked(r.o.TerminateTimeout, RuleTerminate, "the worker did not leave")
	}
	r.cond.Broadcast()
}

// callLocked finds a session.
func (p *peer) callLocked(id uint64, drops bool) *Call {
	c := p.r.calls[id]
	if c == nil || c.p != p {
		p.breaksLocked(RuleSession, drops, "session %d was never opened", id)
		return nil
	}
	return c
}

// behindTerminateLocked: a heartbeat, too, is of no use any more.
func (p *peer) behindTerminateLocked() {
	if p.left {
		p.breaksLocked(RuleTerminated, false, "the worker had said that it ends")
	}
}

// breaksLocked notes a violation, and ends the connection if the real runtime does.
func (p *peer) breaksLocked(rule Rule, drops bool, format string, args ...any) {
	p.r.violateLocked(Violation{Rule: rule, Text: fmt.Sprintf(format, args...), Frame: clipped(p.frame), Drops: drops})
	if drops {
		p.endLocked()
	}
}

// dueLocked has the worker break rule unless dueLocked is called again within d.
func (p *peer) dueLocked(d time.Duration, rule Rule, text string) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.gone {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		if p.timer == t && !p.gone {
			p.frame = nil
			p.breaksLocked(rule, true, "%s (%v)", text, d)
		}
	})
	p.timer = t
}

// endLocked ends the connection, and every session with it.
func (p *peer) endLocked() {
	if p.gone {
		return
	}
	p.gone = true
	if p.timer != nil {
		p.timer.Stop()
	}
	r := p.r
	if r.worker == p {
		r.worker, r.active = nil, false
	}
	for _, c := range r.calls {
		if c.p == p && !c.choked {
			c.lost = true
		}
	}
	r.cond.Broadcast()
	p.shut()
}

// eofLocked: the worker has closed its end.
func (p *peer) eofLocked() {
	if p.gone {
		return
	}
	r := p.r
	p.frame = nil
	switch {
	case len(p.in) > 0:
		p.frame = p.in
		p.breaksLocked(RuleFrame, true, "the connection ends within it")
	case r.asked != nil && !p.left && r.version == Runtime012:
		p.breaksLocked(RuleTerminate, true, "the worker left without an answer")
	case !p.greeted:
		p.breaksLocked(RuleHandshake, true, "there was none")
	}
	p.unchokedLocked()
	p.endLocked()
}

// unchokedLocked looks for errors without a choke, which none can follow now.
func (p *peer) unchokedLocked() {
	for id, c := range p.r.calls {
		if c.p == p && c.failed && !c.choked && p.r.version == Runtime011 && !p.gone {
			p.r.violateLocked(Violation{Rule: RuleNoChoke, Text: fmt.Sprintf("session %d ended with an error alone", id)})
		}
	}
}

func codeAndReason(args []value, want int) (code int64, reason string, ok bool) {
	if len(args) < want {
		return 0, "", false
	}
	code, ok = args[0].isInt()
	return code, string(args[1].raw), ok && args[1].kind == kindRaw
}

// clipped is the beginning of a frame, owned.
func clipped(p []byte) []byte { return append([]byte(nil), p[:min(len(p), 64)]...) }
