//go:build linux

package host

import (
	"fmt"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// countsOf are the methods of a service that were called: dialect, name, calls and failures.
func countsOf(c *Cloud, service string) string {
	var text []string
	for _, s := range c.Stats().Services {
		for _, m := range s.Methods {
			if s.Name == service && m.Calls+m.Failed > 0 {
				text = append(text, fmt.Sprintf("%s %s %d %d", m.Dialect, m.Name, m.Calls, m.Failed))
			}
		}
	}
	return strings.Join(text, ", ")
}

// Every call is counted by what it was, however it ends.
func TestStats(t *testing.T) {
	everyWorker(t, Options{Storage: t.TempDir(), Cluster: true}, func(t *testing.T, _ workerKind, r *rig, c *Cloud) {
		v1, v0 := to(t, c, "storage", heddle.V1), to(t, c, "storage", heddle.V0)
		v1.call(1, 1, "c", "k", "blob", []any{})
		v1.want(1, value1)
		v1.call(2, 0, "c", "k")
		v1.want(2, value1, "blob")
		v1.call(3, 0, "c", "none") // on a goroutine, an error
		v1.want(3, error1, []any{12, 2}, "c/none: No such file or directory")
		v0.call(1, 0, "c") // on the loop: too few arguments
		if f, raw, err := v0.next(); err != nil || f.Type != error0 {
			t.Fatalf("got %x, %v, want an error", raw, err)
		}
		v0.want(1, choke0)
		v1.call(4, 0, "c") // which is the connection's end
		v1.wantEnd()
		if got, want := countsOf(c, "storage"), "v0 read 1 1, v1 read 3 2, v1 write 1 0"; got != want {
			t.Errorf("storage: got %s, want %s", got, want)
		}

		app := to(t, c, "app", heddle.V1)
		app.call(1, 0, "http")
		for _, want := range []string{"head", "one", "two"} {
			app.want(1, write1, want)
		}
		app.want(1, close1)
		app.call(2, 0, "fail")
		app.want(2, error1, []any{42, 77}, "boom")
		r.setQueue(false, fmt.Errorf("nobody is there"))
		app.call(3, 0, "http")
		if f, raw, err := app.next(); err != nil || f.Type != error1 {
			t.Fatalf("got %x, %v, want an error", raw, err)
		}
		r.setQueue(false, nil)
		if got, want := countsOf(c, "app"), "v1 enqueue 3 2"; got != want {
			t.Errorf("app: got %s, want %s", got, want)
		}

		p := dial(t, c.Addr(), heddle.V1)
		resolves(t, p, 1, "ext", 0)
		p.call(2, publish, ext("ext", 9999)...)
		p.want(2, value1)
		resolves(t, p, 3, "ext", 9999)
		p.call(4, resolve, "app")
		var a answerV1
		p.args(4, value1, &a)
		p.call(5, connect, "uuid")
		if _, _, err := p.next(); err != nil {
			t.Fatal(err)
		}
		p.call(6, publish, ext("storage", 9999)...)
		if f, raw, err := p.next(); err != nil || f.Type != error1 {
			t.Fatalf("got %x, %v, want an error", raw, err)
		}
		st := c.Stats()
		if want := (ResolveStats{Own: 1, Published: 1, Unknown: 1}); st.Resolves != want {
			t.Errorf("resolves: got %+v, want %+v", st.Resolves, want)
		}
		if st.Publications != 1 || st.Streams != 1 || st.Peers != 0 || st.Mistakes != 2 || st.Pending != 0 {
			t.Errorf("got %+v", st)
		}
		if got, want := countsOf(c, "locator"), "v1 resolve 3 1, v1 connect 1 0, v1 publish 2 1"; got != want {
			t.Errorf("locator: got %s, want %s", got, want)
		}
		if n := len(st.Services); n != 5 || st.Services[0].Name != "app" || st.Services[0].Connections != 1 {
			t.Errorf("got %d services, %+v", n, st.Services)
		}
		c.RemoveApp("app")
		if n := len(c.Stats().Services); n != 4 {
			t.Errorf("got %d services without the app", n)
		}
	})
}

// A neighbour is counted as known while it is, and what it has as its own.
func TestStatsOfPeers(t *testing.T) {
	far := start(t, Options{Cluster: true})
	s := Service{Name: "app", Version: 7, V1: []Method{Quick(0, "say", 0, func(*Call, *None) (Results, error) { return Results{"far"}, nil })}}
	must(t, far.Add(s))
	near := start(t, Options{Peers: []string{far.Addr(), "127.0.0.1:1"}})
	wait(t, func() bool { return near.Stats().PeersKnown == 1 }, "the neighbour is known")
	p := dial(t, near.Addr(), heddle.V1)
	p.call(1, resolve, "app")
	var a answerV1
	p.args(1, value1, &a)
	if st := near.Stats(); st.Peers != 2 || st.Resolves != (ResolveStats{Peer: 1}) {
		t.Errorf("got %+v", st)
	}
	must(t, far.Close(t.Context()))
	wait(t, func() bool { return near.Stats().PeersKnown == 0 }, "the neighbour is not known any more")
	if st := far.Stats(); st.Streams != 0 {
		t.Errorf("got %+v after Close", st)
	}
}
