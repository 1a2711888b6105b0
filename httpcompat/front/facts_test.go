package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestRequestID(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []string
		kept bool
	}{
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"a word", []string{"abc-DEF_1.2~3"}, true},
		{"an AWS trace", []string{"Root=1-67891233-abcdef012345678912345678"}, true},
		{"base64", []string{"a+b/c=="}, true},
		{"as long as may be", []string{strings.Repeat("x", 128)}, true},
		{"too long", []string{strings.Repeat("x", 129)}, false},
		{"a space", []string{"a b"}, false},
		{"a quote", []string{`a"b`}, false},
		{"a control byte", []string{"a\tb"}, false},
		{"not ASCII", []string{"ä"}, false},
		{"two", []string{"a", "b"}, false},
	} {
		r := &http.Request{Header: http.Header{}, RemoteAddr: "192.0.2.1:1"}
		if tt.sent != nil {
			r.Header["X-Request-Id"] = tt.sent
		}
		id := new(facts).enter(r, Trusted{}, false)
		got := r.Header["X-Request-Id"]
		if len(got) != 1 || got[0] != id {
			t.Errorf("%s: the header is %q, the id %q", tt.name, got, id)
		}
		if tt.kept && id != tt.sent[0] {
			t.Errorf("%s: got %q, want what was sent", tt.name, id)
		}
		if !tt.kept && (len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || slices.Contains(tt.sent, id)) {
			t.Errorf("%s: got %q, want 32 hexadecimal digits", tt.name, id)
		}
	}
	seen := make(map[string]bool)
	for range 1000 {
		seen[newID(false)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("of 1000 ids %d differ", len(seen))
	}
}

// fields are those that tell of the client, one value each.
func fields(h http.Header) map[string]string {
	out := make(map[string]string)
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
		if vv, ok := h[name]; ok {
			out[name] = strings.Join(vv, " | ")
		}
	}
	return out
}

