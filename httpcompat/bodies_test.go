package httpcompat_test

import (
	"bufio"
	"bytes"
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

// plainServer has a plain worker behind it that answers with the body's length, and
// bounds bodies.
func plainServer(t *testing.T, log io.Writer, b *httpcompat.Bodies) *httptest.Server {
	t.Helper()
	p := httpcompattest.NewWorkerProxy(httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, n)
	})), session.ChannelOptions{Dialect: heddle.V1})
	t.Cleanup(p.Close)
	p.Plain, p.Bodies, p.MaxBody = true, b, 1<<20
	p.Logger = slog.New(slog.NewTextHandler(log, nil))
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s
}

// begin sends a request's head, and n bytes of its body.
func begin(t *testing.T, s *httptest.Server, length, n int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", n)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answerOf reads an answer.
func answerOf(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(p)
}

// post asks with a body of n bytes.
func post(t *testing.T, s *httptest.Server, n int) (*http.Response, string) {
	t.Helper()
	c := begin(t, s, n, n)
	defer c.Close()
	return answerOf(t, c)
}

// full waits until b has not got n bytes more.
func full(t *testing.T, b *httpcompat.Bodies, n int64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h := b.Hold(httptest.NewRecorder())
		err := h.Take(n)
		h.Drop()
		if err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the bodies are not counted")
		}
	}
}

// Bodies that travel whole are bounded in sum: one too many is told so, those that are
// there go on, and all is given back.
func TestBodiesInSum(t *testing.T) {
	var log bytes.Buffer
	b := &httpcompat.Bodies{Limit: 2 << 20}
	s := plainServer(t, &log, b)
	var half []net.Conn
	for range 4 { // each is counted twice
		half = append(half, begin(t, s, 240_001, 240_000))
	}
	full(t, b, 200_000)
	if resp, text := post(t, s, 200_000); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "large bodies") {
		t.Errorf("got %d %v %q", resp.StatusCode, resp.Header, text)
	}
	if resp, text := post(t, s, 10); resp.StatusCode != 200 || text != "10" {
		t.Errorf("a small one got %d %q", resp.StatusCode, text)
	}
	for _, c := range half {
		if _, err := io.WriteString(c, "x"); err != nil {
			t.Fatal(err)
		}
		if resp, text := answerOf(t, c); resp.StatusCode != 200 || text != "240001" {
			t.Errorf("got %d %q", resp.StatusCode, text)
		}
	}
	if resp, text := post(t, s, 900_000); resp.StatusCode != 200 || text != "900000" {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
	s.Close() // and all handlers have ended
	if !strings.Contains(log.String(), "bodies of all requests together") {
		t.Errorf("got the log %q", &log)
	}
	h := b.Hold(httptest.NewRecorder())
	if err := h.Take(b.Limit); err != nil {
		t.Error("something was not given back")
	}
	h.Drop()
}

// A body that comes slowly goes when another one needs the memory.
func TestBodyIsLate(t *testing.T) {
	var log bytes.Buffer
	b := &httpcompat.Bodies{Limit: 1 << 20, Late: 50 * time.Millisecond}
	s := plainServer(t, &log, b)
	slow := begin(t, s, 500_000, 450_000)
	full(t, b, 200_000)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, text := post(t, s, 400_000)
		if resp.StatusCode == 200 {
			break
		}
		if resp.StatusCode != 503 || time.Now().After(end) {
			t.Fatalf("got %d %q", resp.StatusCode, text)
		}
	}
	if resp, text := answerOf(t, slow); resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
}

// A body that is said to be too long is not read.
func TestBodyTooLong(t *testing.T) {
	var log bytes.Buffer
	s := plainServer(t, &log, nil)
	if resp, text := answerOf(t, begin(t, s, 1<<20+1, 0)); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { // ends with the connection; of unknown length
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", 1<<20+1, strings.Repeat("x", 1<<20+1))
	}()
	if resp, text := answerOf(t, c); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
}
