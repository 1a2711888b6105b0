package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// TestByHand drives the app as a plain net/http server: nothing may be lost as
// long as it lives, and something must be when it is killed.
func TestByHand(t *testing.T) {
	dir := t.TempDir()
	path, witness := filepath.Join(dir, "app"), filepath.Join(dir, "witness")
	build := exec.Command("go", "build", "-ldflags", "-X main.marker=A", "-o", path, "./app")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	addr, err := stack.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	app := exec.Command(path, "-addr", addr, "-witness", witness)
	app.Stderr = os.Stderr
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer app.Wait()
	defer app.Process.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := listens(ctx, addr); err != nil {
		t.Fatal(err)
	}
	o := traffic.Options{Addr: addr, Witness: witness, Size: 300_000, Stream: 200 * time.Millisecond}

	well := traffic.Start(ctx, o)
	well.Expect("A")
	if err := well.Await(ctx, 2); err != nil {
		t.Error(err)
	}
	if err := well.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if broken := untouched(well.Total()); broken != nil {
		t.Errorf("while the app lives: %q; %+v", broken, well.Failures())
	}

	o.Run = "2"
	cut := traffic.Start(ctx, o)
	if err := cut.Await(ctx, 1); err != nil {
		t.Error(err)
	}
	if err := app.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if err := cut.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, k := range []traffic.Kind{traffic.KeptGet, traffic.Events, traffic.Socket} {
		if c := cut.Counts()[k]; c.Lost == 0 || c.OK == 0 || c.Twice > 0 {
			t.Errorf("%v, when the app was killed: got %+v, want some lost", k, c)
		}
	}
}

// listens waits until addr does.
func listens(ctx context.Context, addr string) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
