package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// responseHead is an answer's head, as a worker sends it.
func responseHead(code int64, fields ...string) []byte {
	h := heddle.ResponseHead{Code: code}
	h.Headers = headerFields(fields)
	return codec.AppendResponseHead(nil, &h)
}

func headerFields(fields []string) (hs []heddle.Header) {
	for i := 0; i < len(fields); i += 2 {
		hs = append(hs, heddle.Header{Name: heddle.Raw(fields[i]), Value: heddle.Raw(fields[i+1])})
	}
	return hs
}

// infoArgs and trailerArgs are the arguments of these messages.
func infoArgs(code int64, fields ...string) []byte {
	b, _ := (&heddle.Info{Code: code, Headers: headerFields(fields)}).MarshalMsg(nil)
	return b
}

func trailerArgs(fields ...string) []byte {
	b, _ := (&heddle.Trailers{Headers: headerFields(fields)}).MarshalMsg(nil)
	return b
}

// path is what the session's request asks for.
func path(t testing.TB, s *session.Session) string {
	m, err := s.Recv()
	if err != nil {
		t.Error(err)
		return ""
	}
	var h heddle.RequestHead
	if err := codec.DecodeRequestHead(&h, m.Data); err != nil {
		t.Error(err)
	}
	return string(h.URI)
}

// frame sends a frame whatever the session thinks of it.
func frame(s *session.Session, f []byte) { _, _ = s.Mux().Link().Send(f, nil) }

// outcome is what a client gets: the status, the body, and what became of it.
func outcome(br *bufio.Reader, method string) string {
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF): // instead of a head
		return "closed"
	case errors.Is(err, unix.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	out := fmt.Sprintf("%d %s", resp.StatusCode, b)
	if len(b) > 100 {
		out = fmt.Sprintf("%d of %d bytes", resp.StatusCode, len(b))
	}
	for name, vv := range resp.Trailer {
		out += fmt.Sprintf(" %s:%s", name, vv)
	}
	switch {
	case err != nil && errors.Is(err, io.ErrUnexpectedEOF):
		out += ", cut"
	case err != nil:
		out += ", reset"
	}
	if resp.Close && err == nil && resp.StatusCode == 200 {
		out += ", last"
	}
	return out
}

// errBad is a worker's that is no handler's panic.
var errBad = &session.Error{Category: heddle.CategoryMisc, Code: 1, Msg: "test"}

const gaveNone = "502 502 Bad Gateway: the worker gave no answer (request id-bad)\n"

