//go:build !race && !loopcheck

// Under the race detector sync.Pool drops at random, and loopcheck asks for
// goroutine numbers, so nothing here would hold.

package gateway

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service/servicetest"
)

// canned is an app that answers every call alike, without an allocation.
func canned(t *testing.T, d heddle.Dialect) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	head := []byte(headOf(200, "Content-Type", "text/plain", "Content-Length", "14"))
	body := []byte("Hello, heddle\n")
	last := uint64(heddle.MsgClose) // v1: event, request, end
	if d == heddle.V0 {
		body, last = codec.AppendRaw(nil, body), 0 // the call is all
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	serve := func(c net.Conn) { // ends when the proxy closes the connection
		defer c.Close()
		dec := codec.NewDecoder(d, codec.Limits{})
		in, out, n := make([]byte, 64<<10), []byte(nil), 0
		for {
			k, err := c.Read(in[n:])
			if err != nil {
				return
			}
			n += k
			used := 0
			out = out[:0]
			for {
				f, k, err := dec.Next(in[used:n])
				if err != nil {
					break
				}
				used += k
				if f.Type == last {
					out = codec.AppendChunk(codec.AppendChunk(out, d, f.Session, head), d, f.Session, body)
					out = codec.AppendChoke(out, d, f.Session)
				}
			}
			n = copy(in, in[used:n])
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
	serving.Go(func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(c) })
		}
	})
	return ln
}

// A GET on a connection that is kept costs the proxy, front and session with it, no
// allocation, however its app and event are named. One with Authorization costs
// three, since what is handed on is kept.
func TestGetAllocatesNothing(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) {
			app := canned(t, d)
			port := app.Addr().(*net.TCPAddr).Port
			cloud := servicetest.New(t, d, servicetest.Options{})
			cloud.App("shop", nil).Announce(&servicetest.Announcement{Endpoints: []servicetest.Endpoint{{Host: "127.0.0.1", Port: port}}})
			r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			for what, raw := range map[string]string{
				"named":           "GET /shop/http/ HTTP/1.1\r\nHost: a\r\nX-Request-Id: 0123456789abcdef\r\n\r\n",
				"by target":       "GET /shop/http/basket?id=5 HTTP/1.1\r\nHost: a\r\n\r\n",
				"by target alone": "GET /shop/http HTTP/1.1\r\nHost: a\r\n\r\n",
				"by fields":       "GET /basket HTTP/1.1\r\nHost: a\r\nX-Cocaine-Service: shop\r\nX-Cocaine-Event: http\r\n\r\n",
				"POST":            "POST /shop/http/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
			} {
				if n := perRequest(t, c, []byte(raw)); n > 0 {
					t.Errorf("%s: %v allocations", what, n)
				}
			}
			raw := "GET /shop/http/ HTTP/1.1\r\nHost: a\r\nAuthorization: TOKEN 5\r\n\r\n"
			if n := perRequest(t, c, []byte(raw)); n > 3 {
				t.Errorf("with Authorization: %v allocations, want at most 3", n)
			}
		})
	}
}

// perRequest counts allocations of the whole process; the client's part is none.
func perRequest(t *testing.T, c net.Conn, raw []byte) float64 {
	t.Helper()
	p, size, end := make([]byte, 4<<10), 0, []byte("\r\n\r\nHello, heddle\n")
	get := func() {
		if _, err := c.Write(raw); err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if _, err := io.ReadFull(c, p[:size]); err != nil || !bytes.HasSuffix(p[:size], end) {
				t.Fatalf("got %q, %v", p[:size], err)
			}
			return
		}
		n := 0
		for !bytes.HasSuffix(p[:n], end) {
			k, err := c.Read(p[n:])
			if n += k; err != nil {
				t.Fatalf("got %q, %v", p[:n], err)
			}
		}
		size = n
	}
	for range 300 { // until pools and lists are filled
		get()
	}
	return testing.AllocsPerRun(500, get)
}
