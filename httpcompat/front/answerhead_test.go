//go:build linux

package front

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// headOf is a worker's head with these fields, name and value in turn.
func headOf(code int, fields ...string) []byte { return madeHead(code, 0, fields...) }

func madeHead(code, made int, fields ...string) []byte {
	h := heddle.ResponseHead{Code: int64(code), Made: int64(made)}
	for i := 0; i < len(fields); i += 2 {
		h.Headers = append(h.Headers, heddle.Header{Name: heddle.Raw(fields[i]), Value: heddle.Raw(fields[i+1])})
	}
	b, err := h.MarshalMsg(nil)
	if err != nil {
		panic(err) // no value of these types fails
	}
	return b
}

func many(n int) (fields []string) {
	for range n {
		fields = append(fields, "X", "1")
	}
	return fields
}

const ok5 = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"

// workerHeads are what a worker may say for a head, and what its client is told: 502
// if nothing stands here. The body is 12345.
var workerHeads = []struct {
	name string
	head []byte
	want string // without Date
}{
	{"nothing", []byte{}, ""},
	{"no msgpack", []byte{0xc1}, ""},
	{"text", []byte("HTTP/1.1 200 OK\r\n\r\n"), ""},
	{"nil", []byte{0xc0}, ""},
	{"no array", []byte("\xa3200"), ""},
	{"an empty array", []byte{0x90}, ""},
	{"a code alone", []byte{0x91, 0xcc, 0xc8}, ""},
	{"cut off", headOf(200, "X", "1")[:7], ""},
	{"cut off behind the code", []byte{0x92, 0xcc, 0xc8}, ""},
	{"more behind it", append(headOf(200), 0xc0), ""},
	{"a code of text", []byte("\x92\xa3200\x90"), ""},
	{"a code with a fraction", []byte("\x92\xca\x43\x48\x00\x00\x90"), ""},
	{"fields that are no array", []byte("\x92\xcc\xc8\xa1x"), ""},
	{"a field that is no pair", []byte("\x92\xcc\xc8\x91\x91\xa1x"), ""},
	{"a field that is a number", []byte("\x92\xcc\xc8\x91\x92\x01\x02"), ""},
	{"a promise of many fields", []byte("\x92\xcc\xc8\xdd\x7f\xff\xff\xff"), ""},
	{"a promise of a long value", []byte("\x92\xcc\xc8\x91\x92\xa1x\xdb\x7f\xff\xff\xff"), ""},
	{"deep", append([]byte("\x93\xcc\xc8\x90"), bytes.Repeat([]byte{0x91}, 100)...), ""},
	{"1,025 fields", headOf(200, many(1025)...), ""},
	{"0", headOf(0), ""},
	{"below 0", headOf(-200), ""},
	{"99", headOf(99), ""},
	{"100", headOf(100), ""},
	{"103", headOf(103), ""},
	{"199", headOf(199), ""},
	{"1000", headOf(1000), ""},
	{"over 63 bits", []byte("\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x90"), ""},
	{"over 32 bits", headOf(200 + 1<<32), ""},
	{"no name", headOf(200, "", "1"), ""},
	{"a name with a space", headOf(200, "X Y", "1"), ""},
	{"a name with a colon", headOf(200, "X:", "1"), ""},
	{"a name with CR", headOf(200, "X\r", "1"), ""},
	{"a name with LF", headOf(200, "X\nContent-Length: 0", "1"), ""},
	{"a name with NUL", headOf(200, "X\x00", "1"), ""},
	{"a name with a high byte", headOf(200, "\xc3\xa9", "1"), ""},
	{"a value with CR", headOf(200, "X", "1\r"), ""},
	{"a value with LF", headOf(200, "X", "1\nSet-Cookie: a"), ""},
	{"a value with CR LF", headOf(200, "X", "1\r\n\r\nHTTP/1.1 200 OK"), ""},
	{"a length with CR LF", headOf(200, "Content-Length", "5\r\nX: 1"), ""},
	{"a made length with CR LF", madeHead(200, heddle.MadeLength, "Content-Length", "5\r\nX: 1"), ""},
	{"a made date with LF", madeHead(200, heddle.MadeDate, "Date", "x\n"), ""},
	{"a made type with LF", madeHead(200, heddle.MadeType, "Content-Type", "x\n"), ""},
	{"a made length of words", madeHead(200, heddle.MadeLength, "Content-Length", "five"), ""},
	{"a made length below 0", madeHead(200, heddle.MadeLength, "Content-Length", "-5"), ""},

	{"a value with NUL, as net/http sends it", headOf(200, "Content-Length", "5", "X", "\x00"), ok5 + "X: \x00\r\n\r\n12345"},
	{"high bytes in a value", headOf(200, "Content-Length", "5", "X", "\xc3\xa9"), ok5 + "X: \xc3\xa9\r\n\r\n12345"},
	{"999", headOf(999, "Content-Length", "5"), "HTTP/1.1 999 status code 999\r\nContent-Length: 5\r\n\r\n12345"},
	{"in order", headOf(200, "b", "1", "A", "2", "b", "3", "Content-Length", "5"), "HTTP/1.1 200 OK\r\nA: 2\r\nContent-Length: 5\r\nb: 1\r\nb: 3\r\n\r\n12345"},
	{"chunks", headOf(200, "X", ""), "HTTP/1.1 200 OK\r\nX: \r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"chunks that the worker names", headOf(200, "Transfer-Encoding", "chunked"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"chunks and a length", headOf(200, "Transfer-Encoding", "chunked", "Content-Length", "5"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"a length and chunks", headOf(200, "Content-Length", "5", "Transfer-Encoding", "chunked"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"a length below 0", headOf(200, "Content-Length", "-5"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"a length of words", headOf(200, "Content-Length", "five"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"a length of 20 digits", headOf(200, "Content-Length", "99999999999999999999"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"an empty length", headOf(200, "Content-Length", ""), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"},
	{"204 with a length", headOf(204, "Content-Length", "5"), "HTTP/1.1 204 No Content\r\n\r\n"},
	{"304 with a body", headOf(304, "Content-Type", "a/b", "Transfer-Encoding", "chunked"), "HTTP/1.1 304 Not Modified\r\n\r\n"},
	{"a made length", madeHead(200, heddle.MadeLength, "Content-Length", "5"), ok5 + "\r\n12345"},
	{"1,000 fields", headOf(200, append(many(1000), "Content-Length", "5")...), ok5 + strings.Repeat("X: 1\r\n", 1000) + "\r\n12345"},
	{"a long value", headOf(200, "Content-Length", "5", "X", strings.Repeat("x", 200<<10)), ok5 + "X: " + strings.Repeat("x", 200<<10) + "\r\n\r\n12345"},
	{"the same length twice", headOf(200, "Content-Length", "5", "Content-Length", "5"), ok5 + "Content-Length: 5\r\n\r\n12345"},
}

