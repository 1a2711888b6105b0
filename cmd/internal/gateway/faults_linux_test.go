package gateway

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// A dead endpoint before the true one costs nobody anything.
func TestDeadEndpointFirst(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	app.Announce(&servicetest.Announcement{Endpoints: append([]servicetest.Endpoint{cloud.DeadEndpoint()}, app.Endpoints()...)})
	r := newRig(t, 2, Options{Locators: []string{cloud.Endpoint()}})
	for range 8 {
		if a := r.raw(t, "GET /shop/http/ HTTP/1.1\r\nHost: a\r\n\r\n"); a.code != 200 {
			t.Errorf("got %d %q", a.code, a.body)
		}
	}
	if n := app.Counts().Accepted; n > 2 {
		t.Errorf("%d connections to the app on two loops", n)
	}
}

// A service that is restarted elsewhere is found again; until then its app is
// not there. What it had not read is asked for again, what it had is not.
func TestRestart(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
		want := func(code int) {
			t.Helper()
			await(t, func() string {
				if a := r.get(t, "/shop/http/"); a.code != code {
					return fmt.Sprintf("got %d %q, want %d", a.code, a.body, code)
				}
				return ""
			})
		}
		want(200)
		app.Stop()
		want(503)
		if err := app.Start(); err != nil {
			t.Fatal(err)
		}
		want(200)
		app.Kill() // and the locator does not know
		want(503)
		if err := app.Start(); err != nil {
			t.Fatal(err)
		}
		want(200)
		app.Cut()
		want(200)
		await(t, func() string {
			if st := r.g.Stats(); st != (Stats{Apps: 1, Connections: 1}) {
				return fmt.Sprintf("left: %+v", st)
			}
			return ""
		})
	})
}

// Restarts under load: whoever is answered gets the right answer, everybody is
// told something, and the proxy is as before in the end.
func TestRestartsUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		r := newRig(t, 2, Options{Locators: []string{cloud.Endpoint()}})
		var wg sync.WaitGroup
		var good, bad atomic.Int64
		stop := make(chan struct{})
		for i := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					body := strings.Repeat("b", i*n%5000)
					a, err := r.try("POST", fmt.Sprintf("/shop/http/%d/%d", i, n), body)
					switch {
					case err != nil:
						t.Errorf("no answer: %v", err)
						return
					case a.err != nil: // what the service had begun to say broke off
						bad.Add(1)
					case a.code == 200:
						good.Add(1)
						if !strings.HasPrefix(a.body, fmt.Sprintf("POST /%d/%d ", i, n)) || !strings.HasSuffix(a.body, "\n\n"+body) {
							t.Errorf("%d/%d: another's answer: %.200q", i, n, a.body)
							return
						}
					case a.code == 502 || a.code == 503:
						bad.Add(1)
					default:
						t.Errorf("got %d %q", a.code, a.body)
						return
					}
				}
			})
		}
		for range 4 {
			n := good.Load()
			await(t, func() string {
				if good.Load() < n+40 {
					return "too few are answered"
				}
				return ""
			})
			app.Stop()
			if err := app.Start(); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		wg.Wait()
		t.Logf("%d answered, %d told that nobody can", good.Load(), bad.Load())
		await(t, func() string {
			if a := r.get(t, "/shop/http/"); a.code != 200 {
				return fmt.Sprint("in the end: ", a.code)
			}
			return ""
		})
		await(t, func() string {
			if st := r.g.Stats(); st.Waiting != 0 || st.Connections > 2 || r.s.Active() != 0 {
				return fmt.Sprintf("left: %+v, %d active", st, r.s.Active())
			}
			return ""
		})
	})
}

