package gateway

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// Requests reach the app's event as the proxies of Cocaine pack them, by both ways
// of naming it, from a loop and from net/http, and the answer comes back.
func TestRequests(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		r := newRig(t, 2, Options{Locators: []string{cloud.Endpoint()}})
		long := strings.Repeat("long ", 20<<10)
		for _, test := range []struct {
			name, method, target, body string
			fields                     []string
			line, rest                 string
		}{
			{"by target", "GET", "/shop/http/a/b?c=d", "", nil, "GET /a/b?c=d HTTP/1.1", ""},
			{"no rest", "GET", "/shop/http", "", nil, "GET / HTTP/1.1", ""},
			{"query only", "GET", "/shop/http?q=1", "", nil, "GET /?q=1 HTTP/1.1", ""},
			{"by fields", "GET", "/shop/http/a", "", []string{"X-Cocaine-Service", "shop", "X-Cocaine-Event", "http"}, "GET /shop/http/a HTTP/1.1", ""},
			{"body", "POST", "/shop/http/p", "some body", nil, "POST /p HTTP/1.1", "some body"},
			{"long body", "PUT", "/shop/http/p", long, nil, "PUT /p HTTP/1.1", long},
			{"other case", "DELETE", "/shop/http/x%2Fy", "", []string{"x-other", "1"}, "DELETE /x%2Fy HTTP/1.1", ""},
		} {
			fields := append([]string{"X-Request-Id", "00000000deadbeef", "Authorization", "token of mine"}, test.fields...)
			a := r.do(t, test.method, test.target, test.body, fields...)
			head, rest, _ := strings.Cut(a.body, "\n\n")
			if a.code != 200 || a.err != nil || !strings.HasPrefix(head, test.line+"\n") || rest != test.rest {
				t.Errorf("%s: got %d %.500q, %v", test.name, a.code, a.body, a.err)
				continue
			}
			for _, want := range []string{"X-Cocaine-Service: shop", "X-Cocaine-Event: http", "Host: " + r.addr, "X-Request-Id: 00000000deadbeef"} {
				if strings.Count(head+"\n", "\n"+want+"\n") != 1 {
					t.Errorf("%s: %q is not there once: %q", test.name, want, head)
				}
			}
			if n := len(test.body); n > 0 && !strings.Contains(head, fmt.Sprint("Content-Length: ", n)) {
				t.Errorf("%s: no length: %q", test.name, head)
			}
			for name, want := range map[string]string{"X-App": "echo", "X-Cocaine-Application": "shop", "X-Request-Id": "00000000deadbeef", "X-Powered-By": ""} {
				if got := strings.Join(a.header[name], ","); got != want {
					t.Errorf("%s: %s: got %q, want %q", test.name, name, got, want)
				}
			}
		}
		if n := app.Counts().ByMethod["enqueue"]; n != 7 {
			t.Errorf("%d calls", n)
		}
		for _, s := range app.Seen() {
			if d == heddle.V0 {
				continue
			}
			got := fmt.Sprint(len(s.Headers))
			for _, h := range s.Headers {
				v := string(h.Value)
				if len(v) == 8 {
					v = fmt.Sprintf("%x", binary.LittleEndian.Uint64(h.Value))
				}
				got += fmt.Sprintf(" %s=%s", h.Name, v)
			}
			if want := "5 trace_id=deadbeef span_id=deadbeef parent_id=0 trace_bit=1 authorization=token of mine"; got != want {
				t.Errorf("headers: got %s, want %s", got, want)
			}
		}
		if m := r.s.Stats().HandedOver; len(m) != 1 || m["plain"] != 1 {
			t.Errorf("handed over: %v; only the long body's connection should have been", m)
		}
	})
}

