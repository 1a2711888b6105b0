package front

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// peers are where requests come from, and whom the front trusts.
var peers = []struct {
	name, remote string
	trusted      []string
}{
	{"a stranger", "192.0.2.1:4711", nil},
	{"a stranger beside a proxy", "192.0.2.1:4711", []string{"10.0.0.0/8", "unix"}},
	{"a proxy", "10.1.2.3:1", []string{"10.0.0.0/8"}},
	{"a proxy in the longer form", "[::ffff:10.1.2.3]:1", []string{"10.0.0.0/8"}},
	{"a stranger of IPv6", "[2001:db8::1]:1", nil},
	{"a proxy of IPv6", "[2001:db8::1]:1", []string{"2001:db8::/32"}},
	{"a zone", "[fe80::1%eth0]:1", []string{"fe80::/10"}},
	{"a unix socket", "@", nil},
	{"a unix socket that is trusted", "@", []string{"unix"}},
	{"no address", "", []string{"unix"}},
}

// compareFacts enters the facts of one request both ways: as the lanes do, and as
// is done to requests of net/http.
func compareFacts(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw, remote string, trusted Trusted) (http.Header, string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	delete(r.Header, "Host") // as the server does
	r.RemoteAddr = remote
	wantID := new(facts).enter(r, trusted, false)

	var h requestHead
	if n, why := h.parse([]byte(raw), MostHeaders); n == 0 {
		t.Fatalf("%q: leaves: %q", raw, why)
	}
	id := []byte("of the request before")
	got := headerOf(new(lane).withFacts(nil, &h, trusted.peerOf(remote), &id))
	kept := r.Header[requestID]
	if one := h.one(kindRequestID); one == nil || string(one) != wantID { // each has made its own
		if len(id) != len(wantID) || string(id) == wantID || !validID(string(id)) {
			t.Fatalf("%q: got id %q, net/http's is %q", raw, id, wantID)
		}
		kept = []string{string(id)}
	}
	r.Header[requestID] = kept
	if d := cmp.Diff(r.Header, got); d != "" || string(id) != kept[0] {
		t.Fatalf("%q from %q, id %q\n-net/http +lane:\n%s", raw, remote, id, d)
	}
	return got, string(id)
}

func TestLaneFacts(t *testing.T) {
	for _, fields := range [][]string{
		{},
		{"X-Request-Id: mine"},
		{"x-request-id: " + strings.Repeat("x", 128)},
		{"X-Request-Id: " + strings.Repeat("x", 129)},
		{"X-Request-Id: a b"},
		{"X-Request-Id:"},
		{"X-Request-Id: a", "X-Request-Id: a"},
		{"X-Request-Id:", "X-Request-Id: a"},
		{"X-Request-Id: \xc3\xa9"},
		{"X-Forwarded-For: 203.0.113.9"},
		{"X-Forwarded-For: 203.0.113.9, 2001:db8::9", "x-forwarded-for: 198.51.100.1"},
		{"X-Forwarded-For:"},
		{"X-Forwarded-For:", "X-Forwarded-For: 203.0.113.9"},
		{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For:"},
		{"X-Forwarded-For: ,, ,"},
		{`X-Forwarded-For: "a", [::1]:80, b"`},
		{"X-Forwarded-Proto: https"},
		{"X-Forwarded-Proto:"},
		{"X-Forwarded-Proto:", "X-Forwarded-Proto: https"},
		{"X-Forwarded-Proto: https", "X-Forwarded-Proto:"},
		{"X-Forwarded-Host: shop.example"},
		{"X-Forwarded-Host:"},
		{"X-Forwarded-Host:", "X-Forwarded-Host: shop.example"},
		{"X-Forwarded-Host: shop.example", "x-Forwarded-host: b"},
		{"Forwarded: for=203.0.113.9;proto=https"},
		{"Forwarded: for=a", "forwarded: for=b"},
		{"Forwarded:", "X-Forwarded-For: 203.0.113.9"},
		{"Forwarded:", "Forwarded:"},
		{`Forwarded: for="8.8`, "X-Forwarded-For: 203.0.113.9"},
		{`Forwarded: for="\"`, `Forwarded: b"`},
		{`Forwarded: for="\\"`},
		{`Forwarded: for=\"`},
		{"Forwarded: ;=,"},
		{"Pragma: no-cache"},
		{"pragma: no-cache", "Pragma: x"},
		{"Pragma: x", "Pragma: no-cache"},
		{"Pragma: No-Cache"},
		{"Pragma: no-cache", "Cache-Control:"},
		{"Cache-Control: no-store", "Pragma: no-cache"},
		{"Cache-Control: a", "cache-control: b"},
		{"X-Forwarded-For: 1", "X: 1", "Forwarded: for=1", "x: 2", "X-Request-Id: \"", "X-Forwarded-Proto: a", "X-Forwarded-Host: b"},
		{"X-Forwarded-Port: 1", "X-Forwarded-Fo: 1", "X-Request-Ip: 1", "Cache-Contro1: 1"},
	} {
		for _, host := range []string{"example.org", "example.org:8443", "[::1]:80"} {
			for _, p := range peers {
				trusted, err := ParseTrusted(p.trusted)
				if err != nil {
					t.Fatal(err)
				}
				compareFacts(t, asks(append([]string{"GET / HTTP/1.1", "Host: " + host}, fields...)...), p.remote, trusted)
			}
		}
	}

	// The values themselves, once, and that no request has anything of the one before.
	trusted, err := ParseTrusted([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	got, id := compareFacts(t, gets("X-Request-Id: mine", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "Pragma: no-cache"), "10.1.2.3:1", trusted)
	want := http.Header{
		"X-Request-Id": {"mine"}, "X-Forwarded-For": {"203.0.113.9, 10.1.2.3"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a"},
		"Forwarded": {"for=203.0.113.9, for=10.1.2.3;host=a;proto=http"}, "Pragma": {"no-cache"}, "Cache-Control": {"no-cache"},
	}
	if d := cmp.Diff(want, got); d != "" || id != "mine" {
		t.Errorf("id %q, -want +got:\n%s", id, d)
	}
}

// TestLaneFactsProperty: and whatever else a client says.
func TestLaneFactsProperty(t *testing.T) {
	names := rapid.SampledFrom([]string{requestID, "x-request-id", forwardedFor, "x-forwarded-For", forwardedProto, forwardedHost, "X-FORWARDED-HOST", forwarded, "Pragma", "Cache-Control", "X"})
	values := rapid.OneOf(
		rapid.SampledFrom([]string{"", "no-cache", "mine", "https", "shop.example", "203.0.113.9", "::1", "for=a", `for="a"`, `for="`, `\"`, ", ", "a, b"}),
		rapid.StringMatching(`([a-z0-9:.,;="\\ \[\]]|\\"){0,20}`),
	)
	rapid.Check(t, func(rt *rapid.T) {
		lines := []string{"GET / HTTP/1.1", "Host: " + rapid.SampledFrom([]string{"a", "a:1", "[::1]", "A-b_c.d"}).Draw(rt, "host")}
		for range rapid.IntRange(0, 8).Draw(rt, "fields") {
			lines = append(lines, names.Draw(rt, "name")+": "+values.Draw(rt, "value"))
		}
		p := rapid.SampledFrom(peers).Draw(rt, "peer")
		trusted, err := ParseTrusted(p.trusted)
		if err != nil {
			rt.Fatal(err)
		}
		compareFacts(rt, asks(lines...), p.remote, trusted)
	})
}
