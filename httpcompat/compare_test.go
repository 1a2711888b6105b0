package httpcompat_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// An answer is what a client sees of a response.
type answer struct {
	Infos   []string // 1xx heads
	Status  string
	Header  []string // sorted; Date without its value
	Framing string
	Body    string // or its length and end, if it is long
	Trailer []string
	Broken  bool // the response ended before its end
}

func sorted(h http.Header) (lines []string) {
	for name, vv := range h {
		for _, v := range vv {
			if name == "Date" {
				v = "*"
			}
			lines = append(lines, name+": "+v)
		}
	}
	sort.Strings(lines)
	return lines
}

// ask sends raw to addr and reads one final response of a request of method.
func ask(t *testing.T, addr, method, raw string) (a answer) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	written := make(chan struct{})
	go func() { // ends when all is written, or the connection is closed
		defer close(written)
		io.WriteString(c, raw)
	}()
	defer func() { c.Close(); <-written }()
	br := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			a.Broken = true
			return a
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			a.Infos = append(a.Infos, fmt.Sprint(resp.Status, sorted(resp.Header)))
			continue
		}
		body, err := io.ReadAll(resp.Body)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			t.Fatalf("%q: %v", raw, err)
		}
		a.Broken = err != nil
		a.Status, a.Header, a.Trailer = resp.Status, sorted(resp.Header), sorted(resp.Trailer)
		a.Framing = fmt.Sprint(resp.ContentLength, resp.TransferEncoding, resp.Close)
		a.Body = string(body)
		if len(body) > 8<<10 {
			a.Body = fmt.Sprintf("%d bytes, …%q", len(body), body[len(body)-64:])
		}
		return a
	}
}

// aFile is a file for ranges.
var aFile = bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)

func get(uri string, fields ...string) string {
	return "GET " + uri + " HTTP/1.1\r\nHost: example.org\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func post(body string, fields ...string) string {
	return "POST /p HTTP/1.1\r\nHost: example.org\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

const chunked = "POST /c HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n"

// echo shows all of a request that a handler can see.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %q %s %d.%d\nhost %q length %d te %q close %v trailer %v\nurl %#v\nerr %v\nbody %d %.100q\n",
		r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.ContentLength, r.TransferEncoding, r.Close, sorted(r.Trailer), *r.URL, err, len(body), body)
	for _, line := range sorted(r.Header) {
		fmt.Fprintln(w, line)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintln(w, "from", host, err, r.Context().Value(http.LocalAddrContextKey).(net.Addr).Network(), r.Context().Value(http.ServerContextKey).(*http.Server) != nil, r.TLS == nil)
}

type comparison struct {
	name    string
	handler http.HandlerFunc
	raw     string
}

// keptOpen are the comparisons after which net/http alone closes the
// connection and sessions do not: what a MaxBytesReader tells its server is
// not for other packages to hear.
var keptOpen = map[string]bool{"max bytes exceeded": true}

func write(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s) }
}

