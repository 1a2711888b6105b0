package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
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

// A plainGate is a gate to workers that were written for Cocaine.
type plainGate struct {
	*gate
	busy atomic.Bool // nobody on the loop is free
}

func (g *plainGate) Plain(int) (event string, free bool) { return "web", !g.busy.Load() }

// newPlainRig is newRig for such workers.
func newPlainRig(t testing.TB, d heddle.Dialect, h worker.HandlerFunc) (*rig, *plainGate) {
	t.Helper()
	b, err := httpcompattest.NewWorkerBackend(h, 1, session.ChannelOptions{Dialect: d})
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
	if r.s, err = Open(Options{Logger: log, Listeners: []Listener{{Address: "127.0.0.1:0"}}}); err != nil {
		t.Fatal(err)
	}
	g := &plainGate{gate: r.gate}
	if err := r.s.Serve(&httpcompat.Proxy{Opener: b, Logger: log, Plain: true, Event: "web"}, g); err != nil {
		t.Fatal(err)
	}
	return r, g
}

// foreignHead is a response's head as Cocaine's frameworks pack it.
func foreignHead(code int, fields ...string) string {
	b := codec.AppendArray([]byte{0x92, 0xcd, byte(code >> 8), byte(code)}, len(fields)/2)
	for i := 0; i < len(fields); i += 2 {
		b = codec.AppendRawString(codec.AppendRawString(append(b, 0x92), fields[i]), fields[i+1])
	}
	return string(b)
}

// What workers written for Cocaine answer comes to clients the same by a loop and by
// net/http.
func TestPlainAnswers(t *testing.T) {
	type script struct {
		chunks []string
		err    error
	}
	refused := &session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: "a secret"}
	tests := map[string]struct {
		script
		want string // status and body, and fields that must be there; "breaks" for a body that does
	}{
		"body":          {script{chunks: []string{foreignHead(200, "content-type", "text/x", "x-a", "1"), "one ", "", "two"}}, "200 one two|Content-Type: text/x|X-A: 1"},
		"length":        {script{chunks: []string{foreignHead(201, "content-length", "3"), "abc"}}, "201 abc|Content-Length: 3"},
		"no body":       {script{chunks: []string{foreignHead(204, "Date", "today")}}, "204 |Date: today"},
		"hops":          {script{chunks: []string{foreignHead(200, "connection", "close, x-hop", "X-Hop", "1", "transfer-encoding", "chunked", "Keep-Alive", "1", "Upgrade", "x", "Trailer", "X-T"), "x"}}, "200 x|X-Hop: |Keep-Alive: |Upgrade: |Trailer: |Connection: "},
		"more hops":     {script{chunks: []string{foreignHead(200, "X-One", "1", "Connection", "x-one", "connection", "Close, X-Two", "x-two", "2"), "x"}}, "200 x|X-One: |X-Two: |Connection: "},
		"no type":       {script{chunks: []string{foreignHead(200), "<html>"}}, "200 <html>|Content-Type: "},
		"lingering":     {script{chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.1"), "one", "", "never"}}, "200 one|X-Cocaine-Http-Proto-Version: "},
		"not lingering": {script{chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "1.0"), "one", "", "two"}}, "200 onetwo"},
		"odd lingering": {script{chunks: []string{foreignHead(200, "X-Cocaine-HTTP-Proto-Version", "3"), "one"}}, "502 502 Bad Gateway: the worker gave no answer (request mine)\n"},
		"switching":     {script{chunks: []string{foreignHead(101, "Upgrade", "x")}}, "502 502 Bad Gateway: the worker gave no answer (request mine)\n"},
		"nothing":       {script{}, "502 502 Bad Gateway: the worker gave no answer (request mine)\n"},
		"malformed":     {script{chunks: []string{"\x92\xccx"}}, "502 502 Bad Gateway: the worker gave no answer (request mine)\n"},
		"error":         {script{err: refused}, "500 500 Internal Server Error: the worker failed (request mine)\n"},
		"late error":    {script{chunks: []string{foreignHead(200), "some"}, err: refused}, "breaks"},
		"too little":    {script{chunks: []string{foreignHead(200, "Content-Length", "9"), "some"}}, "breaks"},
	}
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		r, g := newPlainRig(t, d, func(_ context.Context, s *session.Session) {
			if s.Event() != "web" {
				t.Errorf("event %q", s.Event())
			}
			m, err := s.Recv()
			var h heddle.RequestHead
			if err == nil {
				err = codec.DecodeRequestHead(&h, m.Data)
			}
			if err != nil {
				t.Error(err)
				return
			}
			fields := make([]string, 0, 9)
			for _, f := range h.Headers {
				fields = append(fields, string(f.Name))
			}
			slices.Sort(fields)
			if got := fmt.Sprint(fields, " ", string(h.Version), " ", len(h.Body)); got != "[Forwarded Host X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Request-Id] 1.1 0" {
				t.Errorf("it was asked with %s", got)
			}
			play := tests[strings.ReplaceAll(strings.TrimPrefix(string(h.URI), "/"), "-", " ")].script
			for i, text := range play.chunks {
				if d == heddle.V0 && i > 0 {
					text = string(codec.AppendRawString(nil, text))
				}
				_ = s.WriteChunk([]byte(text))
			}
			if play.err != nil {
				s.Abort(play.err)
			}
		})
		for name, test := range tests {
			for _, busy := range []bool{false, true} { // on the loop, and by net/http
				g.busy.Store(busy)
				t.Run(fmt.Sprint(d, " ", name, " ", busy), func(t *testing.T) {
					c := r.dial(t)
					uri := strings.ReplaceAll(name, " ", "-")
					fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nTE: trailers\r\nConnection: keep-alive\r\n\r\n", uri)
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(resp.Body)
					if test.want == "breaks" {
						if err == nil {
							t.Errorf("got %q", body)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					want := strings.Split(test.want, "|")
					if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want[0] {
						t.Errorf("got %q, want %q", got, want[0])
					}
					for _, f := range want[1:] {
						field, value, _ := strings.Cut(f, ": ")
						if got := resp.Header.Get(field); got != value {
							t.Errorf("%s: got %q, want %q", field, got, value)
						}
					}
					if resp.Header.Get("Date") == "" {
						t.Error("no date")
					}
				})
			}
		}
		await(t, func() error {
			if n := r.sessions(); n != 0 {
				return fmt.Errorf("%d sessions are left", n)
			}
			return nil
		})
		if m := r.s.Stats().HandedOver; len(m) != 1 || m["plain"] != int64(len(tests)) {
			t.Errorf("handed over: %v, want %d", m, len(tests))
		}
	}
}

