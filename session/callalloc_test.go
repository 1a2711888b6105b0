//go:build !race && !loopcheck

package session

import (
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// Socket bytes to a call's handler, or to its reader, and what is said in
// return: nothing allocates, in either dialect and on either side.
func TestCallsAllocateNothing(t *testing.T) {
	stream := &Method{ID: 1, Name: "stream", Dispatch: Streaming, Upstream: Streaming}
	args := codec.AppendRaw([]byte{0x91}, make([]byte, 200))
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, dialed := range []bool{true, false} {
			for _, blocking := range []bool{true, false} {
				who := &nobody{}
				var s *Session
				m := NewMux(&nullLink{}, Options{
					ChannelOptions: ChannelOptions{Dialect: d, Service: true, Dialed: dialed},
					Methods:        func(uint64) *Method { return stream },
					Accept: func(got *Session) error {
						if !blocking {
							got.SetHandler(who)
						}
						s = got
						return nil
					},
				})
				o := OpenOptions{Method: stream}
				if !blocking {
					o.Handler = who
				}
				if !dialed {
					feed(t, m, codec.AppendMethod(nil, d, 1, 1, noArgs))
				} else if s, _ = m.Open(o); s == nil {
					t.Fatal("not opened")
				}
				chunk := codec.AppendMethod(nil, d, 1, 0, args)
				if d == heddle.V0 {
					chunk = codec.AppendChunk(nil, d, 1, args[2:])
				}
				name := d.String() + map[bool]string{true: " client", false: " service"}[dialed] + map[bool]string{true: " reads", false: " on the loop"}[blocking]
				allocs(t, name, func() {
					feed(t, m, chunk)
					if !blocking {
						return
					}
					if msg, err := s.Recv(); err != nil || len(msg.Data) < 200 {
						t.Fatalf("Recv = %d bytes, %v", len(msg.Data), err)
					}
				})
				if !blocking && who.messages == 0 {
					t.Fatal("nothing arrived")
				}
				allocs(t, name+", Say", func() {
					if err := s.Say(0, args); err != nil {
						t.Fatal(err)
					}
				})
				allocs(t, name+", Write", func() {
					if err := s.WriteChunk(args); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

// A call from its first message to its last: on the side that asks what any
// session costs, which is nothing once sessions are released; on the side that
// answers the copy of its arguments beside.
func TestOpeningACallAllocatesTheSession(t *testing.T) {
	get := &Method{ID: 0, Name: "get", Upstream: Primitive}
	args := codec.AppendRaw([]byte{0x91}, make([]byte, 100))
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		ask := NewMux(&nullLink{}, Options{ChannelOptions: ChannelOptions{Dialect: d, Service: true, Dialed: true}})
		var buf []byte
		sid := uint64(1)
		reply := func() {
			if d == heddle.V0 {
				buf = codec.AppendChoke(codec.AppendChunk(buf[:0], d, sid, args), d, sid)
			} else {
				buf = codec.AppendMethod(buf[:0], d, sid, 0, args)
			}
			feed(t, ask, buf)
			sid++
		}
		who := &nobody{}
		kept := measure(func() {
			if _, err := ask.Open(OpenOptions{Method: get, First: args, Handler: who}); err != nil {
				t.Fatal(err)
			}
			reply()
		})
		if kept > 1 {
			t.Errorf("%v: a call: %v allocations, want 1", d, kept)
		}
		h := &releaser{}
		if n := measure(func() {
			if _, err := ask.Open(OpenOptions{Method: get, First: args, Handler: h}); err != nil {
				t.Fatal(err)
			}
			reply()
		}); n > 0 {
			t.Errorf("%v: a call that is released: %v allocations, want none", d, n)
		}
		if who.ends == 0 || h.ends == 0 || ask.Sessions() != 0 {
			t.Fatalf("%d, %d ends, %d open", who.ends, h.ends, ask.Sessions())
		}

		answers := &releaser{say: args}
		ans := NewMux(&nullLink{}, Options{
			ChannelOptions: ChannelOptions{Dialect: d, Service: true},
			Methods:        func(uint64) *Method { return get },
			Accept:         func(s *Session) error { s.SetHandler(answers); return nil },
		})
		sid = 1
		if n := measure(func() {
			buf = codec.AppendMethod(buf[:0], d, sid, 0, args)
			feed(t, ans, buf)
			sid++
		}); n > 1 {
			t.Errorf("%v: answering a call: %v allocations, want 1", d, n)
		}
		if answers.ends == 0 || ans.Sessions() != 0 {
			t.Fatalf("%d answered, %d open", answers.ends, ans.Sessions())
		}
	}
}

func measure(f func()) float64 {
	for range 2000 { // more sessions than a Mux keeps
		f()
	}
	return testing.AllocsPerRun(1000, f)
}

// releaser is a Handler that says something at the end, and knows its session
// no more.
type releaser struct {
	nobody
	say []byte
}

func (r *releaser) OnEnd(s *Session, err error) {
	r.ends++
	if r.say != nil {
		_ = s.Say(0, r.say)
	}
	s.Release()
}
