package httpcompat_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

const patience = 20 * time.Second // a test that waits this long has failed

func serve(t *testing.T, h http.HandlerFunc) *httpcompattest.Server {
	t.Helper()
	s := httpcompattest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *httpcompattest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}

func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// Each flushed event reaches the client before the next is written.
func TestFlush(t *testing.T) {
	next := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 3 {
		next <- struct{}{}
		line, err := br.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
			t.Fatalf("event %d: got %q, %v, want %q", i, line, err, want)
		}
		br.ReadString('\n')
	}
}

// Bodies travel both ways at once.
func TestFullDuplex(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				fmt.Fprintf(w, "end %v", err)
				return
			}
			fmt.Fprintf(w, "got %s", line)
			rc.Flush()
		}
	})
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", s.URL, pr)
	resp, err := s.Client().Do(startWith(t, req, pw, "0\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 5 {
		if line, _ := br.ReadString('\n'); line != fmt.Sprintf("got %d\n", i) {
			t.Fatalf("got %q for line %d", line, i)
		}
		if i < 4 {
			fmt.Fprintf(pw, "%d\n", i+1)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(br); string(rest) != "end EOF" || err != nil {
		t.Errorf("got %q, %v at the end", rest, err)
	}
}

// startWith has the first line written as soon as the request is under way.
func startWith(t *testing.T, req *http.Request, pw *io.PipeWriter, first string) *http.Request {
	done := make(chan struct{})
	go func() { defer close(done); io.WriteString(pw, first) }() // ends when the transport reads
	t.Cleanup(func() { pw.Close(); <-done })
	return req
}

// 200 MB up and down arrive whole, with bounded memory on the way.
func TestLargeBodies(t *testing.T) {
	size := int64(200 << 20)
	if testing.Short() {
		size = 8 << 20
	}
	block := bytes.Repeat([]byte("heddle!\n"), 8<<10)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
			return
		}
		for left := size; left > 0; left -= int64(len(block)) {
			w.Write(block)
		}
	})
	up := func() io.Reader { return io.LimitReader(&repeat{block: block}, size) }
	want := sha256.New()
	io.Copy(want, up())

	resp, err := s.Client().Post(s.URL, "application/octet-stream", up())
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if w := fmt.Sprintf("%d %x <nil>", size, want.Sum(nil)); string(got) != w {
		t.Errorf("uploaded: got %s, want %s", got, w)
	}
	if resp, err = s.Client().Get(s.URL); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	resp.Body.Close()
	if n != size || err != nil || !bytes.Equal(h.Sum(nil), want.Sum(nil)) {
		t.Errorf("downloaded %d of %d bytes, %v", n, size, err)
	}
}

// repeat reads its block again and again.
type repeat struct {
	block []byte
	off   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.off:])
	r.off = (r.off + n) % len(r.block)
	return n, nil
}

// A client that goes ends the request's context, and the Proxy with it.
func TestClientGone(t *testing.T) {
	cause := make(chan error, 1)
	started := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		cause <- r.Context().Err()
	})
	c, _ := dial(t, s)
	io.WriteString(c, get("/"))
	receive(t, started, "the handler")
	c.Close()
	if err := receive(t, cause, "the context's end"); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// A client that has half-closed still gets its answer, as from net/http.
func TestHalfClose(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		io.WriteString(w, "all the same")
	})
	c, br := dial(t, s)
	io.WriteString(c, get("/"))
	c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "all the same" {
		t.Errorf("got %q", body)
	}
}

// So does one that half-closed before anybody was asked, although an engine
// opens nothing for those who have gone.
func TestHalfCloseAtOnce(t *testing.T) {
	p := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		io.WriteString(w, "all the same")
	}))
	defer p.Close()
	engine := httpcompat.OpenerFunc(func(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return p.Opener.Open(ctx, o)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		(&httpcompat.Proxy{Opener: engine}).ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, get("/"))
	c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "all the same" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

// A handler that writes without end stops once its client has gone.
func TestWriteToGoneClient(t *testing.T) {
	ended := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				ended <- err
				return
			}
		}
	})
	c, br := dial(t, s)
	io.WriteString(c, get("/"))
	br.ReadString('\n')
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if err := receive(t, ended, "a failing write"); !errors.Is(err, session.ErrCanceled) {
		t.Errorf("got %v", err)
	}
}

