package front

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/session"
)

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// get is a request that can be found again in the log.
func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: id" + strings.ReplaceAll(path, "/", "-") + "\r\n\r\n"
}

// post is one with a body, of which only the beginning is given.
func post(path string, length int, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nX-Request-Id: id%s\r\nContent-Length: %d\r\n\r\n%s", path, strings.ReplaceAll(path, "/", "-"), length, body)
}

// TestTrickledHead: a head that comes byte by byte, and not in time, is answered
// with 408: the first of a connection, and a later one, whose time begins with
// its first byte.
func TestTrickledHead(t *testing.T) {
	r := newHTTPRig(t, Options{Limits: Limits{ReadHeaderTimeout: 2 * short}}, hello, 1)
	for i, before := range []int{0, 2} { // requests
		begun := time.Now()
		c := r.dial(t)
		br := bufio.NewReader(c)
		for range before {
			io.WriteString(c, plain)
			if _, body := readAnswer(t, br); body != "hello" {
				t.Errorf("got %q", body)
			}
		}
		if before > 0 {
			time.Sleep(3 * short) // idle for longer than a head may take
			begun = time.Now()
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { // ends with the answer
			defer close(stopped)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ")
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
					io.WriteString(c, "x")
				}
			}
		}()
		resp, body := readAnswer(t, br)
		if resp.StatusCode != 408 || !resp.Close || body != "408 Request Timeout: the request's head took too long\n" {
			t.Errorf("%d before: got %v, %q", before, resp, body)
		}
		if d := time.Since(begun); d < 2*short {
			t.Errorf("%d before: ended after %v", before, d)
		}
		if b, err := io.ReadAll(br); len(b) > 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%d before: behind it came %q, %v", before, b, err)
		}
		close(stop)
		<-stopped
		c.Close()
		r.settled(t)
		if st := r.s.Stats(); st.Refused != int64(i+1) || st.Gone != 0 {
			t.Errorf("got %+v", st)
		}
	}
	if all := strings.Count(r.log.String(), "\n"); r.lines("front: refused", "status=408", "remote=127.0.0.1:", "so_far=1") != 1 || all > 2 {
		t.Errorf("the log has %s", r.log)
	}
}