// An app that was stopped is resolved anew, and one whose queue is full asked on
// another connection; each request twice at most.
func TestAskedAgain(t *testing.T) {
	for _, way := range []string{"", "http://x"} { // on the loop, and by net/http
		for name, test := range map[string]struct {
			category, code int64
			times          int64 // how often it says so
			want           int
			calls          int64
		}{
			"stopped":               {12, 32, 1, 200, 2},
			"stopped, unknown":      {255, 32, 1, 200, 2},
			"stopped for good":      {12, 32, 100, 503, 2},
			"queue full":            {0x52FF, 1, 1, 200, 2},
			"queue full for good":   {0x52FF, 1, 100, 503, 2},
			"pool full":             {0x52FF, 2, 100, 500, 1},
			"another generic error": {12, 2, 100, 500, 1},
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
				var said, calls atomic.Int64
				app := cloud.App("shop", map[string]func(*servicetest.Call){"http": func(c *servicetest.Call) {
					calls.Add(1)
					if said.Add(1) <= test.times {
						_ = c.Error(test.category, test.code, "not now")
						for _, err := c.Recv(); err == nil; _, err = c.Recv() {
						}
						return
					}
					echo(c)
				}})
				r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
				a := r.raw(t, "POST "+way+"/shop/http/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
				if a.code != test.want || calls.Load() != test.calls || test.want == 200 && !strings.HasSuffix(a.body, "body") {
					t.Errorf("got %d %q after %d calls, want %d after %d", a.code, a.body, calls.Load(), test.want, test.calls)
				}
				errs := test.calls
				if test.want == 200 {
					errs--
				}
				n, by := r.g.Counts(), func(word string) uint64 {
					if strings.HasPrefix(name, word) {
						return uint64(errs)
					}
					return 0
				}
				if n.Stopped != by("stopped") || n.Full != by("queue") || n.Failed != by("pool")+by("another") || n.Found == 0 || n.Unknown != 0 {
					t.Errorf("counted: %+v, want %d errors", n, errs)
				}
				if line := r.log.String(); test.want != 200 && !strings.Contains(line, "answer broke off") || test.want != 200 && !strings.Contains(line, " app=shop session=") {
					t.Errorf("the log does not name the app: %s", line)
				}
				if n := app.Counts().Accepted; test.calls > 1 && n != 2 {
					t.Errorf("%d connections, want another one", n)
				}
				said.Store(test.times) // all is well again
				if a := r.get(t, "/shop/http/"); a.code != 200 {
					t.Errorf("afterwards: %d %q", a.code, a.body)
				}
			})
		}
	}
}

// What an app's service may do wrong costs the request that it does it to, and the
// proxy nothing.
func TestFaultyServices(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		cloud := servicetest.New(t, d, servicetest.Options{OnSlip: func(s servicetest.Slip) { t.Log(s) }})
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		cloud.App("other", map[string]func(*servicetest.Call){"http": echo})
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, Timeout: 200 * time.Millisecond})
		for fault, want := range map[servicetest.Fault]string{
			servicetest.Silent:    "504",
			servicetest.NeverEnds: "200 breaks", // its client gives up
			servicetest.AfterEnd:  "200 502",
			servicetest.NoChoke:   "200 breaks",
			servicetest.Garbage:   "502",
			servicetest.HalfFrame: "502 200 breaks",
			servicetest.HugeHead:  "502 504",
			servicetest.HangUp:    "502",
			servicetest.Stranger:  "200 502 500",
			servicetest.Revoked:   "500 502",
		} {
			if fault == servicetest.Revoked && d == heddle.V0 {
				continue
			}
			app.SetFaults(servicetest.Faults{Method: "enqueue", Fault: fault})
			c := *r.http
			c.Timeout = time.Second
			short := *r
			short.http = &c
			a, err := short.try("GET", "/shop/http/", "")
			switch {
			case err != nil:
				t.Errorf("%v fault %d: %v", d, fault, err)
			case a.err != nil && strings.Contains(want, "breaks"):
			case a.err != nil || !strings.Contains(want, fmt.Sprint(a.code)):
				t.Errorf("%v fault %d: got %d %q, %v; want %s", d, fault, a.code, a.body, a.err, want)
			}
			app.SetFaults(servicetest.Faults{})
			if a := r.get(t, "/other/http/"); a.code != 200 {
				t.Errorf("%v: the other app after fault %d: %d %q", d, fault, a.code, a.body)
			}
			await(t, func() string {
				if a := r.get(t, "/shop/http/"); a.code != 200 {
					return fmt.Sprintf("%v: after fault %d: %d %q", d, fault, a.code, a.body)
				}
				return ""
			})
		}
	}
}

