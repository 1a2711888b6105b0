package session_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// closing is a Control that keeps the error that the channel ended with.
type closing struct {
	closer
	err chan error
}

func (e closing) OnClose(_ *session.Mux, err error) { e.err <- err }

// clientPair is a Mux that calls, its Control, and its service as bare bytes.
func clientPair(t *testing.T, d heddle.Dialect, o session.Options) (*session.Mux, *rawEnd, closing) {
	t.Helper()
	e := closing{err: make(chan error, 1)}
	o.ChannelOptions = session.ChannelOptions{Dialect: d, Service: true, Dialed: true, Limits: o.Limits}
	o.Control = e
	m, raw := rawPair(t, o)
	return m, raw, e
}

func mustCall(t *testing.T, m *session.Mux, name string, h session.Handler) *session.Session {
	t.Helper()
	s, err := m.Open(session.OpenOptions{Method: methods[name], Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a service may not say ends the channel: its other calls are lost, and
// the cause is a protocol violation.
func TestBreachEndsTheChannelOfV1(t *testing.T) {
	const stream, get, publish = 1, 2, 3 // calls
	frame := func(sid, id uint64, args ...byte) []byte {
		return codec.AppendMethod(nil, heddle.V1, sid, id, append([]byte{0x90 | byte(min(len(args), 1))}, args...))
	}
	two := func(a, b []byte) []byte { return append(append([]byte(nil), a...), b...) }
	for name, p := range map[string][]byte{
		"session 0":                frame(0, 0),
		"value twice":              two(frame(get, 0), frame(get, 0)),
		"value, then error":        two(frame(get, 0), frame(get, 1, 0x92, 1, 2)),
		"write after close":        two(frame(stream, 2), frame(stream, 0, 5)),
		"close twice":              two(frame(stream, 2), frame(stream, 2)),
		"error, then close":        two(frame(stream, 1, 0x92, 1, 2), frame(stream, 2)),
		"unknown message":          frame(stream, 9),
		"close of a value":         frame(get, 2),
		"value twice, ours open":   two(frame(publish, 0), frame(publish, 0)),
		"error without arguments":  frame(get, 1),
		"error of v0":              frame(get, 1, 5),
		"a call that never was":    frame(9, 0),
		"a method of ours":         frame(100, 1),
		"old number for a ping":    frame(0, heddle.MethodPing),
		"revoke without arguments": frame(9, heddle.MethodRevoke),
		"revoke without a code":    frame(9, heddle.MethodRevoke, 1),
	} {
		t.Run(name, func(t *testing.T) {
			m, raw, end := clientPair(t, heddle.V1, session.Options{})
			for _, name := range []string{"stream", "get", "publish"} {
				mustCall(t, m, name, nil).Discard()
			}
			neighbour := mustCall(t, m, "get", nil)
			raw.Write(p)
			if err := <-end.err; !errors.Is(err, session.ErrProtocol) {
				t.Fatalf("the channel ended with %v", err)
			}
			if _, err := recv(t, neighbour); !errors.Is(err, session.ErrLost) || !errors.Is(err, session.ErrProtocol) {
				t.Errorf("neighbour: %v", err)
			}
			if n := m.Sessions(); n != 0 {
				t.Errorf("%d sessions left", n)
			}
		})
	}
}

// witness is a Handler that notes what it is told.
type witness struct {
	mu   sync.Mutex
	said []string
	end  chan error
}

func newWitness() *witness { return &witness{end: make(chan error, 4)} }

func (r *witness) OnMessage(_ *session.Session, m session.Message) {
	r.mu.Lock()
	r.said = append(r.said, m.Kind.String()+" "+string(rune('0'+m.ID))+" "+string(m.Data))
	r.mu.Unlock()
}
func (r *witness) OnWritable(*session.Session)         {}
func (r *witness) OnEnd(_ *session.Session, err error) { r.end <- err }
func (r *witness) all() string                         { r.mu.Lock(); defer r.mu.Unlock(); return strings.Join(r.said, ",") }

// A call on the loop is told what was said, and its end once: also of a call
// that is not answered.
func TestCallsOnTheLoop(t *testing.T) {
	for _, c := range []struct {
		dialect heddle.Dialect
		method  string
		frames  string
		said    string
		end     error
	}{
		{heddle.V1, "get", "\x93\x01\x00\x91\xa1a", "said 0 \x91\xa1a", nil},
		{heddle.V1, "get", "\x93\x01\x01\x92\x92\x0a\x01\xa1e", "", &session.Error{ID: 1, Category: 10, Code: 1, Msg: "e", Remote: true}},
		{heddle.V1, "get", "\x93\x01\x01\x91\x92\x0a\x01", "", &session.Error{ID: 1, Category: 10, Code: 1, Remote: true}},
		{heddle.V1, "stream", "\x93\x01\x00\x91\x05\x93\x01\x00\x90\x93\x01\x02\x90", "said 0 \x91\x05,said 0 \x90", nil},
		{heddle.V1, "stream", "\x93\x02\xcd\xff\xff\x92\x01\x92\x07\x04", "", &session.Error{ID: 1, Category: 7, Code: 4, Msg: "revoked", Remote: true}},
		{heddle.V1, "emit", "", "", nil},
		{heddle.V0, "get", "\x93\x04\x01\x91\xa2\xa1a\x93\x06\x01\x90", "chunk 0 \xa1a", nil},
		{heddle.V0, "get", "\x93\x06\x01\x90", "", nil},
		{heddle.V0, "emit", "\x93\x06\x01\x90", "", nil},
		{heddle.V0, "get", "\x93\x05\x01\x92\x02\xa1e", "", &session.Error{ID: 1, Code: 2, Msg: "e", Remote: true}},
		{heddle.V0, "get", "\x93\x05\x01\x92\x02\xa1e\x93\x06\x01\x90\x93\x04\x01\x91\xa1a", "", &session.Error{ID: 1, Code: 2, Msg: "e", Remote: true}},
		{heddle.V0, "get", "\x93\x05\x01\x90", "", &session.Error{ID: 1, Category: 13, Code: 1, Msg: "session: protocol violation: arguments of a message"}},
	} {
		m, raw, _ := clientPair(t, c.dialect, session.Options{})
		r := newWitness()
		s := mustCall(t, m, c.method, r)
		raw.Write([]byte(c.frames))
		err := <-r.end
		var got, want *session.Error
		if errors.As(c.end, &want) {
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("%v %s % x: ended with %v, want %v", c.dialect, c.method, c.frames, err, c.end)
			}
		} else if err != nil {
			t.Errorf("%v %s % x: ended with %v", c.dialect, c.method, c.frames, err)
		}
		if got := r.all(); got != c.said {
			t.Errorf("%v %s % x: told %q, want %q", c.dialect, c.method, c.frames, got, c.said)
		}
		s.Close() // a stream's other direction
		waitZero(t, m.Sessions)
		waitZero(t, m.Load)
		if len(r.end) != 0 {
			t.Errorf("%v %s % x: told of the end twice", c.dialect, c.method, c.frames)
		}
	}
}

// A message that cannot be read is the v0 call's end, not the channel's.
func TestUnreadableChunkEndsItsV0Call(t *testing.T) {
	m, raw, _ := clientPair(t, heddle.V0, session.Options{})
	bad, good := mustCall(t, m, "get", nil), mustCall(t, m, "get", nil)
	raw.Write([]byte("\x93\x04\x01\x90" + "\x93\x06\x01\x90" + "\x93\x04\x02\x91\xa1a\x93\x06\x02\x90"))
	var e *session.Error
	if _, err := recv(t, bad); !errors.As(err, &e) || e.Remote {
		t.Errorf("the unreadable: %v", err)
	}
	if msg, err := recv(t, good); err != nil || string(msg.Data) != "a" {
		t.Errorf("its neighbour: %q, %v", msg.Data, err)
	}
	waitZero(t, m.Sessions)
	if n := m.Counters().Overrun; n != 1 {
		t.Errorf("%d offenders counted", n)
	}
}

// A stream that nobody reads ends at Options.Buffer; its neighbour lives, and
// what still comes for it is dropped.
func TestUnreadCallIsBounded(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		m, raw, _ := clientPair(t, d, session.Options{Buffer: 10 << 10})
		s, good := mustCall(t, m, "stream", nil), mustCall(t, m, "get", nil)
		for range 5 {
			raw.Write(codec.AppendChunk(nil, d, s.ID(), make([]byte, 4<<10)))
		}
		raw.Write(codec.AppendChoke(nil, d, s.ID()))
		raw.Write(codec.AppendChunk(nil, d, good.ID(), []byte("a")))
		if _, err := recv(t, good); err != nil {
			t.Errorf("%v: neighbour: %v", d, err)
		}
		n := 0
		for {
			_, err := recv(t, s)
			if err != nil {
				var e *session.Error
				if !errors.As(err, &e) || e.Remote || !strings.Contains(e.Msg, "buffer") {
					t.Errorf("%v: %v", d, err)
				}
				break
			}
			n++
		}
		if n != 2 {
			t.Errorf("%v: %d chunks of 4 KiB were kept", d, n)
		}
		if n := m.Counters().Overrun; n != 1 {
			t.Errorf("%v: %d overruns counted", d, n)
		}
	}
}

// What the table does not have is refused before anything is sent.
func TestSayRefuses(t *testing.T) {
	empty := []byte{0x90}
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		m, raw, _ := clientPair(t, d, session.Options{})
		get, stream, publish := mustCall(t, m, "get", nil), mustCall(t, m, "stream", nil), mustCall(t, m, "publish", nil)
		for range 3 {
			raw.next(t, d)
		}
		for i, c := range []struct {
			got, want error
		}{
			{get.Say(0, empty), session.ErrEnded},
			{get.WriteChunk(nil), session.ErrEnded},
			{stream.Say(3, empty), session.ErrNoArm},
			{stream.Say(0, []byte{0x91}), session.ErrArgs},
			{stream.Say(0, []byte{0x90, 0x90}), session.ErrArgs},
			{stream.Say(0, []byte{0x05}), session.ErrArgs},
			{stream.Say(0, nil), session.ErrArgs},
			{publish.Say(1, empty), session.ErrNoArm},
			{stream.SendInfo(empty), session.ErrUnsupported},
			{stream.SendFiles([]*os.File{nil}), session.ErrUnsupported},
			{stream.Reopen(), session.ErrUnsupported},
			{stream.Say(2, empty), nil},
			{stream.Say(0, empty), session.ErrEnded},
			{stream.Close(), nil},
		} {
			if c.got != c.want {
				t.Errorf("%v, case %d: %v, want %v", d, i, c.got, c.want)
			}
		}
		if d == heddle.V1 {
			if err := publish.WriteChunk(nil); err != session.ErrNoArm {
				t.Errorf("a write that is no arm: %v", err)
			}
		} else if err := publish.Say(0, empty); err != session.ErrNoArm { // v0 has no word for it
			t.Errorf("a discard in v0: %v", err)
		}
		if f := raw.next(t, d); f.Session != stream.ID() && f.Type != stream.ID() {
			t.Errorf("%v: %+v was sent, want only the close", d, f)
		}
		for i, o := range []session.OpenOptions{{Event: "http"}, {Method: methods["get"], First: []byte{0x91}}, {Method: methods["get"], First: []byte("abc")}} {
			if _, err := m.Open(o); err != session.ErrUnsupported && err != session.ErrArgs {
				t.Errorf("%v: open %d: %v", d, i, err)
			}
		}
		if n := m.Load(); n != 3 {
			t.Errorf("%v: %d calls open", d, n)
		}
	}
}

