//go:build !race && !loopcheck

package bench

import (
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A stillLink takes frames and keeps nothing.
type stillLink struct{ session.Link }

func (stillLink) Send(_, _ []byte) (int64, error) { return 0, nil }
func (stillLink) Written() int64                  { return 0 }
func (stillLink) Queued() int                     { return 0 }

// TestSessionAllocatesNothing: neither opening a session nor taking its answer apart,
// counting and timing it, in steady state.
func TestSessionAllocatesNothing(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		s := &sim{t: t}
		o, err := Options{Target: AppTarget("x:1", "app", "echo"), Conns: 1, Duration: time.Hour, Requests: []Request{{Body: "{id}", Expect: "ok"}}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		dr, err := newDriver(o, s)
		if err != nil {
			t.Fatal(err)
		}
		s.driver = dr
		sl := dr.slots[0]
		c := &client{d: dr, slot: sl, ring: make([]pending, 1)}
		k := &callConn{cr: &caller{o: &dr.o}, c: c, dialect: d, method: &session.Method{Name: enqueue, Dispatch: session.Streaming, Upstream: session.Streaming}}
		c.setLink(k)
		sl.c = c
		k.mux = session.NewMux(stillLink{}, session.Options{ChannelOptions: session.ChannelOptions{Dialect: d, Dialed: true, Service: true}, Control: k})
		k.mux.OnOpen()
		number := uint64(1)
		var frame []byte
		one := func() {
			s.clock += time.Millisecond
			frame = codec.AppendChunk(frame[:0], d, number, []byte("ok"))
			frame = codec.AppendChoke(frame, d, number)
			number++
			if n, err := k.mux.OnBytes(frame); n != len(frame) || err != nil || c.ended {
				t.Fatal(n, err, c.ended)
			}
		}
		for range 20 {
			one()
		}
		if n := testing.AllocsPerRun(500, one); n != 0 {
			t.Errorf("%v: %v allocations a session", d, n)
		}
		if dr.rec.measured.answered < 500 || dr.rec.measured.errors[KindBody] != 0 {
			t.Errorf("%v: %d answered", d, dr.rec.measured.answered)
		}
	}
}