// serveWorker is a front on a loop before a worker that answers with say, by the
// number that the request's path is; any other path with "end".
func serveWorker(t *testing.T, say func(s *session.Session, i int)) (*Server, *journal) {
	t.Helper()
	b, err := httpcompattest.NewBackend(worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		m, err := s.Recv()
		if err != nil {
			t.Error(err)
			return
		}
		var r heddle.RequestHead
		if err := codec.DecodeRequestHead(&r, m.Data); err != nil {
			t.Error(err)
			return
		}
		if i, err := strconv.Atoi(strings.TrimPrefix(string(r.URI), "http://a")[1:]); err == nil {
			say(s, i) // what it writes behind a head that is refused may fail
			return
		}
		_ = s.WriteChunk(madeHead(200, heddle.MadeLength, "Content-Length", "3"))
		_ = s.WriteChunk([]byte("end"))
	}), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	j := new(journal)
	logger := slog.New(slog.NewTextHandler(j, nil))
	s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Serve(&httpcompat.Proxy{Opener: b, Logger: logger}, b); err != nil {
		t.Fatal(err)
	}
	return s, j
}

// askTwice asks for number i, and behind it for the end.
func askTwice(t *testing.T, s *Server, prefix string, i int) string {
	t.Helper()
	c := dial(t, s)
	io.WriteString(c, asks(fmt.Sprintf("GET %s/%d HTTP/1.1", prefix, i), "Host: a", fmt.Sprintf("X-Request-Id: id-%03d", i)))
	io.WriteString(c, asks("GET "+prefix+"/end HTTP/1.1", "Host: a", "Connection: close"))
	return strings.ReplaceAll(dates.ReplaceAllString(closed(t, c), ""), fmt.Sprintf("(request id-%03d)", i), "(request id)")
}

const (
	refusedHead = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 60\r\n\r\n" +
		"502 Bad Gateway: the worker gave no answer (request id)\n"
	theEnd = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nend"
)

