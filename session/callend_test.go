package session

import (
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// freer is a Handler that knows its session no more at the end.
type freer struct{ ends int }

func (f *freer) OnMessage(*Session, Message) {}
func (f *freer) OnWritable(*Session)         {}
func (f *freer) OnEnd(s *Session, _ error)   { f.ends++; s.Release() }

// The last message of a call may be what ends it for another reason, and the
// session may be another's by then.
func TestLastMessageOverTheBuffer(t *testing.T) {
	put := &Method{ID: 1, Dispatch: NewTable(Arm{0, "put", Mute}), Upstream: Primitive}
	h := &freer{}
	m := NewMux(new(countingLink), Options{
		ChannelOptions: ChannelOptions{Dialect: heddle.V1, Service: true},
		Buffer:         10,
		Methods:        func(uint64) *Method { return put },
		Accept:         func(s *Session) error { s.SetHandler(h); return nil },
	})
	for id := uint64(1); id < 10; id++ {
		p := codec.AppendMethod(nil, heddle.V1, id, 1, noArgs)
		p = codec.AppendMethod(p, heddle.V1, id, 0, codec.AppendRaw([]byte{0x91}, make([]byte, 100)))
		if n, err := m.OnBytes(p); n != len(p) || err != nil {
			t.Fatalf("took %d of %d bytes, %v", n, len(p), err)
		}
	}
	if h.ends != 9 || m.Sessions() != 0 || m.Counters().Overrun != 9 || len(m.free) != 1 {
		t.Errorf("%d ends, %d open, %d free, %+v", h.ends, m.Sessions(), len(m.free), m.Counters())
	}
}

// Calls that end off the loop, on a channel where nothing arrives, do not pile
// up in its lists.
func TestEndedCallsDoNotPileUp(t *testing.T) {
	link := new(countingLink)
	m := NewMux(link, Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true}})
	half := &Method{ID: 7, Dispatch: Streaming}
	for range 10 * mostFinished {
		s, err := m.Open(OpenOptions{Method: half})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, task := range link.tasks {
			task()
		}
		link.tasks = nil
		if n := max(len(m.finished), len(m.fresh), len(m.sessions)); n > mostFinished {
			t.Fatalf("%d sessions are kept", n)
		}
	}
}

// What was said and not read counts in the budget, and no longer once it was.
func TestBudgetOfCalls(t *testing.T) {
	budget := new(Budget)
	m := NewMux(new(countingLink), Options{
		ChannelOptions: ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true},
		Budget:         budget,
	})
	s, err := m.Open(OpenOptions{Method: &Method{Upstream: Streaming}})
	if err != nil {
		t.Fatal(err)
	}
	const count, size = 1000, 103
	args := codec.AppendRaw([]byte{0x91}, make([]byte, size-4))
	for range count {
		if _, err := m.OnBytes(codec.AppendMethod(nil, heddle.V1, 1, 0, args)); err != nil {
			t.Fatal(err)
		}
	}
	for left := count; left > 0; left-- {
		if used, least := budget.Used(), int64(left*(size+ChunkCost)); used < least || used > least+s.most/2+ChunkCost+size {
			t.Fatalf("%d messages are unread, %d bytes of them; %d count", left, least, used)
		}
		if msg, err := s.Recv(); err != nil || len(msg.Data) != size {
			t.Fatalf("%d bytes, %v", len(msg.Data), err)
		}
	}
	if _, err := m.OnBytes(codec.AppendChoke(nil, heddle.V1, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err == nil || budget.Used() != 0 {
		t.Errorf("at the end: %v, %d count", err, budget.Used())
	}
}
