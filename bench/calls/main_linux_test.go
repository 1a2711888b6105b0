package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
)

func TestMain(m *testing.M) {
	if child.Role() != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestRun loads every stack for a moment: each reply is checked by whoever asked.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rows, err := run(ctx, plan{rounds: 1, d: 20 * time.Millisecond, flight: []int{1, 8}, size: []int{128, 16 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	if want := 4 * len(stacks); len(rows) != want {
		t.Errorf("got %d rows, want %d", len(rows), want)
	}
	for _, r := range rows {
		if r.CPU <= 0 || r.Server <= 0 || r.Rate <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Ratio <= 0 {
			t.Errorf("%+v", r)
		}
	}
	var table strings.Builder
	if err := writeTable(&table, rows); err != nil || strings.Count(table.String(), "grpc-go") != 4 {
		t.Errorf("%v, %v", table.String(), err)
	}
}
