package host

import (
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// The methods of dialect v1's locator.
const (
	resolve = iota
	connect
	refresh
	cluster
	publish
	routing
	uuidOf
)

// ext is a service that somebody publishes.
func ext(name string, port int) []any { return []any{name, []any{[]any{"127.0.0.1", port}}} }

// resolves wants the locator to say so, or nobody at all for port 0.
func resolves(t *testing.T, p *peer, channel uint64, name string, port int) {
	t.Helper()
	p.call(channel, resolve, name)
	if port == 0 {
		p.want(channel, error1, []any{10, 1}, "service is not available")
		return
	}
	var a answerV1
	p.args(channel, value1, &a)
	if len(a.At) != 1 || a.At[0].Port != uint16(port) {
		t.Errorf("%s: got %v, want port %d", name, a.At, port)
	}
}

// TestPublish: a service is known from publish to discard, or to its publisher's
// end.
func TestPublish(t *testing.T) {
	c := start(t, Options{})
	reader := dial(t, c.Addr(), heddle.V1)
	resolves(t, reader, 1, "ext", 0)

	p := dial(t, c.Addr(), heddle.V1)
	p.call(1, publish, ext("ext", 9999)...)
	p.want(1, value1)
	native := append(ext("native", 9998), []any{1, map[uint64]any{0: []any{"m", map[uint64]any{}, map[uint64]any{0: []any{"value", map[uint64]any{}}, 1: []any{"more", nil}}}}})
	p.call(2, publish, native...)
	p.want(2, value1)
	resolves(t, reader, 2, "ext", 9999)
	resolves(t, reader, 3, "native", 9998)
	reader.call(4, resolve, "native")
	var a answerV1
	reader.args(4, value1, &a)
	if got, want := fmt.Sprint(a.Version, a.Graph), "1 map[0:[m map[] map[0:[value map[]] 1:[more <nil>]]]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.call(1, 0) // discard
	p.call(3, resolve, "ext")
	p.want(3, error1, []any{10, 1}, "service is not available")
	p.call(4, publish, ext("ext", 7)...) // and again
	p.want(4, value1)
	resolves(t, reader, 5, "ext", 7)
	p.nc.Close()
	wait(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.published) == 0 }, "what was published is not known any more")
	resolves(t, reader, 6, "ext", 0)
	resolves(t, reader, 7, "native", 0)
}

// TestPublishLies: what a publisher may not do costs nobody else anything.
func TestPublishLies(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	honest := dial(t, c.Addr(), heddle.V1)
	honest.call(1, publish, ext("taken", 9999)...)
	honest.want(1, value1)
	if err := c.Add(Service{Name: "own", Version: 1, V1: []Method{Unbound(0, "nothing")}}); err != nil {
		t.Fatal(err)
	}

	liar := dial(t, c.Addr(), heddle.V1)
	n := uint64(0)
	refused := func(code []any, args ...any) {
		t.Helper()
		n++
		liar.call(n, publish, args...)
		f, raw, err := liar.next()
		if err != nil || f.Session != n || f.Type != error1 {
			t.Fatalf("%.80q: got %v %x, want an error", args, err, raw)
		}
		var e []any
		unpack(t, string(f.Args), &e)
		if got, want := fmt.Sprint(e[0]), fmt.Sprint(code); got != want {
			t.Errorf("%.80q: got %s: %v, want %s", args, got, e[1], want)
		}
	}
	for _, name := range []string{"locator", "logging", "storage", "node", "own", "taken"} {
		refused([]any{12, 17}, ext(name, 1)...)
	}
	refused([]any{12, 22}, ext("", 1)...)
	refused([]any{12, 22}, ext(strings.Repeat("x", mostName+1), 1)...)
	refused([]any{12, 22}, "ext", []any{})
	refused([]any{12, 7}, "ext", manyEndpoints(mostEndpoints+1))
	refused([]any{10, 3}, append(ext("ext", 1), []any{0, map[uint64]any{0: []any{"m", nil, nil}}})...)
	refused([]any{12, 7}, append(ext("ext", 1), []any{1, map[uint64]any{0: []any{strings.Repeat("m", mostGraph), nil, nil}}})...)
	resolves(t, liar, n+1, "taken", 9999)

	deep := any(map[uint64]any{})
	for range mostNesting {
		deep = map[uint64]any{0: []any{"m", deep}}
	}
	for _, args := range [][]any{
		{"ext"},
		{5, []any{}},
		{"ext", "127.0.0.1:1"},
		ext("ext", 0),
		ext("ext", 65536),
		ext("ext", -1),
		{"ext", []any{[]any{"localhost", 1}}},
		{"ext", []any{[]any{"/etc/passwd", 0}}},
		{"ext", []any{[]any{"127.0.0.1"}}},
		append(ext("ext", 1), 5),
		append(ext("ext", 1), []any{1}),
		append(ext("ext", 1), []any{1, []any{}}),
		append(ext("ext", 1), []any{1, map[string]any{"0": []any{"m", nil, nil}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: "m"}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{"m"}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{5, nil, nil}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{"m", 5, nil}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{"m", nil, map[uint64]any{0: []any{"x", 5}}}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{"m", nil, map[uint64]any{0: []any{}}}}}),
		append(ext("ext", 1), []any{1, map[uint64]any{0: []any{"m", nil, deep}}}),
	} {
		p := dial(t, c.Addr(), heddle.V1)
		p.call(1, publish, args...)
		if f, raw, err := p.next(); err == nil {
			t.Errorf("%.80q: got %x of %d, want the end of the connection", args, raw, f.Type)
		}
	}
	resolves(t, liar, n+2, "ext", 0)

	// As many as one may have, and one more.
	p := dial(t, c.Addr(), heddle.V1)
	for i := range uint64(mostHolds) {
		p.call(i+1, publish, ext(fmt.Sprint("ext", i), 1)...)
		p.want(i+1, value1)
	}
	p.call(1000, publish, ext("one more", 1)...)
	p.want(1000, error1, []any{0x52ff, 2}, errTooMuch.Msg)
	p.call(1, 0)
	p.call(1001, publish, ext("one more", 1)...)
	p.want(1001, value1)
	p.call(1001, 7) // what is not in the graph
	p.wantEnd()
	wait(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.published) == 1 }, "only the honest service is left")
}

