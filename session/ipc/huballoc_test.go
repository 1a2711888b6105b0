//go:build linux && !race && !loopcheck

package ipc

import (
	"context"
	"testing"
)

// The path of a message that nobody acknowledges allocates nothing, both ends
// together, once the buffers are there.
func TestPostAllocates(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
	p := meet(t, path, DialOptions{}).Peer()
	m := Message{Topic: "t", Body: Bytes(make([]byte, 128))}
	n := testing.AllocsPerRun(20_000, func() {
		if err := p.Post(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 {
		t.Errorf("%v allocations per message", n)
	}
}
