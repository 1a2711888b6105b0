package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eachLoops runs a test with one loop and with three.
func eachLoops(t *testing.T, test func(t *testing.T, loops int)) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { test(t, n) })
	}
}

// TestShutdownOnLoop: what has begun is finished and says that it is the last;
// connections without a request end, and nobody else gets in.
func TestShutdownOnLoop(t *testing.T) {
	eachLoops(t, func(t *testing.T, loops int) {
		const n = 9
		begun, finish := make(chan struct{}, 3*n), make(chan struct{})
		r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/streamed": // its head says that the connection stays
				http.NewResponseController(w).Flush()
			case "/tunnel":
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				begun <- struct{}{}
				<-finish
				io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\ntunnel")
				return
			case "/quick":
				io.WriteString(w, "quick")
				return
			}
			begun <- struct{}{}
			<-finish
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "whole %s", b)
		}, loops)
		var busy, idle []*net.TCPConn
		for i := range n {
			c := r.dial(t)
			io.WriteString(c, [...]string{get("/busy"), get("/streamed"), get("/busy") + get("/behind"), post("/busy", 4, "bo"), get("/tunnel")}[i%5])
			busy = append(busy, c)
			c = r.dial(t)
			if i%2 == 0 { // else it has said nothing yet
				send(t, c, get("/quick"))
			}
			idle = append(idle, c)
		}
		for range n {
			wait(t, begun, "a handler")
		}
		half := r.dial(t)
		io.WriteString(half, get("/half")[:20])
		await(t, func() error {
			if st := r.s.Stats(); st.Clients != 2*n+1 || r.most(t, (*client).unread) < 20 {
				return fmt.Errorf("got %+v", st)
			}
			return nil
		})

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := r.s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with requests at work: got %v", err)
		}
		for _, c := range idle {
			if got := closed(t, c); got != "" {
				t.Errorf("idle: got %q", got)
			}
			c.Close()
		}
		await(t, func() error { // the kernel may have taken one or the other meanwhile
			c, err := net.Dial("tcp", addr(r.s))
			if err != nil {
				return nil
			}
			c.Close()
			return errors.New("it still accepts")
		})
		shut := make(chan error)
		go func() { shut <- r.s.Shutdown(context.Background()) }() // ends with the requests
		io.WriteString(half, get("/half")[20:])                    // it was on its way
		wait(t, begun, "the half")
		close(finish)
		for i, c := range append(busy, half) {
			br := bufio.NewReader(c)
			if i%5 == 3 && i < n {
				io.WriteString(c, "dy")
			}
			resp, body := readAnswer(t, br)
			want := map[int]string{3: "whole body", 4: "tunnel"}[i%5]
			if want == "" || i == n {
				want = "whole "
			}
			streamed := i%5 == 1 && i < n
			if resp.StatusCode != 200 || body != want || resp.Close == streamed {
				t.Errorf("%d: got %v %q, close %v", i, resp.Status, body, resp.Close)
			}
			if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%d: behind it came %q, %v", i, rest, err)
			}
			c.Close()
		}
		if err := wait(t, shut, "Shutdown"); err != nil {
			t.Error(err)
		}
		r.settled(t)
		if st := r.s.Stats(); st.Gone != 0 || st.Requests != n+1+(n+1)/2 || r.log.String() != "" {
			t.Errorf("got %+v, log %s", st, r.log)
		}
	})
}

