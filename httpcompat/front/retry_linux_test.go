package front

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// A dyingLink has taken some bytes of what was sent when its channel ends.
type dyingLink struct {
	session.Link
	sent    atomic.Int64
	written int64
}

func (l *dyingLink) Abort(error)              {}
func (l *dyingLink) Written() int64           { return l.written }
func (l *dyingLink) Queued() int              { return 0 }
func (l *dyingLink) SendControl([]byte) error { return nil }
func (l *dyingLink) Send(head, body []byte) (int64, error) {
	return l.sent.Add(int64(len(head) + len(body))), nil
}

// TestRetryOnLoop: a request whose worker dies is asked for again exactly if that
// worker cannot have had it, and then arrives whole.
func TestRetryOnLoop(t *testing.T) {
	small, most, large := strings.Repeat("s", 20<<10), strings.Repeat("m", mostSent), strings.Repeat("l", mostSent+1)
	for _, tt := range []struct {
		name    string
		body    string
		pause   bool  // the client sends half of the body, and the rest when the worker has died
		queued  bool  // nobody is free for a while when it has
		leaves  bool  // and the client does not wait for that
		refuses bool  // nobody can be asked any more
		written int64 // bytes that the kernel took before the channel's end
		deaths  int32
		want    string
	}{
		{name: "GET", deaths: 1, want: "200 GET 0"},
		{name: "two deaths", deaths: 2, want: "200 GET 0"},
		{name: "three deaths", deaths: 3, want: "502"},
		{name: "the invoke was taken", written: 1 << 20, deaths: 1, want: "502"},
		{name: "nobody is free", queued: true, deaths: 1, want: "200 GET 0"},
		{name: "nobody can be asked", refuses: true, deaths: 1, want: "502"},
		{name: "the client leaves meanwhile", queued: true, leaves: true, deaths: 1},
		{name: "body", body: small, deaths: 1, want: "200 POST 20480"},
		{name: "body, two deaths", body: small, deaths: 2, want: "200 POST 20480"},
		{name: "body on its way", body: small, pause: true, deaths: 1, want: "200 POST 20480"},
		{name: "body on its way, two deaths", body: small, pause: true, deaths: 2, want: "200 POST 20480"},
		{name: "body, nobody is free", body: small, queued: true, deaths: 1, want: "200 POST 20480"},
		{name: "body on its way, nobody is free", body: most, pause: true, queued: true, deaths: 1, want: "200 POST 32768"},
		{name: "the most that is kept", body: most, deaths: 1, want: "200 POST 32768"},
		{name: "more than is kept", body: large, deaths: 1, want: "502"},
		{name: "less than is kept was sent", body: large, pause: true, deaths: 1, want: "200 POST 32769"},
		{name: "body, the invoke was taken", body: small, written: 1 << 20, deaths: 1, want: "502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var served atomic.Int32
			r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				b, err := io.ReadAll(r.Body)
				if r.URL.Path == "/retry" && string(b) != tt.body || err != nil {
					t.Errorf("the body is another: %d bytes, %v", len(b), err)
				}
				fmt.Fprintf(w, "%s %d", r.Method, len(b))
			}, 1)
			type dying struct {
				m    *session.Mux
				l    *dyingLink
				head int64
			}
			opened := make(chan dying, 3)
			var asked atomic.Int32
			r.gate.set(func(i int, o session.OpenOptions) (*session.Session, error) {
				if asked.Add(1) > tt.deaths {
					if tt.refuses {
						return nil, errTest
					}
					s, _, err := r.b.OpenOn(i, o, nil)
					return s, err
				}
				l := &dyingLink{written: tt.written}
				m := session.NewMux(l, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}})
				s, err := m.Open(o)
				opened <- dying{m, l, l.sent.Load()}
				return s, err
			})
			c := r.dial(t)
			raw, rest := get("/retry"), ""
			if tt.body != "" {
				half := len(tt.body)
				if tt.pause {
					half /= 2
				}
				raw, rest = post("/retry", len(tt.body), tt.body[:half]), tt.body[half:]
			}
			io.WriteString(c, raw)
			for i := range tt.deaths {
				d := wait(t, opened, "the worker")
				await(t, func() error { // until it was sent what there is
					if d.l.sent.Load()-d.head < int64(len(tt.body)-len(rest)) {
						return errors.New("the body does not come")
					}
					return nil
				})
				if tt.queued {
					r.gate.close()
				}
				r.on(t, r.s.lanes[0], func() { d.m.OnClose(io.ErrUnexpectedEOF) })
				if i == tt.deaths-1 {
					io.WriteString(c, rest)
				}
			}
			if tt.queued {
				await(t, func() error {
					if r.gate.waiting() != 1 {
						return errors.New("it does not wait")
					}
					return nil
				})
				if tt.leaves {
					c.SetLinger(0)
					c.Close()
					r.settled(t)
					r.log.await(t, "status=499", "request=id-retry")
					if n := r.gate.waiting(); n != 0 || asked.Load() != 1 {
						t.Errorf("%d wait, asked %d times", n, asked.Load())
					}
					return
				}
				r.gate.letGo(t, nil)
			}
			br := bufio.NewReader(c)
			if got := outcome(br, "GET"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			failed := tt.want == "502"
			if n := served.Load(); n != map[bool]int32{false: 1}[failed] {
				t.Errorf("served %d times", n)
			}
			if n := r.lines("level=ERROR", "request=id-retry"); n != map[bool]int{true: 1}[failed] {
				t.Errorf("%d lines: %s", n, r.log)
			}
			if n := r.lines("asking another worker", "request=id-retry", "uri=/retry"); n != int(min(asked.Load(), maxAttempts))-1 {
				t.Errorf("asked %d times; log %s", asked.Load(), r.log)
			}
			// The connection goes on, in step.
			io.WriteString(c, get("/next"))
			if got := outcome(br, "GET"); got != "200 GET 0" && !tt.refuses {
				t.Errorf("the next got %s", got)
			}
			c.Close()
			r.settled(t)
		})
	}
}

