package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestGone: a client that leaves, or half-closes, before the answer's end is
// logged; one that has its answer is not.
func TestGone(t *testing.T) {
	begun := make(chan struct{}, 1)
	ended := make(chan struct{}, 1)
	s, log := serve(t, Options{}, proxied(t, func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		if strings.HasPrefix(r.URL.Path, "/whole") {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "whole")
			http.NewResponseController(w).Flush()
		}
		if r.URL.Path == "/stream" {
			io.WriteString(w, "a piece")
			http.NewResponseController(w).Flush()
		}
		if r.Method == "POST" {
			begun <- struct{}{}
			io.ReadAll(r.Body)
			return
		}
		begun <- struct{}{}
		select {
		case <-r.Context().Done():
			io.WriteString(w, "the rest")
		case <-time.After(patience):
			t.Error(r.URL.Path, "the context does not end")
		}
	}))
	wait := func(ch chan struct{}) {
		t.Helper()
		select {
		case <-ch:
		case <-time.After(patience):
			t.Fatal("nothing happens")
		}
	}
	ask := func(method, path string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-of" + strings.ReplaceAll(path, "/", "-") + "\r\nContent-Length: " + map[string]string{"GET": "0", "POST": "10"}[method] + "\r\n\r\n"
	}
	for _, tt := range []struct {
		name, method, path string
		leave              func(c *net.TCPConn)
		logged             bool
	}{
		{"reset before the head", "GET", "/quiet", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, true},
		{"closed in the middle", "GET", "/stream", func(c *net.TCPConn) { c.Close() }, true},
		{"half-closed", "GET", "/half", func(c *net.TCPConn) {
			c.CloseWrite()
			if got := closed(t, c); !strings.HasSuffix(got, "\r\n\r\nthe rest") {
				t.Errorf("half-closed: got %q", got)
			}
		}, true},
		{"reset while sending", "POST", "/upload", func(c *net.TCPConn) { io.WriteString(c, "half"); c.SetLinger(0); c.Close() }, true},
		{"closed with the whole answer", "GET", "/whole", func(c *net.TCPConn) { readAnswer(t, bufio.NewReader(c)); c.Close() }, false},
	} {
		before := s.Stats().Gone
		c := dial(t, s).(*net.TCPConn)
		io.WriteString(c, ask(tt.method, tt.path))
		wait(begun)
		tt.leave(c)
		wait(ended)
		for s.Active() > 0 {
			time.Sleep(time.Millisecond)
		}
		words := []string{"level=INFO", "status=499", "request=id-of" + strings.ReplaceAll(tt.path, "/", "-"), "method=" + tt.method, "uri=" + tt.path, "duration="}
		if tt.logged {
			log.await(t, words...)
		} else if line := log.find("uri=" + tt.path); line != "" {
			t.Errorf("%s: the log has %s", tt.name, line)
		}
		if got := s.Stats().Gone - before; got != map[bool]int64{true: 1}[tt.logged] {
			t.Errorf("%s: %d counted", tt.name, got)
		}
	}

	// HTTP/2: a stream that its client resets.
	req, err := http.NewRequest("GET", "http://"+addr(s)+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "second")
	resp, err := transport(t, false, false, true).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	wait(begun)
	resp.Body.Close()
	wait(ended)
	log.await(t, "status=499", "request=second")
}

// TestExpectLength: an answer is whole by the length that its writer expects, too.
func TestExpectLength(t *testing.T) {
	s, log := serve(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(interface{ ExpectLength(n int64) }).ExpectLength(5)
		io.WriteString(w, r.URL.Path[1:])
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	for path, whole := range map[string]bool{"whole": true, "part": false} {
		c := dial(t, s)
		io.WriteString(c, "GET /"+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		br := bufio.NewReader(c)
		for line := ""; !strings.HasPrefix(line, path); {
			var err error
			if line, err = br.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		for s.Active() > 0 {
			time.Sleep(time.Millisecond)
		}
		if line := log.find("status=499", "uri=/"+path); (line == "") != whole {
			t.Errorf("%s: the log has %q", path, line)
		}
	}
}

// TestUnreadBody: a body that the handler does not want, and its client goes on
// sending, is no reason to say that the client has gone.
func TestUnreadBody(t *testing.T) {
	s, log := serve(t, Options{}, proxied(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "enough")
		http.NewResponseController(w).Flush()
	}))
	c := dial(t, s)
	if _, body := send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf"); body != "enough" {
		t.Errorf("got %q", body)
	}
	closed(t, c)
	if line := log.find("status=499"); line != "" {
		t.Errorf("the log has %s", line)
	}
}

// TestPanic: what a handler does to a connection reaches the server.
func TestPanic(t *testing.T) {
	s, log := serve(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a piece")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	c := dial(t, s)
	io.WriteString(c, plain)
	if got := closed(t, c); !strings.HasSuffix(got, "7\r\na piece\r\n") {
		t.Errorf("got %q, want a transfer without its end", got)
	}
	if s.Active() != 0 || log.find("status=499") != "" {
		t.Errorf("active %d, log %s", s.Active(), log)
	}
}

// TestFactsReachHandlers through sessions, and no answer of a handler is added to.
func TestFactsReachHandlers(t *testing.T) {
	trusted, err := ParseTrusted([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		trusted Trusted
		want    string
	}{
		{Trusted{}, "mine 127.0.0.1 http a for=127.0.0.1;host=a;proto=http 127.0.0.1"},
		{trusted, "mine 192.0.2.1, 127.0.0.1 http a for=192.0.2.1, for=127.0.0.1;host=a;proto=http 127.0.0.1"},
	} {
		s, _ := serve(t, Options{Trusted: tt.trusted}, proxied(t, func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprint(w, r.Header.Get("X-Request-Id"), " ", strings.Join(r.Header["X-Forwarded-For"], "|"), " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Forwarded-Host"), " ", r.Header.Get("Forwarded"), " ", host)
		}))
		resp, body := send(t, dial(t, s), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
		if body != tt.want {
			t.Errorf("got  %s\nwant %s", body, tt.want)
		}
		if len(resp.Header["X-Request-Id"]) > 0 {
			t.Errorf("the answer has %v", resp.Header)
		}
	}
}