// TestSilentClients: thousands that connect and say nothing are let go, and
// nothing is left of them.
func TestSilentClients(t *testing.T) {
	n := 2000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if most := int(limit.Cur/2) - 100; n > most {
		t.Logf("only %d, for want of descriptors", most)
		n = most
	}
	r := newHTTPRig(t, Options{Limits: Limits{ReadHeaderTimeout: 4 * short}}, hello, 3)
	var mu sync.Mutex
	var all sync.WaitGroup
	opened := make(map[net.Conn]time.Time)
	for range 4 {
		all.Go(func() {
			for range n / 4 {
				c, err := net.Dial("tcp", addr(r.s))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				opened[c] = time.Now()
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for c, since := range opened {
		c.SetDeadline(time.Now().Add(patience))
		if got := closed(t, c); got != "" {
			t.Errorf("got %q", got)
		}
		if d := time.Since(since); d < 3*short {
			t.Errorf("closed after %v", d)
		}
		c.Close()
	}
	r.settled(t)
	await(t, func() error {
		for i, l := range r.b.Loops() {
			if st := l.Stats(); st.Conns != 1 || st.Timers != 0 { // the channel
				return fmt.Errorf("loop %d: %d connections, %d timers", i, st.Conns, st.Timers)
			}
		}
		return nil
	})
	if st := r.s.Stats(); st.Refused != 0 || st.Requests != 0 || st.Gone != 0 || r.log.String() != "" {
		t.Errorf("got %+v, the log has %s", st, r.log)
	}
	if _, body := send(t, r.dial(t), plain); body != "hello" {
		t.Errorf("got %q", body)
	}
}

// endless answers with a body that has no end, and tells why it ended all the
// same.
func endless(why chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 64<<10)
		for {
			if _, err := w.Write(p); err != nil {
				<-r.Context().Done()
				why <- err
				return
			}
		}
	}
}

// TestClientNeverReads: a client that takes nothing in of a large answer has the
// front keep a window of it, no more, until the time-out ends it and the handler.
func TestClientNeverReads(t *testing.T) {
	why := make(chan error, 1)
	r := newHTTPRig(t, Options{Limits: Limits{WriteTimeout: 4 * short}}, endless(why), 1)
	c := r.dial(t)
	c.SetReadBuffer(4 << 10)
	io.WriteString(c, get("/endless"))
	most := 0
	for len(why) == 0 {
		most = max(most, r.most(t, func(c *client) int { return c.conn.Queued() + r.b.Mux(0).Link().Queued() }))
		time.Sleep(time.Millisecond)
	}
	if err := <-why; !errors.Is(err, session.ErrCanceled) {
		t.Errorf("the handler got %v", err)
	}
	if most == 0 || most > 2*session.DefaultWindow {
		t.Errorf("up to %d bytes were queued", most)
	}
	r.log.await(t, "level=INFO", "status=499", "request=id-endless", "method=GET", "uri=/endless")
	r.settled(t)
	if st := r.s.Stats(); st.Gone != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestClientReadsSlowly: one that takes a little all the time is none of those,
// however long the whole answer takes.
func TestClientReadsSlowly(t *testing.T) {
	const timeout, size = 200 * time.Millisecond, 12 << 20 // which takes 480 ms
	r := newHTTPRig(t, Options{Limits: Limits{WriteTimeout: timeout}}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for p, n := make([]byte, 64<<10), 0; n < size; n += len(p) {
			if _, err := w.Write(p); err != nil {
				t.Error(err)
				return
			}
		}
	}, 1)
	c := r.dial(t)
	c.SetReadBuffer(32 << 10)
	io.WriteString(c, plain)
	begun, p, n := time.Now(), make([]byte, 256<<10), 0
	for n < size {
		k, err := io.ReadFull(c, p)
		if n += k; err != nil && err != io.ErrUnexpectedEOF {
			t.Fatalf("after %d bytes and %v: %v", n, time.Since(begun), err)
		}
		if time.Since(begun) < 3*timeout {
			time.Sleep(timeout / 20)
		}
		if left := size - n; left < len(p) {
			break
		}
	}
}

// TestTunnelNeverRead: a connection that its handler has taken over knows no
// time-outs, that for writing included.
func TestTunnelNeverRead(t *testing.T) {
	const size = 12 << 20
	wrote := make(chan error, 1)
	limits := Limits{ReadHeaderTimeout: short, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short}
	r := newHTTPRig(t, Options{Limits: limits}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" { // some of it waits when the connection is taken over
			w.Write(make([]byte, 1))
			http.NewResponseController(w).Flush()
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			wrote <- err
			return
		}
		defer c.Close()
		_, err = c.Write(make([]byte, size))
		wrote <- err
	}, 1)
	for _, path := range []string{"/tunnel", "/stream"} {
		c := r.dial(t)
		c.SetReadBuffer(128 << 10)
		io.WriteString(c, get(path))
		await(t, func() error {
			if r.most(t, func(c *client) int { return c.conn.Queued() }) == 0 {
				return errors.New("nothing is queued")
			}
			return nil
		})
		time.Sleep(4 * short)
		if n, err := io.Copy(io.Discard, c); n < size || err != nil {
			t.Errorf("%s: got %d bytes, %v", path, n, err)
		}
		if err := wait(t, wrote, "the handler"); err != nil {
			t.Error(path, err)
		}
		c.Close()
		r.settled(t)
	}
}