// A request without an id gets one of 16 digits, which is the trace.
func TestRequestID(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	app := cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	for _, target := range []string{"/shop/http/", "http://x/shop/http/"} { // the second by net/http
		a := r.raw(t, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		id := a.header.Get("X-Request-Id")
		n, err := strconv.ParseUint(id, 16, 64)
		if a.code != 200 || len(id) != 16 || err != nil {
			t.Errorf("%s: %d, id %q", target, a.code, id)
		}
		seen := app.Seen()
		if got := binary.LittleEndian.Uint64(seen[len(seen)-1].Headers[0].Value); got != n {
			t.Errorf("%s: trace %x, id %s", target, got, id)
		}
	}
	if traceID("") == 0 || traceID("0000000000000000") == 0 || traceID("zz") == traceID("yy") || traceID("00000000000000ff") != 255 || traceID("0123456789abcdef00000000000000ff") != 255 {
		t.Error("trace ids")
	}
}

// What a client is told when there is no answer, on the loop and by net/http.
func TestFailures(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		forever := func(c *servicetest.Call) { <-c.Context().Done() }
		cloud.App("shop", map[string]func(*servicetest.Call){
			"http":    echo,
			"fails":   func(c *servicetest.Call) { _, _ = ask(c); _ = c.Error(42, 7, "a secret of the app") },
			"silent":  forever,
			"nothing": func(c *servicetest.Call) { _, _ = ask(c) },
			"odd":     func(c *servicetest.Call) { say(c, "no head at all") },
			"halfway": func(c *servicetest.Call) { say(c, headOf(200), "some"); _ = c.Error(42, 7, "late") },
			"lingers": func(c *servicetest.Call) {
				say(c, headOf(200, "X-Cocaine-HTTP-Proto-Version", "1.1"), "one", "")
				forever(c)
			},
			"hangup": func(c *servicetest.Call) { _, _ = ask(c); c.Hangup() },
		})
		cloud.Sample("sample")
		dead := cloud.App("dead", nil)
		dead.Announce(&servicetest.Announcement{Endpoints: []servicetest.Endpoint{cloud.DeadEndpoint()}})
		r := newRig(t, 2, Options{Locators: []string{cloud.Endpoint()}, Timeout: 300 * time.Millisecond})
		for _, test := range []struct {
			target string
			code   int
			body   string
			breaks bool
		}{
			{"/none/http/", 503, "no such application", false},
			{"/dead/http/", 503, "cannot be reached", false},
			{"/sample/http/", 503, "is no application", false},
			{"/node/http/", 503, "is no application", false}, // whose enqueue of v1 names an app, too
			{"/shop/fails/", 500, "the application failed", false},
			{"/shop/missing/", 500, "the application failed", false},
			{"/shop/silent/", 504, "too long", false},
			{"/shop/nothing/", 502, "gave no answer", false},
			{"/shop/odd/", 502, "gave no answer", false},
			{"/shop/hangup/", 502, "gave no answer", false},
			{"/shop/halfway/", 200, "some", true},
			{"/shop/lingers/", 200, "one", false},
			{"/nothing", 404, "no app is named", false},
			{"/", 404, "no app is named", false},
			{"//http/", 404, "no app is named", false},
			{"/shop/", 404, "no app is named", false},
			{"/shop?x/http", 404, "no app is named", false},
			{"/" + strings.Repeat("n", 257) + "/http/", 400, "at most 256 bytes", false},
			{"/shop/" + strings.Repeat("n", 1025) + "/", 400, "that of an event 1024", false},
			{"/shop/http/after", 200, "GET /after", false},
		} {
			for _, prefix := range []string{"", "http://x"} { // by net/http
				a := r.raw(t, "GET "+prefix+test.target+" HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
				if a.code != test.code || !strings.Contains(a.body, test.body) || (a.err != nil) != test.breaks || strings.Contains(a.body, "secret") {
					t.Errorf("%s%.40s: got %d %.300q, %v; want %d %q", prefix, test.target, a.code, a.body, a.err, test.code, test.body)
				}
				if want := map[bool]string{true: "shop"}[strings.HasPrefix(test.target, "/shop/") && test.code != 404 && test.code != 400]; want != "" && a.header.Get("X-Cocaine-Application") != want {
					t.Errorf("%s%s: of application %q", prefix, test.target, a.header["X-Cocaine-Application"])
				}
				if a.header.Get("X-Request-Id") != "mine" {
					t.Errorf("%s%.40s: request id %q", prefix, test.target, a.header["X-Request-Id"])
				}
				if test.code == 503 && a.header.Get("Retry-After") == "" {
					t.Errorf("%s%s: no Retry-After", prefix, test.target)
				}
			}
		}
		for _, want := range []string{"a secret of the app", "dead", "none"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log has no word of %q", want)
			}
		}
	})
}

