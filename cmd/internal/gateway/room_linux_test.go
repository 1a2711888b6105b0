package gateway

import (
	"fmt"
	"net"
	"net/http"
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
