//go:build !race && !loopcheck

// Under the race detector sync.Pool drops at random, and loopcheck asks for
// goroutine numbers, so nothing here would hold.

package front

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A canned Backend answers every request alike, from the front's own loop and
// without an allocation: what is left is the front's and the session's.
type canned struct {
	loop  *loop.Loop
	mux   *session.Mux
	head  []byte
	body  []byte
	reply func() // answer, as a func value made once

	// Loop only.
	last uint64 // session that was opened
	sent int64
	out  []byte
}

func newCanned(l *loop.Loop) *canned {
	b := &canned{loop: l, body: []byte("Hello, heddle\n")}
	b.head = codec.AppendResponseHead(nil, &heddle.ResponseHead{
		Code: 200,
		Headers: headerFields([]string{
			"Content-Type", "text/plain; charset=utf-8", "Content-Length", fmt.Sprint(len(b.body)), "Date", "Sat, 21 Nov 2026 08:00:00 GMT",
		}),
		Made: heddle.MadeDate | heddle.MadeLength | heddle.MadeType,
	})
	b.reply = b.answer
	b.mux = session.NewMux(b, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	return b
}

func (b *canned) Loops() []*loop.Loop { return []*loop.Loop{b.loop} }

func (b *canned) OpenOn(_ int, o session.OpenOptions, _ func(*session.Session, error)) (*session.Session, func() bool, error) {
	s, err := b.mux.Open(o)
	if err == nil {
		b.last = s.ID()
		err = b.loop.Do(b.reply)
	}
	return s, nil, err
}

// answer is the worker: head, body and choke in one batch.
func (b *canned) answer() {
	out := codec.AppendChunk(b.out[:0], heddle.V1, b.last, b.head)
	out = codec.AppendChunk(out, heddle.V1, b.last, b.body)
	b.out = codec.AppendChoke(out, heddle.V1, b.last)
	if n, err := b.mux.OnBytes(b.out); n != len(b.out) || err != nil {
		panic(fmt.Sprint("the front took ", n, " bytes of an answer: ", err))
	}
}

// What a Mux needs of its channel.
func (b *canned) Send(head, body []byte) (int64, error) {
	b.sent += int64(len(head) + len(body))
	return b.sent, nil
}
func (b *canned) SendControl([]byte) error           { return nil }
func (b *canned) SendFiles([]byte, []*os.File) error { return nil }
func (b *canned) TakeFiles(int) ([]*os.File, error)  { return nil, nil }
func (b *canned) Queued() int                        { return 0 }
func (b *canned) Written() int64                     { return b.sent }
func (b *canned) Pause()                             {}
func (b *canned) Resume()                            {}
func (b *canned) CloseWrite()                        {}
func (b *canned) Close(error)                        {}
func (b *canned) Abort(error)                        {}
func (b *canned) Do(f func()) error                  { return b.loop.Do(f) }
func (b *canned) After(time.Duration, func()) func() { return func() {} }

// routed is canned as a Router, with limits of an app's own.
type routed struct {
	*canned
	limits *AppLimits
}

func (r routed) Route(host, target []byte) (Opener, *AppLimits) { return r.canned, r.limits }

// perGet counts what a GET on a connection that is kept costs in allocations, all
// of this process: the client's part is none. It is asked once before.
func perGet(t *testing.T, c net.Conn, request string) float64 {
	t.Helper()
	raw, p := []byte(request), make([]byte, 4<<10)
	size := 0
	get := func() {
		if _, err := c.Write(raw); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			n, err := io.ReadAtLeast(c, p, 1)
			if err != nil {
				t.Fatal(err)
			}
			for !strings.HasSuffix(string(p[:n]), "\r\n\r\nHello, heddle\n") {
				k, err := c.Read(p[n:])
				if err != nil {
					t.Fatalf("got %q, %v", p[:n], err)
				}
				n += k
			}
			size = n
			return
		}
		if _, err := io.ReadFull(c, p[:size]); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 { // until pools and lists are filled
		get()
	}
	return testing.AllocsPerRun(500, get)
}

// browser is a GET of twelve fields, of which the front looks at some.
const browser = "GET /a/path?with=a&query=string HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef; theme=dark\r\n\r\n"

// A GET on a connection that is kept, or a small POST, costs the front, with its
// session, no allocation, from the client's bytes to the answer's; with shipped
// defaults, with every limit, with limits of an app's own, and with an access log.
func TestGetAllocatesNothing(t *testing.T) {
	every := Limits{ReadTimeout: time.Minute, WriteTimeout: time.Minute, MaxBody: 1 << 20}
	var told int64 // the loop's, until it has ended
	tell := func(a *Access) { told += a.Bytes }
	for name, o := range map[string]Options{"defaults": {}, "every limit": {Limits: every}, "an app's limits": {Limits: every}, "access log": {OnAccess: tell}} {
		l, err := loop.New(loop.Options{})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- l.Run() }() // ends when the loop is closed
		o.Listeners = []Listener{{Address: "127.0.0.1:0"}}
		o.Tallies = true
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		b := newCanned(l)
		var backend Backend = b
		if name == "an app's limits" {
			backend = routed{b, &AppLimits{WriteTimeout: time.Hour, ResponseHeaderTimeout: time.Hour, MaxBody: 1 << 10}}
		}
		if err := s.Serve(http.NotFoundHandler(), backend); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr(s))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		for what, raw := range map[string]string{
			"small":   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"named":   "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
			"browser": browser,
			"POST":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		} {
			if n := perGet(t, c, raw); n > 0 {
				t.Errorf("%s, %s: %v allocations", name, what, n)
			}
		}
		if n := b.mux.Sessions(); n != 0 {
			t.Errorf("%d sessions are open", n)
		}
		c.Close()
		s.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if told == 0 || told%14 != 0 {
		t.Errorf("told of %d bytes, want 14 for each request", told)
	}
}

// A GET behind the front costs the worker's side what it takes to make the
// http.Request and run the handler. As a profile of every allocation has it
// (-memprofile with -memprofilerate=1):
//
//	1    the Session, accepted (session, OnInvoke)
//	2    this test's goroutine per session: its func, and WaitGroup.Go's around it;
//	     package worker takes a parked goroutine and has neither
//	1    the exchange: context, URL, body and ResponseWriter (httpcompat, ServeInvoke)
//	1    the http.Request, by WithContext
//	1    the arena: the head's text, of which all strings are cut
//	2    the header map and its one group of 8; for more names 4: map, directory,
//	     table and groups
//	1    the values of all fields
//
// The answer costs none: head and body are encoded into pooled memory, and a
// handler that sets no field gets no map. The small request has 5 fields, all of
// them the front's, the browser's 16.
func TestGetAllocatesAtTheWorker(t *testing.T) {
	r := newRig(t, Options{Tallies: true}, httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello, heddle\n")
	})), 1)
	c := r.dial(t)
	for what, tt := range map[string]struct {
		raw  string
		most float64
	}{
		"small":   {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 9},
		"browser": {browser, 11},
	} {
		n := perGet(t, c, tt.raw)
		if n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", what, n, tt.most)
		}
		t.Logf("%s: %v allocations", what, n)
	}
}
