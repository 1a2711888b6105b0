package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/host"
)

// nodeOf is the node of a daemon that has an app without workers, in its cloud.
func nodeOf(t *testing.T, name string) *node {
	t.Helper()
	d := &daemon{log: slog.New(slog.DiscardHandler), o: &runOptions{}}
	d.apps = []*app{{d: d, name: name, o: &appOptions{}}}
	d.node = newNode(d, "")
	c, err := host.Start(host.Options{Locator: "127.0.0.1:0", Node: d.node, Logger: d.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) }) // once only
	d.cloud = c
	if err := d.enlist(d.apps[0]); err != nil {
		t.Fatal(err)
	}
	return d.node
}

// agree compares what the node says of the app with what the cloud has.
func (n *node) agree(t *testing.T, app string) (there bool) {
	t.Helper()
	names, err := n.List()
	if err != nil {
		t.Fatal(err)
	}
	there = n.d.cloud.AddrOf(app, heddle.V1) != ""
	if listed := slices.Contains(names, app); listed != there {
		t.Errorf("list has the app: %v; the cloud has it: %v", listed, there)
	}
	return there
}

// TestStartRefused: an app that the cloud cannot have again stays paused, and may be
// started when it can.
func TestStartRefused(t *testing.T) {
	n := nodeOf(t, "shop")
	if err := n.PauseApp("shop"); err != nil || n.agree(t, "shop") {
		t.Fatal(err)
	}
	other := host.Service{Name: "shop", V0: []host.Method{host.Unbound(0, "x")}}
	if err := n.d.cloud.Add(other); err != nil {
		t.Fatal(err)
	}
	if err := n.StartApp("shop", "default"); err == nil || errors.Is(err, host.ErrRunning) {
		t.Errorf("its name is taken: got %v", err)
	}
	n.agree(t, "shop")
	if err := n.PauseApp("shop"); !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("pausing it: got %v, want %v", err, host.ErrNotRunning)
	}
	n.d.cloud.Remove("shop")
	if err := n.StartApp("shop", "default"); err != nil || !n.agree(t, "shop") {
		t.Errorf("its name is free again: got %v", err)
	}
	if err := n.StartApp("shop", "default"); !errors.Is(err, host.ErrRunning) {
		t.Errorf("got %v, want %v", err, host.ErrRunning)
	}
}

// TestStartAndPause: clients that want both at once get one or the other.
func TestStartAndPause(t *testing.T) {
	n := nodeOf(t, "shop")
	for range 200 {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { // ends with the app's state
				if err := n.StartApp("shop", ""); err != nil && !errors.Is(err, host.ErrRunning) {
					t.Errorf("start: %v", err)
				}
			})
			wg.Go(func() { // likewise
				if err := n.PauseApp("shop"); err != nil && !errors.Is(err, host.ErrNotRunning) {
					t.Errorf("pause: %v", err)
				}
			})
		}
		wg.Wait()
		if n.agree(t, "shop"); t.Failed() {
			return
		}
	}
}
