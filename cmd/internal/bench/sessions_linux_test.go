package bench

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// callApp runs o against an app of a cloud, which has the events echo, fail and those
// of handlers.
func callApp(t *testing.T, cloud *servicetest.Cloud, o Options) *Result {
	t.Helper()
	if o.Target.App == "" {
		o.Target = AppTarget(cloud.Endpoint(), "app", "echo")
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if c := &r.Counts; c.Requests != c.Answered+c.Late+c.Lost+c.Unfinished {
		t.Errorf("the sums are wrong: %+v", c)
	}
	return r
}

// TestSessions: an app of a Cocaine cloud that shares no code with us and the report
// agree, in both dialects and by both kinds of sockets.
func TestSessions(t *testing.T) {
	for name, dialect := range map[string]heddle.Dialect{"v0": servicetest.Runtime011, "v1": servicetest.Runtime012} {
		for _, unix := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " unix"}[unix], func(t *testing.T) {
				cloud := servicetest.New(t, dialect, servicetest.Options{Unix: unix})
				var asked atomic.Int64
				var ids sync.Map
				app := cloud.App("app", map[string]func(*servicetest.Call){
					"three": func(c *servicetest.Call) {
						asked.Add(1)
						p, err := c.Piece()
						id, ok := strings.CutPrefix(p, "order ")
						if _, again := ids.LoadOrStore(id, true); err != nil || !ok || again || len(id) != idLen {
							t.Errorf("got %q, %v", p, err)
						}
						for _, p := range []string{"on", "e", "two"} {
							_ = c.Write(p)
						}
						_ = c.Close()
					},
				})
				requests := []Request{{Body: "hello", Expect: "hello", Weight: 2}, {Event: "three", Body: "order {id}", Expect: "onetwo"}, {Event: "fail", Body: "x"}, {Event: "nobody"}}
				for _, o := range []Options{{Conns: 3}, {Conns: 2, Pipeline: 30}, {Conns: 2, Reconnect: true}, {Conns: 5, Pace: mustPace(t, "10s:2000", true, 1)}} {
					asked.Store(0)
					before := app.Counts()
					o.Requests, o.Count, o.Duration, o.Timeout = requests, 500, time.Minute, 30*time.Second
					r := callApp(t, cloud, o)
					if r.Requests != 500 || r.Answered != 500 || r.Lost+r.Late+r.Duplicated+r.Stray != 0 || r.Target.Protocol != name || len(r.Statuses) != 0 {
						t.Errorf("got %+v, %+v", r.Counts, r.Target)
					}
					fail, nobody := "error 42,77", "error 42,200"
					if name == "v0" {
						fail, nobody = "error 77", "error -100"
					}
					if r.Kinds[fail] == 0 || r.Kinds[nobody] == 0 || r.Errors != r.Kinds[fail]+r.Kinds[nobody] || asked.Load() == 0 {
						t.Errorf("got %v, %d asked of three", r.Kinds, asked.Load())
					}
					after := app.Counts()
					if n := after.Calls - before.Calls; n != 500 {
						t.Errorf("the app was asked %d times", n)
					}
					if n := after.Accepted - before.Accepted; uint64(n) != r.Connected || !o.Reconnect && n != o.Conns || o.Reconnect && n < 500 {
						t.Errorf("%d connections, said to be %d", n, r.Connected)
					}
				}
				r := callApp(t, cloud, Options{Count: 20, Requests: []Request{{Body: "a", Expect: "b"}, {Body: "a", Expect: "ab"}, {Body: "ab", Expect: "a"}}})
				if r.Answered != 20 || r.Kinds["body"] != 20 || r.Errors != 20 {
					t.Errorf("got %+v", r.Counts)
				}
			})
		}
	}
}

