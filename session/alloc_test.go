//go:build !race && !loopcheck

// Under the race detector sync.Pool drops at random, and loopcheck asks for
// goroutine numbers, so nothing here would hold.

package session

import (
	"os"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// nullLink swallows what is sent, so that only this room's allocations count.
type nullLink struct{ sent, control int }

func (l *nullLink) Send(head, body []byte) (int64, error) {
	l.sent += len(head) + len(body)
	return int64(l.sent), nil
}
func (l *nullLink) SendControl(p []byte) error         { l.control += len(p); return nil }
func (l *nullLink) SendFiles([]byte, []*os.File) error { return nil }
func (l *nullLink) TakeFiles(int) ([]*os.File, error)  { return nil, nil }
func (l *nullLink) Queued() int                        { return 0 }
func (l *nullLink) Written() int64                     { return int64(l.sent) }
func (l *nullLink) Pause()                             {}
func (l *nullLink) Resume()                            {}
func (l *nullLink) CloseWrite()                        {}
func (l *nullLink) Close(error)                        {}
func (l *nullLink) Abort(error)                        {}
func (l *nullLink) Do(func()) error                    { return nil }
func (l *nullLink) After(time.Duration, func()) func() { return func() {} }

// nobody is a Handler and a Control that only counts.
type nobody struct{ messages, ends, control int }

func (n *nobody) OnMessage(_ *Session, m Message)               { n.messages++ }
func (n *nobody) OnWritable(*Session)                           { n.messages++ }
func (n *nobody) OnEnd(*Session, error)                         { n.ends++ }
func (n *nobody) OnConnect(*Mux)                                {}
func (n *nobody) OnHandshake(*Mux, []byte, *heddle.Offer) error { n.control++; return nil }
func (n *nobody) OnHeartbeat(*Mux)                              { n.control++ }
func (n *nobody) OnTerminate(*Mux, int64, []byte)               { n.control++ }
func (n *nobody) OnControl(*Mux, uint64, []byte) error          { n.control++; return nil }
func (n *nobody) OnEOF(*Mux)                                    {}
func (n *nobody) OnClose(*Mux, error)                           {}

func allocs(t *testing.T, what string, f func()) {
	t.Helper()
	f() // buffers that grow once
	if n := testing.AllocsPerRun(500, f); n != 0 {
		t.Errorf("%s: %v allocations, want 0", what, n)
	}
}

// Socket bytes to OnBytes to the generated decoders to the stream: no message
// of either dialect allocates, neither for a blocking reader nor for a
// callback. Only opening a session does, and ending it with an error that a
// reader will be given.
func TestOnBytesAllocatesNothing(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, agreed := range []bool{false, true} {
			if agreed && d == heddle.V0 {
				continue
			}
			name := d.String()
			if agreed {
				name = "heddle"
			}
			t.Run(name, func(t *testing.T) { testAllocs(t, d, agreed) })
		}
	}
}