// A client that breaks off its upload is an unexpected end to the handler.
func TestUploadBrokenOff(t *testing.T) {
	read := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	})
	c, _ := dial(t, s)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this")
	c.Close()
	if err := receive(t, read, "the body's end"); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
}

// 100 Continue is sent when the handler reads, not before and not without.
func TestExpectContinue(t *testing.T) {
	read := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-read
		if r.URL.Path == "/read" {
			io.Copy(w, r.Body)
		}
	})
	for _, path := range []string{"/read", "/not"} {
		c, br := dial(t, s)
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if b, err := br.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: got %q, %v before the handler read", path, b, err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		read <- struct{}{}
		line, err := br.ReadString('\n')
		if path == "/not" {
			if !strings.HasPrefix(line, "HTTP/1.1 200") {
				t.Errorf("%s: got %q, %v", path, line, err)
			}
			continue
		}
		if line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%s: got %q, %v", path, line, err)
		}
		br.ReadString('\n')
		io.WriteString(c, "body")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != "body" {
			t.Errorf("%s: got %q", path, body)
		}
	}
}

// What is left of a body that nobody read is never taken for a request.
func TestUnreadBodyIsNoRequest(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.URL.Path)
		mu.Unlock()
		http.Error(w, "enough", 413)
	})
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	var wg sync.WaitGroup
	for name, raw := range map[string][2]string{
		"length":            {"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nstart", smuggled},
		"large length":      {"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300_000), smuggled},
		"chunked":           {chunked + "\r\n100\r\nstart", smuggled},
		"malformed chunked": {chunked + "\r\nzz\r\n", smuggled + smuggled},
	} {
		for range 20 {
			c, br := dial(t, s)
			wg.Go(func() {
				defer c.Close()
				wg.Go(func() { io.WriteString(c, raw[0]) })
				if _, err := br.Peek(1); err != nil && name != "large length" {
					t.Errorf("%s: no answer: %v", name, err)
					return
				}
				io.WriteString(c, raw[1])
				time.Sleep(700 * time.Millisecond) // longer than a Proxy waits for the rest
				io.WriteString(c, raw[1])
				c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				io.Copy(io.Discard, br)
			})
		}
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	for _, path := range seen {
		if path == "/smuggled" {
			t.Fatalf("a body was taken for a request: %q", seen)
		}
	}
}

// A handler's goroutine that outlives it cannot read the body, and does not
// keep the handler from ending.
func TestBodyAfterReturn(t *testing.T) {
	errs := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		reading := make(chan struct{})
		go func() { // ends when the handler has returned
			close(reading)
			p := make([]byte, 1)
			for {
				if _, err := r.Body.Read(p); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					errs <- err
					return
				}
			}
		}()
		<-reading
		time.Sleep(10 * time.Millisecond)
	})
	c, br := dial(t, s)
	io.WriteString(c, chunked+"\r\n1\r\nx\r\n")
	if line, err := br.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("got %q, %v", line, err)
	}
	if err := receive(t, errs, "the read's end"); err != http.ErrBodyReadAfterClose {
		t.Errorf("got %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	errs := make(chan error, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := io.ReadAll(r.Body)
		errs <- err
		rc.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		for err = nil; err == nil; {
			_, err = w.Write(make([]byte, 64<<10))
		}
		errs <- err
	})
	c, _ := dial(t, s)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
	for range 2 {
		if err := receive(t, errs, "a deadline"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
}

// The old way to hear of the client's end still works.
func TestCloseNotify(t *testing.T) {
	gone := make(chan bool, 1)
	started := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
		close(started)
		gone <- <-c
	})
	c, _ := dial(t, s)
	io.WriteString(c, get("/"))
	receive(t, started, "the handler")
	c.Close()
	if !receive(t, gone, "a notice") {
		t.Error("got false")
	}
}