// Locators that lie get an app that cannot be reached, and a line in the log.
func TestLyingLocators(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		cloud := servicetest.New(t, d, servicetest.Options{OnSlip: func(s servicetest.Slip) { t.Log(s) }})
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		sample := cloud.Sample("sample")
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, ConnectTimeout: time.Second, Timeout: time.Second})
		self := app.Endpoints()[0]
		storage := cloud.Service("storage").Endpoints()[0]
		graph := servicetest.Graph(d, []servicetest.Method{{ID: 0, Name: "enqueue", Dispatch: servicetest.Primitive, Upstream: servicetest.Primitive}})
		endpoint := servicetest.Pack([]any{self.Host, self.Port})
		if d == heddle.V1 {
			endpoint = servicetest.Pack([]any{[]any{self.Host, self.Port}})
		}
		for name, a := range map[string]*servicetest.Announcement{
			"nothing":          {Result: servicetest.Pack([]any{})},
			"no list":          {Result: servicetest.Pack("shop")},
			"bad port":         {Endpoints: []servicetest.Endpoint{{Host: self.Host, Port: 1 << 20}}},
			"no host":          {Endpoints: []servicetest.Endpoint{{Host: "", Port: self.Port}}},
			"unknown host":     {Endpoints: []servicetest.Endpoint{{Host: "no-such-host.invalid", Port: 1}}},
			"no enqueue":       {Methods: servicetest.Sample(d)},
			"another protocol": {Result: servicetest.Pack([]any{endpoint, 1, graph})},
			"another service":  {Endpoints: []servicetest.Endpoint{storage}},
		} {
			app.Announce(a)
			app.Cut()
			await(t, func() string { // until the connection from before has gone
				if a := r.get(t, "/shop/http/"); a.code == 200 && !(name == "another protocol" && d == heddle.V0) {
					return fmt.Sprintf("%v %s: %d %q", d, name, a.code, a.body)
				}
				return ""
			})
			app.Announce(nil)
			await(t, func() string {
				app.Cut()
				cloud.Service("storage").Cut()
				if a := r.get(t, "/shop/http/"); a.code != 200 {
					return fmt.Sprintf("%v after %s: %d %q", d, name, a.code, a.body)
				}
				return ""
			})
		}
		sample.Announce(&servicetest.Announcement{Endpoints: []servicetest.Endpoint{self}, Methods: servicetest.Sample(d)})
		if a := r.get(t, "/sample/http/"); a.code != 503 {
			t.Errorf("%v: no app: %d %q", d, a.code, a.body)
		}
	}
}

// Clients that leave, and more apps than may be known.
func TestBounds(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range maxApps / 2 {
				if a, err := r.try("GET", fmt.Sprintf("/none%d-%d/http/", w, i), ""); err != nil || a.code != 503 {
					t.Errorf("got %d, %v", a.code, err)
					return
				}
			}
		})
	}
	for i := range 3 * mostEvents {
		if a := r.get(t, fmt.Sprintf("/shop/http%d/", i)); a.code != 500 {
			t.Fatalf("an event that nobody handles: %d %q", a.code, a.body)
		}
	}
	wg.Wait()
	if st := r.g.Stats(); st.Apps > 1 || st.Waiting != 0 {
		t.Errorf("left: %+v", st)
	}
}

// A locator that comes and goes under load is nobody's loss who has asked for an app
// that is known: its connection goes on, and is renewed once the locator is back.
func TestLocatorRestartsUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		locator := newDoor(t, cloud.Endpoint())
		locator.open()
		r := newRig(t, 2, Options{Locators: []string{locator.addr}, Refresh: 10 * time.Millisecond, ConnectTimeout: time.Second})
		for range 4 { // each loop knows the app
			if a := r.get(t, "/shop/http/"); a.code != 200 {
				t.Fatalf("got %d %q", a.code, a.body)
			}
		}
		var good atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { // ends with stop
				for {
					select {
					case <-stop:
						return
					default:
					}
					a, err := r.try("GET", "/shop/http/", "")
					if err != nil || a.err != nil || a.code != 200 {
						t.Errorf("got %d %q, %v, %v", a.code, a.body, err, a.err)
						return
					}
					good.Add(1)
				}
			})
		}
		more := func() {
			n := good.Load()
			await(t, func() string {
				if good.Load() < n+100 && !t.Failed() {
					return "too few are answered"
				}
				return ""
			})
		}
		for range 4 {
			more()
			locator.shut()
			more()
			locator.open()
		}
		was := app.Counts().Accepted
		await(t, func() string {
			if app.Counts().Accepted == was && !t.Failed() {
				return "no connection was renewed"
			}
			return ""
		})
		close(stop)
		wg.Wait()
	})
}