// The directions of a call are independent: after the answer the caller may
// still speak, and Cancel ends what is open.
func TestCancelEndsOurDirection(t *testing.T) {
	m, raw, _ := clientPair(t, heddle.V1, session.Options{})
	answered, open, published := mustCall(t, m, "stream", nil), mustCall(t, m, "stream", nil), mustCall(t, m, "publish", nil)
	for range 3 {
		raw.next(t, heddle.V1)
	}
	raw.Write(codec.AppendChoke(nil, heddle.V1, answered.ID()))
	if _, err := recv(t, answered); err != io.EOF {
		t.Fatal(err)
	}
	if err := answered.WriteChunk([]byte("still")); err != nil {
		t.Fatal(err)
	}
	if f := raw.next(t, heddle.V1); f.Session != answered.ID() || f.Type != 0 {
		t.Fatalf("%+v", f)
	}
	cause := &session.Error{Category: 42, Code: 1, Msg: "enough"}
	for _, s := range []*session.Session{answered, open} {
		s.Cancel(cause)
		if f := raw.next(t, heddle.V1); f.Session != s.ID() || f.Type != heddle.MsgError || string(f.Args) != "\x92\x92\x2a\x01\xa6enough" {
			t.Fatalf("%+v", f)
		}
	}
	if _, err := recv(t, open); err != session.ErrCanceled {
		t.Errorf("after Cancel: %v", err)
	}
	published.Cancel(cause) // its table has neither error nor close: nothing is said
	raw.Write(codec.AppendMethod(nil, heddle.V1, open.ID(), 0, []byte{0x91, 1}))
	raw.Write(codec.AppendChoke(nil, heddle.V1, open.ID()))
	raw.Write(codec.AppendMethod(nil, heddle.V1, published.ID(), 0, []byte{0x90}))
	waitZero(t, m.Sessions)
	if s := mustCall(t, m, "get", nil); raw.next(t, heddle.V1).Session != s.ID() {
		t.Error("something else was said")
	}
}

