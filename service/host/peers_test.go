//go:build linux

package host

import (
	"context"
	"net"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// TestPeers: a locator knows a neighbour's services while that is there, and again
// when it is back.
func TestPeers(t *testing.T) {
	far := start(t, Options{Cluster: true, UUID: "far"})
	here := far.Addr()
	other := start(t, Options{Cluster: true, UUID: "other"})
	s := Service{Name: "app", Version: 7, V1: []Method{Quick(0, "say", 0, func(*Call, *None) (Results, error) { return Results{"far"}, nil })}}
	must(t, far.Add(s), other.Add(s))
	near := start(t, Options{UUID: "near", Peers: []string{here, other.Addr()}})
	p := dial(t, near.Addr(), heddle.V1)
	n := uint64(0)
	known := func(name string) (a answerV1) {
		t.Helper()
		n++
		p.call(n, resolve, name)
		f, raw, err := p.next()
		if err != nil || f.Session != n {
			t.Fatalf("got %v, %x", err, raw)
		}
		if f.Type == value1 {
			unpack(t, string(f.Args), &a)
		}
		return a
	}
	wait(t, func() bool { return len(known("app").At) == 2 }, "the app of both is known")
	a := known("app")
	if a.Version != 7 || len(a.Graph) != 1+len(controls) {
		t.Errorf("got %+v", a)
	}
	for _, at := range a.At { // each of them is one's
		q := dial(t, at.String(), heddle.V1)
		q.call(1, 0)
		q.want(1, value1, "far")
	}
	if got, want := known("logging").At[0].String(), near.AddrOf("logging", heddle.V1); got != want {
		t.Errorf("got logging at %s, want our own, %s", got, want)
	}
	n++
	p.call(n, cluster)
	var all []map[string]at
	p.args(n, value1, &all)
	if len(all[0]) != 2 || all[0]["far"].String() != here || all[0]["other"].String() != other.Addr() {
		t.Errorf("got %v", all)
	}

	must(t, far.Add(Service{Name: "late", Version: 1, V1: s.V1}))
	wait(t, func() bool { return len(known("late").At) == 1 }, "what came later is known")
	far.Remove("late")
	wait(t, func() bool { return len(known("late").At) == 0 }, "what has gone is not")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, far.Close(ctx))
	wait(t, func() bool { return len(known("app").At) == 1 }, "only the other's is left")

	far = start(t, Options{Locator: here, Cluster: true, UUID: "far again"})
	must(t, far.Add(s))
	wait(t, func() bool { return len(known("app").At) == 2 }, "it is back")
}

// TestBadPeers: a neighbour that is none, or lies, costs nobody anything.
func TestBadPeers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	alone := start(t, Options{}) // in no cluster
	c := start(t, Options{Peers: []string{ln.Addr().String(), alone.Addr(), "127.0.0.1:1", "unix:/no/such/socket"}})
	nc, err := ln.Accept()
	must(t, err)
	liar := &peer{t: t, nc: nc, d: heddle.V1}
	defer nc.Close()
	var hello [64]byte
	if k, err := nc.Read(hello[:]); err != nil || k == 0 {
		t.Fatal(err)
	}
	news := map[string]any{
		"locator": []any{[]any{[]any{"127.0.0.1", 1}}, 1, map[string]any{}},
		"logging": []any{[]any{[]any{"127.0.0.1", 1}}, 1, map[string]any{}},
		"name":    []any{[]any{[]any{"example.com", 1}}, 1, map[string]any{}},
		"graph":   []any{[]any{[]any{"127.0.0.1", 1}}, 1, map[uint64]any{0: "no"}},
		"true":    []any{[]any{[]any{"127.0.0.1", 1}}, 1, map[string]any{}},
	}
	liar.call(1, write1, "liar", news)
	p := dial(t, c.Addr(), heddle.V1)
	n := uint64(0)
	found := func(name string) string {
		t.Helper()
		n++
		p.call(n, resolve, name)
		f, _, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type != value1 {
			return ""
		}
		var a answerV1
		unpack(t, string(f.Args), &a)
		return a.At[0].String()
	}
	wait(t, func() bool { return found("true") == "127.0.0.1:1" }, "what is no lie is known")
	for name, want := range map[string]string{"locator": c.Addr(), "logging": c.AddrOf("logging", heddle.V1), "name": "", "graph": ""} {
		if got := found(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	liar.call(1, write1, "liar", "no news")
	wait(t, func() bool { return found("true") == "" }, "who breaks the rules is not heard any more")
}