// A request with a short body stays on the loop, in however many pieces it comes.
// One with a long body is net/http's, whose Proxy gives it whole; one after the
// other goes on where it is.
func TestPlainBodies(t *testing.T) {
	r, _ := newPlainRig(t, heddle.V1, func(_ context.Context, s *session.Session) {
		m, err := s.Recv()
		var h heddle.RequestHead
		if err == nil {
			err = codec.DecodeRequestHead(&h, m.Data)
		}
		_ = s.WriteChunk([]byte(foreignHead(200)))
		_ = s.WriteChunk(fmt.Appendf(nil, "%s %s, %v", h.Method, h.Body, err))
	})
	c := r.dial(t)
	br := bufio.NewReader(c)
	most, long := strings.Repeat("x", mostPlainBody), strings.Repeat("y", mostPlainBody+1)
	sized := func(body string) string { return posts(fmt.Sprint("Content-Length: ", len(body))) + body }
	pieces := func(raw string, n int) (all []string) {
		for ; len(raw) > n; raw = raw[n:] {
			all = append(all, raw[:n])
		}
		return append(all, raw)
	}
	for i, test := range []struct {
		raw  []string
		want string
	}{
		{[]string{gets()}, "GET , <nil>"},
		{[]string{posts("Content-Length: 0")}, "POST , <nil>"},
		{[]string{sized("body")}, "POST body, <nil>"},
		{pieces(sized("bytewise"), 1), "POST bytewise, <nil>"},
		{[]string{posts("Content-Length: 6"), "be", "hind"}, "POST behind, <nil>"},
		{pieces(sized(most), 5000), "POST " + most + ", <nil>"},
		{[]string{sized("two") + gets()}, "POST two, <nil>"},
		{nil, "GET , <nil>"}, // it came with the one before
		{[]string{sized(long)}, "POST " + long + ", <nil>"},
		{[]string{gets()}, "GET , <nil>"},
	} {
		if i == 8 {
			if m := r.s.Stats().HandedOver; len(m) > 0 {
				t.Errorf("handed over: %v", m)
			}
		}
		for _, p := range test.raw {
			io.WriteString(c, p)
			time.Sleep(time.Millisecond) // so that they come by themselves, most likely
		}
		_, body := readAnswer(t, br)
		if body != test.want {
			t.Errorf("%d: got %.99q, want %.99q", i, body, test.want)
		}
	}
	if m := r.s.Stats().HandedOver; fmt.Sprint(m) != "map[plain:1]" {
		t.Errorf("handed over: %v", m)
	}
}

