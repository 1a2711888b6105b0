package gateway

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/session"
)

// Fields that mean something here, as they are sent, and in lower case as they
// are looked for.
const (
	headerService     = "X-Cocaine-Service"
	headerEvent       = "X-Cocaine-Event"
	headerSticky      = "X-Cocaine-Sticky"
	headerJSONRPC     = "X-Cocaine-JSON-RPC"
	headerApplication = "X-Cocaine-Application"
	headerRequestID   = "X-Request-Id"

	lowerService       = "x-cocaine-service"
	lowerEvent         = "x-cocaine-event"
	lowerSticky        = "x-cocaine-sticky"
	lowerJSONRPC       = "x-cocaine-json-rpc"
	lowerAuthorization = "authorization"
)

// A destination is the app and event that a request is for.
type destination struct {
	app, event []byte
	rest       []byte // of the target, if it named them; may lack the slash at its front
	byTarget   bool
}

// A misdirection is why a request is for no app.
type misdirection uint8

const (
	directed misdirection = iota
	nowhere               // its target names none
	halfway               // one of the two fields, or with nothing in it
	tooLong               // the names
)

// direct finds a request's destination: by the two fields, each nil if it is not
// there, or by its target.
func direct(app, event, target []byte) (d destination, m misdirection) {
	switch {
	case app != nil && event != nil && len(app) > 0 && len(event) > 0:
		d.app, d.event = app, event
	case app != nil || event != nil:
		return d, halfway
	default:
		if d.app, d.event, d.rest, d.byTarget = split(target); !d.byTarget {
			return d, nowhere
		}
	}
	if len(d.app) > maxName || len(d.event) > maxEvent {
		return d, tooLong
	}
	return d, directed
}

// split cuts /app/event/rest or /app/event?query. A query ends the event, not the
// app: what has one before its second slash names none.
func split(target []byte) (app, event, rest []byte, ok bool) {
	if len(target) == 0 || target[0] != '/' {
		return nil, nil, nil, false
	}
	app, after, found := bytes.Cut(target[1:], []byte("/"))
	if !found || len(app) == 0 || bytes.IndexByte(app, '?') >= 0 {
		return nil, nil, nil, false
	}
	i := bytes.IndexAny(after, "/?")
	if i < 0 {
		i = len(after)
	}
	return app, after[:i], after[i:], i > 0
}

// path is the target that the app is told, rest with its slash; dst may be its
// memory.
func path(dst, rest []byte) (p, room []byte) {
	if len(rest) > 0 && rest[0] == '/' {
		return rest, dst
	}
	dst = append(append(dst[:0], '/'), rest...)
	return dst, dst
}

// present is a field's value, not nil if it is there.
func present(value []byte, ok bool) []byte {
	if ok && value == nil {
		return []byte{}
	}
	return value
}

// Dispatch finds the app of a request on a loop. Whatever is not simply one for
// an app is answered by ServeHTTP.
func (g *Gateway) Dispatch(i int, h front.Head) (out front.Dispatch) {
	ln := g.lanes[i]
	if _, ok := h.Field(lowerJSONRPC); ok && g.o.JSONRPC {
		return out
	}
	d, m := direct(present(h.Field(lowerService)), present(h.Field(lowerEvent)), h.Target())
	if m != directed {
		return out
	}
	app := d.app
	if seed, ok := h.Field(lowerSticky); ok {
		app = g.elect(app, seed)
	}
	a := ln.app(app)
	if a == nil {
		return out // it is told there that there are too many
	}
	if d.byTarget {
		out.Target, ln.target = path(ln.target, d.rest)
		ln.fields[0] = heddle.Header{Name: nameService, Value: d.app}
		ln.fields[1] = heddle.Header{Name: nameEvent, Value: d.event}
		out.Fields = ln.fields[:]
	}
	out.Headers = plainHeaders
	if v, ok := h.Field(lowerAuthorization); ok {
		out.Headers = withAuthorization(v)
	}
	out.To, out.Limits, out.Answer = a.route(d.event), &g.limits, a.answer
	return out
}

var (
	nameService = heddle.Raw(headerService)
	nameEvent   = heddle.Raw(headerEvent)
)

// traceBit is sent with every request, as the proxies of Cocaine do.
var traceBit = codec.Header{Name: []byte("trace_bit"), Value: []byte("1")}

// plainHeaders are those of a session whose request has no authorization.
var plainHeaders = []codec.Header{traceBit}

func withAuthorization(v []byte) []codec.Header {
	return []codec.Header{traceBit, {Name: []byte(lowerAuthorization), Value: append([]byte(nil), v...)}}
}

// A traced is the memory of a session's headers.
type traced struct {
	id  [8]byte // little endian
	all [5]codec.Header
}

// with are the headers of a session: the trace of a request by this id before what
// it has else.
func (of *traced) with(more []codec.Header, id string) []codec.Header {
	binary.LittleEndian.PutUint64(of.id[:], traceID(id))
	of.all[0] = codec.Header{Name: traceName, Value: of.id[:]}
	of.all[1] = codec.Header{Name: spanName, Value: of.id[:]} // the root's span is its trace
	of.all[2] = codec.Header{Name: parentName, Value: zeroID[:]}
	return append(of.all[:3], more...)
}

var (
	traceName  = []byte("trace_id")
	spanName   = []byte("span_id")
	parentName = []byte("parent_id")
	zeroID     [8]byte
)

// traceID is the trace that a request by this id begins, as behind heddle run: that
// which the id is (session.ParseTrace), else a hash of it; never 0.
func traceID(id string) uint64 {
	if t, ok := session.ParseTrace(id); ok {
		return t.TraceID
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	return max(h.Sum64(), 1)
}

// trace is the same as a Trace.
func trace(id string) session.Trace {
	n := traceID(id)
	return session.Trace{TraceID: n, SpanID: n}
}