// TestBadWorkers: whatever a worker says, its client gets the right status or
// sees that the answer is not whole, the log has one line with the request, and
// neither the neighbours on the channel nor what follows on the connection suffer.
func TestBadWorkers(t *testing.T) {
	long, many := strings.Repeat("x", session.MaxHead), make([]string, 2*1025)
	for i := range many {
		many[i] = "X"
	}
	sized := responseHead(200, "Content-Length", "5")
	chunked := responseHead(200)
	for _, tt := range []struct {
		name, method string
		act          func(s *session.Session)
		want         string
		log          string // of the line at level ERROR; "": there is none
		lost         bool   // the channel is
		kept         bool   // the connection is
		overrun      uint64
		ignored      uint64
	}{
		{name: "no head", act: func(s *session.Session) { s.WriteChunk([]byte{0xc1}) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "half a head", act: func(s *session.Session) { s.WriteChunk(sized[:len(sized)-3]) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "an empty head", act: func(s *session.Session) { s.WriteChunk(nil) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "status 0", act: func(s *session.Session) { s.WriteChunk(responseHead(0)) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "status 103", act: func(s *session.Session) { s.WriteChunk(responseHead(103)) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "status 1000", act: func(s *session.Session) { s.WriteChunk(responseHead(1000)) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "a field that is two", act: func(s *session.Session) { s.WriteChunk(responseHead(200, "A", "b\r\nC: d")) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "too many fields", act: func(s *session.Session) { s.WriteChunk(responseHead(200, many...)) }, want: gaveNone, log: "over the limit", kept: true},
		{name: "too large a head", act: func(s *session.Session) {
			frame(s, codec.AppendChunk(nil, heddle.V1, s.ID(), responseHead(200, "X", long)))
		}, want: gaveNone, log: "head over its limit", kept: true, overrun: 1},
		{name: "the largest head", act: func(s *session.Session) { s.Finish(responseHead(200, "X", long[:session.MaxHead-100])) }, want: "200 ", kept: true},
		{name: "nothing", act: func(s *session.Session) {}, want: gaveNone, log: "without an answer", kept: true},
		{name: "trailers alone", act: func(s *session.Session) { s.SendTrailers(trailerArgs("A", "b")) }, want: gaveNone, log: "without an answer", kept: true},
		{name: "an error before the head", act: func(s *session.Session) { s.Abort(errBad) }, want: gaveNone, log: "test", kept: true},
		{name: "an error behind a 1xx", act: func(s *session.Session) { s.SendInfo(infoArgs(103, "A", "b")); s.Abort(errBad) }, want: "103 ", log: "test", kept: true},

		{name: "an error amid chunks", act: func(s *session.Session) { s.WriteChunk(chunked); s.Write([]byte("hel")); s.Abort(errBad) }, want: "200 hel, cut", log: "test"},
		{name: "an error behind the head", act: func(s *session.Session) { s.WriteChunk(chunked); s.Abort(errBad) }, want: "200 , cut", log: "test"},
		{name: "an error amid a length", act: func(s *session.Session) { s.WriteChunk(sized); s.Write([]byte("hel")); s.Abort(errBad) }, want: "200 hel, cut", log: "test"},
		{name: "an error where the end would be the answer's", act: func(s *session.Session) {
			s.WriteChunk(responseHead(200, "Transfer-Encoding", "identity"))
			s.Abort(errBad)
		}, want: "reset", log: "test"},
		{name: "less than its length", act: func(s *session.Session) { s.Finish(sized, []byte("hel")) }, want: "200 hel, cut", log: "less body"},
		{name: "more than its length", act: func(s *session.Session) { s.Finish(sized, []byte("hello you")) }, want: "200 , cut", log: "more body"},
		{name: "more than its length, later", act: func(s *session.Session) { s.Finish(sized, []byte("hello"), []byte(" you")) }, want: "200 hello", log: "more body"},
		{name: "a body for 204", act: func(s *session.Session) { s.Finish(responseHead(204), []byte("hello")) }, want: "204 ", kept: true},
		{name: "a body for HEAD", method: "HEAD", act: func(s *session.Session) { s.Finish(sized, []byte("hello"), []byte(" you")) }, want: "200 ", kept: true},
		{name: "an empty piece", act: func(s *session.Session) { s.WriteChunk(chunked); s.WriteChunk(nil); s.Finish([]byte("hello")) }, want: "200 hello", kept: true},
		{name: "a piece behind the end", act: func(s *session.Session) {
			s.Finish(sized, []byte("hello"))
			frame(s, codec.AppendChunk(nil, heddle.V1, s.ID(), []byte("more")))
			frame(s, codec.AppendChoke(nil, heddle.V1, s.ID()))
		}, want: "200 hello", kept: true, ignored: 2},
		{name: "more than its credit", act: func(s *session.Session) {
			s.WriteChunk(chunked)
			for range 8 { // the client reads nothing: none is given back
				frame(s, codec.AppendChunk(nil, heddle.V1, s.ID(), make([]byte, 32<<10)))
			}
		}, want: "200 …", log: "more than its window", overrun: 1},

		{name: "info 101", act: func(s *session.Session) { s.SendInfo(infoArgs(101)); s.Finish(sized, []byte("hello")) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "info 200", act: func(s *session.Session) { s.SendInfo(infoArgs(200)); s.Finish(sized, []byte("hello")) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "an info that is none", act: func(s *session.Session) { s.SendInfo([]byte{0x90}) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "an info that is two", act: func(s *session.Session) { s.SendInfo(infoArgs(103, "A", "b\r\n\r\nHTTP/1.1 200 OK")) }, want: gaveNone, log: "malformed head", kept: true},
		{name: "an info amid the body", act: func(s *session.Session) {
			s.WriteChunk(sized)
			s.Write([]byte("hel"))
			s.SendInfo(infoArgs(103))
			s.Finish([]byte("lo"))
		}, want: "200 hello", kept: true},
		{name: "trailers without chunks", act: func(s *session.Session) {
			s.WriteChunk(sized)
			s.Write([]byte("hello"))
			s.SendTrailers(trailerArgs("A", "b"))
		}, want: "200 hello", kept: true},
		{name: "trailers that frame", act: func(s *session.Session) {
			s.WriteChunk(chunked)
			s.Write([]byte("hello"))
			s.SendTrailers(trailerArgs("A", "b", "Content-Length", "3", "Transfer-Encoding", "chunked"))
		}, want: "200 hello A:[b]", kept: true},
		{name: "trailers that are more", act: func(s *session.Session) {
			s.WriteChunk(chunked)
			s.Write([]byte("hello"))
			s.SendTrailers(trailerArgs("A", "b\r\n\r\nHTTP/1.1 200 OK"))
		}, want: "200 hello, cut", log: "malformed head"},
		{name: "trailers that are none", act: func(s *session.Session) {
			s.WriteChunk(chunked)
			s.Write([]byte("hello"))
			s.SendTrailers([]byte{0x91, 0xc1})
		}, lost: true, want: "200 hello, cut", log: "lost"},

		{name: "a message of no kind", act: func(s *session.Session) { frame(s, codec.AppendExtension(nil, s.ID(), 99, []byte{0x90})) }, lost: true, want: gaveNone, log: "unknown message 99"},
		{name: "a cancel", act: func(s *session.Session) { frame(s, codec.AppendCancel(nil, s.ID(), 1, 1, "no")) }, lost: true, want: gaveNone, log: "did not open"},
		{name: "a session that never was", act: func(s *session.Session) {
			frame(s, codec.AppendChunk(nil, heddle.V1, s.ID()+1000, sized))
		}, lost: true, want: gaveNone, log: "never opened"},
		{name: "no frame", act: func(s *session.Session) { frame(s, []byte("HTTP/1.1 200 OK\r\n\r\n")) }, lost: true, want: gaveNone, log: "lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finish := make(chan struct{})
			r := newRig(t, Options{}, worker.HandlerFunc(func(_ context.Context, s *session.Session) {
				switch path(t, s) {
				case "/bad":
					tt.act(s)
					if tt.lost {
						<-s.Context().Done() // what comes behind it is not to be taken for the cause
					}
				case "/slow":
					<-finish
					s.Finish(responseHead(200, "Content-Length", "4"), []byte("slow"))
				default:
					s.Finish(responseHead(200, "Content-Length", "2"), []byte("ok"))
				}
			}), 1)
			slow := r.dial(t)
			io.WriteString(slow, get("/slow"))
			await(t, func() error {
				if n := r.sessions(); n != 1 {
					return fmt.Errorf("%d sessions", n)
				}
				return nil
			})
			c := r.dial(t)
			br := bufio.NewReader(c)
			method := "GET"
			if tt.method != "" {
				method = tt.method
			}
			io.WriteString(c, strings.Replace(get("/bad"), "GET", method, 1))
			got := outcome(br, method)
			switch {
			case got == tt.want, tt.want == "reset" && got == "200 , reset":
			case tt.want == "200 …" && strings.HasPrefix(got, "200 ") && strings.HasSuffix(got, ", cut"):
			default:
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.want == "103 " {
				if got := outcome(br, method); got != gaveNone {
					t.Errorf("got %q, want %q", got, gaveNone)
				}
			}
			if tt.kept {
				io.WriteString(c, get("/next"))
				if got := outcome(br, "GET"); got != "200 ok" {
					t.Errorf("the next got %q", got)
				}
			} else if tt.want != gaveNone {
				if got := outcome(br, "GET"); got != "closed" && tt.want != "reset" {
					t.Errorf("behind it came %q", got)
				}
			}
			close(finish)
			got = outcome(bufio.NewReader(slow), "GET")
			if want := "200 slow"; !tt.lost && got != want {
				t.Errorf("the neighbour got %q", got)
			} else if tt.lost && !strings.HasPrefix(got, "502 ") {
				t.Errorf("the neighbour got %q", got)
			}
			c.Close()
			slow.Close()
			r.settled(t)
			want := map[bool]int{true: 1}[tt.log != ""]
			if n := r.lines("level=ERROR", "request=id-bad"); n != want || r.lines("level=ERROR", "request=id-bad", "method="+method, "uri=/bad", "session=", tt.log) != want {
				t.Errorf("%d lines, want %q in one: %s", n, tt.log, r.log)
			}
			if n := r.lines("level=ERROR", "request=id-slow"); n != map[bool]int{true: 1}[tt.lost] {
				t.Errorf("%d lines about the neighbour: %s", n, r.log)
			}
			if st := r.s.Stats(); st.Gone != 0 || r.lines("status=499") > 0 {
				t.Errorf("got %+v, log %s", st, r.log)
			}
			await(t, func() error { // what comes behind an end may come later than the end is known
				if n := r.b.Mux(0).Counters(); n.Overrun != tt.overrun || n.Ignored != tt.ignored && !tt.lost {
					return fmt.Errorf("counters %+v, want %d overrun, %d ignored", n, tt.overrun, tt.ignored)
				}
				return nil
			})
		})
	}
}

// TestGaveUp: a handler that panics breaks its answer as with net/http, before
// the head by nothing at all, and the front says whose request it was.
func TestGaveUp(t *testing.T) {
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/head":
			http.NewResponseController(w).Flush()
		case "/end":
			w.Header().Set("Transfer-Encoding", "identity")
			io.WriteString(w, "hel")
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}, 1)
	for path, want := range map[string]string{"/": "closed", "/head": "200 , cut", "/end": "reset"} {
		c := r.dial(t)
		io.WriteString(c, get(path))
		if got := outcome(bufio.NewReader(c), "GET"); got != want && got != "200 hel, "+want && got != "200 , "+want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		c.Close()
	}
	r.settled(t)
	if all := strings.Count(r.log.String(), "\n"); r.lines("level=INFO", "the handler gave its answer up", "request=id-", "uri=/") != 3 || all != 3 {
		t.Errorf("the log has %s", r.log)
	}
}