// TestQueueOnLoop: who cannot be served now waits its turn; when there is no room
// to wait, or it waits too long, 503 says when to come again.
func TestQueueOnLoop(t *testing.T) {
	eachLoops(t, func(t *testing.T, loops int) {
		var mu sync.Mutex
		seen := map[string]bool{}
		r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			seen[r.URL.Path] = true
			mu.Unlock()
			fmt.Fprintf(w, "%s %d", r.URL.Path, len(b))
		}, loops)
		is503 := func(c io.Reader, retry, path string, last bool) {
			t.Helper()
			resp, body := readAnswer(t, bufio.NewReader(c))
			want := "503 Service Unavailable: every worker is busy; come again later (request id-" + path[1:] + ")\n"
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != retry || body != want || resp.Close != last {
				t.Errorf("got %v %v %q, close %v", resp.Status, resp.Header, body, resp.Close)
			}
		}
		waiting := func(n int) {
			t.Helper()
			await(t, func() error {
				if k := r.gate.waiting(); k != n {
					return fmt.Errorf("%d wait, want %d", k, n)
				}
				return nil
			})
		}

		// There is room to wait.
		r.gate.close()
		c1, c2, c3 := r.dial(t), r.dial(t), r.dial(t)
		io.WriteString(c1, get("/one")+get("/behind"))
		waiting(1)
		io.WriteString(c2, post("/two", 100<<10, strings.Repeat("x", 100<<10)))
		waiting(2)
		io.WriteString(c3, get("/three"))
		waiting(3)
		c3.SetLinger(0)
		c3.Close() // its place is free at once
		waiting(2)
		r.log.await(t, "status=499", "request=id-three")
		if st := r.s.Stats(); st.Active != 2 || st.Gone != 1 {
			t.Errorf("got %+v", st)
		}
		r.gate.letGo(t, nil)
		br := bufio.NewReader(c1)
		for _, want := range []string{"200 /one 0", "200 /behind 0"} {
			if got := outcome(br, "GET"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got := outcome(bufio.NewReader(c2), "POST"); got != "200 /two 102400" {
			t.Errorf("got %q", got)
		}

		// The wait was too long.
		r.gate.close()
		io.WriteString(c1, get("/late"))
		waiting(1)
		r.gate.letGo(t, busy(1500*time.Millisecond))
		is503(c1, "2", "/late", false)

		// There is no room, and the connections go on; unless too much of a body is left.
		r.gate.refuse(busy(0))
		io.WriteString(c1, get("/full"))
		is503(c1, "1", "/full", false)
		io.WriteString(c2, post("/body", 10, "0123456789"))
		is503(c2, "1", "/body", false)
		large := r.dial(t)
		io.WriteString(large, post("/large", lingerBytes, "begin"))
		is503(large, "1", "/large", true)
		if got := closed(t, large); got != "" {
			t.Errorf("behind it came %q", got)
		}
		r.gate.refuse(nil)
		for _, c := range []io.ReadWriter{c1, c2} {
			io.WriteString(c, get("/again"))
			if got := outcome(bufio.NewReader(c), "GET"); got != "200 /again 0" {
				t.Errorf("got %q", got)
			}
		}

		// Nobody can be asked at all, which is logged.
		r.gate.refuse(errTest)
		io.WriteString(c1, get("/none"))
		if got := outcome(bufio.NewReader(c1), "GET"); got != "502 502 Bad Gateway: no worker could be asked (request id-none)\n" {
			t.Errorf("got %q", got)
		}
		if r.lines("level=ERROR") != 1 || r.log.find("level=ERROR", "request=id-none", "method=GET", "uri=/none", "err=test") == "" {
			t.Errorf("the log has %s", r.log)
		}
		c1.Close()
		c2.Close()
		large.Close()
		r.settled(t)
		mu.Lock()
		defer mu.Unlock()
		for _, path := range []string{"/three", "/late", "/full", "/body", "/large", "/none"} {
			if seen[path] {
				t.Errorf("%s was served", path)
			}
		}
	})
}

// TestShutdownWithQueue: who waits when the front is shut down is still served.
func TestShutdownWithQueue(t *testing.T) {
	r := newHTTPRig(t, Options{}, hello, 1)
	r.gate.close()
	c := r.dial(t)
	io.WriteString(c, get("/waits"))
	await(t, func() error {
		if r.gate.waiting() != 1 {
			return errors.New("it does not wait")
		}
		return nil
	})
	shut := make(chan error)
	go func() { shut <- r.s.Shutdown(t.Context()) }() // ends with the request
	select {
	case err := <-shut:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(short):
	}
	r.gate.letGo(t, nil)
	if got := outcome(bufio.NewReader(c), "GET"); got != "200 hello, last" {
		t.Errorf("got %q", got)
	}
	c.Close()
	if err := wait(t, shut, "Shutdown"); err != nil {
		t.Error(err)
	}
	r.settled(t)
}
