package session_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// Whatever sessions are open at once, however their bytes are cut and however
// small the window: each gets its own bytes back, whole and in order, and
// nothing is left behind.
func TestSessionsKeepTheirBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"heddle", "v1", "v0"}).Draw(rt, "channel")
		window := rapid.IntRange(8<<10, 128<<10).Draw(rt, "window")
		bodies := rapid.SliceOfN(rapid.IntRange(0, 100<<10), 1, 8).Draw(rt, "bodies")
		piece := rapid.IntRange(50, 70<<10).Draw(rt, "piece")
		withHead := rapid.Bool().Draw(rt, "head")

		a, b := sessiontest.New()
		o := session.Options{ChannelOptions: channels[name], Window: window}
		ask := session.NewMux(a, o)
		o.Dialed = true
		var serving sync.WaitGroup
		o.Accept = func(s *session.Session) error {
			serving.Add(1)
			go func() { // ends with its session
				defer serving.Done()
				if _, err := io.Copy(s, s); err != nil {
					rt.Errorf("echo of %d: %v", s.ID(), err)
				}
				s.Close()
				s.Discard()
			}()
			return nil
		}
		ans := session.NewMux(b, o)
		a.Start(ask)
		b.Start(ans)

		var asking sync.WaitGroup
		for i, n := range bodies {
			asking.Add(1)
			go func() { // ends with its session
				defer asking.Done()
				if err := roundTrip(ask, bytes.Repeat([]byte{byte('a' + i)}, n), piece, withHead); err != nil {
					rt.Errorf("session of %d bytes: %v", n, err)
				}
			}()
		}
		asking.Wait()
		serving.Wait()
		// A reader may see the end a moment before it is counted.
		waitZero(t, ask.Load)
		waitZero(t, ask.Sessions)
		waitZero(t, ans.Sessions)
		a.Close(nil)
		a.Wait()
		b.Wait()
	})
}

func roundTrip(m *session.Mux, body []byte, piece int, withHead bool) error {
	o := session.OpenOptions{Event: "echo"}
	rest := body
	if withHead {
		n := min(piece, len(rest))
		o.First, rest = rest[:n], rest[n:]
	}
	s, err := m.Open(o)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { // ends when all is sent, or with the session
		for len(rest) > 0 {
			n := min(piece, len(rest))
			if _, err := s.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- s.Close()
	}()
	got, err := io.ReadAll(s)
	if err == nil {
		err = <-sent
	}
	if err == nil && !bytes.Equal(got, body) {
		err = fmt.Errorf("%d bytes came back, or others", len(got))
	}
	return err
}
