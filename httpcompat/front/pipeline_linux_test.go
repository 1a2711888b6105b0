package front

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPipelined: what is sent in one write is answered in its order, one at a
// time, with bodies and without, on every loop.
func TestPipelined(t *testing.T) {
	for _, loops := range []int{1, 3} {
		var mu sync.Mutex
		working := make(map[string]int) // requests of a connection that are being answered
		r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if working[r.RemoteAddr]++; working[r.RemoteAddr] > 1 {
				t.Error("two requests of a connection at once")
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				working[r.RemoteAddr]--
				mu.Unlock()
			}()
			if r.Method == "POST" && strings.HasSuffix(r.URL.Path, "7") {
				fmt.Fprint(w, r.URL.Path, " unread") // and the next begins behind its body
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, r.URL.Path, " ", len(b), " ", string(b[:min(len(b), 10)]))
		}, loops)
		var clients sync.WaitGroup
		for range 2 * loops {
			c := r.dial(t)
			clients.Go(func() {
				var raw strings.Builder
				var want []string
				for i := range 100 {
					path := fmt.Sprint("/get/", i)
					raw.WriteString(get(path))
					want = append(want, path+" 0 ")
				}
				for i := range 100 {
					path, body := fmt.Sprint("/post/", i), strings.Repeat(fmt.Sprint(i), 1+i*i%977)
					if i == 50 {
						body = strings.Repeat("GET / HTTP/1.1\r\n", 6<<10) // more than a window
					}
					raw.WriteString(post(path, len(body), body))
					if i%10 == 7 {
						want = append(want, path+" unread")
					} else {
						want = append(want, fmt.Sprint(path, " ", len(body), " ", body[:min(len(body), 10)]))
					}
				}
				if _, err := io.WriteString(c, raw.String()); err != nil {
					t.Error(err)
				}
				br := bufio.NewReader(c)
				for _, want := range want {
					if got := outcome(br, "GET"); got != "200 "+want {
						t.Errorf("got %.100q, want %.100q", got, want)
						return
					}
				}
				c.Close()
			})
		}
		clients.Wait()
		r.settled(t)
		if st := r.s.Stats(); st.Requests != int64(400*loops) || r.log.String() != "" {
			t.Errorf("got %+v, log %s", st, r.log)
		}
	}
}

// TestPipelinedFarAhead: who sends more ahead than is kept waits until it is
// asked for, and gets every answer.
func TestPipelinedFarAhead(t *testing.T) {
	const n = 4000
	first, finish := make(chan struct{}), make(chan struct{})
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/0" {
			close(first)
			<-finish
		}
		io.WriteString(w, r.URL.Path)
	}, 1)
	c := r.dial(t)
	var raw strings.Builder
	for i := range n {
		fmt.Fprintf(&raw, "GET /%d HTTP/1.1\r\nHost: a\r\nX: %02000d\r\n\r\n", i, i)
	}
	sent := make(chan error, 1)
	go func() { // ends when all is taken
		_, err := io.WriteString(c, raw.String())
		sent <- err
	}()
	wait(t, first, "the handler")
	await(t, func() error {
		if r.most(t, func(c *client) int { return map[bool]int{true: 1}[c.paused] }) == 0 {
			return errors.New("it is not paused")
		}
		return nil
	})
	if n := r.most(t, (*client).unread); n < aheadLimit || n > aheadLimit+128<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	select {
	case err := <-sent:
		t.Errorf("all %d bytes were taken: %v", raw.Len(), err)
	default:
	}
	close(finish)
	br := bufio.NewReader(c)
	for i := range n {
		if _, body := readAnswer(t, br); body != fmt.Sprint("/", i) {
			t.Fatalf("got %q, want /%d", body, i)
		}
	}
	if err := wait(t, sent, "the rest"); err != nil {
		t.Error(err)
	}
	if n := r.most(t, func(c *client) int { return cap(c.early) }); n != 0 {
		t.Errorf("%d bytes are kept for nothing", n)
	}
	c.Close()
	r.settled(t)
}

// TestPipelinedBehindTheLast: nothing behind a request that ends the connection
// is looked at.
func TestPipelinedBehindTheLast(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.URL.Path)
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
	}, 1)
	for _, raw := range []string{
		get("/1") + "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get("/3"),
		get("/4") + get("/close") + get("/5"),
	} {
		c := r.dial(t)
		io.WriteString(c, raw)
		if got := closed(t, c); strings.Count(got, "HTTP/1.1 200 OK\r\n") != 2 || strings.Count(got, "Connection: close\r\n") != 1 {
			t.Errorf("got %q", got)
		}
		c.Close()
	}
	r.settled(t)
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(seen); got != "[/1 /2 /4 /close]" {
		t.Errorf("asked for %s", got)
	}
}

// TestBehind: a client that pipelines and does not read gets no further than the
// answers that it may leave unread, and all of them once it reads.
func TestBehind(t *testing.T) {
	const n, size = 400, 60_000
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }, 1)
	c := r.dial(t)
	if _, err := io.WriteString(c, strings.Repeat(plain, n)); err != nil {
		t.Fatal(err)
	}
	for last, still := int64(-1), 0; still < 10; time.Sleep(short / 10) { // until nothing moves any more
		if now := r.s.Stats().Requests; now != last {
			last, still = now, 0
		}
		still++
	}
	if q := r.most(t, func(c *client) int { return c.conn.Queued() }); q > 4*mostBehind {
		t.Errorf("%d bytes wait for a client that does not read", q)
	}
	br := bufio.NewReader(c)
	for i := range n {
		if resp, body := readAnswer(t, br); resp.StatusCode != 200 || len(body) != size {
			t.Fatalf("answer %d is %s of %d bytes", i, resp.Status, len(body))
		}
	}
	// And one that has half-closed meanwhile.
	if _, err := io.WriteString(c, strings.Repeat(plain, n)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	time.Sleep(2 * short)
	for i := range n {
		if resp, body := readAnswer(t, br); resp.StatusCode != 200 || len(body) != size {
			t.Fatalf("after a half-close answer %d is %s of %d bytes", i, resp.Status, len(body))
		}
	}
	c.Close()
	r.settled(t)
}

// TestInfoFlood: 1xx heads that a client does not take are dropped, and its answer
// is not.
func TestInfoFlood(t *testing.T) {
	done := make(chan struct{})
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		w.Header().Set("Link", strings.Repeat("x", 4000))
		for range 10_000 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, "ok")
	}, 1)
	c := r.dial(t)
	io.WriteString(c, plain)
	<-done
	time.Sleep(short)
	if q := r.most(t, func(c *client) int { return c.conn.Queued() }); q > 2*mostInfos {
		t.Errorf("%d bytes wait for a client that does not read", q)
	}
	br := bufio.NewReader(c)
	for infos := 0; ; infos++ {
		resp, body := readAnswer(t, br)
		if resp.StatusCode >= 200 {
			if body != "ok" || infos < 100 {
				t.Errorf("behind %d infos came %s, %q", infos, resp.Status, body)
			}
			break
		}
	}
	c.Close()
	r.settled(t)
}
