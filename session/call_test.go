package session_test

import (
	"errors"
	"io"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// The methods of the service that the tests of calls have.
var (
	publish = session.NewTable(session.Arm{ID: 0, Name: "discard", Next: session.Mute})
	methods = map[string]*session.Method{
		"get":    {ID: 0, Name: "get", Upstream: session.Primitive},
		"stream": {ID: 1, Name: "stream", Dispatch: session.Streaming, Upstream: session.Streaming},
		"fail":   {ID: 3, Name: "fail", Upstream: session.Primitive},
		"emit":   {ID: 2, Name: "emit", Upstream: session.Mute},
		"both": {ID: 5, Name: "both", Upstream: session.NewTable(
			session.Arm{ID: 0, Name: "value", Next: session.Mute}, session.Arm{ID: 2, Name: "close", Next: session.Mute})},
		"publish": {ID: 4, Name: "publish", Dispatch: publish, Upstream: session.Primitive},
	}
)

func methodOf(id uint64) *session.Method {
	for _, m := range methods {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// serve answers calls of methods.
func serve(s *session.Session) {
	defer s.Discard()
	switch s.Method().Name {
	case "get":
		s.Say(0, s.Args())
	case "fail":
		e := &session.Error{Category: heddle.CategoryLocator, Code: 1, Msg: "service is not available"}
		s.Abort(e)
	case "publish":
		s.Say(0, []byte{0x90})
	case "stream":
		for {
			msg, err := s.Recv()
			var e *session.Error
			switch {
			case err == io.EOF:
				s.Close()
				return
			case errors.As(err, &e):
				s.Abort(e)
				return
			case err != nil:
				return
			case msg.Kind == session.Said:
				s.Say(msg.ID, msg.Data)
			default:
				s.WriteChunk(msg.Data)
			}
		}
	default:
		s.Close()
	}
}

// servicePair is both ends of a Service channel over a pipe.
func servicePair(t *testing.T, d heddle.Dialect) (ask, ans *session.Mux) {
	t.Helper()
	x, y := sessiontest.Pipe(t)
	o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: d, Service: true, Dialed: true}}
	ask = session.NewMux(x, o)
	o.Dialed = false
	o.Methods = methodOf
	o.Accept = func(s *session.Session) error {
		go serve(s) // ends with its session
		return nil
	}
	ans = session.NewMux(y, o)
	x.Start(ask)
	y.Start(ans)
	return ask, ans
}

func recv(t *testing.T, s *session.Session) (session.Message, error) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	return s.Recv()
}

func TestCallsBetweenOurEnds(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) {
			ask, ans := servicePair(t, d)
			args := codec.AppendRawString([]byte{0x91}, "key")
			for range 3 {
				s, err := ask.Open(session.OpenOptions{Method: methods["get"], First: args})
				if err != nil {
					t.Fatal(err)
				}
				msg, err := recv(t, s)
				if err != nil {
					t.Fatal(err)
				}
				want := string(args)
				if d == heddle.V0 {
					want = want[1:] // packed once, without the array
				}
				if string(msg.Data) != want {
					t.Fatalf("got % x, want % x", msg.Data, want)
				}
				if _, err := recv(t, s); err != io.EOF {
					t.Fatalf("after the value: %v", err)
				}
			}
			s, err := ask.Open(session.OpenOptions{Method: methods["stream"]})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{"one", ""} {
				if err := s.WriteChunk([]byte(p)); err != nil {
					t.Fatal(err)
				}
				msg, err := recv(t, s)
				got := string(msg.Data)
				if d == heddle.V1 {
					got = got[2:]
				}
				if err != nil || got != p {
					t.Fatalf("%q, %v", msg.Data, err)
				}
			}
			s.Close()
			if _, err := recv(t, s); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
			s, err = ask.Open(session.OpenOptions{Method: methods["emit"]})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := recv(t, s); err != io.EOF {
				t.Fatalf("mute: %v", err)
			}
			waitZero(t, ask.Sessions)
			waitZero(t, ask.Load)
			waitZero(t, ans.Sessions)
		})
	}
}