// A service whose peer opens streams that are refused, and goes on writing as
// it may: nobody is cut off, and nothing is kept.
func TestRefusedStreamsMayBeWrittenTo(t *testing.T) {
	end := closing{err: make(chan error, 1)}
	m, raw := rawPair(t, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true},
		Methods:        methodOf,
		Control:        end,
		Accept:         func(*session.Session) error { return &session.Error{Category: 42, Code: 3, Msg: "not now"} },
	})
	for id := uint64(1); id < 100; id += 3 {
		raw.Write(codec.AppendMethod(nil, heddle.V1, id, 1, []byte{0x90}))
		raw.Write(codec.AppendChunk(nil, heddle.V1, id, []byte("more")))
		if f := raw.next(t, heddle.V1); f.Session != id || f.Type != heddle.MsgError || string(f.Args) != "\x92\x92\x2a\x03\xa7not now" {
			t.Fatalf("%+v", f)
		}
		raw.Write(codec.AppendChoke(nil, heddle.V1, id))
	}
	waitZero(t, m.Sessions)
	raw.Write(codec.AppendMethod(nil, heddle.V1, 200, heddle.MethodPing, []byte{0x90}))
	if f := raw.next(t, heddle.V1); f.Session != 200 {
		t.Fatalf("%+v", f)
	}
	if c := m.Counters(); c.Refused != 33 || c.Ignored != 66 {
		t.Errorf("%+v", c)
	}
	raw.Write(codec.AppendMethod(nil, heddle.V1, 200, 0, []byte{0x90})) // of nothing that was refused
	if err := <-end.err; !errors.Is(err, session.ErrProtocol) {
		t.Errorf("the channel ended with %v", err)
	}
}

