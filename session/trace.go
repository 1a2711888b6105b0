package session

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A Trace names one piece of work in a chain of calls. The zero Trace is untraced.
//
// In dialect v1 it travels as the headers trace_id, span_id and parent_id, each of
// 8 bytes, little endian (PROTOCOL 3.2); in v0 not at all.
type Trace struct {
	TraceID  uint64 // of the whole chain
	SpanID   uint64 // of this piece; at the root it is TraceID
	ParentID uint64 // the span that asked for it; 0 at the root
}

// Names of the headers of a Trace.
const (
	headerTrace  = "trace_id"
	headerSpan   = "span_id"
	headerParent = "parent_id"
)

// Headers is how t travels. All three headers are always there: some real
// workers read them without a look (PROTOCOL 3.2).
func (t Trace) Headers() []codec.Header {
	ids := make([]byte, 0, 24)
	for _, id := range []uint64{t.TraceID, t.SpanID, t.ParentID} {
		ids = binary.LittleEndian.AppendUint64(ids, id)
	}
	return []codec.Header{
		{Name: []byte(headerTrace), Value: ids[0:8:8]},
		{Name: []byte(headerSpan), Value: ids[8:16:16]},
		{Name: []byte(headerParent), Value: ids[16:24:24]},
	}
}

// Child is the trace of a piece of work that t's asks for: a span of its own, under
// t's. What is untraced stays so.
func (t Trace) Child() Trace {
	if t.TraceID == 0 {
		return Trace{}
	}
	return Trace{TraceID: t.TraceID, SpanID: max(rand.Uint64(), 1), ParentID: t.SpanID}
}

// traceOf reads the headers of an invoke; of several with one name the last
// counts. A value that is not of 8 bytes is no id.
func traceOf(hs []codec.Header) (t Trace) {
	for _, h := range hs {
		if len(h.Value) != 8 {
			continue
		}
		id := binary.LittleEndian.Uint64(h.Value)
		switch string(h.Name) {
		case headerTrace:
			t.TraceID = id
		case headerSpan:
			t.SpanID = id
		case headerParent:
			t.ParentID = id
		}
	}
	if t.TraceID == 0 {
		return Trace{} // a span without a trace belongs to nothing
	}
	return t
}

// tracedWhole says whether an asker named all three ids: a real service answers
// with his trace only then.
func tracedWhole(hs []codec.Header) bool {
	var trace, span, parent bool
	for _, h := range hs {
		switch string(h.Name) {
		case headerTrace:
			trace = true
		case headerSpan:
			span = true
		case headerParent:
			parent = true
		}
	}
	return trace && span && parent
}

// ParseTrace is the root of the trace whose id is written as 16 hexadecimal digits,
// as Cocaine's proxies have it in X-Request-Id; of 32 the last 16 count. False:
// id is none.
func ParseTrace(id string) (Trace, bool) {
	if len(id) == 32 {
		if _, ok := digits(id[:16]); !ok {
			return Trace{}, false
		}
		id = id[16:]
	}
	n, ok := digits(id)
	return Trace{TraceID: n, SpanID: n}, ok && n != 0
}

// digits reads a number of 16 hexadecimal digits.
func digits(s string) (n uint64, ok bool) {
	if len(s) != 16 {
		return 0, false
	}
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}

// NewTrace is the root of a trace of its own.
func NewTrace() Trace {
	n := max(rand.Uint64(), 1)
	return Trace{TraceID: n, SpanID: n}
}

// zeroTrace is the fourth element of a frame that carries the three trace headers,
// all zero: array(3) of [false, name, value], each value being the last 8 bytes.
var zeroTrace = func() []byte {
	f := codec.AppendHeaders(codec.AppendHeartbeat(nil, heddle.V1), 0, Trace{}.Headers())
	return f[4:] // behind array head, channel, id and the empty arguments
}()

// Where the values are in zeroTrace, from its end: a header is an array's head, a
// bool, and two raws of which each has a head of one byte.
const (
	parentAt = 8
	spanAt   = parentAt + 12 + len(headerParent)
	traceAt  = spanAt + 12 + len(headerSpan)
)

// appendTrace appends t as the fourth element of a frame.
func appendTrace(buf []byte, t Trace) []byte {
	buf = append(buf, zeroTrace...)
	if n := len(buf); t != (Trace{}) {
		binary.LittleEndian.PutUint64(buf[n-traceAt:], t.TraceID)
		binary.LittleEndian.PutUint64(buf[n-spanAt:], t.SpanID)
		binary.LittleEndian.PutUint64(buf[n-parentAt:], t.ParentID)
	}
	return buf
}

// traceOf is the trace of a session that we open.
func (m *Mux) traceOf(o *OpenOptions) Trace {
	switch {
	case !m.traces:
		return Trace{}
	case o.Trace != (Trace{}):
		return o.Trace
	}
	return traceOf(o.Headers)
}

// withHeaders gives the opening frame in buf its fourth element. Where every frame
// has a trace it comes first and once, whatever else hs say.
func (s *Session) withHeaders(buf []byte, hs []codec.Header) []byte {
	switch {
	case s.m.dialect() != heddle.V1:
		return buf
	case len(hs) == 0:
		return s.traced(buf, 0)
	case !s.m.traces:
		return codec.AppendHeaders(buf, 0, hs)
	}
	all := s.trace.Headers()
	for _, h := range hs {
		switch string(h.Name) {
		case headerTrace, headerSpan, headerParent:
		default:
			all = append(all, h)
		}
	}
	return codec.AppendHeaders(buf, 0, all)
}

// IsTraceKey says whether somebody asks for a context's trace, for contexts that
// know it by other means. They answer with a Trace.
func IsTraceKey(key any) bool {
	_, is := key.(traceKey)
	return is
}

type (
	traceKey   struct{}
	headersKey struct{}
)

// WithTrace returns a context of whose work t is the trace.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf is the trace that ctx's work belongs to: what WithTrace said, or the
// headers of the session whose Context it comes from.
func TraceOf(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

// WithHeaders returns a context of whose work hs are the headers, such as
// authorization. They are owned by the context from here on.
func WithHeaders(ctx context.Context, hs []codec.Header) context.Context {
	return context.WithValue(ctx, headersKey{}, hs)
}

// HeadersOf are the headers that ctx's work came with: what WithHeaders said, or
// those of the session whose Context it comes from, the trace's among them. They
// must not be written to.
func HeadersOf(ctx context.Context) []codec.Header {
	hs, _ := ctx.Value(headersKey{}).([]codec.Header)
	return hs
}
