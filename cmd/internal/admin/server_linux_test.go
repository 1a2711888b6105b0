package admin

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// newLoop runs a loop until the test ends.
func newLoop(t *testing.T) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }() // ends when the loop is closed
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return l
}

// open serves a source's pages.
func open(t *testing.T, addr string, anywhere bool, src *Source) *Server {
	t.Helper()
	a, err := ParseAddress(addr, anywhere)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Address: a, Source: *src, Logger: slog.New(slog.DiscardHandler), probeEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// get asks, on a connection of its own.
func get(t *testing.T, url string, change ...func(*http.Request)) (code int, body string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	for _, f := range change {
		f(req)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, readAll(t, resp.Body)
}

// until waits until cond is true.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func TestPages(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	s := open(t, "127.0.0.1:0", false, src)
	for path, want := range map[string]struct {
		code int
		has  string
	}{
		"/":                      {200, `<a href="/metrics">`},
		"/metrics":               {200, "heddle_requests_total{"},
		"/healthz":               {200, `{"ok":true}`},
		"/readyz":                {200, `{"ok":true}`},
		"/debug/pprof/":          {200, "goroutine"},
		"/debug/pprof/goroutine": {200, ""},
		"/debug/pprof/cmdline":   {200, "admin.test"},
		"/nobody":                {404, ""},
	} {
		if code, body := get(t, s.URL()+path); code != want.code || !strings.Contains(body, want.has) {
			t.Errorf("%s: got %d %.200q, want %d and %q", path, code, body, want.code, want.has)
		}
	}
	resp, err := http.Post(s.URL()+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp.Body); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: got %d, want 405", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	_, page := get(t, s.URL()+"/metrics")
	for _, name := range []string{"go_goroutines ", "process_open_fds ", "promhttp_metric_handler_errors_total"} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("the page has no %s", name)
		}
	}
	t.Run("promtool", func(t *testing.T) { checkPage(t, page) })
}

// TestNames: whoever is asked for by a name is not who was meant, unless told to
// be anywhere.
func TestNames(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	for _, anywhere := range []bool{false, true} {
		s := open(t, "127.0.0.1:0", anywhere, src)
		for host, local := range map[string]bool{"127.0.0.1:1": true, "localhost": true, "LOCALHOST:80": true, "[::1]:80": true, "evil.example": false, "192.0.2.1:80": false} {
			want := 200
			if !local && !anywhere {
				want = 421
			}
			if code, body := get(t, s.URL()+"/metrics", func(r *http.Request) { r.Host = host }); code != want {
				t.Errorf("anywhere %v, host %s: got %d %.100q, want %d", anywhere, host, code, body, want)
			}
		}
	}
}