// TestResets: a client that resets, in whatever state, leaves nothing behind; its
// handler is told, and one line says so if there was a request.
func TestResets(t *testing.T) {
	began, ended := make(chan string, 1), make(chan error, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		told := func(err error) {
			select {
			case <-r.Context().Done():
			case <-time.After(patience):
				t.Errorf("%s: the context does not end", r.URL.Path)
			}
			ended <- err
		}
		switch r.URL.Path {
		case "/upload":
			began <- "upload"
			_, err := io.Copy(io.Discard, r.Body)
			told(err)
		case "/unread", "/quiet":
			began <- "quiet"
			told(nil)
		case "/head":
			http.NewResponseController(w).Flush()
			began <- "head"
			told(nil)
		case "/large":
			began <- "large"
			for p := make([]byte, 64<<10); ; {
				if _, err := w.Write(p); err != nil {
					told(err)
					return
				}
			}
		case "/tunnel":
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "switched")
			began <- "tunnel"
			_, err = c.Read(make([]byte, 1))
			told(err)
		}
	}
	large := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, path string
		raw        string
		read       string // before the reset
		queue      bool   // nobody is free
		logged     bool
		readErr    error // what the handler reads
	}{
		{name: "before a byte"},
		{name: "amid a head", raw: "GET / HTTP/1.1\r\nHost:"},
		{name: "waiting", path: "/quiet", raw: get("/quiet"), logged: true},
		{name: "waiting, with more behind it", path: "/quiet", raw: get("/quiet") + get("/other") + "GET", logged: true},
		{name: "waiting, not read any more", path: "/quiet", raw: get("/quiet") + strings.Repeat(get("/other"), 4000), logged: true},
		{name: "amid an upload", path: "/upload", raw: post("/upload", 1000, "half"), logged: true, readErr: unix.ECONNRESET},
		{name: "amid an upload that nobody reads", path: "/unread", raw: post("/unread", 2<<20, large), logged: true},
		{name: "behind an answer's head", path: "/head", raw: get("/head"), read: "\r\n\r\n", logged: true},
		{name: "amid an answer", path: "/large", raw: get("/large"), read: "\r\n\r\n", logged: true, readErr: session.ErrCanceled},
		{name: "in a tunnel", path: "/tunnel", raw: get("/tunnel"), read: "switched"},
		{name: "in the queue", path: "/quiet", raw: get("/quiet"), queue: true, logged: true},
		{name: "in the queue, with a body", path: "/upload", raw: post("/upload", 2<<20, large), queue: true, logged: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHTTPRig(t, Options{}, h, 1)
			if tt.queue {
				r.gate.close()
			}
			c := r.dial(t)
			go io.WriteString(c, tt.raw) // ends with the connection
			switch {
			case tt.queue:
				await(t, func() error {
					if r.gate.waiting() != 1 {
						return errors.New("it does not wait")
					}
					return nil
				})
			case tt.path != "":
				wait(t, began, "the handler")
			case tt.raw != "":
				await(t, func() error {
					if r.most(t, (*client).unread) < len(tt.raw) {
						return errors.New("it has not arrived")
					}
					return nil
				})
			default:
				await(t, func() error {
					if r.s.Stats().Clients != 1 {
						return errors.New("it has not been accepted")
					}
					return nil
				})
			}
			if len(tt.raw) > aheadLimit { // until the front reads no more
				await(t, func() error {
					if r.most(t, func(c *client) int { return map[bool]int{true: 1}[c.paused] }) == 0 {
						return errors.New("it goes on reading")
					}
					return nil
				})
			}
			for said := ""; !strings.HasSuffix(said, tt.read); {
				p := make([]byte, 1)
				if _, err := io.ReadFull(c, p); err != nil {
					t.Fatal(err)
				}
				said += string(p)
			}
			c.SetLinger(0)
			c.Close()
			if tt.path != "" && !tt.queue {
				if err := wait(t, ended, "the handler's end"); tt.readErr != nil && !errors.Is(err, tt.readErr) {
					t.Errorf("the handler got %v, want %v", err, tt.readErr)
				}
			}
			r.settled(t)
			if n := r.gate.waiting(); n != 0 {
				t.Errorf("%d wait", n)
			}
			want := map[bool]int{true: 1}[tt.logged]
			if n := r.lines("status=499"); n != want || want > 0 && r.lines("status=499", "request=id-"+tt.path[1:], "uri="+tt.path) != want {
				t.Errorf("%d lines in the log: %s", n, r.log)
			}
			if st := r.s.Stats(); st.Gone != int64(want) || st.Requests != map[bool]int64{true: 1}[tt.path != ""] || st.Refused != 0 {
				t.Errorf("got %+v", st)
			}
			if strings.Contains(r.log.String(), "ERROR") {
				t.Errorf("the log has %s", r.log)
			}
			// A client that comes then is served.
			if tt.queue {
				r.gate.letGo(t, nil)
			}
			c = r.dial(t)
			if resp, _ := send(t, c, get("/ok")); resp.StatusCode != 200 {
				t.Errorf("the next got %s", resp.Status)
			}
		})
	}
}

// TestGoneWhenItsTurnHadCome: a client that leaves the queue at the moment in
// which its turn comes, or its wait is over, is not served and ends once.
func TestGoneWhenItsTurnHadCome(t *testing.T) {
	for _, err := range []error{nil, busy(time.Second), errTest} {
		for _, raw := range []string{get("/turn"), post("/turn", 10, "half"), post("/turn", 4, "full")} {
			t.Run(fmt.Sprint(err, raw[:3]), func(t *testing.T) {
				told := make(chan bool, 1)
				r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					told <- true
				}, 1)
				r.gate.close()
				c := r.dial(t)
				io.WriteString(c, raw)
				await(t, func() error {
					if r.gate.waiting() != 1 {
						return errors.New("it does not wait")
					}
					return nil
				})
				line := r.gate.turn()
				c.SetLinger(0)
				c.Close()
				await(t, func() error {
					if r.s.Stats().Clients != 0 {
						return errors.New("the client is still there")
					}
					return nil
				})
				r.gate.call(t, line, err)
				if err == nil {
					wait(t, told, "the handler")
				}
				r.settled(t)
				if n := r.lines("status=499", "request=id-turn"); n != 1 {
					t.Errorf("%d lines in the log: %s", n, r.log)
				}
				if st := r.s.Stats(); st.Gone != 1 || st.Active != 0 {
					t.Errorf("got %+v", st)
				}
			})
		}
	}
}
