package httpcompat_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// The id of a request names its trace also to Heddle's own workers, if it can be
// one, whatever the handler does to the request's header.
func TestTraceOfRequestID(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Request-Id", "0000000000000001")
		fmt.Fprintf(w, "%+v", session.TraceOf(r.Context()))
	})
	for id, want := range map[string]string{
		"00000000000000ff":                 "{TraceID:255 SpanID:255 ParentID:0}",
		"a000000000000000000000000000000f": "{TraceID:15 SpanID:15 ParentID:0}",
		"mine":                             "{TraceID:0 SpanID:0 ParentID:0}",
		"":                                 "{TraceID:0 SpanID:0 ParentID:0}",
	} {
		r, err := http.NewRequest("GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Request-Id", id)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("id %q: got %q, %v, want %q", id, got, err, want)
		}
	}
}

// What a program passes on to a plain worker belongs to the trace that its own work
// has.
func TestPlainProxyTraces(t *testing.T) {
	o := session.ChannelOptions{Dialect: heddle.V1}
	b, err := httpcompattest.NewWorkerBackend(httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tr := session.TraceOf(r.Context())
		fmt.Fprint(w, tr.TraceID, tr.ParentID, tr.SpanID != 0 && tr.SpanID != 8)
	})), 1, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := &httpcompat.Proxy{Opener: b, Plain: true}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Request-Id", "00000000000000ff")
	for _, c := range []struct {
		trace session.Trace
		want  string
	}{
		{session.Trace{TraceID: 7, SpanID: 8, ParentID: 9}, "7 8 true"},
		{session.Trace{}, "255 0 true"},
	} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r.WithContext(session.WithTrace(r.Context(), c.trace)))
		if got := w.Body.String(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.trace, got, c.want)
		}
	}
}
