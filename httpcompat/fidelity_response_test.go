package httpcompat_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answers is a row whose handler only writes.
func answers(name string, h http.HandlerFunc, raw ...string) fidelity {
	f := fidelity{name: name, raw: line("GET", "/"), handler: func(_ *notes, w http.ResponseWriter, r *http.Request) { h(w, r) }}
	if len(raw) > 0 {
		f.raw = raw[0]
	}
	return f
}

// notes is a row whose handler notes what becomes of its writes.
func noting(name string, h func(n *notes, w http.ResponseWriter), raw ...string) fidelity {
	f := answers(name, nil, raw...)
	f.handler = func(n *notes, w http.ResponseWriter, r *http.Request) { h(n, w) }
	return f
}

// says is a handler that sets fields, sets a status if it is not 0, and writes
// each of parts.
func says(status int, fields http.Header, parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, vv := range fields {
			w.Header()[name] = vv
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		for _, p := range parts {
			_, _ = io.WriteString(w, p)
		}
	}
}

// put writes s and notes what came of it.
func (n *notes) put(w io.Writer, s string) {
	k, err := io.WriteString(w, s)
	n.add("write %d of %d: %s", k, len(s), kind(err))
}

func headLine(fields ...string) string { return line("HEAD", "/", fields...) }

const (
	old      = "GET / HTTP/1.0\r\n\r\n"
	oldAlive = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
	ample    = 100 << 10
)

var (
	much  = strings.Repeat("0123456789", ample/10)
	page  = "<!doctype html><title>x</title>"
	timed = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
)

