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

// traceElement is the fourth element of a frame that carries the trace of these
// headers; nil unless all three are there.
func traceElement(hs []codec.Header) []byte {
	var ids [3]codec.Header
	for _, h := range hs {
		for i, name := range [...]string{headerTrace, headerSpan, headerParent} {
			if ids[i].Name == nil && len(h.Value) == 8 && string(h.Name) == name {
				ids[i] = h
			}
		}
	}
	if ids[0].Name == nil || ids[1].Name == nil || ids[2].Name == nil {
		return nil
	}
	f := codec.AppendHeaders(codec.AppendHeartbeat(nil, heddle.V1), 0, ids[:])
	return f[4:] // behind array head, channel, id and the empty arguments
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
