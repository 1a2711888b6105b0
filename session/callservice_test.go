package session_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// servicePeer is a Mux that answers, whoever calls it being bare bytes. What it
// accepts comes on the channel.
func servicePeer(t *testing.T, o session.Options) (*session.Mux, *rawEnd, chan *session.Session) {
	t.Helper()
	calls := make(chan *session.Session, 16)
	o.Service, o.Methods = true, methodOf
	o.Accept = func(s *session.Session) error { calls <- s; return nil }
	m, raw := rawPair(t, o)
	return m, raw, calls
}

// One port for both dialects, as a locator has: the first frame tells.
func TestServiceDetectsItsDialect(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		m, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: 1 - d, Detect: true}})
		raw.Write(codec.AppendMethod(nil, d, 1, 0, []byte{0x91, 0x07}))
		s := <-calls
		if m.Dialect() != d || s.Event() != "get" || s.Method() != methods["get"] || string(s.Args()) != "\x91\x07" {
			t.Errorf("%v: %v, %s % x", d, m.Dialect(), s.Event(), s.Args())
		}
		s.Say(0, s.Args())
		if f := raw.next(t, d); d == heddle.V1 && string(f.Args) != "\x91\x07" || d == heddle.V0 && string(f.Args) != "\x91\xa1\x07" {
			t.Errorf("%v: answered % x", d, f.Args)
		}
		s.Discard()
		waitZero(t, m.Sessions)
	}
}

// Headers come with the call, also those that stand in the table; what is
// answered has the three of a trace if that is wanted.
func TestHeadersOfCalls(t *testing.T) {
	_, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}, TraceHeaders: true})
	raw.Write([]byte("\x94\x01\x00\x90\x91\x93\xc3\xa1k\xa1v")) // stored
	raw.Write([]byte("\x94\x02\x00\x90\x91\x53"))               // 83, the newest
	for range 2 {
		s := <-calls
		if h := s.Headers(); len(h) != 1 || string(h[0].Name) != "k" || string(h[0].Value) != "v" {
			t.Errorf("headers %q", h)
		}
		s.Say(0, []byte{0x90})
		if f := raw.next(t, heddle.V1); codec.ArgCount(f.Headers) != 3 {
			t.Errorf("answered with headers % x", f.Headers)
		}
		s.Discard()
	}

	m, client, _ := clientPair(t, heddle.V1, session.Options{})
	s, err := m.Open(session.OpenOptions{Method: methods["get"], Headers: []codec.Header{{Name: []byte("trace_id"), Value: make([]byte, 8)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Discard()
	if f := client.next(t, heddle.V1); codec.ArgCount(f.Headers) != 1 {
		t.Errorf("called with headers % x", f.Headers)
	}
}

// A first frame may be as large as any: it is a call like the others.
func TestLargeFirstCall(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		_, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: d}})
		args := codec.AppendRaw([]byte{0x91}, make([]byte, 1<<20))
		frame := codec.AppendMethod(nil, d, 1, 0, args)
		for len(frame) > 0 { // as a socket would bring it
			n := min(len(frame), 100_000)
			raw.Write(frame[:n])
			frame = frame[n:]
		}
		if s := <-calls; !bytes.Equal(s.Args(), args) {
			t.Errorf("%v: %d bytes of arguments", d, len(s.Args()))
		}
	}
}

// Close answers a call that has no result, in the dialect's own way.
func TestCloseIsTheVoidAnswer(t *testing.T) {
	for _, c := range []struct {
		dialect heddle.Dialect
		method  string
		want    string
	}{
		{heddle.V0, "get", "\x93\x06\x01\x90"},
		{heddle.V0, "emit", "\x93\x06\x01\x90"},
		{heddle.V1, "get", "\x93\x01\x00\x90"},
		{heddle.V1, "stream", "\x93\x01\x02\x90"},
		{heddle.V1, "both", "\x93\x01\x02\x90"},
		{heddle.V1, "emit", ""},
	} {
		_, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: c.dialect}})
		raw.Write(codec.AppendMethod(nil, c.dialect, 1, methods[c.method].ID, []byte{0x90}))
		s := <-calls
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s.Abort(io.ErrUnexpectedEOF) // too late
		raw.Write(codec.AppendMethod(nil, c.dialect, 2, 0, []byte{0x90}))
		(<-calls).Close()
		want := c.want + "\x93\x06\x02\x90"
		if c.dialect == heddle.V1 {
			want = c.want + "\x93\x02\x00\x90"
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(raw, got); err != nil || string(got) != want {
			t.Errorf("%v %s: % x, want % x", c.dialect, c.method, got, want)
		}
	}
}