// TestWorkerHeads: a head that is none is answered with 502 and keeps neither the
// client nor the worker from the next request; a front says the same whoever of its
// two writes it.
func TestWorkerHeads(t *testing.T) {
	s, j := serveWorker(t, func(s *session.Session, i int) {
		_ = s.WriteChunk(workerHeads[i].head)
		_ = s.WriteChunk([]byte("12345"))
	})
	for i, tt := range workerHeads {
		want := tt.want + theEnd
		if tt.want == "" {
			want = refusedHead + theEnd
		}
		if got := askTwice(t, s, "", i); got != want {
			t.Errorf("%s: %.100q\ngot  %.400q\nwant %.400q", tt.name, tt.head, got, want)
		}
		if tt.want == "" {
			j.await(t, "level=ERROR", "answer broke off", fmt.Sprintf("request=id-%03d", i))
		}
		if strings.HasPrefix(tt.name, "a made length ") && strings.HasSuffix(want, refusedHead+theEnd) && !bytes.Contains(tt.head, []byte("\r")) {
			want = ok5 + "\r\n12345" + theEnd // net/http makes it once more, and looks at nothing
		}
		if got := askTwice(t, s, "http://a", i); got != want {
			t.Errorf("%s, by net/http: %.100q\ngot  %.400q\nwant %.400q", tt.name, tt.head, got, want)
		}
	}
	if st := s.Stats(); st.HandedOver["target"] != int64(len(workerHeads)) || len(st.HandedOver) != 1 {
		t.Errorf("handed over: %v", st.HandedOver)
	}
}

// TestWorkerInfosAndTrailers: nor do those that come before and behind an answer
// bring lines of their own.
func TestWorkerInfosAndTrailers(t *testing.T) {
	args := func(code int, fields ...string) []byte {
		i := heddle.Info{Code: int64(code)}
		for k := 0; k < len(fields); k += 2 {
			i.Headers = append(i.Headers, heddle.Header{Name: heddle.Raw(fields[k]), Value: heddle.Raw(fields[k+1])})
		}
		b, err := i.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	trailers := func(fields ...string) []byte { return append([]byte{0x91}, args(0, fields...)[len(args(0))-1:]...) }
	const answer, hints = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "HTTP/1.1 103 Early Hints\r\n"
	rows := []struct {
		name           string
		info, trailers []byte
		want           string
	}{
		{"an info", args(103, "X", "1"), nil, hints + "X: 1\r\n\r\n" + answer + "0\r\n\r\n" + theEnd},
		{"an info with a length", args(103, "Content-Length", "3", "Transfer-Encoding", "chunked"), nil, hints + "\r\n" + answer + "0\r\n\r\n" + theEnd},
		{"an info of 99", args(99), nil, refusedHead + theEnd},
		{"an info of 101", args(101), nil, refusedHead + theEnd},
		{"an info of 200", args(200), nil, refusedHead + theEnd},
		{"an info with LF", args(103, "X", "1\nY: 2"), nil, refusedHead + theEnd},
		{"an info with CR", args(103, "X", "1\r"), nil, refusedHead + theEnd},
		{"an info with a colon in a name", args(103, "X:", "1"), nil, refusedHead + theEnd},
		{"an info without a name", args(103, "", "1"), nil, refusedHead + theEnd},
		{"an info that is text", []byte("\x92\xa3103\x90"), nil, refusedHead + theEnd},
		{"trailers", nil, trailers("X", "1"), answer + "0\r\nX: 1\r\n\r\n" + theEnd},
		{"trailers that frame", nil, trailers("Content-Length", "3", "Transfer-Encoding", "chunked", "Trailer", "X"), answer + "0\r\n\r\n" + theEnd},
		{"trailers with LF", nil, trailers("X", "1\n\nHTTP/1.1 200 OK"), answer},
		{"trailers with a space in a name", nil, trailers("X Y", "1"), answer},
		{"trailers that are text", nil, []byte("\x91\xa1x"), answer},
	}
	s, j := serveWorker(t, func(s *session.Session, i int) {
		if rows[i].info != nil {
			_ = s.SendInfo(rows[i].info)
		}
		_ = s.WriteChunk(headOf(200))
		_ = s.WriteChunk([]byte("12345"))
		if rows[i].trailers != nil {
			_ = s.SendTrailers(rows[i].trailers)
		}
	})
	for i, tt := range rows {
		if got := askTwice(t, s, "", i); got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
		if !strings.HasSuffix(tt.want, "0\r\n\r\n"+theEnd) && tt.name != "trailers" {
			j.await(t, "level=ERROR", "answer broke off", fmt.Sprintf("request=id-%03d", i))
		}
	}
}

// TestHandlerHeads: what a handler says with CR and LF in it reaches the client as
// from net/http alone, with blanks in their place.
func TestHandlerHeads(t *testing.T) {
	const split = "1\r\nSet-Cookie: evil\r\n\r\nHTTP/1.1 200 OK\n\n"
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X", "Location", "Content-Type", "X\r\nY", "X: Y", "X Y", "", "Date", "Connection", "Link"} {
			w.Header()[name] = []string{split}
		}
		if r.URL.Path == "/length" {
			w.Header()["Content-Length"] = []string{"2\r\n"}
		}
		if r.URL.Path == "/info" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if r.URL.Path == "/trailer" {
			w.Header()["Trailer"] = []string{"X-A, X-B\r\nX-C: 1"}
			io.WriteString(w, "ok")
			w.Header()["X-A"] = []string{split}
			w.Header()[http.TrailerPrefix+"X-D"] = []string{split}
			w.Header()[http.TrailerPrefix+"X\r\nE"] = []string{split}
			return
		}
		io.WriteString(w, "ok")
	})
	alone, loop := parties(t, h)
	for _, path := range []string{"/", "/length", "/info", "/trailer"} {
		raw := asks("GET "+path+" HTTP/1.1", "Host: a") + asks("HEAD / HTTP/1.1", "Host: a")
		want, got := alone.reads(t, raw), loop.reads(t, raw)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s\n-alone +loop:\n%s", path, d)
		}
		if strings.Contains(got.Answer, "\nSet-Cookie") || !strings.Contains(got.Answer, "X: 1  Set-Cookie: evil") {
			t.Errorf("%s: got %q", path, got.Answer)
		}
	}
}

