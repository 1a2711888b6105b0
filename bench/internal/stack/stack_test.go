package stack

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "4242 (a) (b) c) S 17 4242 4242 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 5 0 987654 1000 200 18446744073709551615 0\n"
	got, err := parseStat([]byte(line))
	want := process{pid: 4242, parent: 17, state: 'S', start: 987654, ticks: 124}
	if err != nil || got != want {
		t.Errorf("parseStat(%q): got %+v, %v, want %+v", line, got, err, want)
	}
	for _, bad := range []string{"", "1", "1 (x", "1 (x) S 1 2", "x (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q): got %+v, want an error", bad, got)
		}
	}
}

func TestParseWrk(t *testing.T) {
	const clean = `Running 5s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    2.34ms  30.10ms   90.00%
    Req/Sec    80.12k     3.20k   85.00k    70.00%
  Latency Distribution
     50%  564.00us
     75%    1.10ms
     90%    1.20ms
     99%    2.03s 
  400600 requests in 5.00s, 51.57MB read
Requests/sec:  80120.50
Transfer/sec:     10.31MB
`
	const bad = `  90 requests in 5.00s, 51.57KB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:     18.00
`
	for _, tc := range []struct {
		out  string
		want Load
	}{
		{clean, Load{Requests: 400600, Rate: 80120.5, P50: 564 * time.Microsecond, P99: 2030 * time.Millisecond}},
		{bad, Load{Requests: 90, Rate: 18, Non2xx: 5, Broken: 6, Timeouts: 4}},
	} {
		if got, err := parseWrk([]byte(tc.out)); err != nil || got != tc.want {
			t.Errorf("parseWrk(%q): got %+v, %v, want %+v", tc.out, got, err, tc.want)
		}
	}
	if got, err := parseWrk([]byte("unable to connect to 127.0.0.1:1 Connection refused\n")); err == nil {
		t.Errorf("parseWrk of a refusal: got %+v, want an error", got)
	}
}

func TestStayed(t *testing.T) {
	for _, good := range []string{`{"front":{"requests":7}}`, `{"front":{"handed_over":{}}}`, `{"front":{"handed_over":{"eof":0}}}`} {
		if err := stayed([]byte(good)); err != nil {
			t.Errorf("stayed(%s): got %v, want nil", good, err)
		}
	}
	for _, bad := range []string{``, `{}`, `{"front":{"handed_over":{"eof":1}}}`, `{"front":{"handed_over":{"eof":0,"version":3}}}`} {
		if err := stayed([]byte(bad)); err == nil {
			t.Errorf("stayed(%s): got nil, want an error", bad)
		}
	}
}

func TestMedian(t *testing.T) {
	got := Median([]Sample{
		{CPU: 3, Rate: 10, P50: 5, P99: 9, Peak: 100, Failed: 1},
		{CPU: 1, Rate: 30, P50: 7, P99: 8, Peak: 300},
		{CPU: 2, Rate: 20, P50: 6, P99: 7, Peak: 200, Failed: 2},
	})
	if want := (Sample{CPU: 2, Rate: 20, P50: 6, P99: 8, Peak: 200, Failed: 3}); got != want {
		t.Errorf("Median of three: got %+v, want %+v", got, want)
	}
	if got, want := Median([]Sample{{CPU: 1, Peak: 1}, {CPU: 2, Peak: 4}}), (Sample{CPU: 1.5, Peak: 2}); got != want {
		t.Errorf("Median of two: got %+v, want %+v", got, want)
	}
	if got := Median(nil); got != (Sample{}) {
		t.Errorf("Median of none: got %+v", got)
	}
}
