package httpcompat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// underRuntimes serves h under both real runtimes, in memory.
func underRuntimes(t *testing.T, h http.HandlerFunc, test func(t *testing.T, v workertest.Version, r *workertest.Runtime)) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		t.Run(v.String(), func(t *testing.T) {
			r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{Network: workertest.Memory})
			w, err := worker.New(worker.Options{Launch: r.Launch(), Dial: r.Dial, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			w.HandleFallback(httpcompat.Handler(h))
			if err := w.Connect(context.Background()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Close() }()
			test(t, v, r)
		})
	}
}

// TestRuntimeRequests: what real proxies ask is an ordinary request, and what the
// handler answers reaches them, with no rule of the real runtimes broken.
func TestRuntimeRequests(t *testing.T) {
	big := strings.Repeat("body", 300<<10)
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Proto, " ", r.Host, " ", r.RemoteAddr, " ", r.ContentLength))
		w.Header()["X-Two"] = []string{"1", "2"}
		switch r.URL.Path {
		case "/bodyless":
			w.WriteHeader(http.StatusNoContent)
		case "/flushed":
			_, _ = io.WriteString(w, "first;")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "second;")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			_, _ = w.Write(body)
		case "/none":
		case "/copied":
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(big)})
		default:
			_, _ = w.Write(body)
		}
	}, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		for _, c := range []struct {
			method, target, body string
			code                 int
			want                 string
		}{
			{"GET", "/x?q=1", "", 200, ""},
			{"POST", "/x", "a body", 200, "a body"},
			{"PUT", "/x", big, 200, big},
			{"HEAD", "/copied", "", 200, ""},
			{"GET", "/copied", "", 200, big},
			{"DELETE", "/bodyless", "", 204, ""},
			{"GET", "/none", "", 200, ""},
			{"POST", "/flushed", "third", 200, "first;second;third"},
		} {
			q := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
			q.Header.Set("X-Real-IP", "192.0.2.9")
			resp, err := r.HTTP("any event", q, workertest.InvokeOptions{})
			if err != nil {
				t.Fatalf("%s %s: %v", c.method, c.target, err)
			}
			got, _ := io.ReadAll(resp.Body)
			seen := fmt.Sprintf("%s %s HTTP/1.1 example.com 192.0.2.9:0 %d", c.method, c.target, len(c.body))
			if resp.StatusCode != c.code || string(got) != c.want || resp.Header.Get("X-Seen") != seen || !slices.Equal(resp.Header["X-Two"], []string{"1", "2"}) {
				t.Errorf("%s %s: got %d, %v, %d bytes; want %d, %q, %d bytes", c.method, c.target, resp.StatusCode, resp.Header, len(got), c.code, seen, len(c.want))
			}
			if resp.Header.Get("Transfer-Encoding") != "" || resp.Header.Get("Date") == "" {
				t.Errorf("%s %s: headers %v", c.method, c.target, resp.Header)
			}
		}
	})
}

// TestRuntimeVersions: old proxies write the version with its word.
func TestRuntimeVersions(t *testing.T) {
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		for version, want := range map[string]string{"\xa31.1": "HTTP/1.1", "\xa8HTTP/1.1": "HTTP/1.1", "\xa31.0": "HTTP/1.0", "\xa8HTTP/1.0": "HTTP/1.0"} {
			c, err := r.Ask("http", []byte("\x95\xa3GET\xa1/"+version+"\x90\xa0"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Response()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != want {
				t.Errorf("%q: got %q, want %q", version, got, want)
			}
		}
	})
}

// TestRuntimeWithoutExtensions: what plain peers have no word for does nothing, or
// says so (docs/cocaine.md).
func TestRuntimeWithoutExtensions(t *testing.T) {
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _, err := rc.Hijack()
		if !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijack: got %v", err)
		}
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusContinue)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set(http.TrailerPrefix+"X-More", "2")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
	}, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		resp, err := r.HTTP("http", httptest.NewRequest("GET", "/", nil), workertest.InvokeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		for name := range resp.Header {
			if strings.Contains(name, "X-") || name == "Trailer" {
				t.Errorf("there is a header %s", name)
			}
		}
		if resp.StatusCode != 200 || string(body) != "body" || resp.Header.Get("Link") == "" {
			t.Errorf("got %d, %v, %q", resp.StatusCode, resp.Header, body)
		}
	})
}

// TestRuntimeFailures: handlers that panic, requests that are none.
func TestRuntimeFailures(t *testing.T) {
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		if r.URL.Path == "/short" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "five!")
			return
		}
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		want := session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeException}
		if v == workertest.Runtime011 {
			want = session.Error{Code: heddle.CodeV0Invocation}
		}
		for _, target := range []string{"/", "/late", "/short"} {
			_, err := r.HTTP("http", httptest.NewRequest("GET", target, nil), workertest.InvokeOptions{})
			var e *session.Error
			if !errors.As(err, &e) || e.Category != want.Category || e.Code != want.Code {
				t.Errorf("%s: got %v, want [%d,%d]", target, err, want.Category, want.Code)
			}
		}
		for _, head := range []string{"", "\xc0", "\x95\xa3GET", "\x94\xa3GET\xa1/\xa31.1\x90", "\x95\xa3G T\xa1/\xa31.1\x90\xa0"} {
			c, err := r.Ask("http", []byte(head))
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := c.Response(); err != nil || resp.StatusCode != http.StatusBadRequest {
				t.Errorf("head %q: got %v, %v", head, resp, err)
			}
		}
		c, err := r.Invoke("http", workertest.InvokeOptions{Last: true}) // no head at all
		if err != nil {
			t.Fatal(err)
		}
		var e *session.Error
		if _, err := c.Response(); !errors.As(err, &e) {
			t.Errorf("without a head: got %v", err)
		}
	})
}

