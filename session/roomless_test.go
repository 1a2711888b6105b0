package session

import (
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// A crammed link's outbox is full until it says otherwise.
type crammed struct {
	takes
	empty bool
}

func (l *crammed) Queued() int {
	if l.empty {
		return 0
	}
	return HighWater
}

type countsWritable struct {
	givesBack
	n *int
}

func (c countsWritable) OnWritable(*Session) { *c.n++ }

// A handler that tries again and again while the outbox is full waits there once.
func TestRoomlessOnce(t *testing.T) {
	link := new(crammed)
	m := NewMux(link, Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	told := 0
	s, err := m.Open(OpenOptions{Event: "e", Handler: countsWritable{n: &told}})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		link.empty = false
		for range 1000 {
			if n, err := s.TryWrite([]byte("x")); n != 0 || err != nil {
				t.Fatal(n, err)
			}
		}
		if n := len(m.waiting); n != 1 {
			t.Errorf("it waits %d times", n)
		}
		link.empty = true
		m.wakeRoom()
		if told != round+1 || len(m.waiting) != 0 {
			t.Errorf("told %d times, %d wait", told, len(m.waiting))
		}
	}
}
