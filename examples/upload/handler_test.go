package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestReceipt(t *testing.T) {
	for _, size := range []int{0, 1, pieceSize, 3*pieceSize + 1} {
		body := bytes.Repeat([]byte("x"), size)
		rec := httptest.NewRecorder()
		handler(0).ServeHTTP(rec, httptest.NewRequest("POST", "/", bytes.NewReader(body)))

		var got receipt
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatalf("POST of %d bytes: %v: %q", size, err, rec.Body)
		}
		sum := sha256.Sum256(body)
		if want := hex.EncodeToString(sum[:]); got.Size != int64(size) || got.SHA256 != want {
			t.Errorf("POST of %d bytes: got %d, %s, want %d, %s", size, got.Size, got.SHA256, size, want)
		}
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rec := httptest.NewRecorder()
		handler(1000).ServeHTTP(rec, httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, 10_000))))
		if got, want := time.Since(start), 10*time.Second; got != want {
			t.Errorf("10,000 bytes at 1,000 a second: got %v, want %v", got, want)
		}
	})
}

func TestBrokenBody(t *testing.T) {
	body := io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(errors.New("cut")))
	rec := httptest.NewRecorder()
	handler(0).ServeHTTP(rec, httptest.NewRequest("POST", "/", body))
	if rec.Code != http.StatusBadRequest {
		t.Errorf("a body that breaks: got status %d, want %d", rec.Code, http.StatusBadRequest)
	}
}

func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		r := httptest.NewRequestWithContext(ctx, "POST", "/", bytes.NewReader(make([]byte, 1<<20)))
		handler(1).ServeHTTP(httptest.NewRecorder(), r)
		if got, want := time.Since(start), time.Second; got != want {
			t.Errorf("the handler ended after %v, want %v", got, want)
		}
	})
}
