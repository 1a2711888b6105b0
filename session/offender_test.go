package session_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// rawPair is a Mux that asks, and its peer as bare bytes.
func rawPair(t *testing.T, o session.Options) (*session.Mux, *rawEnd) {
	t.Helper()
	a, b := sessiontest.Pipe(t)
	m := session.NewMux(a, o)
	raw := &rawEnd{end: b}
	raw.cond = sync.NewCond(&raw.mu)
	a.Start(m)
	b.Start(raw)
	return m, raw
}

// next reads one frame from the raw side.
func (r *rawEnd) next(t *testing.T, d heddle.Dialect) codec.Frame {
	t.Helper()
	var buf []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("no frame: %v after % x", err, buf)
		}
		buf = append(buf, one...)
		f, _, err := codec.NewDecoder(d, codec.Limits{}).Next(buf)
		if err == nil {
			return f
		}
		if err != codec.ErrShort {
			t.Fatal(err)
		}
	}
}

// A worker that floods without credit loses that session, with an error on
// both sides; its neighbour and the channel do not notice.
func TestFloodWithoutCreditEndsThatSessionOnly(t *testing.T) {
	m, raw := rawPair(t, session.Options{ChannelOptions: channels["heddle"]})
	bad, err := m.Open(session.OpenOptions{Event: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	good, err := m.Open(session.OpenOptions{Event: "good"})
	if err != nil {
		t.Fatal(err)
	}
	raw.next(t, heddle.V1)
	raw.next(t, heddle.V1)
	for i := 0; i < 5; i++ { // the head, 64 KiB of credit, and more
		raw.Write(codec.AppendChunk(nil, heddle.V1, bad.ID(), make([]byte, 30<<10)))
	}
	raw.Write(codec.AppendChunk(nil, heddle.V1, good.ID(), []byte("fine")))
	raw.Write(codec.AppendChoke(nil, heddle.V1, good.ID()))

	if f := raw.next(t, heddle.V1); f.Session != bad.ID() || f.Type != heddle.ExtCancel {
		t.Fatalf("the offender was told %+v, want a cancel of session %d", f, bad.ID())
	}
	if got, err := io.ReadAll(good); err != nil || string(got) != "fine" {
		t.Fatalf("neighbour: %q, %v", got, err)
	}
	_, err = io.ReadAll(bad)
	var e *session.Error
	if !errors.As(err, &e) || e.Remote || !strings.Contains(e.Msg, "window") {
		t.Fatalf("reader of the flood: %v", err)
	}
	if n := m.Counters().Overrun; n != 1 {
		t.Errorf("counted %d overruns", n)
	}
}

// Empty chunks are not free.
func TestEmptyChunksCost(t *testing.T) {
	m, raw := rawPair(t, session.Options{ChannelOptions: channels["heddle"]})
	s, _ := m.Open(session.OpenOptions{Event: "x"})
	raw.next(t, heddle.V1)
	empty := codec.AppendChunk(nil, heddle.V1, s.ID(), nil)
	for i := 0; i < session.DefaultWindow/session.ChunkCost+2; i++ {
		raw.Write(empty)
	}
	if f := raw.next(t, heddle.V1); f.Type != heddle.ExtCancel {
		t.Fatalf("%+v, want a cancel", f)
	}
	s.Discard()
}

// Heads are exempt from credit and bounded by themselves.
func TestHeadsAreBounded(t *testing.T) {
	for name, frame := range map[string]func(id uint64) []byte{
		"head": func(id uint64) []byte { return codec.AppendChunk(nil, heddle.V1, id, make([]byte, session.MaxHead+1)) },
		"infos": func(id uint64) (p []byte) {
			args, _ := (&heddle.Info{Code: 103, Headers: []heddle.Header{{Name: heddle.Raw("A"), Value: make(heddle.Raw, 60<<10)}}}).MarshalMsg(nil)
			for i := 0; i < 60; i++ {
				p = codec.AppendExtension(p, id, heddle.ExtInfo, args)
			}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, raw := rawPair(t, session.Options{ChannelOptions: channels["heddle"]})
			s, _ := m.Open(session.OpenOptions{Event: "x"})
			raw.next(t, heddle.V1)
			raw.Write(frame(s.ID()))
			if f := raw.next(t, heddle.V1); f.Type != heddle.ExtCancel {
				t.Fatalf("%+v, want a cancel", f)
			}
			s.Discard()
		})
	}
}

// Toward a peer without windows a stream may queue up to its buffer.
func TestPlainPeerIsBoundedByTheBuffer(t *testing.T) {
	m, raw := rawPair(t, session.Options{ChannelOptions: channels["v1"], Buffer: 100 << 10})
	s, _ := m.Open(session.OpenOptions{Event: "x"})
	raw.next(t, heddle.V1)
	for i := 0; i < 4; i++ {
		raw.Write(codec.AppendChunk(nil, heddle.V1, s.ID(), make([]byte, 32<<10)))
	}
	if f := raw.next(t, heddle.V1); f.Type != heddle.MsgError && f.Type != heddle.MsgClose {
		t.Fatalf("%+v", f)
	}
	n, err := io.Copy(io.Discard, s)
	var e *session.Error
	if !errors.As(err, &e) || n != 96<<10 {
		t.Fatalf("read %d bytes, then %v", n, err)
	}
}

// Toward a peer without windows all streams together may queue what the budget has,
// and a little each.
func TestPlainPeersAreBoundedByTheBudget(t *testing.T) {
	const piece, streams = 32 << 10, 8
	budget := &session.Budget{Limit: 2 << 20}
	m, raw := rawPair(t, session.Options{ChannelOptions: channels["v1"], Budget: budget})
	var all []*session.Session
	for range streams {
		s, err := m.Open(session.OpenOptions{Event: "x"})
		if err != nil {
			t.Fatal(err)
		}
		raw.next(t, heddle.V1)
		all = append(all, s)
	}
	for range 48 { // 1.5 MiB each, 12 MiB in all
		for _, s := range all {
			raw.Write(codec.AppendChunk(nil, heddle.V1, s.ID(), make([]byte, piece)))
		}
	}
	for _, s := range all {
		if f := raw.next(t, heddle.V1); f.Type != heddle.MsgError {
			t.Fatalf("%+v", f)
		}
		n, err := io.Copy(io.Discard, s)
		var e *session.Error
		if !errors.As(err, &e) || n < piece || n > 2<<20 {
			t.Errorf("read %d bytes, then %v", n, err)
		}
		s.Discard()
	}
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// A peer that opens and cancels in a loop gains nothing: sessions are kept
// until the handler has returned, and over the limit they are refused.
func TestOpenAndCancelInALoop(t *testing.T) {
	hold := make(chan struct{})
	var running sync.WaitGroup
	o := session.Options{ChannelOptions: channels["heddle"], MaxSessions: 8}
	o.Dialed = true
	peak := 0
	var mu sync.Mutex
	o.Accept = func(s *session.Session) error {
		mu.Lock()
		peak++
		mu.Unlock()
		running.Add(1)
		go func() { // ends when the test lets go
			defer running.Done()
			<-hold
			s.Close()
			s.Discard()
		}()
		return nil
	}
	m, raw := rawPair(t, o)
	const loops = 5000
	for i := uint64(0); i < loops; i++ {
		p := codec.AppendInvoke(nil, heddle.V1, 2+2*i, "x", -1)
		raw.Write(codec.AppendCancel(p, 2+2*i, 42, 1, "never mind"))
	}
	raw.Write(codec.AppendHeartbeat(nil, heddle.V1))
	for m.Counters().Refused < loops-8 || m.Sessions() > 8 { // the last may be on its way out
		time.Sleep(time.Millisecond)
	}
	mu.Lock()
	if peak > 16 {
		t.Errorf("%d handlers ran at once, limit is 8 a side", peak)
	}
	if m.Sessions() != peak {
		t.Errorf("%d sessions kept, %d handlers", m.Sessions(), peak)
	}
	mu.Unlock()
	if c := m.Counters(); c.Refused != loops-uint64(peak) {
		t.Errorf("refused %d of %d", c.Refused, loops)
	}
	close(hold)
	running.Wait()
	waitZero(t, m.Sessions)
}

// A chunk behind the peer's own choke is ignored and counted.
func TestWriteAfterChokeIsCounted(t *testing.T) {
	hold := make(chan struct{})
	o := session.Options{ChannelOptions: channels["heddle"]}
	o.Dialed = true
	o.Accept = func(s *session.Session) error {
		go func() { // ends when the test lets go
			<-hold
			got, err := io.ReadAll(s)
			if err != nil || string(got) != "a" {
				t.Errorf("read %q, %v", got, err)
			}
			s.Finish([]byte("ok"))
			s.Discard()
		}()
		return nil
	}
	m, raw := rawPair(t, o)
	p := codec.AppendInvoke(nil, heddle.V1, 2, "x", -1)
	p = codec.AppendChunk(p, heddle.V1, 2, []byte("a"))
	p = codec.AppendChoke(p, heddle.V1, 2)
	p = codec.AppendChunk(p, heddle.V1, 2, []byte("late"))
	raw.Write(codec.AppendChoke(p, heddle.V1, 2))
	for m.Counters().Accepted < 1 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	if f := raw.next(t, heddle.V1); f.Type != heddle.MsgWrite {
		t.Fatalf("%+v", f)
	}
	if f := raw.next(t, heddle.V1); f.Type != heddle.MsgClose {
		t.Fatalf("%+v", f)
	}
	if n := m.Counters().Ignored; n < 1 {
		t.Errorf("counted %d ignored frames", n)
	}
}

// What closes the whole channel, and the error that says so.
func TestChannelErrors(t *testing.T) {
	for name, c := range map[string]struct {
		opts  session.ChannelOptions
		bytes []byte
		want  error
	}{
		"unknown message":         {channels["v1"], append(codec.AppendInvoke(nil, heddle.V1, 2, "e", -1), 0x93, 2, 9, 0x90), session.ErrProtocol},
		"unknown extension":       {channels["heddle"], append(codec.AppendInvoke(nil, heddle.V1, 2, "e", -1), 0x93, 2, 60, 0x90), session.ErrProtocol},
		"invoke without event":    {channels["v1"], []byte{0x93, 2, 0, 0x90}, session.ErrProtocol},
		"chunk of a number":       {channels["v1"], append(codec.AppendInvoke(nil, heddle.V1, 2, "e", -1), 0x93, 2, 0, 0x91, 5), session.ErrProtocol},
		"error with an int":       {channels["v1"], append(codec.AppendInvoke(nil, heddle.V1, 2, "e", -1), 0x93, 2, 1, 0x92, 5, 0xa1, 'x'), session.ErrProtocol},
		"first message no invoke": {channels["v1"], []byte{0x93, 2, 2, 0x90}, session.ErrProtocol},
		"endless first frame":     {channels["v1"], append([]byte{0x93, 1, 0, 0x91, 0xdb, 0, 0xff, 0xff, 0}, make([]byte, session.MaxFirst)...), codec.ErrTooLarge},
		"session 0":               {channels["v1"], []byte{0x93, 0, 0, 0x91, 0xa1, 'u'}, session.ErrProtocol},
		"impossible frame":        {channels["v1"], []byte{0xc1}, nil},
		"too large":               {channels["v1"], []byte{0x93, 2, 0, 0x91, 0xdb, 0x7f, 0xff, 0xff, 0xff}, codec.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan error, 1)
			o := session.Options{ChannelOptions: c.opts, Control: ending{closed: closed}, Accept: func(s *session.Session) error { s.Discard(); return nil }}
			o.Dialed = true
			_, raw := rawPair(t, o)
			raw.Write(c.bytes)
			err := <-closed
			var syn *codec.SyntaxError
			if c.want == nil && !errors.As(err, &syn) || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("closed with %v, want %v", err, c.want)
			}
			if _, err := raw.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the peer's read: %v, want io.EOF", err)
			}
		})
	}
}

