package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// apps for routes: their indexes are what Pick gives.
func routed() *Routes {
	return NewRoutes([]App{
		0: {Hosts: []string{"shop.example", "Alias.Example."}},
		1: {Hosts: []string{"shop.example"}, Paths: []string{"/api/", "/v%32"}},
		2: {Hosts: []string{"shop.example"}, Paths: []string{"/api/v2"}},
		3: {Hosts: []string{"*.example"}},
		4: {Hosts: []string{"*.deep.example"}, Paths: []string{"/only"}},
		5: {Paths: []string{"/health", "/api"}},
		6: {Hosts: []string{"[2001:db8::1]", "192.0.2.1"}},
		7: {Hosts: []string{"paths.example"}, Paths: []string{"/p"}},
	})
}

func TestPick(t *testing.T) {
	r := routed()
	for _, tt := range []struct {
		host, path string
		want       int
	}{
		{"shop.example", "/", 0},
		{"shop.example", "", 0},
		{"shop.example", "*", 0}, // OPTIONS
		{"shop.example:8080", "/x", 0},
		{"SHOP.Example", "/x", 0},
		{"shop.example.", "/x", 0},
		{"Shop.Example.:443", "/x", 0},
		{"shop.example..", "/x", -1},
		{"alias.example", "/", 0},

		// The longest path, at whole segments.
		{"shop.example", "/api", 1},
		{"shop.example", "/api/", 1},
		{"shop.example", "/api?q=/api/v2", 1},
		{"shop.example", "/api/v1", 1},
		{"shop.example", "/api/v2", 2},
		{"shop.example", "/api/v2/x", 2},
		{"shop.example", "/api/v22", 1},
		{"shop.example", "/apix", 0},
		{"shop.example", "/ap", 0},
		{"shop.example", "/API", 0},

		// As it came.
		{"shop.example", "/%61pi", 0},
		{"shop.example", "/v%32/x", 1},
		{"shop.example", "/v2/x", 0},
		{"shop.example", "//api", 0},
		{"shop.example", "/x/../api", 0},
		{"shop.example", "/api/../x", 1},
		{"shop.example", "/api%2fv2", 0},

		// Suffixes, the longest first; then whoever takes every host.
		{"other.example", "/", 3},
		{"a.b.example", "/api", 3},
		{"example", "/", -1},
		{".example", "/", -1},
		{"xexample", "/", -1},
		{"a.deep.example", "/only/x", 4},
		{"a.deep.example", "/else", 3},
		{"deep.example", "/only", 3},
		{"paths.example", "/p", 7},
		{"paths.example", "/q", 3},
		{"elsewhere.test", "/api", 5},
		{"elsewhere.test", "/", -1},
		{"", "/health", 5},
		{"", "/", -1},

		// Addresses.
		{"[2001:db8::1]", "/", 6},
		{"[2001:DB8::1]:443", "/", 6},
		{"[2001:db8::2]", "/health", 5},
		{"[2001:db8::1]x", "/", -1},
		{"[2001:db8::1", "/", -1},
		{"2001:db8::1", "/", -1},
		{"192.0.2.1:80", "/", 6},
		{"[", "/", -1}, {"]", "/", -1}, {":", "/", -1}, {".", "/", -1}, {":80", "/health", 5},
		{"[a.example]", "/", -1},
		{strings.Repeat("a", maxHost-8) + ".example", "/", 3},
		{strings.Repeat("a", maxHost-8) + ".example.", "/", 3},
		{strings.Repeat("a", maxHost-7) + ".example", "/health", 5},
		{strings.Repeat("a.", 1<<16), "/health", 5},
	} {
		if got := r.Pick([]byte(tt.host), []byte(tt.path)); got != tt.want {
			t.Errorf("%q %q: got %d, want %d", tt.host, tt.path, got, tt.want)
		}
		if got := r.PickString(tt.host, tt.path); got != tt.want {
			t.Errorf("%q %q as strings: got %d, want %d", tt.host, tt.path, got, tt.want)
		}
	}
	if got := NewRoutes([]App{{}}).PickString("x:1", "/"); got != 0 {
		t.Errorf("a single app without routes: got %d", got)
	}
	if got := NewRoutes(nil).PickString("x", "/"); got != -1 {
		t.Errorf("no apps: got %d", got)
	}
}

