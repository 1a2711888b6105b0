package main

import (
	"bytes"
	"context"
	"log"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle/worker"
)

// The test binary is the worker's program, too.
func TestMain(m *testing.M) {
	if _, started := worker.Launched(); started {
		if err := work(context.Background()); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

func TestMaster(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := master(ctx, &out); err != nil {
		t.Fatal(err)
	}
	const want = "worker 0 greets the world\nsums: map[0:10 1:10]\n" +
		"worker 0 heard that the loom is free\nworker 1 heard that the loom is free\nworker 1 was here\nand the master again\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}
