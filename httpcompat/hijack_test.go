package httpcompat_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// hijack takes the connection over, or answers why it cannot.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	c, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), 500)
		panic(http.ErrAbortHandler)
	}
	return c, brw
}

// closeWrite half-closes a connection, whatever its type.
func closeWrite(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() }

// A hijacking is a conversation with a handler that takes the connection over.
type hijacking struct {
	name    string
	handler http.HandlerFunc
	client  func(c net.Conn) // all that the client does but read to the end
}

func send(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

const upgradeHead = "GET /chat?a=b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// echoLines answers each line, until the client has said all or "bye".
func echoLines(c net.Conn, r *bufio.Reader) {
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			fmt.Fprintf(c, "echo %s", line)
		}
		if err != nil || line == "bye\n" {
			fmt.Fprintf(c, "end %v\n", err)
			return
		}
	}
}

var hijackings = []hijacking{
	{"lines, closed by the handler", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		echoLines(c, brw.Reader)
	}, func(c net.Conn) {
		io.WriteString(c, upgradeHead)
		br := bufio.NewReader(c)
		for line := ""; line != "\r\n"; line, _ = br.ReadString('\n') {
		}
		io.WriteString(c, "one\ntwo\n")
		br.ReadString('\n')
		br.ReadString('\n')
		io.WriteString(c, "bye\n")
	}},
	{"no upgrade asked for", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		echoLines(c, brw.Reader)
	}, send("GET / HTTP/1.1\r\nHost: a\r\n\r\nearly\nbye\n")},
	{"bytes that came with the head, read from the connection", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		if n := brw.Reader.Buffered(); n > 0 { // as of one's own server
			head, _ := brw.Reader.Peek(n)
			echoLines(c, bufio.NewReader(io.MultiReader(bytes.NewReader(head), c)))
			return
		}
		echoLines(c, bufio.NewReader(c))
	}, send(upgradeHead + "one\ntwo\nbye\n")},
	{"the client half-closes", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		all, err := io.ReadAll(brw)
		fmt.Fprintf(c, "%q %v", all, err)
	}, func(c net.Conn) {
		io.WriteString(c, upgradeHead+"all of it")
		closeWrite(c)
	}},
	{"the writer of the pair", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		fmt.Fprintf(brw, "buffered %s", r.URL.RawQuery)
		brw.Flush()
	}, send(upgradeHead)},
	{"a body unread", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		all, err := io.ReadAll(brw)
		fmt.Fprintf(c, "%q %v", all, err)
	}, func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodymore")
		closeWrite(c)
	}},
	{"a body read", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c, brw := hijack(w)
		defer c.Close()
		all, err2 := io.ReadAll(brw)
		fmt.Fprintf(c, "%q %v %q %v", body, err, all, err2)
	}, func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodymore")
		closeWrite(c)
	}},
	{"a chunked body read", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c, brw := hijack(w)
		defer c.Close()
		all, err2 := io.ReadAll(brw)
		fmt.Fprintf(c, "%q %v %v %q %v", body, err, r.Trailer, all, err2)
	}, func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\nmore")
		closeWrite(c)
	}},
	{"a body on its way", func(w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 4)
		io.ReadFull(r.Body, p)
		c, brw := hijack(w)
		defer c.Close()
		io.WriteString(c, "go on\n")
		all, err := io.ReadAll(brw)
		fmt.Fprintf(c, "%q %q %v", p, all, err)
	}, func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbody")
		io.ReadFull(c, make([]byte, 6))
		io.WriteString(c, " rest and more")
		closeWrite(c)
	}},
	{"after a part of an answer", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		io.WriteString(w, "written")
		http.NewResponseController(w).Flush()
		io.WriteString(w, "held back")
		c, _ := hijack(w)
		defer c.Close()
		io.WriteString(c, "raw")
	}, send(upgradeHead)},
	{"after WriteHeader(101)", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Date"] = nil
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "echo")
		w.WriteHeader(101)
		c, brw := hijack(w)
		defer c.Close()
		echoLines(c, brw.Reader)
	}, send(upgradeHead + "bye\n")},
	{"what a hijacked ResponseWriter says", func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		defer c.Close()
		w.Header().Set("X", "y")
		w.WriteHeader(200)
		n, err := w.Write([]byte("lost"))
		_, _, err2 := http.NewResponseController(w).Hijack()
		fmt.Fprint(c, n, err == http.ErrHijacked, err2 == http.ErrHijacked)
	}, send(upgradeHead)},
	{"deadlines and closing", func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		ne, ok := err.(net.Error)
		fmt.Fprintf(c, "%v %v\n", ok, ok && ne.Timeout())
		c.SetReadDeadline(time.Time{})
		read := make(chan error)
		go func() { // ends with Close
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		fmt.Fprintf(c, "%v %v\n", c.LocalAddr().Network(), c.RemoteAddr().String() == r.RemoteAddr)
		time.Sleep(10 * time.Millisecond)
		err = c.Close()
		if err2 := <-read; err != nil || !errors.Is(err2, net.ErrClosed) {
			panic(fmt.Sprint(err, err2))
		}
		_, err = c.Write([]byte("x"))
		if err2 := c.Close(); !errors.Is(err, net.ErrClosed) || !errors.Is(err2, net.ErrClosed) {
			panic(fmt.Sprint(err, err2))
		}
	}, send(upgradeHead)},
	{"beyond the handler's return", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		go func() { // ends with the client's last line
			defer c.Close()
			time.Sleep(20 * time.Millisecond)
			echoLines(c, brw.Reader)
		}()
	}, send(upgradeHead + "bye\n")},
	{"a panic afterwards", func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		go func() { // ends at once
			defer c.Close()
			io.WriteString(c, "still there")
		}()
		panic(http.ErrAbortHandler)
	}, send(upgradeHead)},
	{"CONNECT", func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n\r\n%s %s %s %s\n", r.Method, r.RequestURI, r.Host, r.URL.Host)
		echoLines(c, brw.Reader)
	}, send("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\nbye\n")},
}

