package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// run runs o against target, which it returns the result of.
func run(t *testing.T, target string, o Options) *Result {
	t.Helper()
	var err error
	if o.Target, err = ParseTarget(target); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve answers connections with fn until the test ends.
func serve(t *testing.T, network, addr string, fn func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	wg.Go(func() { // ends when ln is closed
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() { // ends when c is closed
				defer c.Close()
				fn(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// TestNetHTTP: a real server's ledger and the report agree, whatever the answers'
// framing.
func TestNetHTTP(t *testing.T) {
	var asked, bodies atomic.Int64
	var ids sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if _, again := ids.LoadOrStore(r.Header.Get("X-Request-Id"), true); again {
			t.Errorf("id %q came twice", r.Header.Get("X-Request-Id"))
		}
		b, _ := io.ReadAll(r.Body)
		bodies.Add(int64(len(b)))
		w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		switch r.URL.Path {
		case "/chunked":
			_, _ = io.WriteString(w, "o")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "k")
		case "/close":
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "ok")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "ok")
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}))
	defer srv.Close()
	requests := []Request{
		{Path: "/", Expect: "ok"}, {Path: "/chunked", Expect: "ok"}, {Path: "/close", Expect: "ok"}, {Path: "/early", Expect: "ok"},
		{Path: "/none", Status: 204}, {Path: "/", Method: "HEAD"}, {Path: "/post", Body: "hello", Expect: "ok", Header: http.Header{"Content-Type": {"text/plain"}}},
	}
	for _, pace := range []*Pace{nil, mustPace(t, "10s:2000", true, 1)} {
		for _, reconnect := range []bool{false, true} {
			asked.Store(0)
			bodies.Store(0)
			ids.Clear()
			r := run(t, srv.URL, Options{Requests: requests, Conns: 4, Count: 700, Duration: time.Minute, Timeout: 30 * time.Second, Pace: pace, Reconnect: reconnect})
			if r.Requests != 700 || r.Answered != 700 || r.Errors+r.Lost+r.Duplicated+r.Stray+r.Reordered != 0 || asked.Load() != 700 {
				t.Errorf("reconnecting %v: got %+v, the server %d", reconnect, r.Counts, asked.Load())
			}
			if r.Statuses[204]*5 != uint64(bodies.Load()) && r.Statuses[204] == 0 {
				t.Errorf("got %v, bodies of %d bytes", r.Statuses, bodies.Load())
			}
			if reconnect && r.Connected < 700 {
				t.Errorf("got %d connections for 700 requests", r.Connected)
			}
			if r.Own.CPU <= 0 || r.Latency.Min <= 0 {
				t.Errorf("got %+v, %+v", r.Own, r.Latency)
			}
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+r.URL.Path)
	})}}
	srv.Start()
	defer srv.Close()
	r := run(t, "unix:"+path+":/where", Options{Count: 20, Conns: 2, Requests: []Request{{Expect: "localhost/where"}}})
	if r.Answered != 20 || r.Errors != 0 {
		t.Errorf("got %+v", r.Counts)
	}
}

// answerer reads requests of c and gives each to fn, which returns the answer's
// bytes; more: another may follow.
func answerer(c net.Conn, fn func(n int, id string) (answer string, more bool)) {
	br := bufio.NewReader(c)
	for n := 0; ; n++ {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		answer, more := fn(n, r.Header.Get("X-Request-Id"))
		if _, err := io.WriteString(c, answer); err != nil || !more {
			return
		}
	}
}

