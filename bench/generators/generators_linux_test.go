package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
)

func TestMain(m *testing.M) {
	if child.Role() == roleServer {
		fail(serve())
		return
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		parse   func([]byte) (report, error)
		out     string
		answers int
		rate    float64
		at      map[string]time.Duration
	}{
		{"wrk", parseWrk, `Running 1s test @ http://127.0.0.1:44429/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   120.79us  798.76us  12.76ms   98.14%
    Req/Sec   116.68k    16.75k  140.85k    72.73%
  Latency Distribution
     50%   26.00us
     75%   30.00us
     90%   52.00us
     99%    3.03ms
  127068 requests in 1.10s, 15.87MB read
Requests/sec: 115571.42
Transfer/sec:     14.44MB
`, 127068, 115571.42, map[string]time.Duration{"p50": 26 * time.Microsecond, "p90": 52 * time.Microsecond, "p99": 3030 * time.Microsecond}},
		{"h2load", parseH2load, `finished in 1.00s, 95194.00 req/s, 11.89MB/s
requests: 95194 total, 95198 started, 95194 done, 95193 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 95194 2xx, 0 3xx, 0 4xx, 0 5xx
`, 95193, 95194, nil},
		{"hey", parseHey, `
Summary:
  Total:	1.0015 secs
  Requests/sec:	42951.6506

Latency distribution:
  10% in 0.0010 secs
  50% in 0.0841 secs
  99% in 0.2801 secs

Status code distribution:
  [200]	43016 responses

`, 43016, 42951.6506, map[string]time.Duration{"p50": 84100 * time.Microsecond, "p99": 280100 * time.Microsecond}},
		{"heddle", parseHeddle, `{"answered": 10, "late": 2, "rate": 5.5, "warmup": {"answered": 99}, "latency": {"count": 12, "p50": 1000, "p99.9": 2000}, "own": {"late": {"p99.9": 7}, "cpu_ns": 5}}`,
			12, 5.5, map[string]time.Duration{"p50": 1000, "p99.9": 2000}},
	} {
		r, err := tt.parse([]byte(tt.out))
		if err != nil || r.answers != tt.answers || r.rate != tt.rate {
			t.Errorf("%s: got %+v, %v; want %d answers, %v/s", tt.name, r, err, tt.answers, tt.rate)
		}
		for name, want := range tt.at {
			if r.at[name] != want {
				t.Errorf("%s: %s: got %v, want %v", tt.name, name, r.at[name], want)
			}
		}
		if r, err := tt.parse([]byte("something else")); err == nil {
			t.Errorf("%s: made %+v of something else", tt.name, r)
		}
	}
}

// TestComputed: sleeps have the distribution they are said to have, and who comes in
// a stall waits for its end.
func TestComputed(t *testing.T) {
	all := truths[0].computed()
	if mean := time.Duration(sum(all) / int64(len(all))); (mean - 200*time.Millisecond).Abs() > 200*time.Microsecond {
		t.Errorf("the mean is %v, want 200 ms", mean)
	}
	// ln 2 and ln 10 times 100 ms
	for share, want := range map[int]time.Duration{2: 169_315 * time.Microsecond, 10: 330_259 * time.Microsecond} {
		if got := all[len(all)-len(all)/share]; (got - want).Abs() > time.Millisecond {
			t.Errorf("a 1/%d-th is above %v, want %v", share, got, want)
		}
	}
	all = truths[1].computed()
	waited := slices.IndexFunc(all, func(d time.Duration) bool { return d > 20*time.Millisecond })
	if n := len(all) - waited; n != truthRate || all[len(all)-1] != 1020*time.Millisecond {
		t.Errorf("%d wait for the stall's end, at most %v; want %d, 1.02 s", n, all[len(all)-1], truthRate)
	}
}

func sum(all []time.Duration) (n int64) {
	for _, d := range all {
		n += int64(d)
	}
	return n
}

// TestServer: it sleeps as it is told, from its next request on.
func TestServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := child.Start(ctx, roleServer)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for _, b := range []behaviour{{}, {Least: 30 * time.Millisecond}, {Least: time.Millisecond, Stall: 50 * time.Millisecond}} {
		url, err := tell(s, b)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			begin := time.Now()
			r, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil || string(body) != "Hello, heddle\n" || time.Since(begin) < b.Least {
				t.Errorf("%+v: got %q, %v after %v", b, body, err, time.Since(begin))
			}
		}
	}
}
