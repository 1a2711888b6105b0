package gateway

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// continuum is a routing group as the locator of runtime 0.12 makes it of weights
// (PROTOCOL 3.3).
func continuum(weights map[string]float64) (all []any) {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		steps := int(math.Round(64 * float64(len(weights)) * weights[name] / total))
		for step := range steps {
			sum := md5.Sum(binary.LittleEndian.AppendUint64([]byte(name), uint64(step)))
			for i := 0; i < 16; i += 4 {
				all = append(all, []any{uint64(binary.LittleEndian.Uint32(sum[i:])), name})
			}
		}
	}
	slices.SortFunc(all, func(a, b any) int {
		x, y := a.([]any)[0].(uint64), b.([]any)[0].(uint64)
		return map[bool]int{true: 1, false: -1}[x > y]
	})
	return all
}

// X-Cocaine-Sticky chooses from the group, always the same, by weight, and a group
// that changes is followed, on the loop and by net/http.
func TestSticky(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	for _, name := range []string{"a", "b", "group"} {
		cloud.App(name, map[string]func(*servicetest.Call){"http": func(c *servicetest.Call) { _, _ = ask(c); say(c, headOf(200), name) }})
	}
	r := newRig(t, 2, Options{Locators: []string{cloud.Endpoint()}})
	get := func(seed string, way string) string {
		a := r.raw(t, "GET "+way+"/group/http/ HTTP/1.1\r\nHost: x\r\nX-Cocaine-Sticky: "+seed+"\r\n\r\n")
		if a.code != 200 || a.header.Get("X-Cocaine-Application") != a.body {
			t.Errorf("got %d %q of %q", a.code, a.body, a.header["X-Cocaine-Application"])
		}
		return a.body
	}
	if got := get("me", ""); got != "group" {
		t.Errorf("without groups: %q", got)
	}
	cloud.SetGroups(map[string]any{"group": continuum(map[string]float64{"a": 3, "b": 1})})
	await(t, func() string { return map[bool]string{true: "no groups"}[get("me", "") == "group"] })
	count := map[string]int{}
	for i := range 200 {
		seed := fmt.Sprint("seed", i)
		first := get(seed, "")
		count[first]++
		if i%20 == 0 && (get(seed, "") != first || get(seed, "http://x") != first) {
			t.Errorf("%s is not sticky", seed)
		}
	}
	if count["a"] < 110 || count["b"] < 20 || count["group"] > 0 {
		t.Errorf("by weights 3 and 1: %v", count)
	}
	if a := r.get(t, "/group/http/"); a.body != "group" {
		t.Errorf("without the field: %q", a.body)
	}
	cloud.SetGroups(map[string]any{"group": []any{[]any{5, "b"}}, "empty": []any{}})
	await(t, func() string {
		for i := range 20 {
			if get(fmt.Sprint("seed", i), "") != "b" {
				return "the group has not changed"
			}
		}
		return ""
	})
	cloud.SetGroups(map[string]any{})
	await(t, func() string { return map[bool]string{true: "the group is there still"}[get("me", "") != "group"] })
	cloud.SetGroups(map[string]any{"group": []any{[]any{5, "b"}}})
	await(t, func() string { return map[bool]string{true: "no new group"}[get("me", "") != "b"] })
	cloud.Locator().Cut() // and with it the stream
	await(t, func() string { return map[bool]string{true: "not known again"}[get("me", "") != "b"] })
}

// A group that changes in mid-stream is the next request's: an answer that has begun
// is its app's to the end.
func TestGroupChangesInMidStream(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	goOn := make(chan struct{})
	for _, name := range []string{"a", "b"} {
		cloud.App(name, map[string]func(*servicetest.Call){
			"http": func(c *servicetest.Call) { _, _ = ask(c); say(c, headOf(200), name) },
			"slow": func(c *servicetest.Call) {
				_, _ = ask(c)
				say(c, headOf(200), name)
				<-goOn
				say(c, name+" still")
			},
		})
	}
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	only := func(app string) {
		cloud.SetGroups(map[string]any{"group": []any{[]any{5, app}}})
		await(t, func() string {
			if a := r.do(t, "GET", "/group/http/", "", "X-Cocaine-Sticky", "me"); a.body != app {
				return fmt.Sprintf("got %d %q, want %s", a.code, a.body, app)
			}
			return ""
		})
	}
	only("a")
	req, err := http.NewRequest("GET", r.base+"/group/slow/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Cocaine-Sticky", "me")
	resp, err := r.http.Do(req) // the head, and what comes with it
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	only("b")
	close(goOn)
	if p, err := io.ReadAll(resp.Body); string(p) != "aa still" || err != nil || resp.Header.Get("X-Cocaine-Application") != "a" {
		t.Errorf("got %q of %q, %v", p, resp.Header["X-Cocaine-Application"], err)
	}
}