// plainHead says whether a head means the same to everybody, so that a client's
// parser must agree with ours. A Go program's handler may write others too.
func plainHead(h *heddle.ResponseHead) bool {
	lengths, codings := 0, 0
	for _, f := range h.Headers {
		name, value := string(f.Name), string(f.Value)
		canonical := http.CanonicalHeaderKey(name)
		switch canonical {
		case "Content-Length":
			lengths++
			if _, ok := decimal(f.Value); !ok || lengths > 1 {
				return false
			}
		case "Transfer-Encoding":
			codings++
			if codings > 1 || value != "chunked" && value != "identity" {
				return false
			}
		case "Trailer", "Connection":
		default:
			canonical = name
		}
		if name != canonical || name == "Trailer" || !all(f.Value, inValue) || value != strings.Trim(value, " \t") {
			return false
		}
	}
	return true
}

// checkHead looks at what was made of a head.
func checkHead(t *testing.T, st *stage, h *heddle.ResponseHead, isHead, last, draining bool) {
	t.Helper()
	fields := slices.Clone(h.Headers) // they are put in order
	ln := &lane{draining: draining}
	x := &call{ln: ln, isHead: isHead, last: last}
	b, ok := x.appendHead([]byte("before"), h)
	h.Headers = fields

	// Refused is what has a reason to be.
	code := int(h.Code)
	good := code == 101 || code >= 200 && code <= 999
	for _, f := range fields {
		good = good && len(f.Name) > 0 && !bytes.ContainsFunc(f.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r) }) && !bytes.ContainsAny(f.Value, "\r\n")
		if string(f.Name) == "Content-Length" && h.Made&heddle.MadeLength != 0 && ok {
			if n, err := strconv.Atoi(string(f.Value)); err != nil || n < 0 {
				good = len(f.Value) == 0
			}
		}
	}
	if !ok {
		if good && h.Made&heddle.MadeLength == 0 {
			t.Fatalf("%+v is refused", h)
		}
		return
	}
	if !good {
		t.Fatalf("%+v is let through: %q", h, b)
	}

	// Each line is a field, once, or what a front may say.
	text, begun := strings.CutPrefix(string(b), "before")
	head, ended := strings.CutSuffix(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if !begun || !ended || !strings.HasPrefix(lines[0], "HTTP/1.1 "+strconv.Itoa(code)+" ") {
		t.Fatalf("%+v became %q", h, b)
	}
	unsaid := map[string]int{"Connection: close": 1, "Transfer-Encoding: chunked": 1}
	for _, f := range fields {
		unsaid[string(f.Name)+": "+string(f.Value)]++
	}
	for _, line := range lines[1:] {
		if unsaid[line]--; unsaid[line] < 0 || strings.ContainsAny(line, "\r\n") {
			t.Fatalf("%+v became %q, with a line %q too many", h, b, line)
		}
	}

	if plainHead(h) && h.Made == 0 {
		checkReader(t, x, h, text, isHead)
	}
	if h.Made == 0 && !draining {
		checkWriter(t, st, h, text, isHead, last)
	}
}

