package httpcompattest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewServer(t *testing.T) {
	s := httpcompattest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		io.Copy(w, r.Body)
	}))
	defer s.Close()
	req, err := http.NewRequest("PUT", s.URL+"/a", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("X-Path") != "/a" {
		t.Errorf("got %s, %v", resp.Status, resp.Header)
	}
	if n := s.Proxy.Mux().Counters().Opened; n != 1 {
		t.Errorf("%d sessions were opened, want 1", n)
	}
}

// Close breaks what is being answered and waits for the handlers.
func TestProxyClose(t *testing.T) {
	started, ended := make(chan struct{}), false
	p := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		ended = true
	}))
	codes := make(chan int)
	go func() { // ends with the answer
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		codes <- rec.Code
	}()
	<-started
	p.Close()
	if !ended {
		t.Error("Close did not wait for the handler")
	}
	if code := <-codes; code != http.StatusBadGateway {
		t.Errorf("got %d", code)
	}
	p.Close() // again is harmless
}
