package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is a Target of tests.
type place struct {
	network, address, id string
	retired              chan struct{}
	given                chan bool // what Give was told
}

func (p *place) Dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, p.network, p.address)
}
func (p *place) ID() string               { return p.id }
func (p *place) Tag() any                 { return p.id }
func (p *place) Retired() <-chan struct{} { return p.retired }

// A lease is a place for one request.
type lease struct {
	*place
	once sync.Once
}

func (l *lease) Give(broken bool) { l.once.Do(func() { l.given <- broken }) }
func (l *lease) Unreachable()     { l.once.Do(func() { l.given <- false }) }

// A rig is a proxy before a worker.
type rig struct {
	*place
	proxy *Proxy
	front *httptest.Server
	conns atomic.Int64 // that the worker was connected by
}

// newRig has h answer as a worker, on a unix socket.
func newRig(t *testing.T, h http.HandlerFunc) *rig {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{place: &place{"unix", ln.Addr().String(), "one", make(chan struct{}), make(chan bool, 1000)}}
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = ln
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	r.before(t)
	return r
}

// newRawRig has f answer on each connection.
func newRawRig(t *testing.T, f func(c net.Conn, br *bufio.Reader)) *rig {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{place: &place{"tcp", ln.Addr().String(), "raw", make(chan struct{}), make(chan bool, 1000)}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				f(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	r.before(t)
	return r
}

func (r *rig) before(t *testing.T) {
	r.proxy = &Proxy{Logger: slog.New(slog.DiscardHandler), Backend: func(context.Context, string) (Target, error) { return &lease{place: r.place}, nil }}
	r.front = httptest.NewUnstartedServer(r.proxy)
	r.front.Config.DisableGeneralOptionsHandler = true
	r.front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.front.Start()
	t.Cleanup(func() {
		r.front.Close()
		close(r.retired)
	})
}

// broken is what Give was told.
func (r *rig) broken(t *testing.T) bool {
	t.Helper()
	select {
	case b := <-r.given:
		return b
	case <-time.After(5 * time.Second):
		t.Fatal("the place was not given back")
		return false
	}
}

// dial connects a client that reads what it likes.
func (r *rig) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", r.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func readResponse(t *testing.T, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestAsItCame: what reaches the worker is what the client sent, but for what
// concerns its connection.
func TestAsItCame(t *testing.T) {
	heads := make(chan []string, 10)
	r := newRawRig(t, func(c net.Conn, br *bufio.Reader) {
		for {
			var head []string
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				if line == "\r\n" {
					break
				}
				head = append(head, strings.TrimSpace(line))
			}
			heads <- head
			io.WriteString(c, "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok")
		}
	})
	for _, tt := range []struct {
		send string
		want []string
	}{
		{"GET /a%2fb/../c;x?q=a;b&%zz HTTP/1.1\r\nHost: Shop.example:80\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: X-Drop, keep-alive, x-forwarded-for, Forwarded\r\nX-Drop: 1\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nX-Keep: a\r\nX-Keep: b\r\n\r\n",
			[]string{"GET /a%2fb/../c;x?q=a;b&%zz HTTP/1.1", "Host: Shop.example:80", "Te: trailers", "X-Forwarded-For: 1.2.3.4", "X-Keep: a", "X-Keep: b"}},
		{"GET //other.example/x HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\n\r\n", []string{"GET //other.example/x HTTP/1.1", "Host: h", "User-Agent: me"}},
		{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", []string{"Host: h", "OPTIONS * HTTP/1.1"}},
		{"GET http://abs.example/y?z HTTP/1.1\r\nHost: h\r\n\r\n", []string{"GET /y?z HTTP/1.1", "Host: abs.example"}},
		{"DELETE /d HTTP/1.1\r\nHost: h\r\n\r\n", []string{"Connection: close", "DELETE /d HTTP/1.1", "Host: h"}},
		{"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", []string{"Connection: close", "Content-Length: 0", "Host: h", "POST /p HTTP/1.1"}},
	} {
		c, br := r.dial(t)
		io.WriteString(c, tt.send)
		resp, body := readResponse(t, br, "GET")
		if resp.StatusCode != 200 || body != "ok" || resp.Header.Get("X-Mine") != "" || resp.Header.Get("Keep-Alive") != "" || len(resp.Header["Set-Cookie"]) != 2 || resp.Header.Get("Content-Type") != "" {
			t.Errorf("%.20q: got %v, %q", tt.send, resp, body)
		}
		got := <-heads
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("the worker got\n%q, want\n%q", got, tt.want)
		}
		if r.broken(t) {
			t.Error("broken")
		}
	}
}

// TestConnections: GETs share one, and everything else has its own.
func TestConnections(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { io.Copy(w, req.Body) })
	c, br := r.dial(t)
	for range 5 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		readResponse(t, br, "GET")
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("5 GETs by %d connections", n)
	}
	for range 5 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
		if resp, body := readResponse(t, br, "POST"); body != "body" || resp.Close {
			t.Errorf("got %v, %q", resp, body)
		}
	}
	if n := r.conns.Load(); n != 6 {
		t.Errorf("5 POSTs by %d connections", n-1)
	}
}

