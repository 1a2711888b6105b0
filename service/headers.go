package service

import (
	"context"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

type headersKey struct{}

// WithHeaders returns a context whose calls carry these headers, of dialect v1,
// beside those that every call has: the trace of session.TraceOf, as a new span,
// and authorization and trace_bit of session.HeadersOf. They are owned by the
// context from here on.
func WithHeaders(ctx context.Context, hs []codec.Header) context.Context {
	return context.WithValue(ctx, headersKey{}, hs)
}

// handed are the names of headers that calls hand on.
var handed = map[string]bool{"authorization": true, "trace_bit": true}

// headersOf are what a call made with ctx carries; nil for none.
func headersOf(ctx context.Context, d heddle.Dialect) []codec.Header {
	if d == heddle.V0 || ctx == context.Background() {
		return nil
	}
	var hs []codec.Header
	if t := session.TraceOf(ctx).Child(); t != (session.Trace{}) {
		hs = t.Headers()
	}
	for _, h := range session.HeadersOf(ctx) {
		if handed[string(h.Name)] {
			hs = append(hs, h)
		}
	}
	own, _ := ctx.Value(headersKey{}).([]codec.Header)
	return append(hs, own...)
}