// A request's id is the trace of a v1 worker's session, if it can be one, by a loop
// and by net/http; else the trace is of its own. V0 has none.
func TestPlainTrace(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		r, g := newPlainRig(t, d, func(ctx context.Context, s *session.Session) {
			_, _ = s.Recv()
			tr := session.TraceOf(ctx)
			_ = s.WriteChunk([]byte(foreignHead(200)))
			text := fmt.Sprintf("%016x %t %d, %d headers", tr.TraceID, tr.SpanID == tr.TraceID, tr.ParentID, len(session.HeadersOf(ctx)))
			if d == heddle.V0 {
				text = string(codec.AppendRawString(nil, text))
			}
			_ = s.WriteChunk([]byte(text))
		})
		own := make(map[string]bool)
		for _, busy := range []bool{false, true} {
			g.busy.Store(busy)
			c := r.dial(t)
			br := bufio.NewReader(c)
			for _, id := range []string{"00c0ffee0badf00d", "11111111111111110000000000c0ffee", "mine", ""} {
				io.WriteString(c, gets("X-Request-Id: "+id))
				_, body := readAnswer(t, br)
				if d == heddle.V0 {
					if want := "0000000000000000 true 0, 0 headers"; body != want {
						t.Errorf("v0: got %q, want %q", body, want)
					}
					continue
				}
				got, rest, _ := strings.Cut(body, " ")
				if rest != "true 0, 3 headers" {
					t.Errorf("id %q, busy %t: got %q", id, busy, body)
				}
				if len(id) >= 16 {
					if want := id[len(id)-16:]; got != want {
						t.Errorf("id %q, busy %t: trace %s, want %s", id, busy, got, want)
					}
					continue
				}
				if own[got] || strings.Trim(got, "0") == "" {
					t.Errorf("id %q, busy %t: trace %s", id, busy, got)
				}
				own[got] = true
			}
		}
	}
}

// A client that goes leaves a session that is load until the worker ends it.
func TestPlainGone(t *testing.T) {
	asked, goOn := make(chan struct{}, 1), make(chan struct{})
	r, _ := newPlainRig(t, heddle.V0, func(_ context.Context, s *session.Session) {
		asked <- struct{}{}
		<-goOn
		_ = s.WriteChunk([]byte(foreignHead(200)))
	})
	c := r.dial(t)
	io.WriteString(c, gets())
	wait(t, asked, "the request")
	c.SetLinger(0)
	c.Close()
	await(t, func() error {
		if n := r.s.Stats().Clients; n != 0 {
			return fmt.Errorf("%d clients", n)
		}
		return nil
	})
	if n := r.sessions(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	close(goOn)
	r.settled(t)
}

// FuzzPlainHead: whatever head a plain worker gives, clients get one that net/http
// reads, with no more answers in it than one and without what a worker has no say in.
func FuzzPlainHead(f *testing.F) {
	f.Add([]byte(foreignHead(200, "Content-Length", "3", "set-cookie", "a", "Set-Cookie", "b")))
	f.Add([]byte(foreignHead(304, "Connection", "x-y, Date", "X-Y", "1", "date", "now")))
	f.Add([]byte(foreignHead(200, "Transfer-Encoding", "identity", "Upgrade", "h2c", "X-Cocaine-HTTP-Proto-Version", "1.1")))
	f.Add([]byte(foreignHead(200, "X", "a\r\nContent-Length: 1", "", "x")))
	f.Add([]byte("\x93\xcc\xc8\x90\x07"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := new(heddle.ResponseHead)
		if codec.DecodeResponseHead(h, data) != nil {
			return
		}
		x := &call{ln: &lane{}, event: "http"}
		if !x.plainly(h) {
			return
		}
		out, ok := x.appendHead(nil, h)
		if !ok {
			return
		}
		br := bufio.NewReader(strings.NewReader(string(out) + "rest"))
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			if strings.ContainsFunc(string(out), func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r == 0x7f }) {
				return // passed on, as net/http's server does
			}
			t.Fatalf("%v: %q of %q", err, out, data)
		}
		if resp.StatusCode != int(h.Code) {
			t.Errorf("status %d of %d", resp.StatusCode, h.Code)
		}
		for _, name := range []string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", lingering} {
			if v := resp.Header[name]; v != nil {
				t.Errorf("%s: %q, of %q", name, v, data)
			}
		}
		if n := len(resp.Header["Date"]); n == 0 {
			t.Errorf("no date in %q", out)
		}
		body, _ := br.Peek(4)
		if x.framing != byChunks && string(body) != "rest" {
			t.Errorf("behind the head is %q: %q", body, out)
		}
	})
}
