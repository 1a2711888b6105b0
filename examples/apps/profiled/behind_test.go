package main

import (
	"os"
	"strings"
	"testing"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// Go's own pprof reads the profiles of a worker, the one that takes its time and
// the ones that do not.
func TestPprof(t *testing.T) {
	url := behind.Heddle(t, "profiled", []string{"--workers", "1"}) + "/debug/pprof/"
	t.Setenv("PPROF_TMPDIR", t.TempDir())
	for path, want := range map[string]string{
		"profile?seconds=1": "Type: cpu", "heap": "Type: inuse_space", "goroutine": "Type: goroutine",
	} {
		if out := behind.Output(t, "", "go", "tool", "pprof", "-top", url+path); !strings.Contains(out, want) {
			t.Errorf("%s: got %s", path, out)
		}
	}
	if out := behind.Output(t, "", "go", "tool", "pprof", "-raw", url+"goroutine"); !strings.Contains(out, "worker") {
		t.Errorf("the goroutines are not a worker's: %s", out)
	}
}