// TestStream: both directions at once, each piece as it comes, and trailers both
// ways.
func TestStream(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.Header().Set("Trailer", "X-End")
		w.WriteHeader(200)
		_ = rc.Flush()
		br := bufio.NewReader(req.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				break
			}
			io.WriteString(w, "echo "+line)
			_ = rc.Flush()
		}
		w.Header().Set("X-End", "end of "+req.Trailer.Get("X-Last"))
	})
	c, br := r.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Last\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	for _, word := range []string{"one\n", "two\n"} {
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(word), word)
		if got, err := body.ReadString('\n'); got != "echo "+word {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	io.WriteString(c, "0\r\nX-Last: three\r\n\r\n")
	if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	if got := resp.Trailer.Get("X-End"); got != "end of three" {
		t.Errorf("trailer %q", got)
	}
}

// TestInfo: 103 is passed on, and 100 asked for by who waits for it.
func TestInfo(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		if req.URL.Path == "/refuse" {
			w.WriteHeader(403)
			return
		}
		io.Copy(w, req.Body)
	})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", r.front.URL, nil)
	resp, err := r.front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !slices.Equal(hints, []string{"103</a>"}) || resp.Header.Get("Link") != "" {
		t.Errorf("got %q and %v", hints, resp.Header)
	}
	c, br := r.dial(t)
	io.WriteString(c, "POST /take HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	for _, want := range []int{103, 100} {
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != want {
			t.Fatalf("got %v, %v; want %d", resp, err, want)
		}
	}
	io.WriteString(c, "body")
	if resp, body := readResponse(t, br, "POST"); resp.StatusCode != 200 || body != "body" || resp.Close {
		t.Errorf("got %v, %q", resp, body)
	}
	io.WriteString(c, "POST /refuse HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 103 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if resp, _ := readResponse(t, br, "POST"); resp.StatusCode != 403 || !resp.Close {
		t.Errorf("got %v", resp)
	}
}

// TestUpgrade: bytes as they are, and either side may half-close.
func TestUpgrade(t *testing.T) {
	r := newRawRig(t, func(c net.Conn, br *bufio.Reader) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Got: %s\r\n\r\nfirst ", req.Header.Get("Upgrade"), req.Header.Get("Connection"))
		b, _ := io.ReadAll(br) // until the client's half-close
		c.Write(b)
	})
	c, br := r.dial(t)
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.Header.Get("X-Got") != "Upgrade" {
		t.Fatalf("got %v, %v", resp, err)
	}
	io.WriteString(c, "late")
	_ = c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(br); string(got) != "first early late" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if r.broken(t) {
		t.Error("broken")
	}
}

