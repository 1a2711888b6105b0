package engine

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/looplab/fsm"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestLifecycle walks every pair of state and event.
func TestLifecycle(t *testing.T) {
	initial, table := Lifecycle()
	states := []string{stateStarting, stateGreeted, stateReady, stateSuspended, stateOnline, stateBroken, stateDraining, stateTerminating, stateLeaving, stateDumping, stateStopping, stateKilling, stateDead}
	events := []string{eventGreet, eventReady, eventSuspend, eventOnline, eventBreak, eventDrain, eventTerminate, eventLeave, eventDump, eventStop, eventKill, eventDie}
	want := make(map[[2]string]string)
	for _, ev := range table {
		if !slices.Contains(events, ev.Name) || !slices.Contains(states, ev.Dst) {
			t.Errorf("table has %s to %s, which this test does not know", ev.Name, ev.Dst)
		}
		for _, src := range ev.Src {
			if old, twice := want[[2]string{src, ev.Name}]; twice {
				t.Errorf("%s in %s leads to %s and to %s", ev.Name, src, old, ev.Dst)
			}
			want[[2]string{src, ev.Name}] = ev.Dst
		}
	}
	for _, from := range states {
		for _, event := range events {
			var entered []string
			m := newLife(func(s string) { entered = append(entered, s) })
			if m.Current() != initial {
				t.Fatalf("begins in %s", m.Current())
			}
			m.SetState(from)
			err := m.Event(t.Context(), event)
			to, legal := want[[2]string{from, event}]
			switch {
			case legal && (err != nil || m.Current() != to || !slices.Equal(entered, []string{to})):
				t.Errorf("%s in %s: got %s, %v, entered %q; want %s", event, from, m.Current(), err, entered, to)
			case !legal && (err == nil || m.Current() != from || entered != nil):
				t.Errorf("%s in %s was not refused: now %s", event, from, m.Current())
			}
		}
	}
	// From everywhere a worker can be killed and die; nothing leads out of
	// death.
	for _, from := range states {
		_, kill := want[[2]string{from, eventKill}]
		_, die := want[[2]string{from, eventDie}]
		if kill != (from != stateKilling && from != stateDead) || die != (from != stateDead) {
			t.Errorf("%s: kill %v, die %v", from, kill, die)
		}
	}
	// Every state but the first can be come to.
	for _, s := range states {
		if s != initial && !slices.ContainsFunc(table, func(e fsm.EventDesc) bool { return e.Dst == s }) {
			t.Errorf("nothing leads to %s", s)
		}
	}
}

func TestVisible(t *testing.T) {
	for state, want := range map[string][2]string{
		stateStarting:    {"starting", "starting"},
		stateGreeted:     {"starting", "starting"},
		stateOnline:      {"online", "online"},
		stateBroken:      {"broken", "broken"},
		stateDraining:    {"draining", "broken"},
		stateTerminating: {"draining", "broken"},
		stateLeaving:     {"draining", "broken"},
		stateStopping:    {"draining", "broken"},
		stateKilling:     {"draining", "broken"},
		stateDead:        {"dead", "dead"},
	} {
		if got := [2]string{visible(state, false), visible(state, true)}; got != want {
			t.Errorf("%s: got %q, want %q", state, got, want)
		}
	}
}

// TestLifecycleDrawing keeps the picture in the docs equal to the table.
func TestLifecycleDrawing(t *testing.T) {
	got, err := fsm.VisualizeForMermaidWithGraphType(newLife(func(string) {}), fsm.StateDiagram)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "lifecycle.mmd")
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
		t.Errorf("%s: got\n%s\nwant\n%s\nIf the change is meant: go test -run %s -update", file, got, want, t.Name())
	}
}
