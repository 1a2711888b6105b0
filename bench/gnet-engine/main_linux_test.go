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

// TestTraps walks into those traps that take no time; the program itself does all of them.
func TestTraps(t *testing.T) {
	for _, tr := range traps {
		switch tr.name {
		case "reading cannot be paused", "dialling from a callback never ends",
			"looking at a growing message copies it each time", "what is read into the outbox and flushed stalls", "stopping takes half a second":
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			f, err := tr.both(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := verdict([]finding{f}); err != nil {
				t.Errorf("%v: %+v", err, f)
			}
		})
	}
}

// TestCompare loads both sides for a moment; each reply is checked.
func TestCompare(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	costs, err := compare(ctx, 1, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range costs {
		if c.Gnet.Rate <= 0 || c.Loop.Rate <= 0 {
			t.Errorf("%+v", c)
		}
	}
	var table strings.Builder
	if err := writeCosts(&table, costs); err != nil || !strings.Contains(table.String(), "download") {
		t.Errorf("%v, %v", table.String(), err)
	}
}

func TestVerdict(t *testing.T) {
	trapped, free := outcome{"", true}, outcome{"", false}
	for _, tc := range []struct {
		gnet, loop outcome
		want       string // in the error, empty for none
	}{
		{trapped, free, ""},
		{free, free, "reconsidered"},
		{trapped, trapped, "our loop"},
	} {
		err := verdict([]finding{{Gnet: tc.gnet, Loop: tc.loop}})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v", tc, err)
		}
	}
}