// TestRealMischief: what a server on a real socket does to requests is counted, each
// on connections of its own.
func TestRealMischief(t *testing.T) {
	for _, tt := range []struct {
		name string
		fn   func(net.Conn)
		want func(r *Result) bool
	}{
		{"dropped", func(c net.Conn) { // each third, without a word
			answerer(c, func(n int, id string) (string, bool) {
				if n == 2 {
					return "", true
				}
				return ok(id), true
			})
		}, func(r *Result) bool { return r.Lost > 0 && r.Lost == r.Kinds["timeout"] && r.Errors == r.Lost }},
		{"twice", func(c net.Conn) {
			answerer(c, func(_ int, id string) (string, bool) { return ok(id) + ok(id), true })
		}, func(r *Result) bool { return r.Answered == 40 && r.Duplicated == 40 && r.Errors == 0 }},
		{"reset", func(c net.Conn) {
			answerer(c, func(n int, id string) (string, bool) {
				if n == 3 {
					_ = c.(*net.TCPConn).SetLinger(0)
					return "", false
				}
				return ok(id), true
			})
		}, func(r *Result) bool { return r.Answered == 30 && r.Lost == 10 && r.Kinds["reset"] == 10 }},
		{"hung up", func(c net.Conn) {
			answerer(c, func(n int, id string) (string, bool) { return map[bool]string{true: ok(id)}[n < 3], n < 3 })
		}, func(r *Result) bool { return r.Answered == 30 && r.Lost == 10 && r.Kinds["closed"] == 10 }},
		{"short", func(c net.Conn) {
			answerer(c, func(int, string) (string, bool) {
				return "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello", false
			})
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["truncated"] == 40 }},
		{"longer than promised", func(c net.Conn) {
			answerer(c, func(_ int, id string) (string, bool) { return ok(id) + " and more\r\n\r\n", true })
		}, func(r *Result) bool { return r.Answered == 20 && r.Kinds["malformed"] == 20 }},
		{"no HTTP", func(c net.Conn) {
			answerer(c, func(int, string) (string, bool) { return "220 hello\r\n\r\n", true })
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["malformed"] == 40 }},
		{"endless head", func(c net.Conn) {
			answerer(c, func(int, string) (string, bool) {
				return "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*maxHead), true
			})
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["too large"] == 40 }},
		{"to the end", func(c net.Conn) {
			answerer(c, func(int, string) (string, bool) {
				return "HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("x", 300_000), false
			})
		}, func(r *Result) bool { return r.Answered == 40 && r.Errors == 0 && r.Bytes == 40*300_000 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, "tcp", "127.0.0.1:0", tt.fn)
			o := Options{Conns: 1, Count: 40, Duration: time.Minute, Timeout: 20 * time.Second}
			if tt.name == "dropped" {
				o.Timeout = 300 * time.Millisecond
			}
			r := run(t, "http://"+addr+"/", o)
			if r.Requests != 40 || r.Requests != r.Answered+r.Late+r.Lost || !tt.want(r) {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	r := run(t, addr, Options{Conns: 2, Duration: 100 * time.Millisecond})
	if r.Requests != 0 || r.Kinds["refused"] == 0 || r.Errors != r.Kinds["refused"] {
		t.Errorf("got %+v", r.Counts)
	}
	r = run(t, "unix:/nowhere/at/all", Options{Conns: 2, Duration: 100 * time.Millisecond})
	if r.Requests != 0 || r.Kinds["refused"] == 0 {
		t.Errorf("got %+v", r.Counts)
	}
}

// TestInterrupted: what there is when the context ends is reported.
func TestInterrupted(t *testing.T) {
	came := make(chan struct{}, 100)
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		answerer(c, func(n int, id string) (string, bool) {
			came <- struct{}{}
			return map[bool]string{true: ok(id)}[n == 0], true
		})
	})
	target, err := ParseTarget(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // ends when both connections have asked twice
		for range 4 {
			<-came
		}
		cancel()
	}()
	r, err := Run(ctx, Options{Target: target, Conns: 2, Duration: time.Hour, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Cut || r.Answered != 2 || r.Unfinished != 2 || r.Lost != 0 {
		t.Errorf("got %+v, want 2 answered and 2 unfinished", r.Counts)
	}
}

func TestProgress(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		answerer(c, func(_ int, id string) (string, bool) { return ok(id), true })
	})
	var told []Interval
	r := run(t, addr, Options{Conns: 1, Duration: 200 * time.Millisecond, Interval: 20 * time.Millisecond, OnInterval: func(i Interval) { told = append(told, i) }})
	if len(r.Intervals) < 10 || len(told) != len(r.Intervals) {
		t.Errorf("told of %d intervals of %d", len(told), len(r.Intervals))
	}
}

func TestRunRefuses(t *testing.T) {
	target := Target{Network: "tcp", Address: "127.0.0.1:1", Host: "x", Path: "/"}
	for name, o := range map[string]Options{
		"no target": {}, "threads": {Target: target, Threads: 3, Conns: 2}, "fewer threads": {Target: target, Threads: -1}, "connections": {Target: target, Conns: -1}, "pipeline": {Target: target, Pipeline: 1 << 20},
		"warm-up": {Target: target, Duration: time.Second, Warmup: time.Second}, "time-out": {Target: target, Timeout: time.Nanosecond},
		"think": {Target: target, Think: 1, Pipeline: 2}, "pipeline anew": {Target: target, Reconnect: true, Pipeline: 2},
		"interval": {Target: target, Interval: 1}, "field": {Target: target, IDField: "a b"},
		"method": {Target: target, Requests: []Request{{Method: "GE T"}}}, "path": {Target: target, Requests: []Request{{Path: "x"}}},
		"path's end": {Target: target, Requests: []Request{{Path: "/\r\nX: y"}}}, "header": {Target: target, Requests: []Request{{Header: http.Header{"A": {"x\r\ny"}}}}},
		"length":    {Target: target, Requests: []Request{{Header: http.Header{"Content-Length": {"5"}}}}},
		"status":    {Target: target, Requests: []Request{{Status: 100}}},
		"too big":   {Target: target, Requests: []Request{{Body: strings.Repeat("x", maxRequest)}}},
		"in flight": {Target: target, Conns: 50_000, Pipeline: 100},
		"weight":    {Target: target, Requests: []Request{{Weight: -1}}},
	} {
		if r, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: ran: %+v", name, r.Counts)
		}
	}
}

