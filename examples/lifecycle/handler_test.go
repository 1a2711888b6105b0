package main

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// Nobody has launched the test: it is a program that was started by hand.
func TestAlone(t *testing.T) {
	a := &app{interval: time.Millisecond}
	go a.work() // ends with the process: by hand nobody drains
	for a.jobs.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/", "", 200, "worker 0 of release none, pid "},
		{"POST", "/broken", "leaks", 409, "nobody is there"},
		{"POST", "/broken", strings.Repeat("x", 257), 413, "too long"},
		{"GET", "/broken", "", 405, ""},
	} {
		rec := httptest.NewRecorder()
		a.handler().ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s %s: got %d, %q; want %d, %q", c.method, c.path, rec.Code, rec.Body, c.code, c.want)
		}
	}

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	rec := httptest.NewRecorder()
	a.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/events", nil).WithContext(ctx))
	if n := strings.Count(rec.Body.String(), "data: {\"jobs\":"); n < 2 || strings.Contains(rec.Body.String(), "bye") {
		t.Errorf("got %d events, %q", n, rec.Body)
	}
}

// asProgram is set for the copy of this test binary that is the program itself.
const asProgram = "LIFECYCLE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}