// responseFidelities are about the body of an answer and what is said of it.
var responseFidelities = []fidelity{
	answers("nothing", says(0, nil)),
	answers("nothing, 1.0", says(0, nil), old),
	answers("nothing, 1.0 kept", says(0, nil), oldAlive),
	answers("nothing, HEAD", says(0, nil), headLine()),
	answers("text", says(0, nil, "text\n")),
	answers("text, HEAD", says(0, nil, "text\n"), headLine()),
	answers("text, HEAD closed", says(0, nil, "text\n"), headLine("Connection: close")),
	answers("text, 1.0", says(0, nil, "text"), old),
	answers("text, 1.0 kept", says(0, nil, "text"), oldAlive),
	answers("text, HEAD 1.0", says(0, nil, "text"), "HEAD / HTTP/1.0\r\n\r\n"),
	answers("pieces", says(0, nil, "a", "b", "c")),
	answers("empty pieces", says(0, nil, "", "a", "", "b", "")),
	answers("only empty pieces", says(0, nil, "", "")),
	answers("page sniffed", says(0, nil, page)),
	answers("sniffed in pieces", says(0, nil, "<!doc", "type html>")),
	answers("sniffed across the buffer", says(0, nil, "<!doc", "type html>", much)),
	answers("bytes sniffed", says(0, nil, "\x00\x01")),
	answers("picture sniffed", says(0, nil, "GIF89a..."), headLine()),
	answers("own type", says(0, http.Header{"Content-Type": {"x/y"}}, page)),
	answers("own empty type", says(0, http.Header{"Content-Type": {""}}, page)),
	answers("no type wanted", says(0, http.Header{"Content-Type": nil}, page)),
	answers("two types", says(0, http.Header{"Content-Type": {"a/a", "b/b"}}, page)),
	answers("encoded, so not sniffed", says(0, http.Header{"Content-Encoding": {"gzip"}}, "\x1f\x8b")),
	answers("empty encoding", says(0, http.Header{"Content-Encoding": {""}}, page)),
	answers("own date", says(0, http.Header{"Date": {"yesterday"}}, "x")),
	answers("no date wanted", says(0, http.Header{"Date": nil}, "x")),
	answers("empty date", says(0, http.Header{"Date": {""}}, "x")),
	answers("2047 bytes", says(0, nil, much[:2047])),
	answers("2048 bytes", says(0, nil, much[:2048])),
	answers("2049 bytes", says(0, nil, much[:2049])),
	answers("2048 bytes in pieces", says(0, nil, much[:2000], much[:48])),
	answers("2049 bytes in pieces", says(0, nil, much[:2000], much[:49])),
	answers("2048 bytes, HEAD", says(0, nil, much[:2048]), headLine()),
	answers("2049 bytes, HEAD", says(0, nil, much[:2049]), headLine()),
	answers("much", says(0, nil, much)),
	answers("much, HEAD", says(0, nil, page, much), headLine()),
	answers("much, 1.0", says(0, nil, much), old),
	answers("much, 1.0 kept", says(0, nil, much), oldAlive),
	{name: "much in one chunk", raw: line("GET", "/"), chunks: true, handler: func(n *notes, w http.ResponseWriter, r *http.Request) { says(0, nil, much)(w, r) },
		differs: "the sizes of chunks: net/http makes one of each large write, sessions cut at 32 KiB, and flushes that come close together may share one. Nothing to do: a chunk has no meaning"},

	// Content-Length.
	answers("length", says(0, http.Header{"Content-Length": {"5"}}, "12345")),
	answers("length of much", says(0, http.Header{"Content-Length": {strconv.Itoa(ample)}}, much)),
	answers("length, HEAD", says(0, http.Header{"Content-Length": {"77"}}), headLine()),
	answers("length, HEAD and body", says(0, http.Header{"Content-Length": {"5"}}, "12345"), headLine()),
	answers("length, HEAD and more", says(0, http.Header{"Content-Length": {"5"}}, "123456"), headLine()),
	answers("length 0", says(0, http.Header{"Content-Length": {"0"}})),
	answers("length, 1.0 kept", says(0, http.Header{"Content-Length": {"5"}}, "12345"), oldAlive),
	noting("length and less", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "9")
		n.put(w, "12345")
	}),
	answers("length and nothing", says(0, http.Header{"Content-Length": {"9"}})),
	noting("length and more", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "5")
		n.put(w, "12345")
		n.put(w, "6")
		n.put(w, "")
	}),
	noting("length and more at once", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "5")
		n.put(w, "123456")
		n.put(w, "1")
	}),
	answers("length of words", says(0, http.Header{"Content-Length": {"many"}}, "12345")),
	{name: "length of words, HEAD", raw: headLine(), handler: writes(says(0, http.Header{"Content-Length": {"many"}})),
		differs: "net/http logs an invalid Content-Length and sends it all the same where there are no chunks, to HEAD and to HTTP/1.0; sessions log and drop it. Set a number"},
	answers("empty length, HEAD", says(0, http.Header{"Content-Length": {""}}, "12345"), headLine()),
	answers("length below 0", says(0, http.Header{"Content-Length": {"-5"}}, "12345")),
	answers("length padded", says(0, http.Header{"Content-Length": {" 5 "}}, "12345")),
	answers("length signed", says(0, http.Header{"Content-Length": {"+5"}}, "12345")),
	answers("two lengths", says(0, http.Header{"Content-Length": {"5", "5"}}, "12345")),
	answers("no length wanted", says(0, http.Header{"Content-Length": nil}, "12345")),

	// Statuses.
	answers("status", says(418, nil, "tea")),
	answers("status alone", says(500, nil)),
	answers("status without a name", says(799, nil, "odd")),
	answers("status of three digits", says(999, nil)),
	answers("205", says(205, nil, "x")),
	noting("204", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Content-Type", "text/x")
		w.WriteHeader(204)
		n.put(w, "abc")
	}),
	noting("304", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("Etag", `"e"`)
		w.WriteHeader(304)
		n.put(w, "")
		n.put(w, "abc")
	}),
	answers("204, HEAD", says(204, nil), headLine()),
	answers("204, 1.0 kept", says(204, nil), oldAlive),
	noting("invalid status", func(n *notes, w http.ResponseWriter) {
		defer func() { n.add("%v", recover()); n.put(w, "x") }()
		w.WriteHeader(99)
	}),
	noting("status of four digits", func(n *notes, w http.ResponseWriter) {
		defer func() { n.add("%v", recover()); w.WriteHeader(500) }()
		w.WriteHeader(1000)
	}),
	answers("superfluous", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }),
	answers("superfluous after a write", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x"); w.WriteHeader(500) }),
	answers("superfluous hint", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(103) }),
	answers("invalid after a status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(9999) }),
	answers("101 without hijacking", says(101, http.Header{"Upgrade": {"x"}, "Connection": {"Upgrade"}})),

	// From readers.
	answers("copied", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, strings.NewReader(much)) }),
	answers("copied little", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.MultiReader(strings.NewReader(page)))
	}),
	answers("copied nothing", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, io.MultiReader()) }),
	noting("copied from a reader", func(n *notes, w http.ResponseWriter) {
		k, err := io.Copy(w, io.LimitReader(strings.NewReader(much), 50_000))
		n.add("%d %s", k, kind(err))
	}),
	noting("copied more than was said", func(n *notes, w http.ResponseWriter) {
		w.Header().Set("Content-Length", "5")
		k, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("123456"))
		n.add("%d %s", k, kind(err))
	}),
	noting("copied from a reader that fails", func(n *notes, w http.ResponseWriter) {
		k, err := io.Copy(w, io.MultiReader(strings.NewReader("abc"), failing{}))
		n.add("%d %s", k, kind(err))
	}),
	noting("copied to 304", func(n *notes, w http.ResponseWriter) {
		w.WriteHeader(304)
		k, err := io.Copy(w, strings.NewReader("abc"))
		n.add("%d %s", k, kind(err))
	}),
	answers("copied behind a write", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		_, _ = io.Copy(w, io.LimitReader(strings.NewReader(much), 50_000))
		_, _ = io.WriteString(w, " last")
	}),
	answers("copied, HEAD", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, strings.NewReader(much)) }, headLine()),
	answers("copied with a length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(ample))
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(much)})
	}),

	// What net/http makes on top of all this.
	answers("http.Error", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Content-Encoding", "gzip")
		http.Error(w, "no", 404)
	}),
	answers("http.Error behind a write", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun\n")
		http.Error(w, "no", 500)
	}),
	answers("redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "../else?x", 302) }, line("GET", "/a/b")),
	answers("redirect of POST", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", 307) }, declared(0)),
	answers("cookies", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", HttpOnly: true})
		_, _ = fmt.Fprint(w, r.Cookies())
	}, line("GET", "/", "Cookie: c=3; d=4")),
	answers("mux redirects", func(w http.ResponseWriter, r *http.Request) {
		m := http.NewServeMux()
		m.HandleFunc("/a/", says(0, nil, "a"))
		m.ServeHTTP(w, r)
	}, line("GET", "//a/../a?q")),
	answers("content", served, line("GET", "/")),
	answers("content, HEAD", served, headLine()),
	answers("content range", served, line("GET", "/", "Range: bytes=100-199")),
	answers("content ranges", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/x")
		served(&boundary{w}, r)
	}, line("GET", "/", "Range: bytes=0-0,-1")),
	answers("content bad range", served, line("GET", "/", "Range: bytes=999999-")),
	answers("content not modified", served, line("GET", "/", `If-None-Match: "v"`)),
	answers("content not modified since", served, line("GET", "/", "If-Modified-Since: "+timed.Format(http.TimeFormat))),
	answers("TimeoutHandler", func(w http.ResponseWriter, r *http.Request) {
		http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), time.Millisecond, "late").ServeHTTP(w, r)
	}),
	answers("multipart form", func(w http.ResponseWriter, r *http.Request) {
		_, fh, err := r.FormFile("f")
		_, _ = fmt.Fprint(w, fh.Filename, fh.Size, err)
	}, declared(81, "Content-Type: multipart/form-data; boundary=b")+"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n\r\nwords\r\n--b--\r\n"),
	answers("form", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.FormValue("a"), r.PostFormValue("b"), r.ParseForm(), r.Form)
	}, "POST /?a=1;x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nb=2&c=3"),
}

