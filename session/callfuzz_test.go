package session

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// countingLink counts what is said, as a peer who reads nothing.
type countingLink struct {
	nobodysLink
	queued  int
	aborted bool
	tasks   []func()
}

func (l *countingLink) Send(head, body []byte) (int64, error) {
	l.queued += len(head) + len(body)
	return int64(l.queued), nil
}
func (l *countingLink) SendControl(p []byte) error { l.queued += len(p); return nil }
func (l *countingLink) Queued() int                { return l.queued }
func (l *countingLink) Abort(error)                { l.aborted = true }
func (l *countingLink) Do(f func()) error          { l.tasks = append(l.tasks, f); return nil }

// caller is a Handler that counts, and answers on the loop.
type caller struct {
	t       testing.TB
	ended   map[*Session]bool
	answers bool
}

func (c *caller) OnMessage(s *Session, m Message) {
	if c.ended[s] {
		c.t.Fatalf("a message of kind %v after the end", m.Kind)
	}
	if c.answers {
		_ = s.Say(m.ID, m.Data)
	}
}
func (c *caller) OnWritable(*Session) {}
func (c *caller) OnEnd(s *Session, _ error) {
	if c.ended[s] {
		c.t.Fatal("ended twice")
	}
	c.ended[s] = true
	if c.answers {
		s.Finish()
	}
}

var (
	fuzzInner   = NewTable(Arm{0, "step", nil}, Arm{3, "back", Mute}, Arm{1, "error", Mute})
	fuzzMethods = []*Method{
		{ID: 0, Name: "get", Upstream: Primitive},
		{ID: 1, Name: "stream", Dispatch: Streaming, Upstream: Streaming},
		{ID: 2, Name: "emit"},
		{ID: 3, Name: "deep", Dispatch: NewTable(Arm{0, "down", fuzzInner}, Arm{2, "close", Mute}), Upstream: fuzzInner},
	}
)

// Frames of few ids and messages, so that they meet; every other input is
// bytes as they are. Neither end may panic, and what it keeps is bounded by
// what may be open.
func FuzzServiceMux(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0})
	f.Add([]byte{1, 0, 1, 0, 1, 0, 2, 1, 3})
	f.Add([]byte{2, 1, 1, 0, 2, 1, 1, 2, 0, 1, 2, 0, 9, 8, 4})
	f.Add([]byte{3, 0, 4, 0, 1, 0, 5, 0, 0, 0, 6, 0})
	f.Add([]byte{3, 2, 0x93, 1, 0, 0x90})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 || len(in) > 4096 {
			return
		}
		d := heddle.Dialect(in[0] & 1)
		dialed := in[0]&2 != 0
		handler := &caller{t: t, ended: make(map[*Session]bool), answers: !dialed}
		link := new(countingLink)
		m := NewMux(link, Options{
			ChannelOptions: ChannelOptions{Dialect: d, Service: true, Dialed: dialed},
			MaxSessions:    16, Buffer: 64,
			Methods: func(id uint64) *Method {
				if id < uint64(len(fuzzMethods)) {
					return fuzzMethods[id]
				}
				return nil
			},
			Accept: func(s *Session) error {
				if s.Event() != "stream" || s.ID()%2 == 0 {
					s.SetHandler(handler)
					handler.ended[s] = false
				}
				return nil
			},
		})
		var raw []byte
		if in[1]&2 != 0 {
			raw = in[2:]
		} else {
			for p := in[2:]; len(p) >= 3; p = p[3:] {
				raw = appendFuzzed(raw, d, p)
			}
		}
		if dialed {
			for i := range 12 {
				o := OpenOptions{Method: fuzzMethods[i%len(fuzzMethods)], Last: i%3 == 0}
				if i%2 == 0 {
					o.Handler = handler
				}
				s, err := m.Open(o)
				if err != nil {
					t.Fatal(err)
				}
				if o.Handler != nil {
					handler.ended[s] = false
				}
			}
		}
		var err error
		for len(raw) > 0 && err == nil {
			cut := min(len(raw), 7)
			n := 0
			for n == 0 && err == nil && cut <= len(raw) { // more and more until a frame is whole
				if n, err = m.OnBytes(raw[:cut]); n == 0 {
					cut++
				}
			}
			raw = raw[n:]
			if n == 0 {
				break
			}
		}
		for _, task := range link.tasks {
			task()
		}
		if n := m.Sessions(); n > 16 {
			t.Errorf("%d sessions open", n)
		}
		if n := len(m.sessions); n > 16+12 {
			t.Errorf("%d sessions in the table", n)
		}
		for id, s := range m.sessions {
			if size := s.q.sizeLocked(); size > 64+recordHead+saidHead {
				t.Errorf("session %d holds %d bytes", id, size)
			}
		}
		m.OnClose(err)
		if n := m.Sessions(); n != 0 {
			t.Errorf("%d sessions open after the channel's end", n)
		}
		for s, ok := range handler.ended {
			if !ok {
				t.Errorf("session %d (%s) was not told of its end", s.id, s.event)
			}
		}
	})
}

// appendFuzzed makes a frame of three bytes.
func appendFuzzed(dst []byte, d heddle.Dialect, p []byte) []byte {
	sid, id := uint64(p[0]%32), uint64(p[1]%8)
	if p[1] >= 0xf0 {
		id = heddle.MethodGoaway + uint64(p[1]%4)
	}
	args := [][]byte{
		{0x90}, {0x91, 0xa1, 'a'}, {0x92, 0x92, 1, 2, 0xa1, 'e'}, {0x92, 5, 0xa1, 'e'}, {0x91, 5},
		{0x92, byte(p[2] % 32), 0x92, 7, 4}, codec.AppendRaw([]byte{0x91}, binary.LittleEndian.AppendUint64(make([]byte, 60), 0)),
	}[p[2]%7]
	return codec.AppendMethod(dst, d, sid, id, args)
}

// nobodysLink is a Link of which a test implements what it needs.
type nobodysLink struct{}

func (nobodysLink) Send([]byte, []byte) (int64, error) { return 0, nil }
func (nobodysLink) SendControl([]byte) error           { return nil }
func (nobodysLink) SendFiles([]byte, []*os.File) error { return nil }
func (nobodysLink) TakeFiles(int) ([]*os.File, error)  { return nil, nil }
func (nobodysLink) Queued() int                        { return 0 }
func (nobodysLink) Written() int64                     { return 0 }
func (nobodysLink) Pause()                             {}
func (nobodysLink) Resume()                            {}
func (nobodysLink) CloseWrite()                        {}
func (nobodysLink) Close(error)                        {}
func (nobodysLink) Abort(error)                        {}
func (nobodysLink) Do(func()) error                    { return nil }
func (nobodysLink) After(time.Duration, func()) func() { return func() {} }