func manyEndpoints(n int) (all []any) {
	for i := range n {
		all = append(all, []any{"127.0.0.1", i + 1})
	}
	return all
}

// TestConnect: another locator hears of services as they come and go.
func TestConnect(t *testing.T) {
	c := start(t, Options{Cluster: true, UUID: "us"})
	p := dial(t, c.Addr(), heddle.V1)
	news := func(channel uint64) map[string]answerV1 {
		t.Helper()
		var m struct {
			_    struct{} `msg:",tuple"`
			UUID string
			News map[string]answerV1
		}
		p.args(channel, write1, &m)
		if m.UUID != "us" {
			t.Errorf("got uuid %q", m.UUID)
		}
		return m.News
	}
	p.call(1, connect, "them")
	if got := news(1); len(got) != 2 || len(got["logging"].At) != 1 || got["logging"].Version != 2 {
		t.Errorf("got %v at first", got)
	}
	if err := c.Add(Service{Name: "app", Version: 5, V1: []Method{Unbound(0, "nothing")}}); err != nil {
		t.Fatal(err)
	}
	if got := news(1); len(got) != 1 || got["app"].At[0].String() != c.AddrOf("app", heddle.V1) || got["app"].Version != 5 {
		t.Errorf("got %v, want the app", got)
	}
	p.call(2, publish, ext("ext", 9)...)
	for range 2 { // its answer, and news of it; in whatever order
		f, _, err := p.next()
		if err != nil || f.Session != 1 && f.Session != 2 {
			t.Fatal(err)
		}
	}
	p.call(2, 0)
	if got := news(1); len(got) != 1 || got["ext"].At == nil || len(got["ext"].At) != 0 {
		t.Errorf("got %v, want that ext is gone", got)
	}
	c.Remove("app")
	if got := news(1); len(got) != 1 || len(got["app"].At) != 0 {
		t.Errorf("got %v, want that the app is gone", got)
	}

	v0 := dial(t, c.Addr(), heddle.V0)
	v0.call(1, 0, "nope") // so that the dialect is known
	v0.want(1, error0, 1, "the specified service is not available")
	v0.want(1, choke0)
	v0.call(2, 1) // synchronize
	all := func() map[string]answerV0 {
		var chunk []string
		v0.args(2, chunk0, &chunk)
		m := map[string]answerV0{}
		unpack(t, chunk[0], &m)
		return m
	}
	if got := all(); len(got) != 2 || got["logging"].At.String() != c.AddrOf("logging", heddle.V0) {
		t.Errorf("got %v", got)
	}
	if err := c.Add(Service{Name: "app", V0: []Method{Unbound(0, "nothing")}}); err != nil {
		t.Fatal(err)
	}
	if got := all(); len(got) != 3 {
		t.Errorf("got %v", got)
	}

	alone := dial(t, start(t, Options{}).Addr(), heddle.V1)
	alone.call(1, connect, "them")
	alone.want(1, close1) // there is no cluster
}