func served(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", `"v"`)
	http.ServeContent(w, r, "file.txt", timed, bytes.NewReader([]byte(much)))
}

// A boundary is a writer of multipart answers whose boundary is not random.
type boundary struct{ http.ResponseWriter }

func (b *boundary) Write(p []byte) (int, error) {
	if i := bytes.Index(p, []byte("--")); i >= 0 && len(p) < 200 {
		return len(p), nil // the lines that have it; the length is then not kept
	}
	return b.ResponseWriter.Write(p)
}

func (b *boundary) WriteHeader(status int) {
	b.Header().Set("Content-Type", "multipart/byteranges")
	b.Header().Del("Content-Length")
	b.ResponseWriter.WriteHeader(status)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// headFidelities are about an answer's fields, 1xx heads and trailers.
var headFidelities = []fidelity{
	answers("fields", says(0, http.Header{"X-B": {"1", "2", ""}, "X-A": {"3"}, "Vary": {"a", "b"}, "Zz": {"z"}, "Server": {"s"}, "Accept": {"a"}}, "x")),
	answers("names as they are", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["x-small"] = []string{"1"}
		w.Header()["X-SMALL"] = []string{"2"}
		w.Header()["content-type"] = []string{"x/y"}
		_, _ = io.WriteString(w, page)
	}),
	answers("names that are none", says(0, http.Header{"X Y": {"1"}, "": {"2"}, "X:Y": {"3"}, "X\r\nY": {"4"}, "X\u00e9": {"5"}}, "x")),
	answers("values that are none", says(0, http.Header{"X-Lines": {"a\r\nB: c\nd\re"}, "X-Pad": {"  a  "}, "X-Control": {"a\x01b\x7f"}, "X-Latin": {"\xe9"}, "X-Nul": {"\x00"}}, "x")),
	answers("no values", says(0, http.Header{"X-None": {}, "X-Nil": nil}, "x")),
	answers("changed after WriteHeader", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "before")
		w.WriteHeader(200)
		w.Header().Set("X-A", "after")
		w.Header().Set("X-B", "after")
		w.Header().Set("Content-Type", "after/after")
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "x")
	}),
	answers("changed after a write", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-A", "before")
		_, _ = io.WriteString(w, "x")
		h.Set("X-A", "after")
		h.Set("Date", "never")
	}),
	answers("values changed in place", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-A"] = []string{"before"}
		w.WriteHeader(200)
		w.Header()["X-A"][0] = "after"
	}),
	answers("close", says(0, http.Header{"Connection": {"close"}}, "bye")),
	answers("close, 1.0", says(0, http.Header{"Connection": {"close"}}, "bye"), oldAlive),
	answers("close among others", says(0, http.Header{"Connection": {"X-Hop, close"}, "X-Hop": {"1"}}, "bye")),
	answers("close, not 1st", says(0, http.Header{"Connection": {"X-Hop", "close"}}, "bye")),
	answers("keep-alive", says(0, http.Header{"Connection": {"keep-alive"}, "Keep-Alive": {"timeout=5"}}, "x")),
	answers("keep-alive, 1.0", says(0, http.Header{"Connection": {"keep-alive"}, "Content-Length": {"1"}}, "x"), oldAlive),
	answers("hop by hop", says(0, http.Header{"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Upgrade": {"y"}, "Te": {"z"}, "Proxy-Connection": {"p"}}, "x")),
	answers("426", says(426, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"HTTP/3.0"}}, "x")),
	answers("transfer encoding identity", says(0, http.Header{"Transfer-Encoding": {"identity"}}, page)),
	answers("transfer encoding chunked", says(0, http.Header{"Transfer-Encoding": {"chunked"}}, page)),
	answers("transfer encoding chunked, HEAD", says(0, http.Header{"Transfer-Encoding": {"chunked"}}, page), headLine()),
	answers("transfer encoding chunked, 1.0", says(0, http.Header{"Transfer-Encoding": {"chunked"}}, page), old),
	answers("transfer encoding and length", says(0, http.Header{"Transfer-Encoding": {"chunked"}, "Content-Length": {"3"}}, "abc")),
	answers("many fields", func(w http.ResponseWriter, r *http.Request) {
		for i := range 500 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("v", i))
		}
	}),
	answers("long field", says(0, http.Header{"X-Long": {much}}, "x")),

	// 1xx.
	answers("hints", hints(103, 103), line("GET", "/")),
	answers("hints, 1.0", hints(103), old),
	answers("hints, HEAD", hints(103), headLine()),
	answers("processing", hints(102), line("GET", "/")),
	answers("199", hints(199), line("GET", "/")),
	answers("continue without being asked", hints(100), line("GET", "/")),
	answers("many hints", hints(103, 103, 103, 103, 103, 103, 103, 103)),
	answers("hints with a length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Connection", "close")
		w.WriteHeader(103)
		_, _ = io.WriteString(w, "abc")
	}),
	{name: "hints at once", steps: []step{sends(line("GET", "/")), expect("103 "), tell("seen"), expect("done")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<a>")
		w.WriteHeader(103)
		n.add("%v", n.await("seen"))
		_, _ = io.WriteString(w, "done")
	}},

	// Trailers.
	answers("trailer", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, x-more,X-Unset")
		w.Header().Add("Trailer", "X-Other")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
		w.Header()["X-More"] = []string{"1", "2"}
		w.Header().Set("X-Other", "o")
	}),
	answers("trailer set before", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "before")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "after")
	}),
	answers("trailer behind nothing", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		w.Header().Set("X-Sum", "6")
	}),
	answers("trailer behind much", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, much)
		w.Header().Set("X-Sum", "6")
	}),
	answers("trailer not allowed", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Content-Length, Transfer-Encoding, Trailer, X-Ok")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Ok", "1")
		w.Header().Set("Content-Length", "9")
	}),
	answers("trailer undeclared", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		w.Header().Set(http.TrailerPrefix+"x-b", "2")
	}),
	answers("trailer undeclared, set before", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		_, _ = io.WriteString(w, "abc")
	}),
	answers("trailer undeclared, unflushed", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	}),
	answers("trailer undeclared, before any write", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	}),
	answers("trailers of both kinds", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-A")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-A", "1")
		w.Header().Set(http.TrailerPrefix+"X-B", "2")
	}),
	answers("trailer with a length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}),
	answers("trailer, 1.0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}, old),
	answers("trailer, HEAD", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}, headLine()),
	answers("trailer of 304", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(304)
		w.Header().Set("X-Sum", "6")
	}),
}

// hints sends 1xx heads, each with a Link of its own, and then an answer.
func hints(codes ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i, code := range codes {
			w.Header().Set("Link", fmt.Sprintf("</%d>", i))
			w.Header().Set("x-a", "1")
			w.WriteHeader(code)
		}
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "final")
	}
}
