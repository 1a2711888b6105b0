package httpcompat_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// foreignHead is a response's head as Cocaine's frameworks pack it.
func foreignHead(code int, fields ...string) string {
	b := codec.AppendArray([]byte{0x92, 0xcd, byte(code >> 8), byte(code)}, len(fields)/2)
	for i := 0; i < len(fields); i += 2 {
		b = codec.AppendRawString(codec.AppendRawString(append(b, 0x92), fields[i]), fields[i+1])
	}
	return string(b)
}

// packed is a chunk as workers of v0 write it.
func packed(text string) string { return string(codec.AppendRawString(nil, text)) }

// What workers written for Cocaine may answer, and what clients get of it.
func TestForeignAnswers(t *testing.T) {
	ok := foreignHead(200, "content-type", "text/x")
	fails := func(category, code int64) func(*session.Session) error {
		return func(s *session.Session) error {
			return &session.Error{Category: category, Code: code, Msg: "a secret"}
		}
	}
	for name, c := range map[string]struct {
		d      heddle.Dialect
		chunks []string
		end    func(*session.Session) error // nil: choke
		code   int
		body   string
		header string // "Name: value" that is there, or with ! before is not
		breaks bool
	}{
		"v0":                      {d: heddle.V0, chunks: []string{ok, packed("one "), packed("two")}, code: 200, body: "one two", header: "Content-Type: text/x"},
		"v1":                      {d: heddle.V1, chunks: []string{ok, "one ", "two"}, code: 200, body: "one two"},
		"v0 empty pieces":         {d: heddle.V0, chunks: []string{ok, packed(""), packed("x"), packed("")}, code: 200, body: "x"},
		"v1 empty pieces":         {d: heddle.V1, chunks: []string{ok, "", "x", ""}, code: 200, body: "x"},
		"v0 str8 and bin":         {d: heddle.V0, chunks: []string{ok, "\xd9\x01x", "\xc4\x01y"}, code: 200, body: "xy"},
		"v0 not packed":           {d: heddle.V0, chunks: []string{ok, "hello"}, breaks: true, code: 200},
		"v1 no body":              {d: heddle.V1, chunks: []string{foreignHead(204)}, code: 204},
		"length":                  {d: heddle.V1, chunks: []string{foreignHead(200, "Content-Length", "3"), "abc"}, code: 200, body: "abc", header: "Content-Length: 3"},
		"one connection's fields": {d: heddle.V1, chunks: []string{foreignHead(200, "Connection", "close, X-Hop", "X-Hop", "1", "Transfer-Encoding", "chunked", "X-End", "2"), "x"}, code: 200, body: "x", header: "!X-Hop: 1"},
		"cookies":                 {d: heddle.V0, chunks: []string{foreignHead(200, "Set-Cookie", "a=1", "set-cookie", "b=2")}, code: 200, header: "Set-Cookie: a=1"},
		"lingering":               {d: heddle.V1, chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.1"), "one", "", "never"}, code: 200, body: "one", header: "!X-Cocaine-Http-Proto-Version: 1.1"},
		"lingering v0":            {d: heddle.V0, chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.1"), packed("one"), packed(""), packed("never")}, code: 200, body: "one"},
		"not lingering":           {d: heddle.V1, chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.0"), "one", "", "two"}, code: 200, body: "onetwo"},
		"unknown lingering":       {d: heddle.V1, chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "2.0"), "one"}, code: 502},
		"switching":               {d: heddle.V1, chunks: []string{foreignHead(101, "Upgrade", "websocket")}, code: 502},
		"no head":                 {d: heddle.V1, code: 502},
		"malformed head":          {d: heddle.V1, chunks: []string{"\x92\xccx"}, code: 502},
		"head of a map":           {d: heddle.V1, chunks: []string{"\x92\xcc\xc8\x81\xa1a\xa1b"}, code: 502},
		"field with a line end":   {d: heddle.V1, chunks: []string{foreignHead(200, "X-A", "a\r\nX-B: b")}, code: 502},
		"v0 exception":            {d: heddle.V0, end: fails(0, 1), code: 500},
		"v0 no handler":           {d: heddle.V0, end: fails(0, -100), code: 500},
		"v0 no handler of node":   {d: heddle.V0, end: fails(0, 410), code: 500},
		"v1 exception":            {d: heddle.V1, end: fails(42, 100), code: 500},
		"v1 no handler":           {d: heddle.V1, end: fails(42, 200), code: 500},
		"v1 of our gave up":       {d: heddle.V1, end: fails(0xf0, 1), code: 500},
		"error behind the head":   {d: heddle.V1, chunks: []string{ok, "some"}, end: fails(42, 100), breaks: true, code: 200},
	} {
		t.Run(name, func(t *testing.T) {
			p := httpcompattest.NewWorkerProxy(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
				for _, text := range c.chunks {
					if err := s.WriteChunk([]byte(text)); err != nil {
						t.Error(err)
					}
				}
				if c.end != nil {
					s.Abort(c.end(s))
				}
			}), session.ChannelOptions{Dialect: c.d})
			defer p.Close()
			rec := httptest.NewRecorder()
			broke := func() (broke bool) {
				defer func() {
					err, _ := recover().(error)
					broke = errors.Is(err, http.ErrAbortHandler)
				}()
				p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
				return false
			}()
			if broke != c.breaks || rec.Code != c.code {
				t.Fatalf("got %d, broke off: %v; want %d, %v", rec.Code, broke, c.code, c.breaks)
			}
			if body := rec.Body.String(); !broke && c.code < 300 && body != c.body {
				t.Errorf("body %q, want %q", body, c.body)
			}
			if strings.Contains(rec.Body.String(), "secret") {
				t.Errorf("the client reads %q", rec.Body)
			}
			field, absent := strings.CutPrefix(c.header, "!")
			if field, value, ok := strings.Cut(field, ": "); ok && (rec.Header().Get(field) == value) == absent {
				t.Errorf("header %v, want %q", rec.Header(), c.header)
			}
		})
	}
}

