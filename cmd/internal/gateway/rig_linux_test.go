package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/servicetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what comes at once, unless the machine is busy.
const patience = 20 * time.Second

// A rig is a cloud, a proxy before it, and what the proxy has logged.
type rig struct {
	g    *Gateway
	s    *front.Server
	base string // http://host:port
	addr string
	log  *journal
	http *http.Client
}

type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// newRig starts a proxy on n loops.
func newRig(t testing.TB, n int, o Options) *rig {
	t.Helper()
	r := &rig{log: new(journal)}
	o.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	var ran sync.WaitGroup
	for range n {
		l, err := loop.New(loop.Options{Logger: o.Logger})
		if err != nil {
			t.Fatal(err)
		}
		o.Loops = append(o.Loops, l)
		ran.Go(func() { _ = l.Run() })
	}
	t.Cleanup(func() {
		for _, l := range o.Loops {
			l.Close()
		}
		ran.Wait()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	var err error
	if r.g, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.g.Close)
	if r.s, err = front.Open(front.Options{Listeners: []front.Listener{{Address: "127.0.0.1:0"}}, Logger: o.Logger, ShortIDs: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.s.Close)
	if err := r.s.Serve(r.g, r.g); err != nil {
		t.Fatal(err)
	}
	r.base = strings.TrimSuffix(r.s.URLs()[0], "/")
	r.addr = strings.TrimPrefix(r.base, "http://")
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	r.http = &http.Client{Transport: tr, Timeout: patience}
	t.Cleanup(tr.CloseIdleConnections)
	return r
}

// An answer is one, read whole.
type answer struct {
	code   int
	body   string
	header http.Header
	err    error // in reading the body
}

// do asks. fields are names and values.
func (r *rig) do(t testing.TB, method, target, body string, fields ...string) answer {
	t.Helper()
	a, err := r.try(method, target, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *rig) try(method, target, body string, fields ...string) (a answer, err error) {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, r.base+target, rd)
	if err != nil {
		return a, err
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header[fields[i]] = append(req.Header[fields[i]], fields[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(p), resp.Header, err}, nil
}

// get asks for /app/event/….
func (r *rig) get(t testing.TB, target string) answer {
	t.Helper()
	return r.do(t, "GET", target, "")
}

// raw sends bytes, and reads one answer.
func (r *rig) raw(t testing.TB, request string) answer {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(p), resp.Header, err}
}

// await waits until f has nothing to say.
func await(t testing.TB, f func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(why)
		}
	}
}

// headOf is a response's head as Cocaine's frameworks pack it.
func headOf(code int, fields ...string) string {
	b := codec.AppendArray([]byte{0x92, 0xcd, byte(code >> 8), byte(code)}, len(fields)/2)
	for i := 0; i < len(fields); i += 2 {
		b = codec.AppendRawString(codec.AppendRawString(append(b, 0x92), fields[i]), fields[i+1])
	}
	return string(b)
}

// ask is the request that a handler has got.
func ask(c *servicetest.Call) (h heddle.RequestHead, err error) {
	p, err := c.Piece()
	if err == nil {
		err = codec.DecodeRequestHead(&h, []byte(p))
	}
	return h, err
}

// say answers with a head and pieces of a body.
func say(c *servicetest.Call, head string, pieces ...string) {
	_ = c.Write(head)
	for _, p := range pieces {
		if c.Dialect() == heddle.V0 {
			p = string(codec.AppendRawString(nil, p))
		}
		_ = c.Write(p)
	}
}

// echo answers with what it was asked.
func echo(c *servicetest.Call) {
	h, err := ask(c)
	if err != nil {
		_ = c.Error(42, 100, err.Error())
		return
	}
	text := fmt.Sprintf("%s %s HTTP/%s\n", h.Method, h.URI, h.Version)
	for _, f := range h.Headers {
		text += fmt.Sprintf("%s: %s\n", f.Name, f.Value)
	}
	say(c, headOf(200, "Content-Type", "text/plain", "x-app", "echo"), text+"\n", string(h.Body))
}

// each runs a test in both dialects, over TCP and unix sockets.
func each(t *testing.T, f func(t *testing.T, d heddle.Dialect, o servicetest.Options)) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, unix := range []bool{false, true} {
			name := d.String() + " tcp"
			if unix {
				name = d.String() + " unix"
			}
			t.Run(name, func(t *testing.T) { f(t, d, servicetest.Options{Unix: unix}) })
		}
	}
}

// A door is a fixed address before another one, that can be shut and opened.
type door struct {
	t    testing.TB
	addr string
	to   string

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// newDoor returns a door, shut, before host:port or unix:PATH.
func newDoor(t testing.TB, to string) *door {
	t.Helper()
	d := &door{t: t, to: to, addr: "127.0.0.1:0", conns: make(map[net.Conn]struct{})}
	d.open()
	d.shut()
	t.Cleanup(d.shut)
	return d
}

func (d *door) open() {
	d.t.Helper()
	ln, err := net.Listen("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.ln, d.addr = ln, ln.Addr().String()
	d.mu.Unlock()
	d.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			network, addr := "tcp", d.to
			if path, ok := strings.CutPrefix(d.to, "unix:"); ok {
				network, addr = "unix", path
			}
			up, err := net.Dial(network, addr)
			if err != nil {
				c.Close()
				continue
			}
			d.mu.Lock()
			if d.ln != ln {
				c.Close()
				up.Close()
			}
			d.conns[c], d.conns[up] = struct{}{}, struct{}{}
			d.mu.Unlock()
			for _, pair := range [][2]net.Conn{{c, up}, {up, c}} {
				d.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				})
			}
		}
	})
}

func (d *door) shut() {
	d.mu.Lock()
	if d.ln != nil {
		d.ln.Close()
		d.ln = nil
	}
	for c := range d.conns {
		c.Close()
	}
	clear(d.conns)
	d.mu.Unlock()
	d.wg.Wait()
}
