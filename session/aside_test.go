package session_test

import (
	"testing"
	"testing/synctest"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// Sessions aside are not counted on either side, and the channel is idle without
// them; the others are counted as ever, also when a released one is used again.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sessiontest.Pipe(t)
		o := session.ChannelOptions{Dialect: heddle.V1, Heddle: true}
		idle := make(chan string, 10)
		accepted := make(chan *session.Session, 10)
		server := session.NewMux(a, session.Options{ChannelOptions: o, OnIdle: func() { idle <- "server" }, Accept: func(s *session.Session) error {
			if s.Event() == "aside" {
				s.SetAside()
			}
			accepted <- s
			return nil
		}})
		o.Dialed = true
		client := session.NewMux(b, session.Options{ChannelOptions: o, OnIdle: func() { idle <- "client" }})
		a.Start(server)
		b.Start(client)
		counts := func(load, clients, servers int) {
			t.Helper()
			synctest.Wait()
			if client.Load() != load || client.Sessions() != clients || server.Sessions() != servers {
				t.Errorf("got %d, %d, %d, want %d, %d, %d", client.Load(), client.Sessions(), server.Sessions(), load, clients, servers)
			}
		}
		aside, err := client.Open(session.OpenOptions{Event: "aside", Aside: true})
		if err != nil {
			t.Fatal(err)
		}
		far := <-accepted
		counts(0, 0, 0)
		for len(idle) > 0 {
			<-idle // SetAside may say so
		}
		work, err := client.Open(session.OpenOptions{Event: "work", Last: true, First: []byte{}})
		if err != nil {
			t.Fatal(err)
		}
		counts(1, 1, 1)
		w := <-accepted
		w.Discard()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		work.Discard()
		counts(0, 0, 0)
		if len(idle) != 2 {
			t.Errorf("told to be idle %d times, want once on each side", len(idle))
		}
		if err := far.Close(); err != nil {
			t.Error(err)
		}
		aside.Discard()
		far.Discard()
		counts(0, 0, 0)
		if len(idle) != 2 {
			t.Errorf("the end of what is aside made somebody idle: %d", len(idle))
		}
	})
}
