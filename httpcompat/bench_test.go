package httpcompat

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// browser is a request with 12 headers, as browsers send them.
func browser() *http.Request {
	r := httptest.NewRequest("GET", "/api/v1/items?id=123&sort=asc", nil)
	for name, value := range map[string]string{
		"User-Agent":                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept":                    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language":           "en-GB,en;q=0.5",
		"Accept-Encoding":           "gzip, deflate, br, zstd",
		"Connection":                "keep-alive",
		"Cookie":                    "session=0123456789abcdef0123456789abcdef; theme=dark",
		"Upgrade-Insecure-Requests": "1",
		"Sec-Fetch-Dest":            "document",
		"Sec-Fetch-Mode":            "navigate",
		"Sec-Fetch-Site":            "none",
		"Cache-Control":             "max-age=0",
		"Referer":                   "https://www.example.org/items",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// BenchmarkRequestHead decodes a head of 12 headers.
func BenchmarkRequestHead(b *testing.B) {
	data := AppendRequestHead(nil, browser(), "127.0.0.1:8080")
	sc := new(scratch)
	b.ReportAllocs()
	for b.Loop() {
		if err := codec.DecodeRequestHead(&sc.req, data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuildRequest makes the http.Request of a decoded head.
func BenchmarkBuildRequest(b *testing.B) {
	data := AppendRequestHead(nil, browser(), "127.0.0.1:8080")
	sc := new(scratch)
	if err := codec.DecodeRequestHead(&sc.req, data); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		x := new(exchange)
		r := blank.WithContext(ctx)
		if _, _, err := sc.fill(r, &x.url, data, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendRequestHead is the asking side's part.
func BenchmarkAppendRequestHead(b *testing.B) {
	r := browser()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRequestHead(buf[:0], r, "127.0.0.1:8080")
	}
}

// hello is the handler whose cost is the sessions' own.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = textPlain
	io.WriteString(w, "Hello, heddle\n")
})

var textPlain = []string{"text/plain; charset=utf-8"}

// muxes are the two ends of an in-memory channel: asking opens sessions, and
// accept gets them on the other end's loop.
func muxes(tb testing.TB, accept func(*session.Session) error) (asking *session.Mux) {
	o := session.ChannelOptions{Dialect: heddle.V1, Heddle: true}
	near, far := sessiontest.Pipe(tb)
	asking = session.NewMux(near, session.Options{ChannelOptions: o})
	o.Dialed = true
	near.Start(asking)
	far.Start(session.NewMux(far, session.Options{ChannelOptions: o, Accept: accept}))
	return asking
}

// BenchmarkHandlerHello is a whole GET of 14 bytes over the in-memory channel,
// both ends and their loops. worker-ns/op is the worker's part: from a session
// that has arrived until its answer is queued.
func BenchmarkHandlerHello(b *testing.B) {
	h := Handler(hello)
	sessions := make(chan *session.Session)
	asking := muxes(b, func(s *session.Session) error { sessions <- s; return nil })
	var served time.Duration
	done := make(chan struct{})
	go func() { // ends when sessions is closed
		defer close(done)
		for s := range sessions {
			for !s.Buffered() {
				runtime.Gosched() // the head is in the same batch
			}
			begin := time.Now()
			h.ServeInvoke(s.Context(), s)
			served += time.Since(begin)
			s.Discard()
		}
	}()
	data := AppendRequestHead(nil, browser(), "127.0.0.1:8080")
	b.ReportAllocs()
	for b.Loop() {
		s, err := asking.Open(session.OpenOptions{Event: DefaultEvent, First: data, Last: true})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := s.Recv(); err != nil {
				if err != io.EOF {
					b.Fatal(err)
				}
				break
			}
		}
		s.Discard()
	}
	close(sessions)
	<-done
	b.ReportMetric(float64(served.Nanoseconds())/float64(b.N), "worker-ns/op")
}

// BenchmarkReadRequest is net/http's own way to a request, for comparison.
func BenchmarkReadRequest(b *testing.B) {
	var text bytes.Buffer
	r := browser()
	if err := r.Write(&text); err != nil {
		b.Fatal(err)
	}
	src := bytes.NewReader(nil)
	br := bufio.NewReader(src)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(text.Bytes())
		br.Reset(src)
		if _, err := http.ReadRequest(br); err != nil {
			b.Fatal(err)
		}
	}
}