// checkReader has net/http's client read it.
func checkReader(t *testing.T, x *call, h *heddle.ResponseHead, text string, isHead bool) {
	t.Helper()
	method := map[bool]string{false: "GET", true: "HEAD"}[isHead]
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	want := headerOf(h.Headers)
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Connection"} { // of which the framing is made
		want.Del(name)
		resp.Header.Del(name)
	}
	if h.Code == http.StatusNotModified {
		want.Del("Content-Type")
	}
	if resp.StatusCode != int(h.Code) || !maps.EqualFunc(resp.Header, want, slices.Equal) {
		t.Fatalf("%q: got %d %v, want %d %v", text, resp.StatusCode, resp.Header, h.Code, want)
	}
	got := byEnd
	switch {
	case isHead || h.Code < 200 || h.Code == http.StatusNoContent || h.Code == http.StatusNotModified:
		got = noBody
	case slices.Equal(resp.TransferEncoding, []string{"chunked"}):
		got = byChunks
	case resp.ContentLength >= 0:
		got = byLength
	}
	if got != x.framing || got == byLength && resp.ContentLength != x.rest || got == byEnd && !x.last {
		t.Fatalf("%q: the client expects %d, %d bytes, and gets %d, %d bytes, last %v", text, got, resp.ContentLength, x.framing, x.rest, x.last)
	}
}

// checkWriter has net/http's server write it for a handler.
func checkWriter(t *testing.T, st *stage, h *heddle.ResponseHead, text string, isHead, last bool) {
	t.Helper()
	fields := make(http.Header)
	for _, f := range h.Headers {
		name, value := string(f.Name), string(f.Value)
		if value != strings.Trim(value, " \t\r\n") {
			return // it trims, as our workers have done
		}
		fields[name] = append(fields[name], value)
	}
	if length := fields.Get("Content-Length"); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err != nil || n < 0 {
			return // docs/fidelity.md, length of words
		}
	}
	if codings := fields["Transfer-Encoding"]; len(codings) > 1 && codings[0] == "" {
		return // it writes chunked twice, which no client reads
	}
	if _, ok := fields["Date"]; !ok {
		fields["Date"] = nil
	}
	lines := []string{map[bool]string{false: "GET", true: "HEAD"}[isHead] + " / HTTP/1.1", "Host: a"}
	if last {
		lines = append(lines, "Connection: close")
	}
	_, answer := st.playScript(t, &script{in: bytes.NewReader([]byte(asks(lines...))), answer: func(w http.ResponseWriter) {
		maps.Copy(w.Header(), fields)
		w.WriteHeader(int(h.Code))
		w.(http.Flusher).Flush()
	}})
	want, _, _ := strings.Cut(answer, "\r\n\r\n")
	if want += "\r\n\r\n"; want != text {
		t.Fatalf("%+v, head %v, last %v\n-net/http +loop:\n%s", h, isHead, last, cmp.Diff(want, text))
	}
}

// newWriter is net/http's server, whose handler answers as the script says.
func newWriter(tb testing.TB) *stage {
	return newStage(tb, &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scriptOf(r).answer(w)
	})})
}

// FuzzAnswerHead: whatever a worker says, the client gets a head that is that one,
// written as net/http writes it, or none.
func FuzzAnswerHead(f *testing.F) {
	for i, tt := range workerHeads {
		f.Add(tt.head, uint8(i))
	}
	for i, fields := range [][]string{
		{"Connection", "close"}, {"Connection", "Close, x"}, {"Connection", "Close x"}, {"Connection", "x", "Connection", "upgrade", "Upgrade", "x"}, {"Upgrade", "", "Upgrade", "x", "Connection", "Upgrade"}, {"Connection", "keep-alive", "Connection", "close"}, {"Connection", "upgrade", "Upgrade", "x"},
		{"Transfer-Encoding", "identity"}, {"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "", "Transfer-Encoding", "chunked"}, {"transfer-encoding", "chunked", "Content-Length", "5"},
		{"content-length", "5"}, {"Content-Length", "+5"}, {"Content-Length", "5", "Content-Length", "6"}, {"Date", "x"}, {"Date", ""}, {"Trailer", "X, Y"}, {"Content-Type", ""},
		{"Content-Encoding", "gzip"}, {"X", " 1\t"},
	} {
		for _, code := range []int{101, 200, 204, 304, 500} {
			f.Add(headOf(code, fields...), uint8(i+code))
		}
	}
	st := newWriter(f)
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		var h heddle.ResponseHead
		if codec.DecodeResponseHead(&h, data) != nil {
			return
		}
		checkHead(t, st, &h, how&1 != 0, how&2 != 0, how&4 != 0)
	})
}
