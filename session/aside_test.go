package session_test

import (
	"strings"
	"testing"
	"testing/synctest"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
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

// What is aside may be opened while the channel drains, is held, or has all the
// sessions that it may have; and there is a limit to those that a peer opens.
func TestAsideLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sessiontest.Pipe(t)
		o := session.ChannelOptions{Dialect: heddle.V1, Heddle: true}
		server := session.NewMux(a, session.Options{ChannelOptions: o, MaxSessions: 3, Accept: func(s *session.Session) error {
			if s.Event() == "aside" {
				s.SetAside()
			}
			return nil
		}})
		o.Dialed = true
		client := session.NewMux(b, session.Options{ChannelOptions: o, MaxSessions: 1})
		a.Start(server)
		b.Start(client)
		open := func(event string) (*session.Session, error) {
			return client.Open(session.OpenOptions{Event: event, Aside: event == "aside"})
		}
		if _, err := open("work"); err != nil {
			t.Fatal(err)
		}
		if _, err := open("work"); err != session.ErrTooMany {
			t.Errorf("a second one: %v", err)
		}
		if _, err := open("aside"); err != nil {
			t.Errorf("aside of a full channel: %v", err)
		}
		if err := client.Hold(codec.AppendHeartbeat(nil, heddle.V1)); err != nil {
			t.Fatal(err)
		}
		if _, err := open("aside"); err != nil {
			t.Errorf("aside of a held channel: %v", err)
		}
		if err := client.Drain(nil); err != nil {
			t.Fatal(err)
		}
		third, err := open("aside")
		if err != nil {
			t.Errorf("aside of a draining channel: %v", err)
		}
		fourth, err := open("aside")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fourth.Recv(); err == nil || !strings.Contains(err.Error(), session.ErrTooMany.Error()) {
			t.Errorf("the one too many ended with %v", err)
		}
		synctest.Wait()
		if n := server.Counters().Refused; n != 1 {
			t.Errorf("%d were refused", n)
		}
		third.Cancel(session.ErrCanceled)
		synctest.Wait()
	})
}
