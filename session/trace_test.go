package session_test

import (
	"context"
	"io"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

func TestTraceInContexts(t *testing.T) {
	ctx := context.Background()
	if got := session.TraceOf(ctx); got != (session.Trace{}) {
		t.Errorf("got %+v of nothing", got)
	}
	if got := session.HeadersOf(ctx); got != nil {
		t.Errorf("got headers %v of nothing", got)
	}
	want := session.Trace{TraceID: 1, SpanID: 2, ParentID: 3}
	ctx, cancel := context.WithCancel(session.WithTrace(ctx, want))
	defer cancel()
	if got := session.TraceOf(ctx); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	hs := []codec.Header{{Name: []byte("authorization"), Value: []byte("x")}}
	if got := session.HeadersOf(session.WithHeaders(ctx, hs)); len(got) != 1 || string(got[0].Name) != "authorization" {
		t.Errorf("got %v", got)
	}
}

func TestTraceChild(t *testing.T) {
	root := session.Trace{TraceID: 7, SpanID: 7}
	a, b := root.Child(), root.Child()
	for _, c := range []session.Trace{a, b} {
		if c.TraceID != 7 || c.ParentID != 7 || c.SpanID == 0 || c.SpanID == 7 {
			t.Errorf("got %+v", c)
		}
	}
	if a.SpanID == b.SpanID {
		t.Errorf("two spans are %d", a.SpanID)
	}
	if c := (session.Trace{}).Child(); c != (session.Trace{}) {
		t.Errorf("got %+v of nothing", c)
	}
}

// TestTraceOfSession: what an invoke's headers say is in the session's context, and
// in those that are derived from it.
func TestTraceOfSession(t *testing.T) {
	trace := session.Trace{TraceID: 0x0102030405060708, SpanID: 9, ParentID: 10}
	base := session.WithTrace(context.Background(), session.Trace{TraceID: 77})
	header := func(name, value string) codec.Header { return codec.Header{Name: []byte(name), Value: []byte(value)} }
	for _, c := range []struct {
		name    string
		headers []codec.Header
		want    session.Trace
		auth    string
	}{
		{"traced", append(trace.Headers(), header("authorization", "me")), trace, "me"},
		{"bytes as others send them", []codec.Header{header("trace_id", "\x05\x00\x00\x00\x00\x00\x00\x00"), header("span_id", "\x05\x00\x00\x00\x00\x00\x00\x00")}, session.Trace{TraceID: 5, SpanID: 5}, ""},
		{"zeros are the channel's own", session.Trace{}.Headers(), session.Trace{TraceID: 77}, ""},
		{"no headers are, too", nil, session.Trace{TraceID: 77}, ""},
		{"a span of nothing", []codec.Header{header("span_id", "\x05\x00\x00\x00\x00\x00\x00\x00")}, session.Trace{TraceID: 77}, ""},
		{"ids of another length", []codec.Header{header("trace_id", "5")}, session.Trace{TraceID: 77}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := sessiontest.Pipe(t)
			got := make(chan *session.Session, 1)
			m := session.NewMux(a, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}, TraceHeaders: true})
			a.Start(m)
			b.Start(session.NewMux(b, session.Options{
				ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Dialed: true}, Context: base,
				Accept: func(s *session.Session) error { got <- s; return nil },
			}))
			ours, err := m.Open(session.OpenOptions{Event: "x", Headers: c.headers, Last: true})
			if err != nil {
				t.Fatal(err)
			}
			s := <-got
			ctx, cancel := context.WithCancel(s.Context())
			if tr := session.TraceOf(ctx); tr != c.want {
				t.Errorf("got %+v, want %+v", tr, c.want)
			}
			auth := ""
			for _, h := range session.HeadersOf(ctx) {
				if string(h.Name) == "authorization" {
					auth = string(h.Value)
				}
			}
			if auth != c.auth {
				t.Errorf("got authorization %q, want %q", auth, c.auth)
			}
			cancel()
			_ = s.Close()
			s.Discard()
			if _, err := ours.Recv(); err != io.EOF {
				t.Errorf("got %v, want the end", err)
			}
		})
	}
}
