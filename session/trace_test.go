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

// TestTraceOnEveryFrame: what we open has its trace on every frame, once, in front
// of what else the invoke's headers are; to others nothing is added.
func TestTraceOnEveryFrame(t *testing.T) {
	trace := session.Trace{TraceID: 0x0102030405060708, SpanID: 9, ParentID: 10}
	auth := codec.Header{Name: []byte("authorization"), Value: []byte("me")}
	partly := codec.Header{Name: []byte("trace_id"), Value: []byte("\x05\x00\x00\x00\x00\x00\x00\x00")}
	element := func(hs ...codec.Header) string {
		return string(codec.AppendHeaders(codec.AppendHeartbeat(nil, heddle.V1), 0, hs)[4:])
	}
	with := func(tr session.Trace, hs ...codec.Header) string { return element(append(tr.Headers(), hs...)...) }
	for name, c := range map[string]struct {
		silent         bool // a channel whose frames have no traces
		o              session.OpenOptions
		invoke, behind string
	}{
		"trace":                      {false, session.OpenOptions{Trace: trace}, with(trace), with(trace)},
		"trace and headers":          {false, session.OpenOptions{Trace: trace, Headers: []codec.Header{partly, auth}}, with(trace, auth), with(trace)},
		"headers with a trace":       {false, session.OpenOptions{Headers: append(trace.Headers(), auth)}, with(trace, auth), with(trace)},
		"headers with part of it":    {false, session.OpenOptions{Headers: []codec.Header{auth, partly}}, with(session.Trace{TraceID: 5}, auth), with(session.Trace{TraceID: 5})},
		"headers without":            {false, session.OpenOptions{Headers: []codec.Header{auth}}, with(session.Trace{}, auth), with(session.Trace{})},
		"nothing":                    {false, session.OpenOptions{}, with(session.Trace{}), with(session.Trace{})},
		"elsewhere":                  {true, session.OpenOptions{Trace: trace}, "", ""},
		"elsewhere, and its headers": {true, session.OpenOptions{Trace: trace, Headers: []codec.Header{partly, auth}}, element(partly, auth), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, raw := rawPair(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}, TraceHeaders: !c.silent})
			for _, last := range []bool{false, true} {
				o := c.o
				o.Event, o.First, o.Last = "x", []byte("head"), last
				s, err := m.Open(o)
				if err != nil {
					t.Fatal(err)
				}
				frames := 2
				if last {
					frames++ // and the choke
				} else {
					_, _ = s.Write([]byte("body"))
					_ = s.Finish([]byte("end"))
					frames += 3
				}
				for i := range frames {
					want := c.behind
					if i == 0 {
						want = c.invoke
					}
					if f := raw.next(t, heddle.V1); string(f.Headers) != want {
						t.Errorf("last %t, frame %d: headers % x, want % x", last, i, f.Headers, want)
					}
				}
				s.Discard()
			}
		})
	}
}

func TestParseTrace(t *testing.T) {
	for id, want := range map[string]uint64{
		"0123456789abcdef":                 0x0123456789abcdef,
		"FFFFFFFFFFFFFFFF":                 0xffffffffffffffff,
		"00000000000000010000000000000002": 2,
		"0000000000000000":                 0,
		"":                                 0,
		"mine":                             0,
		"123456789abcdef":                  0,
		"0123456789abcdef0":                0,
		"0123456789abcdeg":                 0,
		"-123456789abcdef":                 0,
		"0000000-000000010000000000000002": 0,
		"00000000000000010000000+00000002": 0,
	} {
		got, ok := session.ParseTrace(id)
		if ok != (want != 0) || ok && got != (session.Trace{TraceID: want, SpanID: want}) {
			t.Errorf("%q: got %+v, %t", id, got, ok)
		}
	}
	if a, b := session.NewTrace(), session.NewTrace(); a.TraceID == 0 || a.SpanID != a.TraceID || a.ParentID != 0 || a == b {
		t.Errorf("got %+v and %+v", a, b)
	}
}
