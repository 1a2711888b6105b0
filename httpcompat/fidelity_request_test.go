package httpcompat_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// see notes everything about a request that a handler can see.
func see(n *notes, w http.ResponseWriter, r *http.Request) {
	seeHead(n, w, r)
	body, err := io.ReadAll(r.Body)
	n.add("body: %d bytes %.200q", len(body), body)
	n.fail("body's end", err)
	again, err := r.Body.Read(make([]byte, 1))
	n.add("read again: %d %s", again, kind(err))
	n.add("trailers after the body: %s", fields(r.Trailer))
	_, _ = io.WriteString(w, "seen")
}

func seeHead(n *notes, w http.ResponseWriter, r *http.Request) {
	n.add("%q %q, %s %d.%d", r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor)
	u := *r.URL
	u.User = nil
	n.add("url: %#v, user %v", u, r.URL.User)
	n.add("host: %q, close: %v, length: %d, transfer encoding: %q", r.Host, r.Close, r.ContentLength, r.TransferEncoding)
	n.add("header: %s", fields(r.Header))
	n.add("trailers before the body: %s", fields(r.Trailer))
	n.add("body: none %v", r.Body == http.NoBody)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	n.add("from %s to %T %v %v, context: %s", r.RemoteAddr, local, local, ok, live(r.Context()))
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	n.add("server: %v %v", ok && srv.Handler != nil, srv != nil)
	n.add("form: %v %v %v, pattern: %q, response: %v", r.Form, r.PostForm, r.MultipartForm, r.Pattern, r.Response)
	n.add("tls: %v", r.TLS != nil)
	n.add("writer: %s", abilities(w))
}