type ending struct {
	closer
	closed chan error
}

func (e ending) OnClose(_ *session.Mux, err error) { e.closed <- err }

// A peer that opens sessions and never reads that they are refused is cut off
// before it has filled the outbox.
func TestOpensWithoutReading(t *testing.T) {
	closed := make(chan error, 1)
	o := session.Options{ChannelOptions: channels["heddle"], Control: ending{closed: closed}}
	o.Dialed = true
	a, b := sessiontest.Pipe(t)
	m := session.NewMux(a, o)
	raw := &rawEnd{end: b}
	raw.cond = sync.NewCond(&raw.mu)
	a.Stall(true)
	a.Start(m)
	b.Start(raw)
	for i := uint64(1); ; i++ {
		if _, err := raw.end.Send(codec.AppendInvoke(nil, heddle.V1, 2*i, "x", -1), nil); err != nil {
			break
		}
		if i == 1<<20 {
			t.Fatal("a million refusals are queued")
		}
		for i%1000 == 0 && m.Counters().Accepted < i && m.Drain(nil) == nil {
			time.Sleep(time.Millisecond)
		}
		if i%1000 == 0 && m.Drain(nil) != nil {
			break // the channel is given up, though it cannot close yet
		}
	}
	a.Stall(false)
	if err := <-closed; !errors.Is(err, session.ErrProtocol) {
		t.Fatalf("closed with %v", err)
	}
	if m.Sessions() != 0 {
		t.Errorf("%d sessions left", m.Sessions())
	}
}

