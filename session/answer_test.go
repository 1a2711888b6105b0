package session_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A bareEnd is a peer of bare bytes.
type bareEnd struct {
	*sessiontest.End
	got    chan []byte
	closed chan struct{}
}

func newBareEnd(e *sessiontest.End) *bareEnd {
	b := &bareEnd{e, make(chan []byte, 64), make(chan struct{})}
	e.Start(b)
	return b
}

func (b *bareEnd) OnOpen() {}
func (b *bareEnd) OnBytes(p []byte) (int, error) {
	b.got <- bytes.Clone(p)
	return len(p), nil
}
func (b *bareEnd) OnEOF()        {}
func (b *bareEnd) OnDrain()      {}
func (b *bareEnd) OnClose(error) { close(b.closed) }

func (b *bareEnd) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := b.Send(frame, nil); err != nil {
		t.Fatal(err)
	}
}

func (b *bareEnd) next(t *testing.T) []byte {
	t.Helper()
	select {
	case p := <-b.got:
		return p
	case <-b.closed:
		t.Fatal("the channel has ended")
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return nil
}

// TestAnswerTrace: what answers a call has its caller's trace, whole or not at all.
func TestAnswerTrace(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	x.Start(session.NewMux(x, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true},
		TraceHeaders:   true, Methods: methodOf,
		Accept: func(s *session.Session) error {
			go serve(s) // ends with its session
			return nil
		},
	}))
	peer := newBareEnd(y)
	trace := session.Trace{TraceID: 1, SpanID: 2, ParentID: 3}.Headers()
	for i, c := range []struct {
		headers []codec.Header
		want    []codec.Header
	}{
		{nil, session.Trace{}.Headers()},
		{trace, trace},
		{[]codec.Header{trace[2], trace[0], trace[1]}, trace}, // in whatever order
		{trace[:2], session.Trace{}.Headers()},
	} {
		id := uint64(i + 1)
		call := codec.AppendMethod(nil, heddle.V1, id, 0, []byte{0x91, 7})
		if c.headers != nil {
			call = codec.AppendHeaders(call, 0, c.headers)
		}
		peer.send(t, call)
		want := codec.AppendHeaders(codec.AppendMethod(nil, heddle.V1, id, 0, []byte{0x91, 7}), 0, c.want)
		if got := peer.next(t); !bytes.Equal(got, want) {
			t.Errorf("%v: got % x, want % x", c.headers, got, want)
		}
	}
}

// TestRefusedIDAgain: a refused call whose caller had no more to say is over, and its
// number with it.
func TestRefusedIDAgain(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	x.Start(session.NewMux(x, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true}, Methods: methodOf,
		Accept: func(*session.Session) error { return errors.New("no") },
	}))
	peer := newBareEnd(y)
	peer.send(t, codec.AppendMethod(nil, heddle.V1, 1, methods["stream"].ID, []byte{0x90}))
	peer.next(t)
	peer.send(t, codec.AppendMethod(nil, heddle.V1, 1, heddle.MsgClose, []byte{0x90})) // it may not know yet
	peer.send(t, codec.AppendMethod(nil, heddle.V1, 2, methods["get"].ID, []byte{0x90}))
	peer.next(t)
	peer.send(t, codec.AppendMethod(nil, heddle.V1, 2, methods["get"].ID, []byte{0x90}))
	select {
	case <-peer.closed:
	case p := <-peer.got:
		t.Errorf("got % x, want the end", p)
	case <-time.After(10 * time.Second):
		t.Error("the channel lives on")
	}
}

// A tryer sends chunks as its session has room.
type tryer struct{ writable chan struct{} }

func (*tryer) OnMessage(*session.Session, session.Message) {}
func (h *tryer) OnWritable(*session.Session)               { h.writable <- struct{}{} }
func (*tryer) OnEnd(*session.Session, error)               {}

// TestTryWriteChunk: a chunk goes whole or not at all, and OnWritable tells when.
func TestTryWriteChunk(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	m := session.NewMux(x, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}})
	x.Start(m)
	var all []byte
	var mu sync.Mutex
	got := func() int { mu.Lock(); defer mu.Unlock(); return len(all) }
	y.Start(reader{func(p []byte) { mu.Lock(); all = append(all, p...); mu.Unlock() }})
	h := &tryer{writable: make(chan struct{}, 16)}
	s, err := m.Open(session.OpenOptions{Event: "e", Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	y.Stall(true)
	x.Stall(true)
	chunk := bytes.Repeat([]byte("x"), 100_000) // more than Write would send at once
	try := func(p []byte) (ok bool, err error) {
		done := make(chan struct{})
		if derr := x.Do(func() { ok, err = s.TryWriteChunk(p); close(done) }); derr != nil {
			t.Fatal(derr)
		}
		<-done
		return ok, err
	}
	n := 0
	for ; n < 100; n++ {
		ok, err := try(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
	}
	if n < 10 || n > 12 {
		t.Errorf("%d chunks of %d bytes went into an outbox of %d", n, len(chunk), session.HighWater)
	}
	if ok, err := try(nil); ok || err != nil {
		t.Errorf("an empty chunk: %v, %v", ok, err)
	}
	x.Stall(false)
	y.Stall(false)
	select {
	case <-h.writable:
	case <-time.After(10 * time.Second):
		t.Fatal("OnWritable is not called")
	}
	if ok, err := try(nil); !ok || err != nil {
		t.Errorf("an empty chunk: %v, %v", ok, err)
	}
	want := len(codec.AppendInvoke(nil, heddle.V1, 2, "e", -1)) + n*len(codec.AppendChunk(nil, heddle.V1, 2, chunk)) + len(codec.AppendChunk(nil, heddle.V1, 2, nil))
	for end := time.Now().Add(10 * time.Second); got() != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if got() != want {
		t.Errorf("%d bytes came, want %d", got(), want)
	}
	s.Close()
	if ok, err := try(chunk); ok || !errors.Is(err, session.ErrEnded) {
		t.Errorf("behind the end: %v, %v", ok, err)
	}
}

// A reader hands on what comes.
type reader struct{ got func(p []byte) }

func (reader) OnOpen() {}
func (r reader) OnBytes(p []byte) (int, error) {
	r.got(p)
	return len(p), nil
}
func (reader) OnEOF()        {}
func (reader) OnDrain()      {}
func (reader) OnClose(error) {}
