package httpcompat_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