// TestRuntimeExtraChunks: more chunks than the one that is a request, during the
// answer and behind it, disturb nobody.
func TestRuntimeExtraChunks(t *testing.T) {
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		for _, early := range []bool{true, false} {
			c, err := r.Invoke("http", workertest.InvokeOptions{First: []byte("\x95\xa4POST\xa1/\xa31.1\x91\x92\xaeContent-Length\xa14\xa4body")})
			if err != nil {
				t.Fatal(err)
			}
			extra := func() error { return errors.Join(c.Write([]byte("more")), c.Write(nil), c.Close()) }
			if early {
				err = extra()
			}
			resp, err2 := c.Response()
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != "body" {
				t.Errorf("early %v: got %q", early, got)
			}
			if !early {
				if err := extra(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestRuntimeAtRandom: many requests at once, answered each in its own way by a seed,
// over every transport. No rule is broken, and each has the end that is its own.
func TestRuntimeAtRandom(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		var seed uint64
		_, _ = fmt.Sscan(r.URL.RawQuery, &seed)
		rnd := rand.New(rand.NewPCG(seed, 1))
		if rnd.IntN(2) == 0 {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		total := 0
		for range rnd.IntN(6) {
			switch rnd.IntN(6) {
			case 0:
				w.(http.Flusher).Flush()
			case 1:
				w.WriteHeader(http.StatusEarlyHints)
			case 2:
				n, _ := io.Copy(w, strings.NewReader(strings.Repeat("r", rnd.IntN(200<<10))))
				total += int(n)
			case 3:
				n, _ := w.Write(nil)
				total += n
			default:
				n, _ := io.WriteString(w, strings.Repeat("w", rnd.IntN(9000)))
				total += n
			}
		}
		if strings.HasPrefix(r.URL.Path, "/panic") {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(http.TrailerPrefix+"X-Total", "1")
		_, _ = fmt.Fprintf(w, "|%d", total)
	}
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		for _, network := range []string{workertest.Memory, "unix", "tcp"} {
			t.Run(v.String()+"/"+network, func(t *testing.T) {
				r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{Network: network, Gap: 2})
				o := worker.Options{Launch: r.Launch(), Logger: slog.New(slog.DiscardHandler)}
				if network == workertest.Memory {
					o.Dial = r.Dial
				}
				w, err := worker.New(o)
				if err != nil {
					t.Fatal(err)
				}
				w.HandleFallback(httpcompat.Handler(http.HandlerFunc(h)))
				if err := w.Connect(context.Background()); errors.Is(err, loop.ErrUnsupported) {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = w.Close() }()
				var wg sync.WaitGroup
				for k := range 6 {
					wg.Go(func() {
						for i := range 25 {
							atRandom(t, r, uint64(1000*k+i))
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// atRandom is one request of TestRuntimeAtRandom.
func atRandom(t *testing.T, r *workertest.Runtime, seed uint64) {
	path := []string{"/", "/", "/panic"}[seed%3]
	resp, err := r.HTTP("http", httptest.NewRequest("POST", fmt.Sprint(path, "?", seed), strings.NewReader(strings.Repeat("b", int(seed*37%70000)))), workertest.InvokeOptions{})
	var e *session.Error
	if path == "/panic" {
		if !errors.As(err, &e) {
			t.Errorf("seed %d: got %v, want the handler's failure", seed, err)
		}
		return
	}
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	body, _ := io.ReadAll(resp.Body)
	sent, said, _ := strings.Cut(string(body), "|")
	if said != fmt.Sprint(len(sent)) {
		t.Errorf("seed %d: %d bytes came, the handler wrote %s", seed, len(sent), said)
	}
}

// TestRuntimeTrace: the trace of 0.12 reaches the request's context, and is the
// request's id unless it has one.
func TestRuntimeTrace(t *testing.T) {
	underRuntimes(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %+v %d", r.Header["X-Request-Id"], session.TraceOf(r.Context()), len(session.HeadersOf(r.Context())))
	}, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		trace := session.Trace{TraceID: 0xabcdef, SpanID: 2, ParentID: 3}
		for _, c := range []struct {
			trace    session.Trace
			own      string
			v0, want string
		}{
			{trace, "", `[] {TraceID:0 SpanID:0 ParentID:0} 0`, `["0000000000abcdef"] {TraceID:11259375 SpanID:2 ParentID:3} 3`},
			{trace, "mine", `["mine"] {TraceID:0 SpanID:0 ParentID:0} 0`, `["mine"] {TraceID:11259375 SpanID:2 ParentID:3} 3`},
			{session.Trace{}, "", `[] {TraceID:0 SpanID:0 ParentID:0} 0`, `[] {TraceID:0 SpanID:0 ParentID:0} 3`},
		} {
			q := httptest.NewRequest("GET", "/", nil)
			if c.own != "" {
				q.Header.Set("X-Request-Id", c.own)
			}
			resp, err := r.HTTP("http", q, workertest.InvokeOptions{Trace: c.trace})
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if v == workertest.Runtime011 {
				want = c.v0
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}