func TestCheckHost(t *testing.T) {
	for _, host := range []string{"a", "a.b", "A.b.", "*.a", "*.a.b.", "a_b-c.d", "xn--mnchen-3ya.de", "192.0.2.1", "[::1]", "[2001:DB8::1]", "1a.2b", strings.Repeat("a.", 126) + "a"} {
		if err := checkHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for host, why := range map[string]string{
		"": "is empty", ".": "is empty", "*": "leave hosts out", "*.": "is empty", "a..b": "between two dots", ".a": "between two dots", "*.*.a": "* inside", "a*": "* inside", "**.a": "* inside",
		"a:80": "has a port", "[::1]:80": "has a port", "[::1": "write it so", "::1": "write it so", "[0:0::1]": "write it so", "[::1%lo]": "no IPv6", "[192.0.2.1]": "no IPv6",
		"192.0.2.999": "no IPv4", "1.2.3": "no IPv4", "*.0.2.1": "no IPv4", "*.1": "no IPv4", "münchen.de": "xn--", "a b": "no host has", "a/b": "no host has", "http://a": "has a port",
		strings.Repeat("a", 64): "more than 63", strings.Repeat("a.", 127) + "a": "at most 253",
	} {
		if err := checkHost(host); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want %q", host, err, why)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, path := range []string{"/", "/a", "/a/", "/a/b.c", "/%C3%A9", "/..a", "/a;b=c"} {
		if err := checkPath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"", "a", "/a?b", "/a#b", "/*", "/é", "/a b", "//", "/a//b", "/./a", "/a/..", "/\x7f"} {
		if err := checkPath(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

func TestPickAllocations(t *testing.T) {
	r := routed()
	for _, tt := range [][2]string{
		{"Shop.example:8080", "/api/v2/x"}, {"a.b.c.deep.example", "/only"}, {"[2001:db8::1]:1", "/"}, {"elsewhere.test", "/nothing"}, {strings.Repeat("a", 300), "/"}, {strings.Repeat("a", 200) + ".example", "/"},
	} {
		host, path := []byte(tt[0]), []byte(tt[1])
		if n := testing.AllocsPerRun(100, func() { r.Pick(host, path) }); n != 0 {
			t.Errorf("%s %s: %v allocations", tt[0], tt[1], n)
		}
		if n := testing.AllocsPerRun(100, func() { r.PickString(tt[0], tt[1]) }); n != 0 {
			t.Errorf("%s %s as strings: %v allocations", tt[0], tt[1], n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	r := routed()
	for _, tt := range []struct{ name, host, path string }{
		{"exact", "shop.example:8080", "/api/v2/x"}, {"suffix", "www.some.deep.example", "/else"}, {"any", "elsewhere.test", "/health"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			host, path := []byte(tt.host), []byte(tt.path)
			b.ReportAllocs()
			for b.Loop() {
				r.Pick(host, path)
			}
		})
	}
}

// TestSettle: after a reload that failed in part no two apps have one route, and
// nobody who had one has none.
func TestSettle(t *testing.T) {
	app := func(name string, hosts ...string) App { return App{Name: name, Hosts: hosts} }
	old := []App{app("a", "a.example"), app("b", "b.example"), app("c", "c.example")}
	for _, tt := range []struct {
		apps, want    []App
		kept, refused []string
	}{
		{[]App{app("a", "x.example"), app("b", "b.example")}, []App{app("a", "x.example"), app("b", "b.example")}, nil, nil},
		// a was to have b's host, and failed.
		{[]App{app("a", "a.example"), app("b", "a.example"), app("c", "d.example")}, old, []string{"b", "c"}, nil},
		{[]App{app("a", "a.example"), app("n", "a.example"), app("m", "m.example")}, []App{app("a", "a.example"), app("m", "m.example")}, nil, []string{"n"}},
	} {
		got, kept, refused := Settle(tt.apps, old)
		if !reflect.DeepEqual(got, tt.want) || !slices.Equal(kept, tt.kept) || !slices.Equal(refused, tt.refused) {
			t.Errorf("%v: got %v, kept %q, refused %q", tt.apps, got, kept, refused)
		}
		if len(clashes(got)) > 0 {
			t.Errorf("%v: clashes", got)
		}
	}
}
