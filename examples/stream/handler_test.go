package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	rec := httptest.NewRecorder()
	handler(time.Millisecond, 0).ServeHTTP(rec, httptest.NewRequest("GET", "/?n=3", nil))

	if got, want := strings.Count(rec.Body.String(), "\ndata: "), 3; got != want {
		t.Errorf("GET /?n=3: got %d events, want %d: %q", got, want, rec.Body)
	}
	if got, want := rec.Header().Get("Content-Type"), "text/event-stream"; got != want {
		t.Errorf("GET /?n=3: got Content-Type %q, want %q", got, want)
	}
	if !rec.Flushed {
		t.Error("GET /?n=3: nothing was flushed")
	}
}

func TestBadCount(t *testing.T) {
	for _, q := range []string{"0", "-1", "x"} {
		rec := httptest.NewRecorder()
		handler(time.Millisecond, 0).ServeHTTP(rec, httptest.NewRequest("GET", "/?n="+q, nil))
		if rec.Code != http.StatusBadRequest {
			t.Errorf("GET /?n=%s: got status %d, want %d", q, rec.Code, http.StatusBadRequest)
		}
	}
}

// The first event arrives before the second is due, and the handler ends when
// the client goes.
func TestFlushAndLeave(t *testing.T) {
	ended := make(chan struct{})
	h := handler(time.Hour, 0)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "id: 1\n" {
		t.Fatalf("first line: got %q, %v, want %q", line, err, "id: 1\n")
	}

	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the handler went on after the client had left")
	}
}