// TestSessionMischief: what an app's service does to sessions is counted, each on
// connections of its own.
func TestSessionMischief(t *testing.T) {
	const short = 200 * time.Millisecond
	for _, tt := range []struct {
		fault servicetest.Fault
		want  func(r *Result) bool
	}{
		{servicetest.Silent, func(r *Result) bool { return r.Lost == 40 && r.Kinds["timeout"] == 40 }},
		{servicetest.NeverEnds, func(r *Result) bool { return r.Lost == 40 && r.Kinds["timeout"] == 40 }},
		{servicetest.Garbage, func(r *Result) bool { return r.Lost == 40 && r.Kinds["malformed"] > 0 && r.Errors == 40 }},
		{servicetest.HalfFrame, func(r *Result) bool { return r.Lost == 40 && r.Kinds["closed"] == 40 }},
		{servicetest.HugeHead, func(r *Result) bool { return r.Lost == 40 && r.Kinds["too large"] > 0 && r.Errors == 40 }},
		{servicetest.HangUp, func(r *Result) bool { return r.Lost == 40 && r.Kinds["closed"]+r.Kinds["reset"] == 40 }},
		{servicetest.AfterEnd, func(r *Result) bool { return r.Answered+r.Lost == 40 && r.Errors == r.Lost }},
		{servicetest.Stranger, func(r *Result) bool { return r.Answered+r.Lost == 40 && r.Errors == r.Lost }},
	} {
		for name, dialect := range map[string]heddle.Dialect{"v0": servicetest.Runtime011, "v1": servicetest.Runtime012} {
			t.Run(name+" "+map[servicetest.Fault]string{
				servicetest.Silent: "silent", servicetest.NeverEnds: "without end", servicetest.Garbage: "garbage", servicetest.HalfFrame: "half a frame",
				servicetest.HugeHead: "huge", servicetest.HangUp: "hangs up", servicetest.AfterEnd: "behind the end", servicetest.Stranger: "another's",
			}[tt.fault], func(t *testing.T) {
				t.Parallel()
				cloud := servicetest.New(t, dialect, servicetest.Options{})
				app := cloud.App("app", nil)
				app.SetFaults(servicetest.Faults{Method: "enqueue", Fault: tt.fault})
				o := Options{Conns: 4, Pipeline: 2, Count: 40, Duration: time.Minute, Timeout: 20 * time.Second, Requests: []Request{{Body: "x"}}}
				if tt.fault == servicetest.Silent || tt.fault == servicetest.NeverEnds {
					o.Timeout = short
				}
				if r := callApp(t, cloud, o); r.Requests != 40 || !tt.want(r) {
					t.Errorf("got %+v", r.Counts)
				}
			})
		}
	}
}

// TestNoApp: who cannot be reached, is no app, or says nothing is told apart; the run
// ends in its time.
func TestNoApp(t *testing.T) {
	cloud := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	cloud.App("app", nil).Kill()
	silent := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	_ = ln.Close()
	for _, tt := range []struct {
		name   string
		target Target
		want   string
	}{
		{"unknown", AppTarget(cloud.Endpoint(), "other", "echo"), "no such app"},
		{"no app", AppTarget(cloud.Endpoint(), "storage", "echo"), "no such app"},
		{"dead", AppTarget(cloud.Endpoint(), "app", "echo"), "refused"},
		{"no locator", AppTarget(nobody, "app", "echo"), "refused"},
		{"no socket", AppTarget("unix:/nowhere/at/all", "app", "echo"), "refused"},
		{"silent locator", AppTarget(silent, "app", "echo"), "connect timeout"},
		{"unresolvable", AppTarget("no..such:10053", "app", "echo"), "resolve"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			r := callApp(t, cloud, Options{Target: tt.target, Conns: 2, Duration: 300 * time.Millisecond, Timeout: time.Second})
			if r.Requests != 0 || r.Kinds[tt.want] == 0 || r.Kinds[tt.want] != r.Errors {
				t.Errorf("got %+v, want %s", r.Counts, tt.want)
			}
			if took := time.Since(begun); took > slack {
				t.Errorf("it took %v", took)
			}
		})
	}
	for name, o := range map[string]Options{
		"event": {Target: AppTarget("x:1", "app", "")}, "method": {Requests: []Request{{Method: "GET"}}}, "header": {Requests: []Request{{Header: map[string][]string{"A": {"b"}}}}},
		"status": {Requests: []Request{{Status: 200}}}, "long": {Requests: []Request{{Event: strings.Repeat("x", 2000)}}},
		"dialect": {Target: Target{Network: "sessions", Address: "x:1", App: "app", Event: "e", Dialect: "v2"}},
		"TLS":     {Target: Target{Network: "sessions", Address: "x:1", App: "app", Event: "e", TLS: true}},
		"locator": {Target: AppTarget("nonsense", "app", "e")},
		"HTTP":    {Target: Target{Network: "tcp", Address: "x:1", Path: "/"}, Requests: []Request{{Event: "e"}}},
	} {
		if o.Target.Address == "" {
			o.Target = AppTarget("x:1", "app", "echo")
		}
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
}