func testAllocs(t *testing.T, d heddle.Dialect, agreed bool) {
	who := &nobody{}
	open := func(blocking bool) (*Mux, *Session) {
		var got *Session
		m := NewMux(&nullLink{}, Options{
			ChannelOptions: ChannelOptions{Dialect: d, Dialed: true, Heddle: agreed},
			Control:        who,
			Accept: func(s *Session) error {
				if !blocking {
					s.SetHandler(who)
				}
				got = s
				return nil
			},
		})
		feed(t, m, codec.AppendInvoke(nil, d, 6, "event", -1))
		if got == nil {
			t.Fatal("the session was not accepted")
		}
		return m, got
	}

	m, s := open(false)
	body := make([]byte, 200)
	trace := codec.Header{Name: []byte("trace_id"), Value: make([]byte, 8)}
	frames := map[string][]byte{
		"heartbeat": codec.AppendHeartbeat(nil, d),
		"handshake": codec.AppendHandshake(nil, d, "2f6b9b0e-0000-4000-8000-000000000000", nil),
		"terminate": codec.AppendTerminate(nil, d, 1, "normal"),
		"chunk":     codec.AppendChunk(nil, d, 6, body),
		"orphan":    codec.AppendChoke(nil, d, 1<<40),
	}
	if d == heddle.V1 {
		frames["orphan"] = codec.AppendChoke(nil, d, 4)
		frames["chunk with headers"] = codec.AppendHeaders(codec.AppendChunk(nil, d, 6, body), 0, []codec.Header{trace, trace, trace})
		frames["control"] = codec.AppendControl(nil, heddle.CtlOnline)
		frames["drain"] = codec.AppendDrain(nil, 1000)
		frames["leaving"] = codec.AppendReason(nil, heddle.CtlLeaving, "SIGTERM")
	}
	if agreed {
		args, _ := (&heddle.Trailers{Headers: []heddle.Header{{Name: heddle.Raw("A"), Value: heddle.Raw("b")}}}).MarshalMsg(nil)
		frames["window"] = codec.AppendWindow(nil, 6, 100)
		frames["trailers"] = codec.AppendExtension(nil, 6, heddle.ExtTrailers, args)
		frames["info"] = codec.AppendExtension(nil, 6, heddle.ExtInfo, args)
		frames["gone"] = codec.AppendGone(nil, 6)
		frames["cancel of an ended one"] = codec.AppendCancel(nil, 6, 42, 100, "gone")
	}
	for what, f := range frames {
		if what == "cancel of an ended one" {
			continue
		}
		allocs(t, what, func() {
			feed(t, m, f)
			s.window = s.full // as a reader's grants would
		})
	}
	if who.messages == 0 || who.control == 0 {
		t.Fatalf("nothing arrived: %+v", who)
	}
	// The ends: the same state is put back so that each run ends it anew.
	reopen := func(s *Session, m *Mux) {
		s.mu.Lock()
		s.rx, s.tx, s.over, s.txErr, s.rxErr = dirOpen, dirOpen, false, nil, nil
		s.mu.Unlock()
		m.sessions[6] = s
	}
	choke := codec.AppendChoke(nil, d, 6)
	allocs(t, "choke", func() { reopen(s, m); feed(t, m, choke) })
	if f := frames["cancel of an ended one"]; f != nil {
		allocs(t, "cancel", func() { reopen(s, m); feed(t, m, f) })
	}

	// A blocking reader: copied once into memory that the queue reuses.
	bm, bs := open(true)
	chunk := frames["chunk"]
	allocs(t, "chunk to Recv", func() {
		feed(t, bm, chunk)
		feed(t, bm, chunk)
		for i := 0; i < 2; i++ {
			if m, err := bs.Recv(); err != nil || len(m.Data) != len(body) {
				t.Fatalf("Recv = %d bytes, %v", len(m.Data), err)
			}
		}
	})
	p := make([]byte, 64)
	allocs(t, "chunk to Read", func() {
		feed(t, bm, chunk)
		for left := len(body); left > 0; {
			n, err := bs.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	})
	allocs(t, "Write", func() {
		bs.credit = bs.full
		if _, err := bs.Write(body); err != nil {
			t.Fatal(err)
		}
	})
	allocs(t, "Finish", func() {
		bs.credit = bs.full
		bs.tx, bs.txErr, bs.over = dirOpen, nil, true
		if err := bs.Finish(body, body); err != nil {
			t.Fatal(err)
		}
	})
}

func feed(t testing.TB, m *Mux, p []byte) {
	if n, err := m.OnBytes(p); n != len(p) || err != nil {
		t.Fatalf("OnBytes took %d of %d bytes, %v", n, len(p), err)
	}
}

// Opening a session, from its invoke to both its ends: one allocation, the
// Session itself, on either side.
func TestOpeningAllocatesOneSession(t *testing.T) {
	var last *Session
	m := NewMux(&nullLink{}, Options{
		ChannelOptions: ChannelOptions{Dialect: heddle.V1, Dialed: true, Heddle: true},
		Accept:         func(s *Session) error { last = s; return nil },
	})
	id := uint64(2)
	var buf []byte
	head := make([]byte, 300)
	run := func() {
		buf = codec.AppendInvoke(buf[:0], heddle.V1, id, "http", -1)
		buf = codec.AppendChunk(buf, heddle.V1, id, head)
		buf = codec.AppendChoke(buf, heddle.V1, id)
		feed(t, m, buf)
		if _, err := last.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := last.Finish(head); err != nil {
			t.Fatal(err)
		}
		last.Discard()
		id += 2
	}
	for i := 0; i < 100; i++ {
		run()
	}
	if n := testing.AllocsPerRun(1000, run); n > 1.1 { // the pool may be emptied by a collection
		t.Errorf("accepting a session: %v allocations, want 1", n)
	}

	ask := NewMux(&nullLink{}, Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	who := &nobody{}
	sid := uint64(2)
	open := func() {
		if _, err := ask.Open(OpenOptions{Event: "http", First: head, Last: true, Handler: who}); err != nil {
			t.Fatal(err)
		}
		buf = codec.AppendChunk(buf[:0], heddle.V1, sid, head)
		buf = codec.AppendChoke(buf, heddle.V1, sid)
		feed(t, ask, buf)
		sid += 2
	}
	for i := 0; i < 100; i++ {
		open()
	}
	if n := testing.AllocsPerRun(1000, open); n > 1 {
		t.Errorf("opening a session: %v allocations, want 1", n)
	}
}
