package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestHandler(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "digits.txt"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := handler(dir)

	for _, tc := range []struct {
		path, byteRange string
		code            int
		body, content   string // content: the Content-Range wanted
	}{
		{path: "/digits.txt", code: http.StatusOK, body: "0123456789"},
		{path: "/digits.txt", byteRange: "bytes=2-4", code: http.StatusPartialContent, body: "234", content: "bytes 2-4/10"},
		{path: "/digits.txt", byteRange: "bytes=-3", code: http.StatusPartialContent, body: "789", content: "bytes 7-9/10"},
		{path: "/digits.txt", byteRange: "bytes=10-", code: http.StatusRequestedRangeNotSatisfiable, content: "bytes */10"},
		{path: "/none.txt", code: http.StatusNotFound},
		{path: "/../main.go", code: http.StatusNotFound},
	} {
		r := httptest.NewRequest("GET", tc.path, nil)
		if tc.byteRange != "" {
			r.Header.Set("Range", tc.byteRange)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)

		if rec.Code != tc.code {
			t.Errorf("GET %s %s: got status %d, want %d", tc.path, tc.byteRange, rec.Code, tc.code)
		}
		if tc.body != "" && rec.Body.String() != tc.body {
			t.Errorf("GET %s %s: got body %q, want %q", tc.path, tc.byteRange, rec.Body, tc.body)
		}
		if got := rec.Header().Get("Content-Range"); got != tc.content {
			t.Errorf("GET %s %s: got Content-Range %q, want %q", tc.path, tc.byteRange, got, tc.content)
		}
	}
}
