package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var adminLine = regexp.MustCompile(`(?m)^admin (http://\S+)$`)

// A watched daemon is one with pages, and a client that counts.
type watched struct {
	t          *testing.T
	d          *child
	url, admin string
	client     *http.Client

	mu   sync.Mutex
	want map[string]uint64 // answers, by "release method code"
}

// runWatched starts a daemon with --admin; ready: and waits until it serves.
func runWatched(t *testing.T, ready bool, args ...string) *watched {
	t.Helper()
	return runDaemon(t, ready, append([]string{"--admin", "127.0.0.1:0"}, args...)...)
}

// runConfigured starts a daemon that does what a file says, admin included, and
// waits until it serves.
func runConfigured(t *testing.T, file string) *watched {
	t.Helper()
	return runDaemon(t, true, "--config", file)
}

func runDaemon(t *testing.T, ready bool, args ...string) *watched {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", shortDir(t))
	d, err := start(exec.Command("heddle", append([]string{"run", "--name", "w", "--listen", "127.0.0.1:0"}, args...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("the daemon said:\n%.20000s", d.said.String())
		}
	})
	tr := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(tr.CloseIdleConnections)
	w := &watched{t: t, d: d, client: &http.Client{Transport: tr, Timeout: patience}, want: make(map[string]uint64)}
	if !until(func() bool {
		s := d.said.String()
		return adminLine.MatchString(s) && (!ready || readyLine.MatchString(s))
	}) {
		t.Fatalf("the daemon did not get ready; it said:\n%s", d.said.String())
	}
	w.admin = adminLine.FindStringSubmatch(d.said.String())[1]
	if ready {
		w.url = readyLine.FindStringSubmatch(d.said.String())[1]
	}
	return w
}

// count notes an answer that a client saw.
func (w *watched) count(release, method string, code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want[fmt.Sprintf("%s %s %03d", release, method, code)]++
}

// ask asks, and counts what came; "": the body says which release it was.
func (w *watched) ask(release, method, path string, body io.Reader) (code int) {
	req, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Error(err)
		return 0
	}
	if c, ok := body.(chunked); ok {
		// As a reader that net/http knows it leaves with the head: behind it, it may be
		// late for a connection whose answer needs no body, on a machine that is busy.
		req.Body, req.ContentLength = io.NopCloser(c.Reader), -1
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Errorf("%s %s: %v", method, path, err)
		return 0
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Errorf("%s %s: %v", method, path, err)
	}
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		release = "" // nobody had it
	case release == "":
		release = map[string]string{"one\n": "r1", "two\n": "r2"}[string(b)]
	}
	w.count(release, method, resp.StatusCode)
	return resp.StatusCode
}

// chunked hides a body's length, so that the request is net/http's.
type chunked struct{ io.Reader }

// leave sends requests and does not stay for their answers.
func (w *watched) leave(release, raw string) {
	w.t.Helper()
	w.has(map[string]float64{"heddle_requests_in_flight": 0}) // nothing is left of the one before
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, raw)
	if !until(func() bool { return w.page()["heddle_requests_in_flight"] > 0 }) {
		w.t.Fatalf("%q is not under way", raw)
	}
	w.count(release, "GET", 499)
}

// traffic is some of everything, on the loops and handed over, at once.
func (w *watched) traffic(release string) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				w.ask(release, "GET", "/", nil)
				w.ask(release, "GET", "/nobody", nil)
				w.ask(release, "HEAD", "/", nil)
				w.ask(release, "DELETE", "/tea", nil)
				w.ask(release, "POST", "/sum", strings.NewReader("body"))
				w.ask(release, "POST", "/sum", chunked{strings.NewReader("body")})
				w.ask(release, "PUT", "/nobody", chunked{strings.NewReader("body")})
			}
		})
	}
	wg.Wait()
	w.leave(release, "GET /slow?d=1m HTTP/1.1\r\nHost: a\r\n\r\n")
}

