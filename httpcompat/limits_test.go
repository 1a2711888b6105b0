package httpcompat_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// many is a header of n fields.
func many(n int) http.Header {
	h := make(http.Header)
	for i := range n {
		h.Add(fmt.Sprintf("X-%d", i%100), "v")
	}
	return h
}

// A request that is over the limits of a head is its client's mistake: the asking
// side says so, and has nothing to log. One that is just under them passes.
func TestRequestHeadLimits(t *testing.T) {
	big := func(n int) http.Header { return http.Header{"X-Big": {strings.Repeat("x", n)}} }
	trailers := func(r *http.Request) {
		r.Body, r.Trailer = io.NopCloser(strings.NewReader("x")), make(http.Header)
		for i := range 1025 {
			r.Trailer[fmt.Sprintf("T-%d", i)] = nil
		}
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		change func(r *http.Request)
		heddle int // status from a Heddle worker
		plain  int // and from a plain one, which has no limit but that of fields
	}{
		{"large", big(session.MaxHead - 200), nil, 200, 200},
		{"too large", big(session.MaxHead + 500), nil, 431, 200},
		{"many", many(1000), nil, 200, 200},
		{"most", many(1024), nil, 200, 431}, // Host travels among them
		{"too many", many(1025), nil, 431, 431},
		{"too many trailers", nil, trailers, 431, 200},
	} {
		for name, want := range map[string]int{"heddle": tt.heddle, "plain": tt.plain} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				var log bytes.Buffer
				served := 0
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served++ })
				p := httpcompattest.NewWorkerProxy(httpcompat.Handler(h), session.ChannelOptions{Dialect: heddle.V1, Heddle: name == "heddle"})
				defer p.Close()
				p.Logger = slog.New(slog.NewTextHandler(&log, nil))
				r := httptest.NewRequest("GET", "/", nil)
				for k, vv := range tt.header {
					r.Header[k] = vv
				}
				if tt.change != nil {
					tt.change(r)
				}
				rec := httptest.NewRecorder()
				p.ServeHTTP(rec, r)
				if rec.Code != want || log.Len() > 0 {
					t.Errorf("got %d %q, want %d; log %q", rec.Code, rec.Body, want, &log)
				}
				p.Close() // and the handler has ended
				if got := served == 1; got != (want == 200) {
					t.Errorf("the handler was called %d times", served)
				}
			})
		}
	}
}

// The engine wraps what it says.
func TestRequestHeadTooLargeForTheOpener(t *testing.T) {
	var log bytes.Buffer
	p := &httpcompat.Proxy{
		Opener: httpcompat.OpenerFunc(func(context.Context, session.OpenOptions) (*session.Session, error) {
			return nil, fmt.Errorf("engine: %w", session.ErrTooLarge)
		}),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != http.StatusRequestHeaderFieldsTooLarge || log.Len() > 0 {
		t.Errorf("got %d, log %q", rec.Code, &log)
	}
}

// A response over the limit is the worker's: 502, and the log says why.
func TestResponseHeadLimits(t *testing.T) {
	for n, want := range map[int]int{1000: 200, 1100: 502} {
		var log bytes.Buffer
		p := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for k, vv := range many(n) {
				w.Header()[k] = vv
			}
		}))
		p.Logger = slog.New(slog.NewTextHandler(&log, nil))
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		p.Close()
		if rec.Code != want || want == 502 && !strings.Contains(log.String(), "may have 1024 fields") {
			t.Errorf("%d fields: got %d, want %d; log %q", n, rec.Code, want, &log)
		}
	}
}

// A client that half-closes behind its request is told by Heddle's own answers
// too, and what stands around a Proxy keeps its headers over 1xx and failures.
func TestOwnAnswersReachEverybody(t *testing.T) {
	busy := &httpcompat.Proxy{Opener: httpcompat.OpenerFunc(func(context.Context, session.OpenOptions) (*session.Session, error) {
		time.Sleep(50 * time.Millisecond) // until the server has seen the client half-close
		return nil, session.ErrTooMany
	}), Logger: slog.New(slog.DiscardHandler)}
	served := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(204)
	}))
	defer served.Close()
	for _, row := range []struct {
		name, raw, want string
		p               http.Handler
	}{
		{"half-closed", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "502", busy},
		{"1xx", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "103 204", served},
		{"continue", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "100 103 204", served},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "kept")
			row.p.ServeHTTP(w, r)
		}))
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, row.raw)
		closeWrite(c)
		c.SetDeadline(time.Now().Add(patience))
		all, _ := io.ReadAll(c)
		var codes []string
		for head := range strings.SplitSeq(string(all), "\r\n\r\n") {
			if line, ok := strings.CutPrefix(head, "HTTP/1.1 "); ok {
				codes = append(codes, line[:3])
				if outer := strings.Contains(head, "X-Outer: kept"); outer != (line[:3] >= "200") {
					t.Errorf("%s: %q", row.name, head)
				}
			}
		}
		if got := strings.Join(codes, " "); got != row.want {
			t.Errorf("%s: got %s, want %s: %q", row.name, got, row.want, all)
		}
		c.Close()
		s.Close()
	}
}