// What a worker gets: the whole body behind the head, in one chunk, and nothing
// that concerned the client's connection alone.
func TestForeignRequests(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		var got heddle.RequestHead
		p := httpcompattest.NewWorkerProxy(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			m, err := s.Recv()
			if err != nil {
				t.Error(err)
				return
			}
			data := append([]byte(nil), m.Data...)
			if err := codec.DecodeRequestHead(&got, data); err != nil {
				t.Error(err)
			}
			if m, err := s.Recv(); err == nil {
				t.Errorf("another message: %v", m.Kind)
			}
			_ = s.WriteChunk([]byte(foreignHead(200)))
		}), session.ChannelOptions{Dialect: d})
		r := httptest.NewRequest("POST", "/a?b", strings.NewReader("body"))
		r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
		r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		for _, f := range [][2]string{{"Connection", "Upgrade, X-Hop"}, {"Upgrade", "h2c"}, {"X-Hop", "1"}, {"Te", "trailers"}, {"Expect", "100-continue"}, {"Trailer", "X-T"}, {"Keep-Alive", "5"}, {"X-Stays", "2"}} {
			r.Header.Set(f[0], f[1])
		}
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		p.Close()
		if rec.Code != 200 || string(got.Method) != "POST" || string(got.URI) != "/a?b" || string(got.Version) != "1.1" || string(got.Body) != "body" {
			t.Errorf("%v: %d, got %s %s %s, %q", d, rec.Code, got.Method, got.URI, got.Version, got.Body)
		}
		fields := make(map[string]string)
		for _, h := range got.Headers {
			fields[string(h.Name)] = string(h.Value)
		}
		if want := "map[Content-Length:4 Host:example.com X-Stays:2]"; fmt.Sprint(fields) != want {
			t.Errorf("%v: fields %v, want %s", d, fields, want)
		}
	}
}

// A client that has its answer is let go, though the worker keeps the session.
func TestForeignLingers(t *testing.T) {
	release := make(chan struct{})
	p := httpcompattest.NewWorkerProxy(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		_ = s.WriteChunk([]byte(foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.1")))
		_ = s.WriteChunk([]byte("all"))
		_ = s.WriteChunk(nil)
		<-release
	}), session.ChannelOptions{Dialect: heddle.V1})
	defer p.Close()
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 200 || rec.Body.String() != "all" {
		t.Errorf("got %d, %q", rec.Code, rec.Body)
	}
	if n := p.Mux().Load(); n != 1 {
		t.Errorf("%d sessions, want the one that goes on", n)
	}
	close(release)
	for begun := time.Now(); p.Mux().Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("the session never ended")
		}
	}
}

// FuzzForeignAnswer: whatever a worker says in place of an answer, in either
// dialect, is a status or a broken connection, and nobody panics otherwise.
func FuzzForeignAnswer(f *testing.F) {
	f.Add(true, []byte(foreignHead(200, "A", "b")), []byte(packed("body")))
	f.Add(false, []byte(foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.1")), []byte(""))
	f.Add(false, []byte(foreignHead(304, "Connection", "x", "X", "y")), []byte("body"))
	f.Add(true, []byte("\x92\xcc\xc8\x91\x92\xd9\x01a\xc4\x01b"), []byte("\xa5short"))
	f.Fuzz(func(t *testing.T, v0 bool, head, body []byte) {
		d := heddle.V1
		if v0 {
			d = heddle.V0
		}
		p := httpcompattest.NewWorkerProxy(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			_ = s.WriteChunk(head)
			_ = s.WriteChunk(body)
		}), session.ChannelOptions{Dialect: d})
		defer p.Close()
		rec := httptest.NewRecorder()
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				t.Fatal(v)
			}
			if rec.Code < 200 || rec.Code > 999 {
				t.Errorf("got %d of %q", rec.Code, head)
			}
			for name, vv := range rec.Header() {
				if strings.ContainsAny(name+strings.Join(vv, ""), "\r\n") {
					t.Errorf("%q: %q", name, vv)
				}
			}
		}()
		p.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	})
}
