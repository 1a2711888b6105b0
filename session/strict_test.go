package session_test

import (
	"errors"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// What a peer says on a session behind its own end is ignored, but toward a plain v1
// peer with Strict it is the channel's end, as with the real runtime of 0.12.
func TestStrict(t *testing.T) {
	for _, c := range []struct {
		d      heddle.Dialect
		strict bool
		ends   bool
	}{{heddle.V0, true, false}, {heddle.V1, true, true}, {heddle.V1, false, false}} {
		choke := codec.AppendChoke(nil, c.d, 2)
		failure := codec.AppendError(nil, c.d, 2, heddle.CategoryFramework, 100, "oh")
		for name, frames := range map[string][2][]byte{
			"write after close": {choke, codec.AppendChunk(nil, c.d, 2, []byte("x"))},
			"close twice":       {choke, choke},
			"error, then close": {failure, choke},
			"error twice":       {failure, failure},
		} {
			t.Run(c.d.String()+" "+name, func(t *testing.T) {
				m, raw := rawPair(t, session.Options{ChannelOptions: session.ChannelOptions{Dialect: c.d}, Strict: c.strict})
				var last *session.Session
				for range 3 { // of v0 the second is the one, of v1 the first
					s, err := m.Open(session.OpenOptions{Event: "e", Last: true})
					if err != nil {
						t.Fatal(err)
					}
					last = s
				}
				for _, frame := range frames {
					_, _ = raw.Write(frame)
				}
				_, _ = raw.Write(codec.AppendChoke(nil, c.d, last.ID()))
				_, err := last.Recv()
				if ended := errors.Is(err, session.ErrProtocol); ended != c.ends {
					t.Errorf("the neighbour ends with %v", err)
				}
			})
		}
	}
}

// Of two whole requests in the outbox of a plain channel the second waits: the
// outbox has an end, which is the channel's.
func TestLargeRequestsOneByOne(t *testing.T) {
	a, b := sessiontest.Pipe(t)
	m := session.NewMux(a, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}})
	a.Start(m)
	b.Start(session.NewMux(b, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Dialed: true}}))
	a.Stall(true)
	large := session.OpenOptions{Event: "e", First: make([]byte, 2*session.MaxHead), Last: true}
	if _, err := m.Open(large); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(large); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("got %v, want ErrTooMany", err)
	}
	if _, err := m.Open(session.OpenOptions{Event: "e", First: []byte("small"), Last: true}); err != nil {
		t.Error(err)
	}
	a.Stall(false)
}