// Answers that fill the outbox are no refusals: a session that is refused behind
// them is refused alone.
func TestRefusedBehindAnswers(t *testing.T) {
	accepted := make(chan *session.Session, 8)
	o := session.Options{ChannelOptions: channels["heddle"], MaxSessions: 8}
	o.Dialed = true
	o.Accept = func(s *session.Session) error { accepted <- s; return nil }
	a, b := sessiontest.Pipe(t)
	m := session.NewMux(a, o)
	raw := &rawEnd{end: b}
	raw.cond = sync.NewCond(&raw.mu)
	a.Stall(true)
	a.Start(m)
	b.Start(raw)
	for i := uint64(1); i <= 8; i++ {
		raw.Write(codec.AppendInvoke(nil, heddle.V1, 2*i, "x", -1))
	}
	for range 8 { // heads cost no credit
		if s := <-accepted; m.Link().Queued() < session.HighWater {
			if err := s.WriteChunk(make([]byte, session.MaxHead/2)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := m.Link().Queued(); n < session.HighWater {
		t.Fatalf("%d bytes are queued, which is not full", n)
	}
	const more = 1000
	for i := uint64(9); i < 9+more; i++ {
		raw.Write(codec.AppendInvoke(nil, heddle.V1, 2*i, "x", -1))
	}
	for m.Counters().Refused < more && m.Drain(nil) == nil {
		time.Sleep(time.Millisecond)
	}
	if err := m.Drain(nil); err != nil {
		t.Fatalf("after %d refusals: %v", m.Counters().Refused, err)
	}
}

// Toward a peer that has not ended its own direction, the handler's context
// ends when the session has been answered and given up.
func TestDiscardEndsTheContext(t *testing.T) {
	a, b := sessiontest.Pipe(t)
	got := make(chan *session.Session, 1)
	o := session.Options{ChannelOptions: channels["v1"], Accept: func(s *session.Session) error { got <- s; return nil }}
	o.Dialed = true
	a.Start(session.NewMux(a, o))
	raw := &rawEnd{end: b}
	raw.cond = sync.NewCond(&raw.mu)
	b.Start(raw)
	raw.Write(codec.AppendInvoke(nil, heddle.V1, 2, "x", -1))
	s := <-got
	s.Close()
	if s.Context().Err() != nil {
		t.Fatal("the context ended with the answer, before the handler has returned")
	}
	s.Discard()
	<-s.Context().Done()
}

// Descriptors that the kernel will not take end the session they were for.
func TestRefusedFilesEndTheirSession(t *testing.T) {
	m, raw := rawPair(t, session.Options{ChannelOptions: channels["heddle"]})
	s, err := m.Open(session.OpenOptions{Event: "x"})
	if err != nil {
		t.Fatal(err)
	}
	raw.next(t, heddle.V1)
	m.Link().Do(func() { m.OnRefuse(codec.AppendFiles(nil, s.ID(), 1), syscall.ETOOMANYREFS) })
	var e *session.Error
	if _, err := s.Recv(); !errors.As(err, &e) || e.Code != int64(syscall.ETOOMANYREFS) {
		t.Fatalf("reader got %v", err)
	}
	if f := raw.next(t, heddle.V1); f.Type != heddle.ExtCancel {
		t.Fatalf("%+v, want a cancel", f)
	}
}