// leaveBody leaves behind a request with a body, which a net/http server that has
// not read it does not notice.
func (w *watched) leaveBody(release string) {
	w.t.Helper()
	w.leave(release, "GET /slow?d=1m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
}

// text asks for a page.
func (w *watched) text(path string) (code int, body string) {
	resp, err := w.client.Get(w.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

var sampleLine = regexp.MustCompile(`(?m)^([a-z_]+)(\{.*\})? ([0-9.e+-]+)$`)

// page is what /metrics says, by series.
func (w *watched) page() map[string]float64 {
	_, text := w.text("/metrics")
	page := make(map[string]float64)
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			w.t.Error(err)
		}
		page[m[1]+m[2]] = v
	}
	return page
}

var requestsSeries = regexp.MustCompile(`^heddle_requests_total\{app="w",code="(.*)",method="(.*)",release="(.*)"\}$`)

// agree waits until the page has counted what the client has, and nothing else.
func (w *watched) agree() {
	w.t.Helper()
	w.mu.Lock()
	want := maps.Clone(w.want)
	w.mu.Unlock()
	var wrong []string
	if !until(func() bool {
		wrong = nil
		got, timed := make(map[string]uint64), uint64(0)
		sum := uint64(0)
		for series, v := range w.page() {
			if m := requestsSeries.FindStringSubmatch(series); m != nil {
				got[m[3]+" "+m[2]+" "+m[1]] = uint64(v)
				sum += uint64(v)
			}
			if strings.HasPrefix(series, "heddle_request_duration_seconds_count") {
				timed += uint64(v)
			}
		}
		if !maps.Equal(got, want) || timed != sum {
			wrong = append(wrong, fmt.Sprintf("got %v, %d of %d timed, want %v", got, timed, sum, want))
		}
		return wrong == nil
	}) {
		w.t.Errorf("the page and the client do not agree:\n%s", strings.Join(wrong, "\n"))
	}
}

// has waits until the page has these values.
func (w *watched) has(want map[string]float64) {
	w.t.Helper()
	var page map[string]float64
	for series, v := range want {
		if !until(func() bool {
			page = w.page()
			got, ok := page[series]
			return ok && got == v
		}) {
			w.t.Errorf("%s: got %v, want %v", series, page[series], v)
		}
	}
}

// saysReady waits until /readyz gives this answer.
func (w *watched) saysReady(code int, has string) {
	w.t.Helper()
	var got int
	var body string
	if !until(func() bool {
		got, body = w.text("/readyz")
		return got == code && strings.Contains(body, has)
	}) {
		w.t.Errorf("/readyz: got %d %s, want %d and %q", got, body, code, has)
	}
}

func mustHeddle(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("heddle", args...).CombinedOutput(); err != nil {
		t.Fatalf("heddle %q: %v\n%s", args, err, out)
	}
}

// TestMetricsAgree: the page says what a counting client saw, through a deploy,
// a queue that is full, and a worker that is killed.
func TestMetricsAgree(t *testing.T) {
	w := runWatched(t, true, "--workers", "2", "--loops", "2", "--queue", "1", "app", "--", "-say", "one")
	ctx, cancel := context.WithCancel(context.Background())
	var scrapers sync.WaitGroup
	for range 3 { // while all of this goes on
		scrapers.Go(func() {
			for ctx.Err() == nil {
				w.text("/metrics")
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	defer scrapers.Wait()
	defer cancel()
	w.saysReady(200, `{"ok":true}`)
	w.traffic("r1")
	w.leaveBody("r1")
	w.agree()

	// Two releases, and the time between them.
	stop := make(chan struct{})
	var meanwhile sync.WaitGroup
	for i := range 4 {
		meanwhile.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if i%2 == 0 {
					w.ask("", "GET", "/say", nil)
				} else {
					w.ask("", "POST", "/say", chunked{strings.NewReader("body")})
				}
			}
		})
	}
	mustHeddle(t, "deploy", "app", "--", "-say", "two")
	close(stop)
	meanwhile.Wait()
	w.traffic("r2")
	w.leaveBody("r2")
	w.agree()
	if exec.Command("heddle", "deploy", "fails").Run() == nil {
		t.Error("a program that fails was deployed")
	}
	w.has(map[string]float64{
		`heddle_deploys_total{app="w",outcome="served"}`:      1,
		`heddle_deploys_total{app="w",outcome="failed"}`:      1,
		`heddle_workers{app="w",release="r2",state="online"}`: 2,
		`heddle_sessions{app="w",release="r2"}`:               0,
		`heddle_requests_in_flight`:                           0,
		`heddle_front_gone_total`:                             4,
		`heddle_sessions_lost_total{app="w"}`:                 0,
		`heddle_queue_length{app="w"}`:                        0,
		`heddle_log_lines_dropped_total{sink="stderr"}`:       0,
	})

	// Suspended: one waits, and there is no place for another.
	mustHeddle(t, "suspend")
	w.saysReady(503, "w is suspended: requests wait; heddle resume lets them in")
	waiter := make(chan int, 1)
	go func() { waiter <- w.ask("", "GET", "/say", nil) }()
	w.has(map[string]float64{`heddle_queue_length{app="w"}`: 1, "heddle_ready": 0})
	for range 3 {
		w.ask("", "GET", "/say", nil)
		w.ask("", "POST", "/say", chunked{strings.NewReader("body")})
	}
	mustHeddle(t, "resume")
	if code := <-waiter; code != 200 {
		t.Errorf("who waited got %d", code)
	}
	w.saysReady(200, `{"ok":true}`)
	w.agree()
	w.has(map[string]float64{`heddle_queue_refused_total{app="w",reason="full"}`: 6, `heddle_queue_wait_seconds_count{app="w"}`: 1})

	// A killed worker costs the request it has.
	died := `heddle_worker_deaths_total{app="w",kind="unexpected"}`
	before := w.page()[died]
	w.kill()
	w.agree()
	w.has(map[string]float64{
		died:                                  before + 1,
		`heddle_sessions_lost_total{app="w"}`: 1,
		`heddle_workers{app="w",release="r2",state="online"}`: 2,
	})
	cancel()
	scrapers.Wait()

	t.Run("promtool", func(t *testing.T) {
		_, text := w.text("/metrics")
		checkMetrics(t, text)
	})
}

// checkMetrics has promtool look at a page.
func checkMetrics(t *testing.T, page string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: Debian has it in the package prometheus")
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestMetricsOfCloud: calls of a cloud's services are counted by what they were.
func TestMetricsOfCloud(t *testing.T) {
	w := runWatched(t, true, "--locator", "127.0.0.1:0", "--join", "127.0.0.1:1", "--workers", "1", "app")
	for _, line := range []string{"storage write c k v [\"t\"]", "storage read c k", "storage read c k --dialect v0", "locator uuid"} {
		mustHeddle(t, append([]string{"call"}, strings.Fields(line)...)...)
	}
	if out, err := exec.Command("heddle", "call", "storage", "read", "c", "none").CombinedOutput(); exitOf(err) != exitError {
		t.Errorf("got %v, %s", err, out)
	}
	w.has(map[string]float64{
		`heddle_cloud_calls_total{dialect="v1",method="write",service="storage"}`:       1,
		`heddle_cloud_calls_total{dialect="v1",method="read",service="storage"}`:        2,
		`heddle_cloud_calls_failed_total{dialect="v1",method="read",service="storage"}`: 1,
		`heddle_cloud_calls_total{dialect="v0",method="read",service="storage"}`:        1,
		`heddle_cloud_calls_total{dialect="v1",method="uuid",service="locator"}`:        1,
		`heddle_cloud_resolves_total{answer="unknown"}`:                                 0,
		`heddle_cloud_connections{service="storage"}`:                                   0,
		`heddle_cloud_joined{state="unknown"}`:                                          1,
		`heddle_cloud_mistakes_total`:                                                   0,
	})
	if n := w.page()[`heddle_cloud_resolves_total{answer="own"}`]; n < 4 {
		t.Errorf("got %v resolves, want one for each command or more", n)
	}
	t.Run("promtool", func(t *testing.T) {
		_, text := w.text("/metrics")
		checkMetrics(t, text)
	})
}

// kill kills the worker that has a request.
func (w *watched) kill() {
	w.t.Helper()
	answered := make(chan int, 1)
	go func() { answered <- w.ask("r2", "GET", "/slow?d=1m", nil) }()
	pid := 0
	if !until(func() bool {
		out, err := exec.Command("heddle", "status", "--json").Output()
		if err != nil {
			w.t.Fatal(err)
		}
		var st statusReply
		if err := json.Unmarshal(out, &st); err != nil {
			w.t.Fatal(err)
		}
		for _, s := range st.Workers {
			if s.Sessions > 0 {
				pid = s.Pid
			}
		}
		return pid != 0
	}) {
		w.t.Fatal("no worker has the request")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	if code := <-answered; code != http.StatusBadGateway {
		w.t.Errorf("got %d, want 502", code)
	}
}

// TestReady: the pages are there while the daemon starts and while it drains, and
// say so; then they are gone.
func TestReady(t *testing.T) {
	w := runWatched(t, false, "--start-timeout", "1m", "mute")
	w.saysReady(503, "the daemon is starting")
	if code, body := w.text("/healthz"); code != 200 {
		t.Errorf("/healthz: got %d %s", code, body)
	}
	if v, ok := w.page()["heddle_ready"]; !ok || v != 0 {
		t.Errorf("heddle_ready is %v, %v", v, ok)
	}
	w.d.kill()

	w = runWatched(t, true, "--workers", "1", "app")
	w.saysReady(200, `{"ok":true}`)
	answered := make(chan int, 1)
	go func() { answered <- w.ask("r1", "GET", "/slow?d=1s", nil) }()
	w.has(map[string]float64{"heddle_requests_in_flight": 1})
	if err := w.d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.saysReady(503, "the daemon is draining")
	if code, body := w.text("/healthz"); code != 200 {
		t.Errorf("/healthz while it drains: got %d %s", code, body)
	}
	if code := <-answered; code != 200 {
		t.Errorf("got %d, want 200", code)
	}
	<-w.d.done
	if code := w.d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(w.admin, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("somebody listens still: %v", err)
	}
}

// TestMetricsOfApps: several apps' numbers stay apart, on the loops and by
// net/http alike, and what is routed to none of them is nobody's.
func TestMetricsOfApps(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "apps.toml")
	const text = `
admin = "127.0.0.1:0"
access-log = "access.log"
[app.shop]
target = "app"
args = ["-say", "one"]
workers = 2
hosts = ["localhost"]
log.stderr = "shop.err"
[app.blog]
target = "app"
args = ["-say", "two"]
workers = 1
hosts = ["127.0.0.1"]
paths = ["/say"]
[app.page]
target = "app"
args = ["-plain", "-addr", "127.0.0.1:{port}"]
http = true
workers = 1
hosts = ["127.0.0.1"]
paths = ["/tea"]
`
	bin, err := exec.LookPath("app")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, `"app"`, strconv.Quote(bin))), 0o644); err != nil {
		t.Fatal(err)
	}
	w := runConfigured(t, file)
	w.saysReady(200, `{"ok":true}`)
	numeric := w.url
	shop := strings.Replace(w.url, "127.0.0.1", "localhost", 1)
	for i, url := range []string{shop, shop, numeric} {
		w.url = url
		for _, body := range []io.Reader{nil, chunked{strings.NewReader("body")}} {
			if code := w.ask("", "POST", "/say", body); code != 200 {
				t.Errorf("request %d: got %d", i, code)
			}
		}
	}
	if code := w.ask("", "GET", "/nobody's", nil); code != 404 {
		t.Errorf("got %d, want 404", code)
	}
	if code := w.ask("", "GET", "/tea", nil); code != 418 {
		t.Errorf("got %d, want 418", code)
	}
	mustHeddle(t, "deploy", "--app", "blog", "app", "--", "-say", "three")
	w.has(map[string]float64{
		`heddle_requests_total{app="page",code="418",method="GET",release="r1"}`:  1,
		`heddle_request_duration_seconds_count{app="page",release="r1"}`:          1,
		`heddle_requests_total{app="shop",code="200",method="POST",release="r1"}`: 4,
		`heddle_requests_total{app="blog",code="200",method="POST",release="r1"}`: 2,
		`heddle_requests_total{app="",code="404",method="GET",release=""}`:        1,
		`heddle_workers{app="shop",release="r1",state="online"}`:                  2,
		`heddle_workers{app="blog",release="r2",state="online"}`:                  1,
		`heddle_deploys_total{app="blog",outcome="served"}`:                       1,
		`heddle_deploys_total{app="shop",outcome="served"}`:                       0,
		`heddle_log_lines_dropped_total{sink="stderr"}`:                           0,
		`heddle_log_lines_dropped_total{sink="access-log"}`:                       0,
		`heddle_log_lines_dropped_total{sink="shop/log-stderr"}`:                  0,
		`heddle_loop_panics_total{loop="0"}`:                                      0,
		`heddle_loop_panics_total{loop="control"}`:                                0,
	})
	mustHeddle(t, "suspend", "--app", "shop")
	w.saysReady(503, "shop is suspended: its requests wait; heddle resume --app shop lets them in")
	mustHeddle(t, "resume", "--app", "shop")
	w.saysReady(200, `{"ok":true}`)
}
