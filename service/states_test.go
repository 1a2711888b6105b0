package service

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/heddle-go/heddle/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestLifecycle walks every pair of state and event.
func TestLifecycle(t *testing.T) {
	states := []string{StateClosed, StateConnecting, StateConnected, StateFailed}
	events := []string{eventDial, eventConnect, eventFail, eventLose, eventClose}
	want := map[[2]string]string{
		{StateClosed, eventDial}:        StateConnecting,
		{StateClosed, eventFail}:        StateFailed, // the name was not resolved
		{StateConnecting, eventConnect}: StateConnected,
		{StateConnecting, eventFail}:    StateFailed,
		{StateConnecting, eventClose}:   StateClosed,
		{StateConnected, eventLose}:     StateClosed,
		{StateConnected, eventClose}:    StateClosed,
		{StateFailed, eventClose}:       StateClosed,
	}
	for _, e := range Lifecycle() {
		if !slices.Contains(events, e.Name) || !slices.Contains(states, e.Dst) {
			t.Errorf("%s to %s is not in the test's lists", e.Name, e.Dst)
		}
	}
	for _, state := range states {
		for _, event := range events {
			m := newLife()
			m.SetState(state)
			dst, legal := want[[2]string{state, event}]
			if !legal {
				dst = state
			}
			if got := fire(m, event); got != legal || m.Current() != dst {
				t.Errorf("%s in %s: got %v and %s, want %v and %s", event, state, got, m.Current(), legal, dst)
			}
			// The machine is not stuck: close gets it home from anywhere.
			if fire(m, eventClose); m.Current() != StateClosed {
				t.Errorf("after %s in %s: close leads to %s", event, state, m.Current())
			}
		}
	}
}

func TestLifecyclePicture(t *testing.T) {
	got, err := mermaid()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "lifecycle.mermaid")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s\nIf the change is meant: go test ./service -run %s -update", got, want, t.Name())
	}
}

// TestDeadlines: a message renews the time-out of a call, and of a stream.
func TestDeadlines(t *testing.T) {
	x := &call{timeout: 1e12}
	st := &Stream{timeout: 1e12, c: &conn{s: &Service{o: Options{Buffer: 100}}}}
	for name, w := range map[string]interface {
		watched
		OnMessage(*session.Session, session.Message)
	}{"call": x, "stream": st} {
		w.OnMessage(nil, session.Message{Data: []byte{0x91, 1}})
		first := w.expire(nil, 0)
		if first < 1e12 || first > now()+1e12 {
			t.Errorf("%s: got deadline %d", name, first)
		}
		for now() == first-1e12 { // the clock may be coarse
		}
		w.OnMessage(nil, session.Message{Data: []byte{0x91, 2}})
		if second := w.expire(nil, first-1); second <= first {
			t.Errorf("%s: the second message moved the deadline from %d to %d", name, first, second)
		}
	}
}

func TestPause(t *testing.T) {
	if d := pause(0); d != 0 {
		t.Errorf("the first attempt waits %v", d)
	}
	most := leastPause
	for n := 1; n < 100; n++ {
		if d := pause(n); d > most || d < most/2 {
			t.Errorf("attempt %d waits %v, want %v or up to half less", n, d, most)
		}
		most = min(2*most, mostPause)
	}
}
