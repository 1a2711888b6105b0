package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func TestTable(t *testing.T) {
	w := workload{key: "get", name: "GET"}
	base := newResult(w, kind{key: bare, name: "alone"}, stack.Sample{CPU: 20, Rate: 50000, P50: time.Millisecond, P99: 2 * time.Second, Peak: 10 << 20}, nil)
	other := newResult(w, kind{key: "x", name: "x"}, stack.Sample{CPU: 50, Own: 7, Rate: 25000, P50: 123456, P99: 45678901, Peak: 33 << 20, Failed: 3}, &base)
	lone := newResult(workload{key: "up", name: "POST"}, kind{key: "x", name: "x", own: true}, stack.Sample{CPU: 1234, Own: 567, Rate: 5, Peak: 1 << 20}, nil)
	var b strings.Builder
	if err := writeTable(&b, []result{base, other, lone}); err != nil {
		t.Fatal(err)
	}
	const want = `| workload | stack | CPU µs | own | ratio |  per s | ratio |     p50 |     p99 | peak MiB | failed |
|----------|-------|-------:|----:|------:|-------:|------:|--------:|--------:|---------:|-------:|
| GET      | alone |   20.0 |     |  1.00 | 50,000 |  1.00 | 1.00 ms |  2.00 s |       10 |      0 |
|          | x     |   50.0 |     |  2.50 | 25,000 |  0.50 |  123 µs | 45.7 ms |       33 |      3 |
| POST     | x     |  1,234 | 567 |       |   5.00 |       |         |         |        1 |      0 |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	j, err := json.Marshal(other)
	if want := `{"workload":"get","stack":"x","cpu_us":50,"cpu_ratio":2.5,"per_second":25000,"rate_ratio":0.5,"p50_ns":123456,"p99_ns":45678901,"peak_bytes":34603008,"failed":3}`; err != nil || string(j) != want {
		t.Errorf("as JSON: got %s, %v, want %s", j, err, want)
	}
}

func TestChoose(t *testing.T) {
	all := []string{"a", "b", "c"}
	key := func(s string) string { return s }
	for list, want := range map[string][]string{"": all, "b": {"b"}, "c,a": {"a", "c"}, "a, a": {"a"}} {
		if got, err := choose(list, all, key); err != nil || !slices.Equal(got, want) {
			t.Errorf("choose(%q): got %q, %v, want %q", list, got, err, want)
		}
	}
	for _, bad := range []string{"d", "a,d", ","} {
		if got, err := choose(bad, all, key); err == nil {
			t.Errorf("choose(%q): got %q, want an error", bad, got)
		}
	}
}

func TestParseEvent(t *testing.T) {
	if n, sent, err := parseEvent("data: 7 1234567890"); n != 7 || sent != 1234567890 || err != nil {
		t.Errorf("got %d, %d, %v, want 7, 1234567890, nil", n, sent, err)
	}
	for _, bad := range []string{"", "data: 7", "data: x 1", "data: 1 x", "event: 1 2", "1 2"} {
		if n, sent, err := parseEvent(bad); err == nil {
			t.Errorf("parseEvent(%q): got %d, %d, want an error", bad, n, sent)
		}
	}
}

// TestWorkloads holds what is sent to its description.
func TestWorkloads(t *testing.T) {
	if got := len(json1k); got != 1024 || !json.Valid([]byte(json1k)) {
		t.Errorf("the JSON has %d bytes, valid: %v; want 1024, true", got, json.Valid([]byte(json1k)))
	}
	if got := len(browser)/2 + 1; got != 12 { // with Host
		t.Errorf("the browser's GET has %d fields, want 12", got)
	}
	if got := len(repeated(mib10)); got != mib10 {
		t.Errorf("the upload has %d bytes, want %d", got, mib10)
	}
	for _, w := range workloads {
		if w.by != byFanOut && w.want == nil {
			t.Errorf("%s checks nothing", w.key)
		}
	}
}

// TestConfigs sees that the templates execute for both uses.
func TestConfigs(t *testing.T) {
	data := map[string]any{"Addr": "127.0.0.1:1", "Socket": "/s", "Threads": 2, "FastCGI": false, "Files": 9, "Conns": 4, "Root": true}
	for _, fastCGI := range []bool{false, true} {
		data["FastCGI"] = fastCGI
		var b strings.Builder
		if err := nginxConfig.Execute(&b, data); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "fastcgi_pass app;"); got != fastCGI || strings.Contains(b.String(), "proxy_pass") == fastCGI || strings.Contains(b.String(), "<no value>") {
			t.Errorf("FastCGI %v: got\n%s", fastCGI, b.String())
		}
	}
	var b strings.Builder
	if err := haproxyConfig.Execute(&b, data); err != nil || !strings.Contains(b.String(), "server app unix@/s\n") || strings.Contains(b.String(), "<no value>") {
		t.Errorf("haproxy: got %v\n%s", err, b.String())
	}
}

func TestParseH2load(t *testing.T) {
	const out = `finished in 2.00s, 51234.50 req/s, 3.42MB/s
requests: 102469 total, 102533 started, 102469 done, 102466 succeeded, 3 failed, 2 errored, 1 timeout
status codes: 102466 2xx, 0 3xx, 1 4xx, 0 5xx
`
	const log = "1000\t200\t300\n1010\t200\t100\n1020\t200\t200\n"
	got, err := parseH2load([]byte(out), []byte(log))
	want := stack.Load{Requests: 102466, Rate: 51234.5, Broken: 3, P50: 200 * time.Microsecond, P99: 300 * time.Microsecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range [][2]string{{"", log}, {out, "1 2\n"}, {out, "1\t200\tx\n"}} {
		if got, err := parseH2load([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("parseH2load(%q, %q): got %+v, want an error", bad[0], bad[1], got)
		}
	}
}