// TestShutdownTakesNobodysRequest: a request that is sent in the moment of the
// shutdown is answered, or the connection ends and nobody has seen it.
func TestShutdownTakesNobodysRequest(t *testing.T) {
	eachLoops(t, func(t *testing.T, loops int) {
		const n = 24
		for range 5 {
			var served sync.Map // paths
			var serving atomic.Int64
			r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				if _, twice := served.LoadOrStore(r.URL.Path, true); twice {
					t.Errorf("%s twice", r.URL.Path)
				}
				serving.Add(1)
				io.WriteString(w, r.URL.Path)
			}, loops)
			var clients sync.WaitGroup
			var answered atomic.Int64
			for i := range n {
				c := r.dial(t)
				clients.Go(func() { // ends with its connection
					defer c.Close()
					br := bufio.NewReader(c)
					for k := 0; ; k++ {
						path := fmt.Sprintf("/%d/%d", i, k)
						_, werr := io.WriteString(c, get(path))
						if _, err := br.Peek(1); err != nil { // not a byte of an answer
							if _, ok := served.Load(path); ok {
								t.Errorf("%s was taken and not answered: %v, %v", path, werr, err)
							}
							return
						}
						resp, err := http.ReadResponse(br, nil)
						if err != nil {
							t.Errorf("%s: half an answer: %v", path, err)
							return
						}
						b, err := io.ReadAll(resp.Body)
						if err != nil || string(b) != path || resp.StatusCode != 200 {
							t.Errorf("%s: got %d %q, %v", path, resp.StatusCode, b, err)
						}
						answered.Add(1)
						if resp.Close {
							if b, err := io.ReadAll(br); len(b) > 0 {
								t.Errorf("%s: behind the last answer came %q, %v", path, b, err)
							}
							return
						}
					}
				})
			}
			await(t, func() error {
				if answered.Load() < 4*n {
					return errors.New("it does not begin")
				}
				return nil
			})
			if err := r.s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			clients.Wait()
			if s, a := serving.Load(), answered.Load(); s != a {
				t.Errorf("%d were served, %d answered", s, a)
			}
			r.settled(t)
			if st := r.s.Stats(); st.Requests != answered.Load() || st.Gone != 0 || r.log.String() != "" {
				t.Errorf("got %+v, %d answered, log %s", st, answered.Load(), r.log)
			}
			r.s.Close()
		}
	})
}

// TestCloseOnLoop: Close cuts what is left, and nobody is said to have gone.
func TestCloseOnLoop(t *testing.T) {
	eachLoops(t, func(t *testing.T, loops int) {
		begun, ended := make(chan struct{}, 9), make(chan struct{}, 9)
		r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/streamed" {
				io.WriteString(w, "a piece")
				http.NewResponseController(w).Flush()
			}
			begun <- struct{}{}
			<-r.Context().Done()
			ended <- struct{}{}
		}, loops)
		var clients []*net.TCPConn
		for _, raw := range []string{get("/quiet"), get("/streamed"), post("/upload", 10, "half")} {
			for range 3 {
				c := r.dial(t)
				io.WriteString(c, raw)
				clients = append(clients, c)
			}
		}
		for range clients {
			wait(t, begun, "a handler")
		}
		clients = append(clients, r.dial(t))
		begin := time.Now()
		r.s.Close()
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v", d)
		}
		for range 9 {
			wait(t, ended, "a handler's end")
		}
		for _, c := range clients {
			if got := closed(t, c); strings.HasSuffix(got, "0\r\n\r\n") {
				t.Errorf("got %q", got)
			}
			c.Close()
		}
		r.settled(t)
		if st := r.s.Stats(); st.Gone != 0 || r.log.String() != "" {
			t.Errorf("got %+v, log %s", st, r.log)
		}
		if _, err := net.Dial("tcp", addr(r.s)); err == nil {
			t.Error("it still accepts")
		}
		r.s.Close() // again is harmless
	})
}

// TestCloseWhileAccepting: a connection that one lane accepts, and another begins
// when it has cut its own, is not forgotten.
func TestCloseWhileAccepting(t *testing.T) {
	r := newHTTPRig(t, Options{}, hello, 3)
	hold, held := make(chan struct{}), make(chan struct{})
	accepts := r.s.lanes[0] // for all; it stands still, and not within a task, since those go on before it accepts
	r.on(t, accepts, func() { accepts.loop.After(0, func() { close(held); <-hold }) })
	<-held
	var clients []*net.TCPConn
	for range 12 {
		clients = append(clients, r.dial(t))
	}
	done := make(chan struct{})
	go func() { r.s.Close(); close(done) }() // ends with the last client
	await(t, func() error {
		if !r.s.closed.Load() {
			return errors.New("it does not close")
		}
		return nil
	})
	for _, ln := range r.s.lanes[1:] { // behind cut
		for range 3 {
			r.on(t, ln, func() {})
			time.Sleep(time.Millisecond)
		}
	}
	begun := time.Now()
	close(hold)
	for _, c := range clients {
		if got := closed(t, c); got != "" {
			t.Errorf("got %q", got)
		}
		c.Close()
	}
	wait(t, done, "Close")
	if d := time.Since(begun); d > DefaultReadHeaderTimeout/2 {
		t.Errorf("they lived for %v more", d)
	}
	r.settled(t)
}