// TestFailures: who is told what, and whether the worker has lost it.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		code         int // 0: the connection breaks after the head
	}{
		{"silent", "wait", 504},
		{"closed", "", 502},
		{"rubbish", "SSH-2.0\r\n\r\n", 502},
		{"odd status", "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", 502},
		{"switches", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 502},
		{"short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 0},
		{"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf", 0},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.name+" "+method, func(t *testing.T) {
				var asked atomic.Int64
				r := newRawRig(t, func(c net.Conn, br *bufio.Reader) {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					asked.Add(1)
					if tt.answer == "wait" {
						_, _ = br.ReadByte()
						return
					}
					io.WriteString(c, tt.answer)
				})
				r.proxy.HeadTimeout = 100 * time.Millisecond
				c, br := r.dial(t)
				fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: h\r\nX-Request-Id: r7\r\nContent-Length: %d\r\n\r\n%s", method, map[string]int{"POST": 4}[method], map[string]string{"POST": "body"}[method])
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if tt.code == 0 {
					if err == nil || string(body) != "half" {
						t.Errorf("got %q, %v", body, err)
					}
				} else if resp.StatusCode != tt.code || !strings.Contains(string(body), "(request r7)") {
					t.Errorf("got %v, %q", resp, body)
				}
				if !r.broken(t) || asked.Load() != 1 {
					t.Errorf("asked %d times, or not broken", asked.Load())
				}
			})
		}
	}
}

// TestUnframed: an HTTP/1.0 client is not to take half an answer for a whole one.
func TestUnframed(t *testing.T) {
	r := newRawRig(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		}
	})
	c, br := r.dial(t)
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if got, err := io.ReadAll(br); err == nil {
		t.Errorf("got %q and an orderly end", got)
	}
}

// busyError is an engine's.
type busyError struct{}

func (busyError) Error() string             { return "busy" }
func (busyError) RetryAfter() time.Duration { return 1500 * time.Millisecond }

// TestBackend: busy, nobody, and a worker that has just gone.
func TestBackend(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { io.Copy(w, req.Body) })
	gone := &place{"unix", "/nowhere/at/all", "gone", make(chan struct{}), make(chan bool, 10)}
	defer close(gone.retired)
	var turn atomic.Int64
	backend := func(first ...any) Backend {
		turn.Store(0)
		return func(context.Context, string) (Target, error) {
			if i := int(turn.Add(1)) - 1; i < len(first) {
				if err, ok := first[i].(error); ok {
					return nil, err
				}
				return &lease{place: gone}, nil
			}
			return &lease{place: r.place}, nil
		}
	}
	post := func() (*http.Response, string) {
		resp, err := r.front.Client().Post(r.front.URL, "", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	r.proxy.Backend = backend(busyError{})
	if resp, _ := post(); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("got %v", resp)
	}
	r.proxy.Backend = backend(errors.New("closed"))
	if resp, _ := post(); resp.StatusCode != 502 {
		t.Errorf("got %v", resp)
	}
	r.proxy.Backend = backend(nil, nil)
	if resp, body := post(); resp.StatusCode != 200 || body != "body" {
		t.Errorf("got %v, %q", resp, body)
	}
	r.proxy.Backend = backend(nil, nil, nil, nil)
	if resp, _ := post(); resp.StatusCode != 502 || turn.Load() != maxAttempts {
		t.Errorf("got %v after %d", resp, turn.Load())
	}
	for range 2 + maxAttempts {
		if <-gone.given {
			t.Error("a request that nobody has seen counts as broken")
		}
	}
}

// TestClientGone: the worker's request ends, and is not the worker's loss.
func TestClientGone(t *testing.T) {
	over := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		close(over)
	})
	c, br := r.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := http.ReadResponse(br, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Fatal("the worker still answers")
	}
	if r.broken(t) {
		t.Error("broken")
	}
}