// TestLocatorRest are the verbs that tell little.
func TestLocatorRest(t *testing.T) {
	c := start(t, Options{UUID: "us", Storage: t.TempDir()})
	p := dial(t, c.Addr(), heddle.V1)
	p.call(1, uuidOf)
	p.want(1, value1, "us")
	p.call(2, cluster)
	p.want(2, value1, map[string]any{})
	p.call(3, refresh, []any{"g"})
	p.want(3, value1)
	p.call(4, 65533) // ping
	p.want(4, value1)

	v0 := dial(t, c.Addr(), heddle.V0)
	v0.call(1, 0, "logging")
	v0.args(1, chunk0, new([]string))
	v0.want(1, choke0)
	asked := to(t, c, "logging", heddle.V0)
	asked.call(1, 1)
	asked.want(1, chunk0, packed(t, 4))
	v0.call(1, 3, "g") // refresh
	v0.want(1, choke0)
	v0.call(1, 3, []any{"g"})
	v0.want(1, error0, 1, badArgs)
	v0.want(1, choke0)
	v0.call(1, 2) // reports
	var chunk []string
	v0.args(1, chunk0, &chunk)
	v0.want(1, choke0)
	local := asked.nc.LocalAddr().(*net.TCPAddr)
	want := "\x83\xa7logging\x92\x01\x81\x92\xa9127.0.0.1" + string(appendUint(nil, uint64(local.Port))) + "\x00\xa4node\x92\x00\x80\xa7storage\x92\x00\x80"
	if chunk[0] != want {
		t.Errorf("got %q, want %q", chunk[0], want)
	}
}

// TestRouting: groups are read from storage, told at once and on each change, and
// names of groups resolve to their apps.
func TestRouting(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	for _, name := range []string{"a", "b"} {
		if err := c.Add(Service{Name: name, Version: 1, V0: []Method{Unbound(0, "nothing")}, V1: []Method{Unbound(0, "nothing")}}); err != nil {
			t.Fatal(err)
		}
	}
	k := keep(t, c, heddle.V1)
	p := dial(t, c.Addr(), heddle.V1)
	groups := func() map[string][]any {
		t.Helper()
		var m []map[string][]any
		p.args(1, write1, &m)
		return m[0]
	}
	set := func(name string, weights map[string]any, tags ...any) {
		t.Helper()
		k.ok(write, "groups", name, packed(t, weights), tags)
	}
	n := uint64(1)
	refreshed := func(names ...any) {
		t.Helper()
		k.peer, n = dial(t, c.Addr(), heddle.V1), n+1
		k.ok(refresh, names)
		k.peer = to(t, c, "storage", heddle.V1)
		k.n = 0
	}
	p.call(1, routing, "router", true)
	if got := groups(); len(got) != 0 {
		t.Errorf("got %v at first", got)
	}
	set("g", map[string]any{"a": 1, "b": 3}, "group", "active")
	set("idle", map[string]any{"a": 1}, "group")
	refreshed("g", "idle", "none")
	got := groups()
	if len(got) != 1 || len(got["g"]) != 2*64*4 {
		t.Fatalf("got %d groups, %d points", len(got), len(got["g"]))
	}
	byApp := map[any]int{}
	last := int64(-1)
	for _, p := range got["g"] {
		at := p.([]any)[0].(int64)
		if at < last {
			t.Fatalf("points are not in order: %d behind %d", at, last)
		}
		last = at
		byApp[p.([]any)[1]]++
	}
	if byApp["a"] != 32*4 || byApp["b"] != 96*4 {
		t.Errorf("got %v, want one to three", byApp)
	}

	ports := map[uint16]int{}
	for i := range uint64(200) {
		p.call(i+2, resolve, "g")
		var a answerV1
		p.args(i+2, value1, &a)
		ports[a.At[0].Port]++
	}
	if len(ports) != 2 {
		t.Errorf("got %v, want both apps", ports)
	}
	seeds := map[string]uint16{}
	for i := range uint64(100) {
		seed := fmt.Sprint("seed", i%10)
		p.call(i+300, resolve, "g", seed)
		var a answerV1
		p.args(i+300, value1, &a)
		if port, ok := seeds[seed]; ok && port != a.At[0].Port {
			t.Errorf("seed %s has led to %d and %d", seed, port, a.At[0].Port)
		}
		seeds[seed] = a.At[0].Port
	}
	v0 := dial(t, c.Addr(), heddle.V0)
	for range 20 {
		v0.call(0, 0, "g")
		v0.args(0, chunk0, new([]string))
		v0.want(0, choke0)
	}

	set("g", map[string]any{"a": 1}, "group", "active")
	refreshed("g")
	if got := groups(); len(got["g"]) != 64*4 {
		t.Errorf("got %d points of one app", len(got["g"]))
	}
	set("g", map[string]any{"a": 0}, "group", "active") // which is no group
	k.peer, k.n = dial(t, c.Addr(), heddle.V1), 0
	if result, failed := k.result(refresh, []any{"g"}); fmt.Sprint(result) != "[10 2]" || failed != "routing storage is unavailable" {
		t.Errorf("got %v, %s", result, failed)
	}
	k.peer, k.n = to(t, c, "storage", heddle.V1), 0
	k.ok(remove, "groups", "g")
	refreshed("g")
	if got := groups(); len(got) != 0 {
		t.Errorf("got %v, want that the group is gone", got)
	}
	resolves(t, p, 900, "g", 0)
	p.call(1, 0) // discard
	p.want(1, close1)

	// Another cloud on the same directory knows them from the start.
	set("h", map[string]any{"a": 1}, "group", "active")
	second := dial(t, start(t, Options{Storage: c.opt.Storage}).Addr(), heddle.V1)
	second.call(1, routing, "router")
	var m []map[string][]any
	second.args(1, write1, &m)
	if len(m[0]["h"]) != 64*4 {
		t.Errorf("got %d points", len(m[0]["h"]))
	}
}