// 1,000 requests at once, each with its own body both ways.
func TestConcurrent(t *testing.T) {
	p := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		io.Copy(w, r.Body)
	}))
	defer p.Close()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			body := strings.Repeat(fmt.Sprint(i, " "), i)
			rec := httptest.NewRecorder()
			p.ServeHTTP(rec, httptest.NewRequest("POST", fmt.Sprintf("/%d", i), io.MultiReader(strings.NewReader(body))))
			if got := rec.Body.String(); got != body || rec.Header().Get("X-Path") != fmt.Sprintf("/%d", i) {
				t.Errorf("request %d: %d of %d bytes, header %v", i, len(got), len(body), rec.Header())
			}
		})
	}
	wg.Wait()
	if n := p.Mux().Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

type busy struct{ error }

func (busy) RetryAfter() time.Duration { return 1100 * time.Millisecond }

// What a Proxy says when nobody answers.
func TestProxyFailures(t *testing.T) {
	lost := httpcompattest.NewProxy(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	lost.Close()
	for _, c := range []struct {
		name  string
		open  error
		code  int
		retry string
	}{
		{"busy", fmt.Errorf("engine: %w", busy{errors.New("queue full")}), 503, "2"},
		{"failed", errors.New("no worker"), 502, ""},
		{"draining", session.ErrDraining, 502, ""},
	} {
		p := &httpcompat.Proxy{Opener: httpcompat.OpenerFunc(func(context.Context, session.OpenOptions) (*session.Session, error) {
			return nil, c.open
		})}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Request-Id", "r-17")
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		if rec.Code != c.code || rec.Header().Get("Retry-After") != c.retry || !strings.Contains(rec.Body.String(), "r-17") {
			t.Errorf("%s: got %d, %v, %q", c.name, rec.Code, rec.Header(), rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	lost.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 502 {
		t.Errorf("lost channel: got %d", rec.Code)
	}
}

// A worker that dies before its head costs a 502, later a broken answer.
func TestWorkerLost(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begun")
			if flushed {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		})
		c, br := dial(t, s)
		io.WriteString(c, get("/"))
		if flushed {
			br.Peek(1) // the head has arrived
		} else {
			for s.Proxy.Mux().Sessions() == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		s.Proxy.Mux().Abort(errors.New("killed"))
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if flushed && (string(body) != "begun" || err != io.ErrUnexpectedEOF) || !flushed && resp.StatusCode != 502 {
			t.Errorf("flushed %v: got %d, %q, %v", flushed, resp.StatusCode, body, err)
		}
	}
}

// Plain Cocaine sessions of either dialect carry the same requests, bodies
// whole on the way up.
func TestPlain(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) {
			p := httpcompattest.NewWorkerProxy(httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				w.WriteHeader(103) // plain peers have no word for it
				w.Header().Set("X-Seen", fmt.Sprint(r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.RemoteAddr, r.Header.Get("X-A"), err))
				w.WriteHeader(201)
				w.Write(body)
				w.(http.Flusher).Flush()
				io.Copy(w, bytes.NewReader(body))
			})), session.ChannelOptions{Dialect: d})
			defer p.Close()
			for _, n := range []int{0, 1, 5000, 3 << 20} {
				body := strings.Repeat("b", n)
				r := httptest.NewRequest("POST", "/x?y", strings.NewReader(body))
				r.Header.Set("X-A", "a")
				r.Header.Set("X-Real-Ip", "192.0.2.7")
				rec := httptest.NewRecorder()
				p.ServeHTTP(rec, r)
				want := fmt.Sprint("POST/x?yHTTP/1.1example.com", n, "192.0.2.7:0a<nil>")
				if rec.Code != 201 || rec.Header().Get("X-Seen") != want || rec.Body.String() != body+body {
					t.Errorf("%d bytes: got %d, %v, %d bytes; want %q", n, rec.Code, rec.Header(), rec.Body.Len(), want)
				}
			}
			p.MaxBody = 10
			rec := httptest.NewRecorder()
			p.ServeHTTP(rec, httptest.NewRequest("POST", "/", strings.NewReader("more than ten bytes")))
			if rec.Code != 413 {
				t.Errorf("over MaxBody: got %d", rec.Code)
			}
		})
	}
}