// Half a dispatch is refused, whatever the target says.
func TestHalfADispatch(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	for fields, code := range map[string]int{
		"X-Cocaine-Service: shop":                               400,
		"X-Cocaine-Event: http":                                 400,
		"X-Cocaine-Service: shop\r\nX-Cocaine-Event:":           400,
		"X-Cocaine-Service:\r\nX-Cocaine-Event: http":           400,
		"X-Cocaine-Service: " + strings.Repeat("n", 70000):      400,
		"x-cocaine-service: shop\r\nX-COCAINE-EVENT: http":      200,
		"X-Cocaine-Service: shop \r\nX-Cocaine-Event: \thttp\t": 200,
	} {
		if a := r.raw(t, "GET /shop/http/ HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n\r\n"); a.code != code {
			t.Errorf("%.90q: got %d %q, want %d", fields, a.code, a.body, code)
		}
	}
	if log := r.log.String(); !strings.Contains(log, "a request is refused") || !strings.Contains(log, "code=400") {
		t.Errorf("no word of it in the log: %s", log)
	}
}

// Ping says whether a locator answers, and the proxy begins without one.
func TestPing(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
		locator := newDoor(t, cloud.Endpoint())
		r := newRig(t, 1, Options{Locators: []string{locator.addr}, ConnectTimeout: time.Second})
		ping := func(code int) {
			t.Helper()
			await(t, func() string {
				if a := r.get(t, "/ping"); a.code != code || code == 200 && a.body != "OK" {
					return fmt.Sprintf("ping: %d %q, want %d", a.code, a.body, code)
				}
				return ""
			})
		}
		ping(503)
		if a := r.get(t, "/shop/http/"); a.code != 503 || !strings.Contains(a.body, "cannot be reached") {
			t.Errorf("without a locator: %d %q", a.code, a.body)
		}
		locator.open()
		ping(200)
		if a := r.get(t, "/shop/http/"); a.code != 200 {
			t.Errorf("with one: %d %q", a.code, a.body)
		}
		locator.shut()
		if a := r.get(t, "/shop/http/"); a.code != 200 {
			t.Errorf("the connection is there still: %d %q", a.code, a.body)
		}
	})
}

// Bodies and answers of every framing.
func TestBodies(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		cloud := servicetest.New(t, d, o)
		big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
		cloud.App("shop", map[string]func(*servicetest.Call){
			"http": echo,
			"big": func(c *servicetest.Call) {
				_, _ = ask(c)
				head := headOf(200, "Content-Length", fmt.Sprint(len(big)))
				say(c, head, big[:300000], big[300000:])
			},
			"pieces": func(c *servicetest.Call) { _, _ = ask(c); say(c, headOf(201), "a", "b", "", "c") },
			"lied":   func(c *servicetest.Call) { _, _ = ask(c); say(c, headOf(200, "Content-Length", "2"), "abc") },
		})
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
		if a := r.get(t, "/shop/big/"); a.body != big || a.err != nil {
			t.Errorf("big: %d, %d bytes, %v", a.code, len(a.body), a.err)
		}
		if a := r.get(t, "/shop/pieces/"); a.code != 201 || a.body != "abc" || a.err != nil {
			t.Errorf("pieces: %d %q, %v", a.code, a.body, a.err)
		}
		if a := r.raw(t, "GET /shop/lied/ HTTP/1.1\r\nHost: a\r\n\r\n"); a.err == nil {
			t.Errorf("lied: %d %q", a.code, a.body)
		}
		chunked := "POST /shop/http/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\n more\r\n0\r\n\r\n"
		if a := r.raw(t, chunked); a.code != 200 || !strings.HasSuffix(a.body, "\n\nsome more") || !strings.Contains(a.body, "Content-Length: 9") {
			t.Errorf("chunked: %d %q", a.code, a.body)
		}
		if a := r.raw(t, "HEAD /shop/http/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); a.code != 200 || a.header.Get("X-App") != "echo" {
			t.Errorf("HEAD: %d %v", a.code, a.header)
		}
	})
}