// A group whose app is called what no field of an answer can hold is refused: that
// name would be told as X-Cocaine-Application.
func TestGroupOfFields(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	cloud.SetGroups(map[string]any{"shop": []any{[]any{5, "x\r\nX-Evil: 1"}}})
	await(t, func() string {
		if n := strings.Count(r.log.String(), "routing groups"); n == 0 {
			return "no word of it in the log"
		}
		return ""
	})
	for _, way := range []string{"", "http://x"} {
		a := r.raw(t, "GET "+way+"/shop/http/ HTTP/1.1\r\nHost: x\r\nX-Cocaine-Sticky: me\r\n\r\n")
		if a.code != 200 || a.header.Get("X-Evil") != "" {
			t.Errorf("%s: got %d %v", way, a.code, a.header)
		}
	}
}

// Groups that are none end the stream, and nothing else.
func TestLyingGroups(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	for i, bad := range []any{
		[]any{[]any{5}}, []any{[]any{"x", "shop"}}, []any{[]any{-1, "shop"}}, []any{[]any{1 << 40, "shop"}}, "text", []any{[]any{5, ""}}, []any{[]any{5, strings.Repeat("n", 300)}},
	} {
		cloud.SetGroups(map[string]any{"shop": bad})
		await(t, func() string {
			if n := strings.Count(r.log.String(), "routing groups are not known"); n <= i {
				return fmt.Sprintf("%d: no word of it in the log", i)
			}
			return ""
		})
		if a := r.do(t, "GET", "/shop/http/", "", "X-Cocaine-Sticky", "me"); a.code != 200 {
			t.Errorf("%d: got %d %q", i, a.code, a.body)
		}
		if i == 1 {
			return // each costs a pause; the rest is makeRings'
		}
	}
}

// The seed is the four words of its MD5, each with each, as they lie on a machine
// that is little-endian.
func TestSeed(t *testing.T) {
	for seed, want := range map[string]uint32{"": 0xd98c1dd4 ^ 0x04b2008f ^ 0x980980e9 ^ 0x7e42f8ec} {
		if got := seedOf([]byte(seed)); got != want {
			t.Errorf("%q: %08x, want %08x", seed, got, want)
		}
	}
	r := ring{{10, []byte("a")}, {20, []byte("b")}, {20, []byte("c")}}
	for n, want := range map[uint32]string{0: "a", 10: "a", 11: "b", 20: "b", 21: "a", 1 << 31: "a"} {
		if got := string(r.of(n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestMakeRings(t *testing.T) {
	if all, err := makeRings(map[string][]member{"g": {{Point: 9, App: "b"}, {Point: 3, App: "a"}}}); err != nil || string(all["g"].of(4)) != "b" {
		t.Errorf("%v, %v", all, err)
	}
	many := make(map[string][]member)
	for i := range maxRings + 1 {
		many[fmt.Sprint(i)] = nil
	}
	for name, groups := range map[string]map[string][]member{
		"too many groups": many,
		"no name":         {"g": {{Point: 1}}},
		"long name":       {"g": {{Point: 1, App: strings.Repeat("n", maxName+1)}}},
		"lines":           {"g": {{Point: 1, App: "a\r\nb"}}},
		"NUL":             {"g": {{Point: 1, App: "a\x00b"}}},
		"DEL":             {"g": {{Point: 1, App: "a\x7f"}}},
		"too many points": {"g": make([]member, maxPoints+1)},
	} {
		if _, err := makeRings(groups); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
