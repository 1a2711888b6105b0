package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	h := handler()
	for _, tc := range []struct {
		method, target, body string
		code                 int
	}{
		{"GET", "/get?a=1", "", http.StatusOK},
		{"POST", "/post", "hello", http.StatusOK},
		{"GET", "/status/418", "", http.StatusTeapot},
		{"GET", "/stream-bytes/1000", "", http.StatusOK},
		{"GET", "/nowhere", "", http.StatusNotFound},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(tc.method, tc.target, strings.NewReader(tc.body)))
		if rec.Code != tc.code {
			t.Errorf("%s %s: got status %d, want %d", tc.method, tc.target, rec.Code, tc.code)
		}
	}
}

func TestEcho(t *testing.T) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/post?a=1", strings.NewReader("hello"))
	r.Header.Set("Content-Type", "text/plain")
	handler().ServeHTTP(rec, r)

	var got struct {
		Args map[string][]string `json:"args"`
		Data string              `json:"data"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatalf("POST /post: %v: %q", err, rec.Body)
	}
	if got.Data != "hello" || len(got.Args["a"]) != 1 || got.Args["a"][0] != "1" {
		t.Errorf("POST /post?a=1: got %+v, want the body and the argument back", got)
	}
}
