package httpcompat_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/workertest"
)

// TestRuntimeTraceGoesOn: what a runtime's request carries is in the calls of services
// that its handler makes: the trace, with a span of the call's own below the
// request's, and authorization.
func TestRuntimeTraceGoesOn(t *testing.T) {
	cloud := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	sample := cloud.Sample("sample")
	client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s, err := client.Service("sample")
	if err != nil {
		t.Fatal(err)
	}
	underRuntimes(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := s.Call(r.Context(), "void"); err != nil {
			t.Error(err)
		}
	}, func(t *testing.T, v workertest.Version, r *workertest.Runtime) {
		before := len(sample.Seen())
		_, err := r.HTTP("http", httptest.NewRequest("GET", "/", nil), workertest.InvokeOptions{
			Trace:   session.Trace{TraceID: 1 << 60, SpanID: 2, ParentID: 3},
			Headers: []codec.Header{{Name: []byte("authorization"), Value: []byte("Bearer x")}, {Name: []byte("own"), Value: []byte("y")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, h := range sample.Seen()[before].Headers {
			got[string(h.Name)] = string(h.Value)
		}
		if v == workertest.Runtime011 {
			if len(got) > 0 {
				t.Errorf("got %q, where there is no trace", got)
			}
			return
		}
		id := func(name string) uint64 {
			if len(got[name]) != 8 {
				t.Fatalf("%s is %q", name, got[name])
			}
			return binary.LittleEndian.Uint64([]byte(got[name]))
		}
		if span := id("span_id"); id("trace_id") != 1<<60 || id("parent_id") != 2 || span == 0 || span == 2 || got["authorization"] != "Bearer x" || len(got) != 4 {
			t.Errorf("got %q", got)
		}
	})
}