func TestForwarding(t *testing.T) {
	said := http.Header{
		"X-Forwarded-For":   {"203.0.113.9, 2001:db8::9", "198.51.100.1"},
		"X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host":  {"shop.example"},
		"Forwarded":         {"for=203.0.113.9;proto=https"},
	}
	for _, tt := range []struct {
		name    string
		trusted []string
		remote  string
		host    string
		tls     bool
		sent    http.Header
		want    [4]string // For, Proto, Host, Forwarded; "" for none
	}{
		{
			"the peer alone", nil, "192.0.2.1:4711", "example.org", false, nil,
			[4]string{"192.0.2.1", "http", "example.org", "for=192.0.2.1;host=example.org;proto=http"},
		},
		{
			"TLS, IPv6, and a port", nil, "[2001:db8::1]:4711", "example.org:8443", true, nil,
			[4]string{"2001:db8::1", "https", "example.org:8443", `for="[2001:db8::1]";host="example.org:8443";proto=https`},
		},
		{
			"a zone", nil, "[fe80::1%eth0]:1", "a", false, nil,
			[4]string{"fe80::1", "http", "a", `for="[fe80::1]";host=a;proto=http`},
		},
		{
			"no Host", nil, "192.0.2.1:1", "", false, said,
			[4]string{"192.0.2.1", "http", "", "for=192.0.2.1;proto=http"},
		},
		{
			"a quoted host", nil, "192.0.2.1:1", `a"\b`, false, nil,
			[4]string{"192.0.2.1", "http", `a"\b`, `for=192.0.2.1;host="a\"\\b";proto=http`},
		},
		{
			"a client that claims", nil, "192.0.2.1:1", "example.org", false, said,
			[4]string{"192.0.2.1", "http", "example.org", "for=192.0.2.1;host=example.org;proto=http"},
		},
		{
			"a client that claims, others are trusted", []string{"10.0.0.0/8"}, "192.0.2.1:1", "example.org", false, said,
			[4]string{"192.0.2.1", "http", "example.org", "for=192.0.2.1;host=example.org;proto=http"},
		},
		{
			"a trusted proxy", []string{"10.0.0.0/8"}, "10.1.2.3:1", "inner", false, said,
			[4]string{"203.0.113.9, 2001:db8::9, 198.51.100.1, 10.1.2.3", "https", "shop.example", "for=203.0.113.9;proto=https, for=10.1.2.3;host=inner;proto=http"},
		},
		{
			"a trusted proxy without Forwarded", []string{"10.1.2.3"}, "10.1.2.3:1", "inner", false, http.Header{"X-Forwarded-For": said["X-Forwarded-For"]},
			[4]string{"203.0.113.9, 2001:db8::9, 198.51.100.1, 10.1.2.3", "http", "inner", `for=203.0.113.9, for="[2001:db8::9]", for=198.51.100.1, for=10.1.2.3;host=inner;proto=http`},
		},
		{
			"a trusted proxy that says nothing", []string{"10.1.2.3"}, "10.1.2.3:1", "inner", false, nil,
			[4]string{"10.1.2.3", "http", "inner", "for=10.1.2.3;host=inner;proto=http"},
		},
		{
			"a Forwarded without an end", []string{"10.1.2.3"}, "10.1.2.3:1", "inner", false, http.Header{"Forwarded": {`for="8.8`}},
			[4]string{"10.1.2.3", "http", "inner", "for=10.1.2.3;host=inner;proto=http"},
		},
		{
			"a trusted proxy of IPv6", []string{"2001:db8::/32"}, "[2001:db8::5]:1", "inner", false, http.Header{"X-Forwarded-For": {"203.0.113.9"}},
			[4]string{"203.0.113.9, 2001:db8::5", "http", "inner", `for=203.0.113.9, for="[2001:db8::5]";host=inner;proto=http`},
		},
		{
			"trusted in the longer form", []string{"::ffff:10.0.0.0/104"}, "10.1.2.3:1", "inner", false, http.Header{"X-Forwarded-For": {"203.0.113.9"}},
			[4]string{"203.0.113.9, 10.1.2.3", "http", "inner", "for=203.0.113.9, for=10.1.2.3;host=inner;proto=http"},
		},
		{
			"a unix socket", []string{"10.0.0.0/8"}, "@", "example.org", false, said,
			[4]string{"", "http", "example.org", "for=unknown;host=example.org;proto=http"},
		},
		{
			"a trusted unix socket", []string{"unix"}, "@", "inner", false, said,
			[4]string{"203.0.113.9, 2001:db8::9, 198.51.100.1", "https", "shop.example", "for=203.0.113.9;proto=https, for=unknown;host=inner;proto=http"},
		},
	} {
		trusted, err := ParseTrusted(tt.trusted)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: tt.sent.Clone(), RemoteAddr: tt.remote, Host: tt.host}
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if tt.tls {
			r.TLS = new(tls.ConnectionState)
		}
		new(facts).enter(r, trusted, false)
		want := make(map[string]string)
		for i, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
			if tt.want[i] != "" {
				want[name] = tt.want[i]
			}
		}
		if got := fields(r.Header); !maps.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, want)
		}
		if r.RemoteAddr != tt.remote {
			t.Errorf("%s: RemoteAddr became %s", tt.name, r.RemoteAddr)
		}
	}
}

func TestParseTrusted(t *testing.T) {
	for _, s := range []string{"", "10.0.0.0/33", "example.org", "10.0.0.1:80", "fe80::1%eth0", "::ffff:0.0.0.0/0", "unix:"} {
		if _, err := ParseTrusted([]string{s}); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	var none Trusted
	if !none.Empty() || none.peerOf("192.0.2.1:1").trusted || none.peerOf("@").trusted {
		t.Error("the empty set trusts somebody")
	}
}

// TestFactsAllocations: the id, Forwarded, and nothing else of an ordinary
// request.
func TestFactsAllocations(t *testing.T) {
	r := &http.Request{Header: http.Header{}, RemoteAddr: "192.0.2.1:4711", Host: "example.org"}
	var f facts
	f.enter(r, Trusted{}, false) // the map grows once
	if n := testing.AllocsPerRun(100, func() {
		delete(r.Header, "X-Request-Id")
		f.enter(r, Trusted{}, false)
	}); n > 2 {
		t.Errorf("%v allocations, want 2", n)
	}
}

// TestTrailersCarryNoFacts: what only a proxy says is said in the head.
func TestTrailersCarryNoFacts(t *testing.T) {
	s, _ := serve(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer)
	}))
	_, body := send(t, dial(t, s), "POST / HTTP/1.1\r\nHost: x\r\nTrailer: X-Forwarded-For, Forwarded, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"+
		"X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Request-Id: evil\r\nX-Sum: 1\r\n\r\n")
	if body != "map[X-Sum:[1]]" {
		t.Errorf("got %s", body)
	}
}