// What v0 makes of values and writes.
func TestSayInV0(t *testing.T) {
	for _, c := range []struct {
		method, args, want string
		id                 uint64
	}{
		{"get", "\x90", "\x93\x06\x01\x90", 0},
		{"get", "\x91\xa1a", "\x93\x04\x01\x91\xa2\xa1a\x93\x06\x01\x90", 0},
		{"get", "\x92\x01\x02", "\x93\x04\x01\x91\xa3\x92\x01\x02\x93\x06\x01\x90", 0},
		{"get", "\x92\x92\x0a\x05\xa1e", "\x93\x05\x01\x92\x05\xa1e\x93\x06\x01\x90", 1},
		{"stream", "\x91\xa1a", "\x93\x04\x01\x91\xa1a", 0},
		{"stream", "\x91\x81\x01\x02", "\x93\x04\x01\x91\xa3\x81\x01\x02", 0},
		{"stream", "\x92\xa1a\x01", "\x93\x04\x01\x91\xa4\x92\xa1a\x01", 0},
		{"stream", "\x90", "\x93\x06\x01\x90", 2},
	} {
		_, raw, calls := servicePeer(t, session.Options{})
		raw.Write(codec.AppendMethod(nil, heddle.V0, 1, methods[c.method].ID, []byte{0x90}))
		if err := (<-calls).Say(c.id, []byte(c.args)); err != nil {
			t.Errorf("%s %d % x: %v", c.method, c.id, c.args, err)
			continue
		}
		got := make([]byte, len(c.want))
		if _, err := io.ReadFull(raw, got); err != nil || string(got) != c.want {
			t.Errorf("%s %d % x: sent % x, want % x", c.method, c.id, c.args, got, c.want)
		}
	}
	_, raw, calls := servicePeer(t, session.Options{})
	raw.Write(codec.AppendMethod(nil, heddle.V0, 1, 1, []byte{0x90}))
	s := <-calls
	if err := s.Say(0, []byte{0x90}); err != session.ErrArgs {
		t.Errorf("a write of nothing: %v", err)
	}
	if err := s.Say(1, []byte{0x91, 5}); err != session.ErrArgs {
		t.Errorf("an error that is none: %v", err)
	}
}

// A revoke by the client ends what serves its call.
func TestRevokeEndsTheServing(t *testing.T) {
	m, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}})
	raw.Write(codec.AppendMethod(nil, heddle.V1, 1, 1, []byte{0x90}))
	s := <-calls
	raw.Write([]byte("\x93\x02\xcd\xff\xff\x92\x01\x92\x20\x04"))
	<-s.Context().Done()
	var e *session.Error
	if !errors.As(s.Cause(), &e) || e.Category != 32 || e.Code != 4 {
		t.Errorf("cause %v", s.Cause())
	}
	if err := s.WriteChunk([]byte("late")); !errors.As(err, &e) {
		t.Errorf("a write after it: %v", err)
	}
	if _, err := recv(t, s); !errors.As(err, &e) {
		t.Errorf("a read after it: %v", err)
	}
	s.Close()
	if f := raw.next(t, heddle.V1); f.Session != 2 || f.Type != 0 || len(f.Args) != 1 {
		t.Errorf("answered %+v", f)
	}
	waitZero(t, m.Sessions)
}

// More calls than the service has room for are refused, one by one.
func TestTooManyCalls(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		m, raw, calls := servicePeer(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: d}, MaxSessions: 2})
		for id := uint64(1); id <= 3; id++ {
			raw.Write(codec.AppendMethod(nil, d, id, 0, []byte{0x90}))
		}
		if f := raw.next(t, d); d == heddle.V1 && (f.Session != 3 || f.Type != heddle.MsgError) || d == heddle.V0 && (f.Session != 3 || f.Type != heddle.TypeV0Error) {
			t.Errorf("%v: %+v", d, f)
		}
		(<-calls).Close()
		(<-calls).Close()
		waitZero(t, m.Sessions)
	}
}

// Whoever says much to a peer that does not read waits, until his deadline.
func TestSayWaitsForRoom(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	m := session.NewMux(x, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true}})
	x.Stall(true)
	x.Start(m)
	y.Start(&sink{})
	s := mustCall(t, m, "stream", nil)
	args := codec.AppendRaw([]byte{0x91}, make([]byte, 600<<10))
	for range 2 {
		if err := s.Say(0, args); err != nil {
			t.Fatal(err)
		}
	}
	s.SetWriteDeadline(time.Now())
	if err := s.Say(0, args); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("over the mark: %v", err)
	}
	s.SetWriteDeadline(time.Time{})
	said := make(chan error)
	go func() { said <- s.Say(0, args) }() // ends with the room
	x.Stall(false)
	if err := <-said; err != nil {
		t.Error(err)
	}
}

// The low-level face has one callback for all of it.
func TestChannelTellsCalls(t *testing.T) {
	type call struct {
		sid, id uint64
		args    string
	}
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		told := make(chan call, 4)
		x, y := sessiontest.Pipe(t)
		ask := session.NewMux(x, session.Options{ChannelOptions: session.ChannelOptions{Dialect: d, Service: true, Dialed: true}})
		l := session.NewChannel(y, session.ReceiverOf(session.Callbacks{OnCall: func(sid, id uint64, args []byte) {
			told <- call{sid, id, string(args)}
		}}, y), session.ChannelOptions{Dialect: d, Service: true})
		x.Start(ask)
		y.Start(l)
		s := mustCall(t, ask, "stream", nil)
		if c := <-told; c != (call{1, 1, "\x90"}) {
			t.Errorf("%v: %+v", d, c)
		}
		if err := l.Send(1, codec.AppendChunk(nil, d, 1, []byte("a"))); err != nil {
			t.Fatal(err)
		}
		if _, err := recv(t, s); err != nil {
			t.Error(err)
		}
		s.Discard()
	}
}
