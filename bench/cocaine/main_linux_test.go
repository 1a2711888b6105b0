package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(envWorker) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestRun loads every pair for a moment: each answer is checked by whoever asked.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), plan{rounds: 1, d: 20 * time.Millisecond, size: 128, flight: []int{1, 8}}, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n| 8 "); n != 3 {
		t.Errorf("got %d rows, want 3: %s", n, out.String())
	}
}
