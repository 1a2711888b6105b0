package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// transport speaks the named protocols, and in clear HTTP/2 from its first byte.
func transport(t *testing.T, http1, http2, clear2 bool) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	tr.Protocols.SetHTTP1(http1)
	tr.Protocols.SetHTTP2(http2)
	tr.Protocols.SetUnencryptedHTTP2(clear2)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// facts of a request, as its handler sees them.
func tell(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	name := ""
	if r.TLS != nil {
		name = r.TLS.NegotiatedProtocol
	}
	fmt.Fprintf(w, "%s %v %q %s %q", r.Proto, r.TLS != nil, name, r.Header.Get("X-Forwarded-Proto"), b)
}

func TestProtocols(t *testing.T) {
	clear, _ := serve(t, Options{}, http.HandlerFunc(tell))
	secret, _ := serve(t, Options{TLS: tlsFiles(t, newPair(t, "one", nil))}, http.HandlerFunc(tell))
	if urls := clear.URLs(); len(urls) != 1 || urls[0] != "http://"+addr(clear) {
		t.Errorf("got %q", urls)
	}
	if urls := secret.URLs(); len(urls) != 1 || urls[0] != "https://"+addr(secret) {
		t.Errorf("got %q", urls)
	}
	for _, tt := range []struct {
		s    *Server
		tr   *http.Transport
		want string
	}{
		{clear, transport(t, true, false, false), `HTTP/1.1 false "" http "body"`},
		{clear, transport(t, false, false, true), `HTTP/2.0 false "" http "body"`},
		{secret, transport(t, true, false, false), `HTTP/1.1 true "" https "body"`},
		{secret, transport(t, true, true, false), `HTTP/2.0 true "h2" https "body"`},
	} {
		for range 2 { // the second time on the same connection
			resp, err := (&http.Client{Transport: tt.tr, Timeout: patience}).Post(tt.s.URLs()[0], "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Errorf("want %s: %v", tt.want, err)
				continue
			}
			if got := readAll(t, resp); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		}
	}

	// HTTP/1.0, without and with a wish to stay.
	c := dial(t, clear)
	resp, body := send(t, c, "GET / HTTP/1.0\r\n\r\n")
	if resp.StatusCode != 200 || !strings.HasPrefix(body, "HTTP/1.0 ") || closed(t, c) != "" {
		t.Errorf("HTTP/1.0: got %v %q", resp, body)
	}
	c = dial(t, clear)
	for range 2 {
		if resp, body := send(t, c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"); resp.StatusCode != 200 || !strings.HasPrefix(body, "HTTP/1.0 ") {
			t.Errorf("HTTP/1.0 that stays: got %v %q", resp, body)
		}
	}
	// Two requests in one packet are answered in their order.
	c = dial(t, clear)
	br := bufio.NewReader(c)
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"+"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"one"`, `"two"`} {
		if _, body := readAnswer(t, br); !strings.HasSuffix(body, want) {
			t.Errorf("pipelined: got %s, want %s", body, want)
		}
	}
	if n := clear.Stats().Requests; n != 9 {
		t.Errorf("%d requests counted, want 9", n)
	}
	// In clear to a TLS port.
	if got := closed(t, func() net.Conn { c := dial(t, secret); io.WriteString(c, plain); return c }()); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
		t.Errorf("in clear to a TLS port: got %q", got)
	}
}

func TestUnix(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("unix sockets are listened on by Linux rules")
	}
	path := filepath.Join(t.TempDir(), "s")
	s, _ := serve(t, Options{
		Listeners: []Listener{{Address: "unix:" + path}, {Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", Proxy: true}},
		TLS:       tlsFiles(t, newPair(t, "one", nil)),
	}, http.HandlerFunc(tell))
	urls := s.URLs()
	if len(urls) != 3 || urls[0] != "unix:"+path || !strings.HasPrefix(urls[1], "https://127.0.0.1:") || !strings.HasPrefix(urls[2], "proxy:https://127.0.0.1:") {
		t.Errorf("got %q", urls)
	}
	if _, body := send(t, dial(t, s), plain); !strings.HasPrefix(body, `HTTP/1.1 false "" http`) {
		t.Errorf("got %s, want an answer in clear", body)
	}
	tr := transport(t, false, true, false)
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get(urls[1])
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); !strings.HasPrefix(body, `HTTP/2.0 true "h2" https`) {
		t.Errorf("got %s", body)
	}

	_, err = Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}, {Address: "unix:" + path}}})
	var le *ListenError
	if !errors.As(err, &le) || le.Listener.Address != "unix:"+path || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a path that is taken: got %v", err)
	}
}

// TestShutdown: what has begun is finished, on each protocol, and on a
// connection that is no longer the server's.
func TestShutdown(t *testing.T) {
	begun, finish := make(chan struct{}, 3), make(chan struct{})
	s, _ := serve(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			begun <- struct{}{}
			<-finish
			io.WriteString(c, "hijacked")
			return
		}
		begun <- struct{}{}
		<-finish
		fmt.Fprint(w, r.Proto)
	}))
	type result struct{ body, err string }
	results := make(chan result, 2)
	for _, tr := range []*http.Transport{transport(t, true, false, false), transport(t, false, false, true)} {
		go func() { // ends with the answer
			resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://" + addr(s))
			if err != nil {
				results <- result{err: err.Error()}
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			results <- result{string(b), fmt.Sprint(err)}
		}()
	}
	c := dial(t, s)
	io.WriteString(c, "GET /hijack HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 3 {
		<-begun
	}
	if n := s.Active(); n != 3 {
		t.Errorf("%d are active, want 3", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with three requests at work: got %v", err)
	}
	cancel()
	if _, err := net.Dial("tcp", addr(s)); err == nil {
		t.Error("it still accepts")
	}
	shut := make(chan error)
	go func() { shut <- s.Shutdown(context.Background()) }() // ends with the requests
	close(finish)
	got := map[string]bool{}
	for range 2 {
		r := <-results
		got[r.body+" "+r.err] = true
	}
	if !got["HTTP/1.1 <nil>"] || !got["HTTP/2.0 <nil>"] {
		t.Errorf("got %v", got)
	}
	if said := closed(t, c); said != "hijacked" {
		t.Errorf("hijacked: got %q", said)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Requests != 3 || st.Active != 0 || st.Gone != 0 || st.Refused != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestParseListener(t *testing.T) {
	for s, want := range map[string]Listener{
		"127.0.0.1:0": {Address: "127.0.0.1:0"}, ":8080": {Address: ":8080"}, "localhost:http": {Address: "localhost:http"}, "[::1]:80": {Address: "[::1]:80"},
		"unix:/a": {Address: "unix:/a"}, "unix:@a": {Address: "unix:@a"}, "unix:rel": {Address: "unix:rel"},
		"fd:http": {Address: "fd:http"}, "fd:3": {Address: "fd:3"}, "proxy:fd:a": {Address: "fd:a", Proxy: true},
		"proxy:127.0.0.1:0": {Address: "127.0.0.1:0", Proxy: true}, "proxy::80": {Address: ":80", Proxy: true}, "proxy:unix:/a": {Address: "unix:/a", Proxy: true},
	} {
		got, err := ParseListener(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "8080", "localhost", "::1:80", "a:b", "a:65536", "unix:", "unix:/" + strings.Repeat("x", 107), "proxy:", "proxy:8080", "proxy:proxy::80", "unix", "fd", "fd:"} {
		if got, err := ParseListener(s); err == nil {
			t.Errorf("%q is taken: %+v", s, got)
		}
	}
}

// A lateListener is slow to tell that it was closed.
type lateListener struct{ net.Listener }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	time.Sleep(short)
	return c, err
}

// TestShutdownAtOnce: that a listener is closed twice on its way is nobody's error.
func TestShutdownAtOnce(t *testing.T) {
	s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.lns[0].Listener = lateListener{s.lns[0].Listener}
	if err := s.Serve(http.NotFoundHandler(), nil); err != nil {
		t.Fatal(err)
	}
	await(t, func() error { // until net/http knows the listener
		c, err := net.Dial("tcp", addr(s))
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(patience))
		defer c.Close()
		io.WriteString(c, plain)
		_, err = c.Read(make([]byte, 1))
		return err
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