// TestClientEnds: a client that half-closes behind its request has its answer, and
// the worker knows: it sees the end behind the whole request, before its answer has
// begun.
func TestClientEnds(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000),
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbody\r\n\r\n0\r\n\r\n",
	} {
		raw := newRawRig(t, func(c net.Conn, br *bufio.Reader) {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			n, err := io.Copy(io.Discard, req.Body)
			if _, end := br.ReadByte(); end != io.EOF || err != nil {
				fmt.Fprintf(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
			time.Sleep(10 * time.Millisecond)
			fmt.Fprintf(c, "8\r\n, %06d\r\n0\r\n\r\n", n)
		})
		for _, late := range []bool{false, true} {
			c, br := raw.dial(t)
			io.WriteString(c, request)
			if late {
				time.Sleep(20 * time.Millisecond) // the worker has it all by now
			}
			_ = c.(*net.TCPConn).CloseWrite()
			resp, body := readResponse(t, br, "GET")
			if resp.StatusCode != 200 || !strings.HasPrefix(body, "first, ") || strings.HasPrefix(request, "POST") == (body == "first, 000000") {
				t.Errorf("%.30q, late %v: got %v, %q", request, late, resp, body)
			}
			if raw.broken(t) {
				t.Errorf("%.30q: broken", request)
			}
		}
	}
}

// TestClientEndsKept: the end of one client is not that of the next one, whose
// request goes over the same connection.
func TestClientEndsKept(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
			w.WriteHeader(500)
		case <-time.After(time.Millisecond):
			io.WriteString(w, "ok")
		}
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() { // ends with stop
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", r.front.Listener.Addr().String())
				if err != nil {
					return
				}
				io.WriteString(c, "GET /ends HTTP/1.1\r\nHost: h\r\n\r\n")
				time.Sleep(time.Millisecond)
				c.Close()
			}
		})
	}
	wg.Go(func() { // ends with stop
		for {
			select {
			case <-r.given:
			case <-stop:
				return
			}
		}
	})
	c, br := r.dial(t)
	for i := range 1000 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, body := readResponse(t, br, "GET"); resp.StatusCode != 200 || body != "ok" {
			t.Errorf("request %d: got %v, %q", i, resp, body)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// TestEarlyAnswer: to an upload that goes on. The handler returns, and what follows
// is not taken for a request.
func TestEarlyAnswer(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(413)
		io.WriteString(w, "too much")
	})
	c, br := r.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nGET /stolen HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, body := readResponse(t, br, "POST")
	if resp.StatusCode != 413 || body != "too much" || !resp.Close {
		t.Errorf("got %v, %q", resp, body)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("and then %q", rest)
	}
}

// TestRetired: a worker that is to go is left in peace.
func TestRetired(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, "ok") })
	c, br := r.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	readResponse(t, br, "GET")
	old := r.retired
	r.place = &place{r.network, r.address, "two", make(chan struct{}), r.given}
	close(old)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		r.proxy.mu.Lock()
		n := len(r.proxy.workers)
		r.proxy.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("its connections are kept")
		}
	}
}

// TestLongBodies: an answer may come before the transport has looked for the end
// behind a body's last byte; the client's connection is none the worse for it.
func TestLongBodies(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.CopyN(io.Discard, req.Body, req.ContentLength) // and not its end
		fmt.Fprint(w, n)
	})
	c, br := r.dial(t)
	body := strings.Repeat("x", 128<<10)
	for i := range 300 {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if resp, got := readResponse(t, br, "POST"); got != fmt.Sprint(len(body)) || resp.Close {
			t.Fatalf("request %d: got %v, %q", i, resp, got)
		}
	}
}

// A counter is a ResponseWriter that hears whose the request was.
type counter struct {
	*httptest.ResponseRecorder
	asked []any
}

func (c *counter) AskedOf(tag any) { c.asked = append(c.asked, tag) }

// A nobody is a Backend's error that says whom it is of.
type nobody struct{ error }

func (nobody) Tag() any { return "app" }

// TestAskedOf: who counts is told who has the request, or which app had nobody.
func TestAskedOf(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) {})
	c := &counter{ResponseRecorder: httptest.NewRecorder()}
	r.proxy.ServeHTTP(c, httptest.NewRequest("GET", "/", nil))
	r.broken(t)
	r.proxy.Backend = func(context.Context, string) (Target, error) { return nil, nobody{errors.New("nobody")} }
	r.proxy.ServeHTTP(c, httptest.NewRequest("GET", "/", nil))
	if want := []any{"one", "app"}; !slices.Equal(c.asked, want) {
		t.Errorf("got %q, want %q", c.asked, want)
	}
}
