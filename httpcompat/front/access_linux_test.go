package front

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An accessLog keeps what it is told, without what differs from run to run.
type accessLog struct {
	mu    sync.Mutex
	lines []string
	all   []Access
}

func (a *accessLog) add(x *Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	where := "loop"
	if x.Loop < 0 {
		where = "net/http"
	}
	a.lines = append(a.lines, strings.Clone(fmt.Sprintf("%s %s %s %s %d %d", where, x.Method, x.URI, x.Proto, x.Status, x.Bytes)))
	c := *x
	c.ID, c.Remote = strings.Clone(x.ID), strings.Clone(x.Remote)
	a.all = append(a.all, c)
}

// take waits for n lines and removes them.
func (a *accessLog) take(t *testing.T, n int) ([]string, []Access) {
	t.Helper()
	await(t, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.lines) < n {
			return fmt.Errorf("got %d lines, want %d: %q", len(a.lines), n, a.lines)
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	lines, all := a.lines, a.all
	a.lines, a.all = nil, nil
	return lines, all
}

// Every request that is over is told once, wherever it was answered and whatever
// became of it.
func TestAccess(t *testing.T) {
	var log accessLog
	stay := make(chan struct{})
	defer close(stay)
	r := newHTTPRig(t, Options{OnAccess: log.add, Limits: Limits{MaxHeaders: 20, MaxBody: 100, ReadHeaderTimeout: 300 * time.Millisecond}}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tea":
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "short and stout")
		case "/empty":
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "0123456789")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/stay":
			select {
			case <-r.Context().Done():
			case <-stay:
			}
		case "/take":
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			rw.Flush()
			c.Close()
		default:
			io.WriteString(w, "Hello, heddle\n")
		}
	}, 1)
	const host = "Host: a\r\n"
	many := strings.Repeat("X-A: b\r\n", 30)
	for _, tt := range []struct {
		name, ask string
		want      []string
		stays     bool // we go when it is being answered
	}{
		{"simple", "GET /a?b=c HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /a?b=c HTTP/1.1 200 14"}, false},
		{"HEAD", "HEAD / HTTP/1.1\r\n" + host + "\r\n", []string{"loop HEAD / HTTP/1.1 200 0"}, false},
		{"status", "GET /tea HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /tea HTTP/1.1 418 15"}, false},
		{"empty", "GET /empty HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /empty HTTP/1.1 200 0"}, false},
		{"three", strings.Repeat("GET /x HTTP/1.1\r\n"+host+"\r\n", 3), slices.Repeat([]string{"loop GET /x HTTP/1.1 200 14"}, 3), false},
		{"body", "POST /p HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", []string{"loop POST /p HTTP/1.1 200 14"}, false},
		{"given up", "GET /abort HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /abort HTTP/1.1 0 0"}, false},
		{"broken off", "GET /half HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /half HTTP/1.1 200 10"}, false},
		{"gone", "GET /stay HTTP/1.1\r\n" + host + "\r\n", []string{"loop GET /stay HTTP/1.1 499 0"}, true},
		{"slow head", "GET /slow HTTP/1.1\r\nHos", []string{"loop    408 "}, false},

		{"HTTP/1.0", "GET /ten HTTP/1.0\r\n\r\n", []string{"net/http GET /ten HTTP/1.0 200 14"}, false},
		{"chunked", "POST /tea HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"net/http POST /tea HTTP/1.1 418 15"}, false},
		{"chunked, empty", "POST /empty HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"net/http POST /empty HTTP/1.1 200 0"}, false},
		{"chunked, given up", "POST /abort HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"net/http POST /abort HTTP/1.1 0 0"}, false},
		{"chunked, gone", "POST /stay HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"net/http POST /stay HTTP/1.1 499 0"}, true},
		{"upgrade", "GET /take HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n", []string{"net/http GET /take HTTP/1.1 101 0"}, false},
		{"malformed", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []string{"net/http    400 "}, false},
		{"not HTTP", "\x16\x03\x01 what\r\n\r\n", []string{"net/http    400 "}, false},
		{"version", "GET / HTTP/3.7\r\n" + host + "\r\n", []string{"net/http    505 "}, false},
		{"too many fields", "GET / HTTP/1.1\r\n" + host + many + "\r\n", []string{"net/http GET / HTTP/1.1 431 "}, false},
		{"too large", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1000\r\n\r\n", []string{"net/http POST / HTTP/1.1 413 "}, false},
		{"too large, chunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n200\r\n" + strings.Repeat("x", 0x200) + "\r\n0\r\n\r\n", []string{"net/http POST / HTTP/1.1 "}, false},
	} {
		c := r.dial(t)
		if _, err := io.WriteString(c, tt.ask); err != nil {
			t.Fatal(err)
		}
		if tt.stays {
			await(t, func() error {
				if r.s.Active() == 0 {
					return fmt.Errorf("%s: nothing is asked", tt.name)
				}
				return nil
			})
			time.Sleep(20 * time.Millisecond) // the worker has it
			c.SetLinger(0)
			c.Close()
		}
		lines, all := log.take(t, len(tt.want))
		c.Close()
		ok := len(lines) == len(tt.want)
		for i := range lines {
			ok = ok && strings.HasPrefix(lines[i], tt.want[i])
			a := all[i]
			if a.Begun.IsZero() || a.Duration < 0 || a.Duration > patience || (a.Method != "") != (a.ID != "") || !strings.HasPrefix(a.Remote, "127.0.0.1:") {
				t.Errorf("%s: got %+v", tt.name, a)
			}
		}
		if !ok {
			t.Errorf("%s: got %q, want %q", tt.name, lines, tt.want)
		}
	}
	await(t, func() error {
		if n := r.s.Active(); n > 0 {
			return fmt.Errorf("%d requests are active", n)
		}
		return nil
	})
	if log.mu.Lock(); len(log.lines) > 0 {
		t.Errorf("told besides: %q", log.lines)
	}
	log.mu.Unlock()
	time.Sleep(lingerTime + 100*time.Millisecond) // net/http's goroutines, behind a refusal
}

// Requests that nobody could take are told too, as 503 and 502.
func TestAccessOfRefused(t *testing.T) {
	var log accessLog
	r := newHTTPRig(t, Options{OnAccess: log.add}, func(w http.ResponseWriter, r *http.Request) {}, 1)
	for _, tt := range []struct {
		err  error
		want string
	}{{busy(time.Second), "loop GET / HTTP/1.1 503 "}, {errTest, "loop GET / HTTP/1.1 502 "}} {
		r.gate.refuse(tt.err)
		c := r.dial(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		b, _ := io.ReadAll(c)
		lines, all := log.take(t, 1)
		_, body, _ := strings.Cut(string(b), "\r\n\r\n")
		if !strings.HasPrefix(lines[0], tt.want) || all[0].Bytes != int64(len(body)) {
			t.Errorf("got %q, want %q; the answer was %q", lines, tt.want, b)
		}
	}
	// One who waits for somebody free, and goes.
	r.gate.refuse(nil)
	r.gate.close()
	c := r.dial(t)
	io.WriteString(c, "GET /line HTTP/1.1\r\nHost: a\r\n\r\n")
	await(t, func() error {
		if r.gate.waiting() != 1 {
			return errTest
		}
		return nil
	})
	c.SetLinger(0)
	c.Close()
	if lines, _ := log.take(t, 1); lines[0] != "loop GET /line HTTP/1.1 499 0" {
		t.Errorf("got %q", lines)
	}
}

// HTTP/2 in clear is told by stream.
func TestAccessHTTP2(t *testing.T) {
	var log accessLog
	r := newHTTPRig(t, Options{OnAccess: log.add}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, heddle\n") }, 1)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr(r.s))
	}}
	defer tr.CloseIdleConnections()
	for range 3 {
		resp, err := (&http.Client{Transport: tr}).Get("http://a/two")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if lines, _ := log.take(t, 3); !slices.Equal(lines, slices.Repeat([]string{"net/http GET /two HTTP/2.0 200 14"}, 3)) {
		t.Errorf("got %q", lines)
	}
}