// A hijacked connection is the same one with sessions in between.
func TestHijack(t *testing.T) {
	for _, h := range hijackings {
		t.Run(h.name, func(t *testing.T) {
			alone := httptest.NewServer(h.handler)
			defer alone.Close()
			behind := serve(t, h.handler)
			want, got := h.talk(t, alone.Listener.Addr()), h.talk(t, behind.Listener.Addr())
			if want != got {
				t.Errorf("alone:\n%s\n\nbehind:\n%s", want, got)
			}
			waitSessions(t, behind)
		})
	}
}

func (h hijacking) talk(t *testing.T, addr net.Addr) string {
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	h.client(c)
	all, err := io.ReadAll(c)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil // a server that closes with bytes unread resets, now or later
	}
	return fmt.Sprintf("%s\n%v", all, err)
}

// waitSessions waits until none is left.
func waitSessions(t *testing.T, s *httpcompattest.Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.Proxy.Mux().Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d sessions left", s.Proxy.Mux().Sessions())
		}
	}
}

// Each side of a hijacked connection may end what it says and still listen,
// and what both say at once is megabytes.
func TestHijackBothWays(t *testing.T) {
	const size = 8 << 20
	sums := make(chan string, 2)
	both := func(c net.Conn, r io.Reader, b byte) {
		var wg sync.WaitGroup
		wg.Go(func() { // ends with its bytes
			c.Write(bytes.Repeat([]byte{b}, size))
			closeWrite(c)
		})
		n, err := io.Copy(io.Discard, r)
		wg.Wait()
		sums <- fmt.Sprint(n, err)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, brw := hijack(w)
		defer c.Close()
		both(c, brw, 'w')
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v", err)
		}
	})
	c, br := dial(t, s)
	io.WriteString(c, upgradeHead)
	both(c, br, 'c')
	for range 2 {
		if got := <-sums; got != fmt.Sprint(size, " <nil>") {
			t.Error(got)
		}
	}
	waitSessions(t, s)
}

// A client that resets ends a read and, sooner or later, a write.
func TestHijackReset(t *testing.T) {
	errs := make(chan error, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		defer c.Close()
		io.WriteString(c, "!")
		_, err := c.Read(make([]byte, 1))
		errs <- err
		for err = nil; err == nil; {
			_, err = c.Write(make([]byte, 1<<10))
		}
		errs <- err
	})
	c, br := dial(t, s)
	io.WriteString(c, upgradeHead)
	br.ReadByte() // the front has it in its hands
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if err := receive(t, errs, "read"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if err := receive(t, errs, "write"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v", err)
	}
}

// A worker that is lost breaks its hijacked connections: the client never takes
// that for an end.
func TestHijackLost(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		defer c.Close()
		io.WriteString(c, "half")
		c.Read(make([]byte, 1))
	})
	c, br := dial(t, s)
	io.WriteString(c, upgradeHead)
	if _, err := io.ReadFull(br, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Close()
	if _, err := br.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
}

// A handler that has let go of its connection is not held to it by a client that
// takes nothing in, and neither is the front.
func TestHijackStalled(t *testing.T) {
	t.Parallel()
	w := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := hijack(w)
		defer c.Close()
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for err := error(nil); err == nil; {
			_, err = c.Write(make([]byte, 64<<10))
		}
	}))
	defer w.Close()
	over := make(chan bool)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.ServeHTTP(rw, r)
		over <- true
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, upgradeHead)
	receive(t, over, "the front to let the connection go")
}

// Where no connection can be had the handler is told so: under HTTP/2, and
// under a real Cocaine runtime.
func TestHijackRefused(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		fmt.Fprint(w, errors.Is(err, http.ErrNotSupported))
	})
	p := httpcompattest.NewProxy(h)
	defer p.Close()
	s := httptest.NewUnstartedServer(p)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.ProtoMajor != 2 || string(body) != "true" {
		t.Errorf("%s: %s", resp.Proto, body)
	}

	plain := httpcompattest.NewWorkerProxy(httpcompat.Handler(h), session.ChannelOptions{Dialect: heddle.V1})
	defer plain.Close()
	rec := httptest.NewRecorder()
	plain.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Body.String() != "true" {
		t.Errorf("plain: %s", rec.Body)
	}
	rec = httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Connection", "upgrade")
	r.Header.Set("Upgrade", "websocket")
	plain.ServeHTTP(rec, r)
	if rec.Code != 501 || !strings.Contains(rec.Body.String(), "plain Cocaine workers") {
		t.Errorf("plain upgrade: %d %s", rec.Code, rec.Body)
	}
}