// Who only ever calls what is not answered leaves nothing behind.
func TestMuteCallsLeaveNothing(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	ended := make(chan *session.Session, 1)
	m := session.NewMux(x, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true},
		MaxSessions:    10,
		OnEnd:          func(s *session.Session) { ended <- s },
	})
	x.Start(m)
	y.Start(&sink{})
	half := &session.Method{ID: 7, Dispatch: session.Streaming}
	for range 5000 {
		s := mustCall(t, m, "emit", nil)
		if <-ended != s || s.Context().Err() == nil {
			t.Fatal("another session ended")
		}
		s, err := m.Open(session.OpenOptions{Method: half})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		<-ended
	}
	if n := m.Sessions() + m.Load(); n != 0 {
		t.Errorf("%d open", n)
	}
	count := make(chan int)
	x.Do(func() {
		n := 0
		m.Each(func(*session.Session) { n++ })
		count <- n
	})
	if n := <-count; n != 0 {
		t.Errorf("%d sessions in the table", n)
	}
}

// sink swallows what it is sent.
type sink struct{}

func (*sink) OnOpen()                       {}
func (*sink) OnBytes(p []byte) (int, error) { return len(p), nil }
func (*sink) OnEOF()                        {}
func (*sink) OnDrain()                      {}
func (*sink) OnClose(error)                 {}

// A peer that asks for answers and reads none is cut off before they fill the
// outbox.
func TestUnreadPingsEndTheChannel(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	end := closing{err: make(chan error, 1)}
	m := session.NewMux(x, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true}, Control: end})
	x.Stall(true)
	x.Start(m)
	y.Start(&sink{})
	var buf []byte
	for id := uint64(1); id <= 600_000; {
		buf = buf[:0]
		for range 1000 {
			buf = codec.AppendMethod(buf, heddle.V1, id, heddle.MethodPing, []byte{0x90})
			id++
		}
		if _, err := y.Send(buf, nil); err != nil {
			t.Fatal(err)
		}
	}
	waitZero(t, func() int { // until the channel takes no more
		if m.SendControl(nil) == nil {
			return 1
		}
		return 0
	})
	if n := x.Queued(); n > 3*session.HighWater {
		t.Errorf("%d bytes of answers wait", n)
	}
	x.Stall(false)
	if err := <-end.err; !errors.Is(err, session.ErrProtocol) {
		t.Errorf("ended with %v", err)
	}
}