// abilities are the interfaces that a handler may ask of w.
func abilities(w http.ResponseWriter) string {
	var can []string
	for name, ok := range map[string]bool{
		"Flusher":       is[http.Flusher](w),
		"FlushError":    is[interface{ FlushError() error }](w),
		"Hijacker":      is[http.Hijacker](w),
		"Pusher":        is[http.Pusher](w),
		"CloseNotifier": is[interface{ CloseNotify() <-chan bool }](w),
		"ReaderFrom":    is[io.ReaderFrom](w),
		"StringWriter":  is[io.StringWriter](w),
		"Unwrap":        is[interface{ Unwrap() http.ResponseWriter }](w),
	} {
		if ok {
			can = append(can, name)
		}
	}
	slices.Sort(can)
	return strings.Join(can, " ")
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// fields are h's, sorted by name, the values in their order.
func fields(h http.Header) string {
	if h == nil {
		return "nil"
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s %q; ", name, h[name])
	}
	return b.String()
}

// line is a request of HTTP/1.1 without a body.
func line(method, uri string, fields ...string) string {
	return method + " " + uri + " HTTP/1.1\r\nHost: example.org\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// requestFidelities are about what of a request arrives.
var requestFidelities = slices.Concat(
	sawRequests("method ", func(m string) string { return line(m, "/m") },
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~9", "PRI", "GET/", "G(T"),
	sawRequests("uri ", func(uri string) string { return line("GET", uri) },
		"/", "/a%2Fb/%C3%A9?q=%20+%2B", "//double//../up/./x", "/;p=1;q,2:3@4!*'()", "/?a=1;b=2&c", "/p?", "/p??x", "/p?%zz", "/?q=a b", "/%zz", "/%",
		"/a#b", "/a\"<>\\^`{|}", "/\xc3\xa9", "/\x01", "/x?\x7f", "*", "x", "http://other.example:81/x?y#z", "http://other.example", "http://u:p@h/x", "http:///x",
		"HTTP://H/x", "ftp://h/x", "mailto:a@b", "//host/path", "///", "http://[::1]:80/", "http://[::1/", "?q"),
	sawRequests("CONNECT ", func(uri string) string { return line("CONNECT", uri) },
		"example.org:443", "example.org", "/path", "http://h/x", "[::1]:443", "h:x"),
	sawRequests("OPTIONS ", func(uri string) string { return line("OPTIONS", uri) },
		"/x", "http://h"),
	[]fidelity{
		{name: "OPTIONS *", handler: see, raw: line("OPTIONS", "*")},
		{name: "OPTIONS * with a body", handler: see, raw: line("OPTIONS", "*", "Content-Length: 5") + "hello"},
		{name: "OPTIONS * with a long body", handler: see, raw: line("OPTIONS", "*", "Content-Length: 5000") + strings.Repeat("x", 5000)},
		{name: "OPTIONS * to the handler", handler: see, raw: line("OPTIONS", "*"), set: func(srv *http.Server) { srv.DisableGeneralOptionsHandler = true }},
	},
	sawRequests("raw ", func(raw string) string { return raw },
		// Versions and hosts.
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b/ HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"GET / HTTP/3.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/0.9\r\n\r\n",
		"GET /\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		// Fields.
		line("GET", "/", "X-A: 1", "x-b: 2", "x-A: 3", "X-a: 4", "Accept: a", "accept: b", "Cookie: a=1", "Cookie: b=2; c=3"),
		line("GET", "/", "X-Empty:", "X-Space:    ", "X-Pad: \t v \t"),
		line("GET", "/", "X-Name: Zo\xc3\xab", "X-Latin: \xe9"),
		line("GET", "/", "X-Control: a\x01b"),
		line("GET", "/", "X Name: 1"),
		line("GET", "/", "X-Name : 1"),
		line("GET", "/", ": 1"),
		line("GET", "/", "X_Under.score!: 1"),
		line("GET", "/", "X-Folded: 1", " 2"),
		line("GET", "/", "no colon"),
		line("GET", "/", "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Te: trailers", "Proxy-Connection: x"),
		line("GET", "/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
		line("GET", "/", "Trailer: X-T"),
		line("GET", "/", "Expect: 100-continue"),
		line("GET", "/", "Expect: more"),
		line("GET", "/", "Pragma: no-cache"),
		line("GET", "/", "Content-Type: x", "Authorization: Basic eDp5", "X-Forwarded-For: 1.2.3.4", "X-Real-Ip: 1.2.3.4", "X-Request-Id: r1", "Forwarded: for=x"),
		line("GET", "/", manyFields()...),
		line("GET", "/", "X-Long: "+strings.Repeat("0123456789", 10_000)),
		// Bodies, declared in all ways.
		line("GET", "/", "Content-Length: 3")+"abc",
		line("POST", "/", "Content-Length: 0"),
		line("POST", "/", "Content-Length: 3", "Content-Length: 3")+"abc",
		line("POST", "/", "Content-Length: 3", "Content-Length: 4")+"abcd",
		line("POST", "/", "Content-Length: -1"),
		line("POST", "/", "Content-Length: +3")+"abc",
		line("POST", "/", "Content-Length: 99999999999999999999"),
		line("POST", "/", "Content-Length: 3", "Transfer-Encoding: chunked")+"3\r\nabc\r\n0\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: gzip, chunked")+"0\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: identity"),
		line("POST", "/", "Transfer-Encoding: CHUNKED")+"3\r\nabc\r\n0\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+"0\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
		line("POST", "/", "Transfer-Encoding: chunked")+"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: chunked")+"0\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: chunked", "Trailer: X-Sum, X-Unset", "Trailer: x-more")+"3\r\nabc\r\n0\r\nX-Sum: 7\r\nx-more: 1\r\nX-More: 2\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: chunked")+"3\r\nabc\r\n0\r\nX-Undeclared: 7\r\n\r\n",
		line("POST", "/", "Transfer-Encoding: chunked", "Trailer: Content-Length")+"0\r\n\r\n",
		line("POST", "/", "Content-Length: 3", "Trailer: X-T")+"abc",
	),
	[]fidelity{
		{name: "pipelined", handler: see, raw: line("GET", "/1") + line("POST", "/2", "Content-Length: 5") + "abc\r\n" + line("HEAD", "/3") + line("GET", "/4")},
		{name: "pipelined and closed", handler: see, raw: line("GET", "/1", "Connection: close") + line("GET", "/2")},
		{name: "one after the other", handler: see, steps: []step{sends(line("GET", "/1")), expect("seen"), sends(line("POST", "/2", "Content-Length: 1") + "x"), expect("seen"), sends("GET /3 HTTP/1.0\r\n\r\n")}},
	},
)

// sawRequests are rows of one request each, which see looks at.
func sawRequests(prefix string, request func(string) string, values ...string) (rows []fidelity) {
	for _, v := range values {
		name := fmt.Sprintf("%s%.100q", prefix, strings.Replace(v, "HTTP/1.1\r\nHost: example.org\r\n", "", 1))
		rows = append(rows, fidelity{name: name, handler: see, raw: request(v)})
	}
	return rows
}

func manyFields() (fields []string) {
	for i := range 200 {
		fields = append(fields, fmt.Sprintf("X-Field-%d: %s", i, strings.Repeat("v", i)))
	}
	return fields
}

func get(uri string, fields ...string) string {
	return "GET " + uri + " HTTP/1.1\r\nHost: example.org\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// chunked is a request's head up to the line that ends it.
const chunked = "POST /c HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n"