var comparisons = []comparison{
	// What the handler sees.
	{"echo", echo, get("/a/b.html?x=1&y=%20")},
	{"echo escaped", echo, get("/a%2Fb/%C3%A9?q#f")},
	{"echo odd path", echo, get("//double/../up/;p=1,2:3@4!*'()")},
	{"echo bad path", echo, get("/%zz")},
	{"echo forced query", echo, get("/p?")},
	{"echo absolute", echo, get("http://other.example:81/x?y")},
	{"echo 1.0", echo, "GET / HTTP/1.0\r\n\r\n"},
	{"echo 1.0 keep-alive", echo, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"},
	{"echo close", echo, get("/", "Connection: close")},
	{"echo options", echo, "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"options *", echo, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"echo odd method", echo, "M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"echo many headers", echo, get("/", manyFields()...)},
	{"echo duplicates", echo, get("/", "X-A: 1", "X-B: 2", "x-a: 3", "Accept: a", "accept: b", "Cookie: a=1", "Cookie: b=2; c=3")},
	{"echo empty value", echo, get("/", "X-Empty:", "X-Space:   ")},
	{"echo utf8 value", echo, get("/", "X-Name: Zoë")},
	{"echo post", echo, post("hello, body")},
	{"echo post empty", echo, post("")},
	{"echo post large", echo, post(strings.Repeat("ab", 300<<10))},
	{"echo chunked", echo, chunked + "\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n"},
	{"echo chunked trailers", echo, chunked + "Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"},
	{"echo chunked empty", echo, chunked + "\r\n0\r\n\r\n"},
	{"echo expect", echo, post("expected", "Expect: 100-continue")},
	{"echo put", echo, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"},
	{"cookies", func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("b")
		http.SetCookie(w, &http.Cookie{Name: "one", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "two", Value: "2", HttpOnly: true})
		fmt.Fprint(w, c, err)
	}, get("/", "Cookie: a=1; b=2")},
	{"form", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.FormValue("a"), r.PostFormValue("b"), r.ParseForm())
	}, post("b=2&c=3", "Content-Type: application/x-www-form-urlencoded")},
	{"multipart", func(w http.ResponseWriter, r *http.Request) {
		_, fh, err := r.FormFile("f")
		fmt.Fprint(w, fh.Filename, fh.Size, err)
	}, post("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n\r\nwords\r\n--b--\r\n", "Content-Type: multipart/form-data; boundary=b")},
	{"malformed chunk", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		w.WriteHeader(400)
		fmt.Fprint(w, err != nil)
	}, chunked + "\r\nzz\r\nabc"},

	// What the handler writes.
	{"nothing", func(http.ResponseWriter, *http.Request) {}, get("/")},
	{"text", write("Hello, heddle\n"), get("/")},
	{"head of text", write("Hello, heddle\n"), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"head of nothing", write(""), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"head with length", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "77") }, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"head of much", write(strings.Repeat("x", 100<<10)), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"html sniffed", write("<!doctype html><p>hi"), get("/")},
	{"gif sniffed", write("GIF89a..."), get("/")},
	{"octets sniffed", write("\x00\x01\x02"), get("/")},
	{"sniffed across writes", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<!doc")
		io.WriteString(w, "type html>")
		w.Write(bytes.Repeat([]byte("y"), 20<<10))
	}, get("/")},
	{"not sniffed", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}, get("/")},
	{"not sniffed if encoded", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "\x1f\x8b...")
	}, get("/")},
	{"own date", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("X-Date", "none")
	}, get("/")},
	{"204", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(204)
		_, err := io.WriteString(w, "abc")
		if err != http.ErrBodyNotAllowed {
			panic(err)
		}
	}, get("/")},
	{"304", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	}, get("/")},
	{"status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(418) }, get("/")},
	{"odd status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(799); io.WriteString(w, "odd") }, get("/")},
	{"http.Error", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 404) }, get("/")},
	{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", 302) }, get("/")},
	{"superfluous", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }, get("/")},
	{"changed after WriteHeader", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "before")
		w.WriteHeader(200)
		w.Header().Set("X-A", "after")
		w.Header().Set("X-B", "after")
	}, get("/")},
	{"duplicate headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-D"] = []string{"1", "2", ""}
		w.Header().Add("Vary", "a")
		w.Header().Add("Vary", "b")
	}, get("/")},
	{"odd headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Padded", "  padded  ")
		w.Header().Set("X-Lines", "one\r\nTwo: 2\nthree")
		w.Header().Set("X-Control", "a\x01b")
		w.Header().Set("X Name", "invalid")
		w.Header()["x-small"] = []string{"1"}
	}, get("/")},
	{"length right", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "12345")
	}, get("/")},
	{"length short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "12345")
	}, get("/")},
	{"length over", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "12345")
		if _, err := io.WriteString(w, "6"); err != http.ErrContentLength {
			panic(err)
		}
	}, get("/")},
	{"length over at once", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		if _, err := io.WriteString(w, "123456"); err != http.ErrContentLength {
			panic(err)
		}
	}, get("/")},
	{"length invalid", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "many")
		io.WriteString(w, "12345")
	}, get("/")},
	{"flushed", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	}, get("/")},
	{"flushed head", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() }, get("/")},
	{"flushed to 1.0", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	}, "GET / HTTP/1.0\r\n\r\n"},
	{"large", write(strings.Repeat("0123456789", 1<<20)), get("/")},
	{"large declared", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(4<<20))
		for range 4 << 4 {
			w.Write(make([]byte, 64<<10))
		}
	}, get("/")},
	{"copied", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, bytes.NewReader(aFile)) }, get("/")},
	{"copied little", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, io.MultiReader(strings.NewReader("<html>"))) }, get("/")},
	{"copied after write", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		io.Copy(w, io.LimitReader(bytes.NewReader(aFile), 50_000))
	}, get("/")},
	{"copied to head", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, io.LimitReader(bytes.NewReader(aFile), 50_000))
	}, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"connection close", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	}, get("/")},
	{"content", content, get("/")},
	{"content head", content, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"content range", content, get("/", "Range: bytes=100-199")},
	{"content suffix", content, get("/", "Range: bytes=-10")},
	{"content bad range", content, get("/", "Range: bytes=999999-")},
	{"content not modified", content, get("/", `If-None-Match: "v1"`)},

	// Trailers and 1xx.
	{"trailer declared", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}, get("/")},
	{"trailer declared, flushed", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "x-sum")
		w.(http.Flusher).Flush()
		io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}, get("/")},
	{"trailer prefixed", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}, get("/")},
	{"trailer prefixed too late", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "abc")
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}, get("/")},
	{"trailer with length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	}, get("/")},
	{"early hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Set("Link", "</b.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Header().Set("X-Final", "1")
		io.WriteString(w, "final")
	}, get("/")},
	{"processing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(102); w.WriteHeader(204) }, get("/")},

	// Bad ends.
	{"panic", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") }, get("/")},
	{"panic after a little", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "abc"); panic("on purpose") }, get("/")},
	{"panic after flush", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		panic("on purpose")
	}, get("/")},
	{"abort", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, get("/")},
	{"abort after flush", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, get("/")},
	{"invalid status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(42) }, get("/")},

	// Bodies that are not read, or not to their end.
	{"body not read", write("not interested"), post("ignored")},
	{"large body not read", write("not interested"), post(strings.Repeat("z", 200<<10))},
	{"expect not read", write("not interested"), post("", "Expect: 100-continue")},
	{"expect refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 417) }, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"},
	{"max bytes", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
		var e *http.MaxBytesError
		fmt.Fprint(w, errors.As(err, &e))
	}, post("shorter")},
	{"max bytes exceeded", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
		http.Error(w, err.Error(), 413)
	}, post("much longer than ten bytes")},
	{"body closed", func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, err)
	}, post("hello")},
	{"timeout handler", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 20*time.Millisecond, "late").ServeHTTP, get("/")},
}

func content(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", `"v1"`)
	http.ServeContent(w, r, "file.txt", time.Unix(1e9, 0), bytes.NewReader(aFile))
}

func manyFields() (fields []string) {
	for i := range 200 {
		fields = append(fields, fmt.Sprintf("X-Field-%d: %s", i, strings.Repeat("v", i)))
	}
	return fields
}

// TestCompare sends the same bytes to a handler behind net/http alone and
// behind sessions, and wants the client to see no difference.
func TestCompare(t *testing.T) {
	for _, c := range comparisons {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			alone := httptest.NewServer(c.handler)
			defer alone.Close()
			server := httpcompattest.NewServer(c.handler)
			defer server.Close()
			method, _, _ := strings.Cut(c.raw, " ")
			want := ask(t, alone.Listener.Addr().String(), method, c.raw)
			got := ask(t, server.Listener.Addr().String(), method, c.raw)
			if keptOpen[c.name] {
				want.Framing = strings.Replace(want.Framing, "true", "false", 1)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%.200q (-alone +sessions):\n%s", c.raw, d)
			}
		})
	}
}
