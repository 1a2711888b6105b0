package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// A sorter is a Dispatcher of one app, and a Judge who lets errors be asked about
// again until there were tries.
type sorter struct {
	*plainGate
	again int
	asked atomic.Int64
}

func (g *sorter) Dispatch(_ int, h Head) (d Dispatch) {
	if v, ok := h.Field("x-way"); ok && string(v) == "net/http" {
		return d
	}
	d.To, d.Target = g, append([]byte("/sorted"), h.Target()...)
	d.Fields = []heddle.Header{{Name: heddle.Raw("X-Method"), Value: h.Method()}}
	d.Headers = []codec.Header{{Name: []byte("authorization"), Value: []byte("me")}}
	d.Answer = []heddle.Header{{Name: heddle.Raw("X-From"), Value: heddle.Raw("sorter")}}
	return d
}

func (g *sorter) Judge(_ *session.Session, _ error, tries int) httpcompat.Verdict {
	g.asked.Add(1)
	return httpcompat.Verdict{Again: tries < g.again, Code: 503, Why: "judged", RetryAfter: 1500 * time.Millisecond}
}

// What a Dispatcher says comes to the worker and to the client, and a Judge says
// what becomes of errors.
func TestDispatcher(t *testing.T) {
	var fails atomic.Int64
	b, err := httpcompattest.NewWorkerBackend(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		m, err := s.Recv()
		var h heddle.RequestHead
		if err == nil {
			err = codec.DecodeRequestHead(&h, m.Data)
		}
		if err != nil {
			t.Error(err)
		}
		if fails.Add(-1) >= 0 {
			s.Abort(&session.Error{Category: 12, Code: 32, Msg: "not now"})
			return
		}
		text := fmt.Sprintf("%s %s", h.URI, h.Body)
		for _, f := range h.Headers {
			if string(f.Name) == "X-Method" {
				text += " " + string(f.Value)
			}
		}
		for _, f := range s.Headers() {
			if strings.HasSuffix(string(f.Name), "_id") {
				continue // the request's trace
			}
			text += fmt.Sprintf(" %s=%s", f.Name, f.Value)
		}
		_ = s.WriteChunk([]byte(foreignHead(200, "x-from", "the worker", "X-Request-Id", "the worker's")))
		_ = s.WriteChunk([]byte(text))
	}), 1, session.ChannelOptions{Dialect: heddle.V1})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{log: new(journal), b: b, gate: &gate{Backend: b}}
	t.Cleanup(func() {
		r.s.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.NewTextHandler(r.log, nil))
	if r.s, err = Open(Options{Logger: log, Listeners: []Listener{{Address: "127.0.0.1:0"}}, ShortIDs: true}); err != nil {
		t.Fatal(err)
	}
	g := &sorter{plainGate: &plainGate{gate: r.gate}, again: 2}
	if err := r.s.Serve(&httpcompat.Proxy{Opener: b, Logger: log, Plain: true}, g); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		fails int64
		raw   string
		code  int
		body  string
		asked int64
	}{
		{0, gets(), 200, "/sorted/  GET authorization=me", 0},
		{0, posts("Content-Length: 4") + "body", 200, "/sorted/ body POST authorization=me", 0},
		{1, posts("Content-Length: 4") + "body", 200, "/sorted/ body POST authorization=me", 2},
		{2, gets(), 503, "503 Service Unavailable: judged (request ", 3},
	} {
		fails.Store(test.fails)
		g.asked.Store(0)
		c := r.dial(t)
		io.WriteString(c, test.raw)
		resp, body := readAnswer(t, bufio.NewReader(c))
		id := resp.Header["X-Request-Id"]
		if resp.StatusCode != test.code || !strings.HasPrefix(body, test.body) || len(id) != 1 || len(id[0]) != 16 || strings.Join(resp.Header["X-From"], ",") != "sorter" {
			t.Errorf("got %d %q %v, want %d %q", resp.StatusCode, body, resp.Header, test.code, test.body)
		}
		if after := resp.Header.Get("Retry-After"); (after == "2") != (test.code == 503) {
			t.Errorf("Retry-After: %q", after)
		}
		if n := g.asked.Load(); n > test.asked || n < min(test.asked, 1) {
			t.Errorf("judged %d times, want at most %d", n, test.asked)
		}
	}
	c := r.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Way: net/http\r\n\r\n")
	if resp, body := readAnswer(t, bufio.NewReader(c)); resp.StatusCode != 200 || !strings.HasPrefix(body, "/ ") || resp.Header.Get("X-From") != "the worker" {
		t.Errorf("by net/http: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if m := r.s.Stats().HandedOver; fmt.Sprint(m) != "map[route:1]" {
		t.Errorf("handed over: %v", m)
	}
	await(t, func() error {
		if n := r.sessions(); n != 0 {
			return fmt.Errorf("%d sessions are left", n)
		}
		return nil
	})
}
