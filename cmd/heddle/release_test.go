package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/looplab/fsm"
)

// TestReleaseLife walks every pair of state and event.
func TestReleaseLife(t *testing.T) {
	legal := map[[2]string]string{
		{releaseDeploying, releaseServes}: releaseServing,
		{releaseDeploying, releaseFails}:  releaseFailed,
		{releaseServing, releaseYields}:   releaseKept,
		{releaseKept, releaseRetires}:     releaseRetired,
	}
	for _, state := range []string{releaseDeploying, releaseServing, releaseKept, releaseRetired, releaseFailed} {
		for _, event := range []string{releaseServes, releaseYields, releaseFails, releaseRetires} {
			r := release{Name: "r1", State: state}
			err := r.move(event)
			want, ok := legal[[2]string{state, event}]
			if !ok {
				want = state
			}
			if (err == nil) != ok || r.State != want {
				t.Errorf("%s in %s: got %s, %v; want %s", event, state, r.State, err, want)
			}
		}
	}
}

// TestReleaseDrawing keeps the picture in docs/lifecycle.md equal to the table.
func TestReleaseDrawing(t *testing.T) {
	got, err := fsm.VisualizeForMermaidWithGraphType(newReleaseLife(), fsm.StateDiagram)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "release.mmd")
	if *update {
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
