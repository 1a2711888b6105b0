package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// Large requests at once wait for room in the outbox of the one connection, rather
// than end it with all that is on it; the first ones, which wait for the connection, too.
func TestLargeAtOnce(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 2<<20/16)
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		cloud := servicetest.New(t, d, servicetest.Options{})
		cloud.App("shop", map[string]func(*servicetest.Call){"http": func(c *servicetest.Call) {
			h, err := ask(c)
			if err != nil {
				_ = c.Error(42, 100, err.Error())
				return
			}
			say(c, headOf(200), fmt.Sprint(len(h.Body)))
		}})
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
		var asking sync.WaitGroup
		for range 20 { // 40 MiB
			for _, body := range []string{large, "small"} {
				asking.Go(func() {
					a, err := r.try("POST", "/shop/http/", body)
					if err != nil || a.code != http.StatusOK || a.body != fmt.Sprint(len(body)) {
						t.Errorf("%d bytes: got %d %q, %v", len(body), a.code, a.body, err)
					}
				})
			}
		}
		asking.Wait()
		if strings.Contains(r.log.String(), "was lost") {
			t.Error("a connection was lost")
		}
		if st := r.g.Stats(); st.Waiting != 0 {
			t.Errorf("%d requests wait", st.Waiting)
		}
	}
}

// An app that takes nothing: who waits for room is told so, and nothing is lost.
func TestNoRoom(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var conns []net.Conn  // until accepting has ended, its goroutine's
	accepting.Go(func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	port := ln.Addr().(*net.TCPAddr).Port
	cloud.App("shop", nil).Announce(&servicetest.Announcement{Endpoints: []servicetest.Endpoint{{Host: "127.0.0.1", Port: port}}})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, Timeout: 500 * time.Millisecond})
	large := strings.Repeat("x", 13<<20)
	codes := make(chan int, 4)
	for range cap(codes) {
		go func() { // ends with its answer
			a, err := r.try("POST", "/shop/http/", large)
			if err != nil {
				t.Error(err)
			}
			codes <- a.code
		}()
	}
	got := map[int]int{}
	for range cap(codes) {
		got[<-codes]++
	}
	// The kernel's buffers hold some of the first, but never 13 MiB.
	if got[http.StatusGatewayTimeout] == 0 || got[http.StatusServiceUnavailable] == 0 || len(got) != 2 {
		t.Errorf("got the statuses %v, want 504 for what was sent and 503 for what was not", got)
	}
	if strings.Contains(r.log.String(), "was lost") {
		t.Error("a connection was lost")
	}
	if st := r.g.Stats(); st.Waiting != 0 {
		t.Errorf("%d requests wait", st.Waiting)
	}
}

// Bodies are bounded in sum, over all apps: who is one too many gets 503, with
// JSON-RPC, too, and the log says so.
func TestBodiesInSum(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	for _, name := range []string{"shop", "blog"} {
		cloud.App(name, map[string]func(*servicetest.Call){"http": echo})
	}
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, JSONRPC: true, Bodies: 2 << 20})
	body := strings.Repeat("x", 900_000)
	half, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := fmt.Fprintf(half, "POST /shop/http/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body); err != nil {
		t.Fatal(err)
	}
	await(t, func() string {
		h := r.g.bodies.Hold(nil)
		defer h.Drop()
		if h.Take(500_000) == nil {
			return "the body is not counted"
		}
		return ""
	})
	if a := r.do(t, "POST", "/blog/http/", body[:400_000]); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d %.100q, want 503", a.code, a.body)
	}
	if a := r.do(t, "POST", "/", strings.Repeat(" ", 400_000), "X-Cocaine-JSON-RPC", "1"); a.code != http.StatusServiceUnavailable {
		t.Errorf("JSON-RPC: got %d %.100q", a.code, a.body)
	}
	if a := r.do(t, "POST", "/blog/http/", "small"); a.code != 200 {
		t.Errorf("a small one: got %d %.100q", a.code, a.body)
	}
	if _, err := half.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	half.SetReadDeadline(time.Now().Add(patience))
	if resp, err := http.ReadResponse(bufio.NewReader(half), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the one that was there: got %v, %v", resp, err)
	}
	half.Close()
	await(t, func() string {
		if a := r.do(t, "POST", "/blog/http/", body); a.code != 200 {
			return fmt.Sprintf("got %d %.100q, want 200", a.code, a.body)
		}
		return ""
	})
	if log := r.log.String(); !strings.Contains(log, "bodies of all requests together") {
		t.Error("no word of it in the log")
	}
}

// A body that is too long for the app gets 413, whether that is said or found out.
func TestBodyTooLong(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	for _, fields := range []string{"Content-Length: 15000000\r\n", "Transfer-Encoding: chunked\r\n"} {
		long := "POST /shop/http/ HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n"
		if strings.HasPrefix(fields, "T") {
			long += fmt.Sprintf("%x\r\n%s", 15_000_000, strings.Repeat("x", 14<<20+1))
		}
		if a := r.raw(t, long); a.code != http.StatusRequestEntityTooLarge {
			t.Errorf("%q: got %d %.100q, want 413", fields, a.code, a.body)
		}
	}
	if log := r.log.String(); !strings.Contains(log, "code=413") {
		t.Error("no word of it in the log")
	}
	await(t, func() string { // net/http takes half a second to close behind a 413
		b := make([]byte, 1<<20)
		if b = b[:runtime.Stack(b, true)]; bytes.Contains(b, []byte("closeWriteAndWait")) {
			return "net/http has not closed a connection"
		}
		return ""
	})
}