// TestRefreshAtOnce: of several refreshes at once what was stored last counts.
func TestRefreshAtOnce(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	for round := range uint64(100) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = c.refresh([]string{"g"}) }) // the last one matters
		}
		if err := c.store.write("groups", "g", pack(t, map[string]any{"a": round + 1}), groupTags); err != nil {
			t.Error(err)
		}
		wg.Go(func() { _ = c.refresh([]string{"g"}) })
		wg.Wait()
		if r := c.groups["g"]; r == nil || r.weights["a"] != round+1 {
			t.Fatalf("not as it was stored in round %d: %.80v", round, r)
		}
	}
}

// TestRing: points and keys as by PROTOCOL 3.3; the numbers are another program's.
func TestRing(t *testing.T) {
	r, err := newRing(map[string]uint64{"app": 1})
	if err != nil {
		t.Fatal(err)
	}
	// python3 -c "import hashlib,struct; print(sorted(w for s in range(64) for w in
	// struct.unpack('<4I', hashlib.md5(b'app'+struct.pack('<Q',s)).digest()))[:3])"
	var got []uint32
	for _, p := range r.points[:3] {
		got = append(got, p.at)
	}
	if want := []uint32{11960189, 12071703, 49658706}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, weights := range []map[string]uint64{{}, {"a": 0}, {strings.Repeat("x", mostName+1): 1}} {
		if _, err := newRing(weights); err == nil {
			t.Errorf("%.40v has a ring", weights)
		}
	}
}

// TestManyStreams: there are as many streams of news as there may be, one more is
// refused, and one that ends makes room.
func TestManyStreams(t *testing.T) {
	c := start(t, Options{Cluster: true})
	var first *peer
	for range mostWatchers / mostHolds {
		p := dial(t, c.Addr(), heddle.V1)
		for id := uint64(1); id <= mostHolds; id++ {
			p.call(id, routing, "them")
			p.want(id, write1, map[string]any{})
		}
		if first == nil {
			first = p
		}
	}
	p := dial(t, c.Addr(), heddle.V1)
	p.call(1, routing, "them")
	var e []any
	p.args(1, error1, &e)
	p.call(2, connect, "them")
	p.args(2, error1, &e)
	first.nc.Close()
	wait(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.watchers) == mostWatchers-mostHolds
	}, "its streams have ended")
	p.call(3, routing, "them")
	p.want(3, write1, map[string]any{})
}
