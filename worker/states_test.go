package worker

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var states = []string{
	StateClosed, StateConnecting, StateGreeted, StateConnected, StateLeaving, StateDraining, StateTerminating, StateTerminated, StateLost, StateDisowned,
}

var allEvents = []string{
	eventConnect, eventFail, eventGreet, eventOnline, eventLeave, eventDrain, eventTerminate, eventFinish, eventLose, eventDisown, eventClose,
}

// TestLifecycle walks every pair of state and event.
func TestLifecycle(t *testing.T) {
	want := map[[2]string]string{}
	for _, e := range Lifecycle() {
		if !slices.Contains(allEvents, e.Name) {
			t.Errorf("event %q is not in the test's list", e.Name)
		}
		for _, src := range e.Src {
			if !slices.Contains(states, src) || !slices.Contains(states, e.Dst) {
				t.Errorf("%s or %s is not in the test's list", src, e.Dst)
			}
			if _, twice := want[[2]string{src, e.Name}]; twice {
				t.Errorf("%s in %s is in the table twice", e.Name, src)
			}
			want[[2]string{src, e.Name}] = e.Dst
		}
	}
	if len(want) != 34 {
		t.Errorf("got %d transitions, want 34", len(want))
	}
	for _, state := range states {
		for _, event := range allEvents {
			l := newLifecycle()
			l.machine.SetState(state)
			l.enter(state)
			dst, legal := want[[2]string{state, event}]
			if got := l.fireLocked(event); got != legal {
				t.Errorf("%s in %s: got %v, want %v", event, state, got, legal)
			}
			if !legal {
				dst = state
			}
			if l.current() != dst || l.machine.Current() != dst {
				t.Errorf("%s in %s: got %s, the machine %s; want %s", event, state, l.current(), l.machine.Current(), dst)
			}
			// The machine is not stuck: close gets it home from anywhere.
			if l.fireLocked(eventClose); l.current() != StateClosed {
				t.Errorf("after %s in %s: close leads to %s", event, state, l.current())
			}
		}
	}
}

func TestLifecyclePicture(t *testing.T) {
	got, err := newLifecycle().mermaid()
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
		t.Errorf("got\n%s\nwant\n%s\nIf the change is meant: go test ./worker -run %s -update", got, want, t.Name())
	}
}
