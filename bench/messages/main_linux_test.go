package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/internal/nodepeer"
)

// TestMain lets this binary be the roles, as the program is.
func TestMain(m *testing.M) {
	flag.Parse()
	if child.Role() == "" {
		os.Exit(m.Run())
	}
	if err := roles(0, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestSystems: each system delivers what was sent, and a load ends by its count and by its time.
func TestSystems(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			const clients = 3
			running, err := s.start(t.Context(), t.TempDir(), clients)
			if errors.Is(err, nodepeer.ErrMissing) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer running.stop()
			for _, l := range []load{
				{Size: 128, Count: 500, Duration: time.Minute}, {Size: 16 << 10, Count: 1 << 30, Duration: 20 * time.Millisecond},
				{Ack: true, Size: 128, Count: 500, Duration: time.Minute}, {Ack: true, Size: 16 << 10, Count: 1 << 30, Duration: 20 * time.Millisecond},
			} {
				got, err := measure(t.Context(), running, l, clients)
				if err != nil || got.cpu <= 0 || got.rate <= 0 {
					t.Errorf("%+v: got %+v, %v", l, got, err)
				}
			}
		})
	}
}

func TestMedian(t *testing.T) {
	got := median([]sample{{1, 30}, {3, 10}, {2, 20}, {4, 40}})
	if got != (sample{2.5, 25}) {
		t.Errorf("got %+v", got)
	}
}