func TestTargets(t *testing.T) {
	tcp := func(address, host, path string) Target {
		return Target{Network: "tcp", Address: address, Host: host, Path: path}
	}
	for text, want := range map[string]Target{
		"http://h:81/a?b#c": tcp("h:81", "h:81", "/a?b"), "h": tcp("h:80", "h", "/"), "http://[::1]": tcp("[::1]:80", "[::1]", "/"),
		"127.0.0.1:8080": tcp("127.0.0.1:8080", "127.0.0.1:8080", "/"),
		"unix:/a/b":      {Network: "unix", Address: "/a/b", Host: "localhost", Path: "/"}, "unix:/a/b:/c?d": {Network: "unix", Address: "/a/b", Host: "localhost", Path: "/c?d"},
		"https://h/x": {Network: "tcp", Address: "h:443", Host: "h", Path: "/x", TLS: true}, "https://[::1]:8443": {Network: "tcp", Address: "[::1]:8443", Host: "[::1]:8443", Path: "/", TLS: true},
	} {
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "http://", "ftp://h", "https://", "http://u:p@h", "http://h:0", "http://h:65536", "unix:", "unix:/a:b", "http://h:port", "http://h/%zz"} {
		if got, err := ParseTarget(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestKinds(t *testing.T) {
	for err, want := range map[error]Kind{
		&net.OpError{Err: &net.DNSError{Err: "no such host"}}: KindResolve,
		fmt.Errorf("x: %w", context.DeadlineExceeded):         KindDialTimeout,
		fmt.Errorf("locator: %w", loop.ErrClosed):             KindClosed, // it hung up before it was asked
		fmt.Errorf("locator: %w", session.ErrEnded):           KindClosed,
		errors.New("other"):                                   KindDial,
	} {
		if got := dialKind(err); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}

// TestRealLate: the first request is answered once the generator has given it up and
// made another connection.
func TestRealLate(t *testing.T) {
	var conns atomic.Int64
	second := make(chan struct{})
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		first := conns.Add(1) == 1
		if !first {
			close(second)
		}
		answerer(c, func(n int, id string) (string, bool) {
			if first {
				select {
				case <-second:
				case <-t.Context().Done(): // it failed
				}
			}
			return ok(id), true
		})
	})
	r := run(t, addr, Options{Conns: 1, Count: 2, Duration: time.Minute, Timeout: time.Second})
	if r.Requests != 2 || r.Answered != 1 || r.Late != 1 || r.Kinds["timeout"] != 1 || r.Errors != 1 || r.Latency.Max < time.Second {
		t.Errorf("got %+v, latencies %+v; want one late", r.Counts, r.Latency)
	}
}

// TestRealReordered: pairs of a pipeline are answered the wrong way round.
func TestRealReordered(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		held := ""
		answerer(c, func(n int, id string) (string, bool) {
			if n%2 == 0 {
				held = ok(id)
				return "", true
			}
			return ok(id) + held, true
		})
	})
	r := run(t, addr, Options{Conns: 1, Count: 40, Pipeline: 2, Duration: time.Minute, Timeout: 20 * time.Second})
	if r.Answered != 40 || r.Reordered != 20 || r.Errors+r.Duplicated+r.Stray != 0 {
		t.Errorf("got %+v, want 40 answered, 20 reordered", r.Counts)
	}
}