// TestLongHead: a head that is too long is refused, perhaps before all of it was
// written.
func TestLongHead(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(open(t, "127.0.0.1:0", false, src).URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", maxHeaderBytes+4<<10) + "\r\n\r\n")) // 4 KiB: net/http's grace
	p := make([]byte, 64)
	n, err := c.Read(p)
	if got := string(p[:n]); !strings.HasPrefix(got, "HTTP/1.1 431 ") && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUnixSocket(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	path := filepath.Join(t.TempDir(), "a.sock")
	s := open(t, "unix:"+path, false, src)
	if s.URL() != "unix:"+path {
		t.Errorf("URL %s", s.URL())
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("GET /readyz HTTP/1.0\r\nHost: whoever\r\n\r\n"))
	if got := readAll(t, c); !strings.HasPrefix(got, "HTTP/1.0 200 OK") {
		t.Errorf("got %q", got)
	}
	a, _ := ParseAddress("unix:"+path, false)
	if _, err := Open(Options{Address: a, Source: *src}); err == nil {
		t.Error("two have one path")
	}
}

// TestStuckLoop: a control loop that does not turn is no sign of life, and the
// time that passes is told while it does.
func TestStuckLoop(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	busy := newLoop(t)
	src.Loops = func() []*loop.Loop { return []*loop.Loop{busy} }
	s := open(t, "127.0.0.1:0", false, src)
	lags := func() map[string]float64 { return gathered(t, src, s.lags) }
	until(t, "probes", func() bool {
		all := lags()
		return all["heddle_loop_lag_seconds loop=0"] > 3 && all["heddle_loop_lag_seconds loop=control"] > 3
	})
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	defer release()
	src.Control.Do(func() { <-free })
	busy.Do(func() { <-free })
	if code, body := get(t, s.URL()+"/healthz"); code != 503 || !strings.Contains(body, "has not turned for 1s") {
		t.Errorf("stuck: got %d %q", code, body)
	}
	for _, name := range []string{"0", "control"} {
		if v := lags()["heddle_loop_stalled_seconds loop="+name]; v < 0.5 || v > 60 {
			t.Errorf("loop %s: stalled for %v s", name, v)
		}
	}
	release()
	if code, body := get(t, s.URL()+"/healthz"); code != 200 {
		t.Errorf("it turns again: got %d %q", code, body)
	}
	until(t, "the long wait", func() bool { return lags()["heddle_loop_lag_seconds loop=0 sum"] > 0.5 })
	src.Control.Close()
	until(t, "the loop's end", func() bool {
		code, _ := get(t, s.URL()+"/healthz")
		return code == 503
	})
}

// TestManyScrapes: many at a time, while what they look at is forgotten, and the
// server ends among them.
func TestManyScrapes(t *testing.T) {
	src, f, _ := source()
	src.Control = newLoop(t)
	s := open(t, "127.0.0.1:0", false, src)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: patience}
			for range 10 {
				resp, err := client.Get(s.URL() + "/metrics")
				if err != nil {
					return // it was closed
				}
				if b := readAll(t, resp.Body); resp.StatusCode == 200 && !strings.Contains(b, "heddle_ready 1") && !strings.Contains(b, "heddle_ready 0") {
					t.Errorf("got %.300q", b)
				}
			}
		})
	}
	f.ForgetTallies(func(tag any) bool { return tag != nil })
	time.Sleep(20 * time.Millisecond)
	s.Close()
	wg.Wait()
}

// TestPlaces: connections that are too many wait, and nobody waits for ever.
func TestPlaces(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(ln, 1)
	accepted := make(chan net.Conn)
	go func() { // ends with the listener
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("a second one was accepted")
	case <-time.After(20 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives no second place
	second := <-accepted
	l.Close()
	if _, open := <-accepted; open {
		t.Error("a third one was accepted")
	}
	second.Close()
}

// TestHealthInACrowd: whoever opens all connections, and sends half a head or
// nothing, keeps nobody from the health page.
func TestHealthInACrowd(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	s := open(t, "127.0.0.1:0", false, src)
	var crowd []net.Conn
	for i := range maxConns {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			if _, err := io.WriteString(c, "GET /healthz HT"); err != nil {
				t.Fatal(err)
			}
		}
		crowd = append(crowd, c)
	}
	began := time.Now()
	if code, _ := get(t, s.URL()+"/healthz"); code != 200 {
		t.Errorf("status %d", code)
	}
	if took := time.Since(began); took < headTimeout { // or they may all have been ended by that
		_ = crowd[0].SetReadDeadline(time.Now().Add(patience))
		if _, err := crowd[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the oldest that rests: %v", err)
		}
	} else {
		t.Errorf("the page took %v", took)
	}
}

// TestProfiles: few at once, and none for ever.
func TestProfiles(t *testing.T) {
	src, _, _ := source()
	src.Control = newLoop(t)
	s := open(t, "127.0.0.1:0", false, src)
	for _, seconds := range []string{"3600", "1e9", "-1", "NaN", "x"} {
		if code, body := get(t, s.URL()+"/debug/pprof/goroutine?seconds="+seconds); code != 400 || !strings.Contains(body, "from 0 to 300") {
			t.Errorf("%s seconds: %d %q", seconds, code, body)
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxProfiles {
		wg.Go(func() { get(t, s.URL()+"/debug/pprof/goroutine?seconds=2") })
	}
	until(t, "one too many is refused", func() bool {
		code, _ := get(t, s.URL()+"/debug/pprof/cmdline")
		return code == 503
	})
	if code, _ := get(t, s.URL()+"/healthz"); code != 200 {
		t.Errorf("status %d", code)
	}
}
