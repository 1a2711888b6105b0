package front

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// TestRequestHead: what stays on the loop and what it is, and why the rest leaves.
func TestRequestHead(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		why       reason
	}{
		{"plain", plain, stays},
		{"like a browser's", browserLike, stays},
		{"HEAD", asks("HEAD / HTTP/1.1", "Host: a"), stays},
		{"OPTIONS of a path", asks("OPTIONS / HTTP/1.1", "Host: a"), stays},
		{"a body", posts("Content-Length: 2") + "xy", stays},
		{"a length with zeros", posts("Content-Length: 007") + "1234567", stays},
		{"the longest length", posts("Content-Length: " + strings.Repeat("9", 18)), stays},
		{"bytes over 127 in a value", gets("X: \xff\xfe"), stays},
		{"a path with two slashes", asks("GET //b:x/%2f?%zz#y HTTP/1.1", "Host: a"), stays},
		{"keep-alive", gets("connection: Keep-Alive"), stays},
		{"as many fields as may be", gets(strings.Split(strings.Repeat("X: 1,", maxFieldsHere-1)+"X: 1", ",")...), stays},

		{"lower case", asks("get / HTTP/1.1", "Host: a"), leavesMethod},
		{"CONNECT", asks("CONNECT / HTTP/1.1", "Host: a"), leavesMethod},
		{"an empty line", "\r\n" + plain, leavesMethod},
		{"asterisk", asks("OPTIONS * HTTP/1.1", "Host: a"), leavesTarget},
		{"two spaces", asks("GET  / HTTP/1.1", "Host: a"), leavesTarget},
		{"a tab in the target", asks("GET /\t HTTP/1.1", "Host: a"), leavesTarget},
		{"a byte over 126 in the target", asks("GET /\x7f HTTP/1.1", "Host: a"), leavesTarget},
		{"half an escape", asks("GET /%2 HTTP/1.1", "Host: a"), leavesTarget},
		{"no escape", asks("GET /%2g HTTP/1.1", "Host: a"), leavesTarget},
		{"1.0", asks("GET / HTTP/1.0", "Host: a"), leavesVersion},
		{"no version", asks("GET /", "Host: a"), leavesVersion},
		{"a space behind the version", asks("GET / HTTP/1.1 ", "Host: a"), leavesVersion},
		{"LF alone", "GET / HTTP/1.1\nHost: a\r\n\r\n", leavesField},
		{"LF alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", leavesField},
		{"a continued line", gets("X: 1", " 2"), leavesField},
		{"a space before the colon", gets("X : 1"), leavesField},
		{"no colon", gets("X"), leavesField},
		{"no name", gets(": 1"), leavesField},
		{"NUL in a name", gets("X\x00: 1"), leavesField},
		{"NUL in a value", gets("X: \x00"), leavesField},
		{"DEL in a value", gets("X: \x7f"), leavesField},
		{"CR in a value", gets("X: 1\r2"), leavesField},
		{"CR at a value's end", gets("X: 1\r"), leavesField},
		{"no Host", asks("GET / HTTP/1.1", "X: 1"), leavesHost},
		{"two Hosts", gets("host: a"), leavesHost},
		{"an empty Host", asks("GET / HTTP/1.1", "Host:"), leavesHost},
		{"an odd Host", asks("GET / HTTP/1.1", "Host: a/b"), leavesHost},
		{"a signed length", posts("Content-Length: +5"), leavesLength},
		{"the same length twice", posts("Content-Length: 5", "Content-Length: 5"), leavesLength},
		{"an empty length", posts("Content-Length:"), leavesLength},
		{"a length of 19 digits", posts("Content-Length: 1" + strings.Repeat("0", 18)), leavesLength},
		{"chunks", posts("Transfer-Encoding: chunked"), leavesTransfer},
		{"trailers", posts("Trailer: X"), leavesTransfer},
		{"an upgrade", gets("Upgrade: x"), leavesUpgrade},
		{"an expectation", posts("Expect: 100-continue"), leavesExpect},
		{"a list in Connection", gets("Connection: close, x"), leavesConnection},
		{"too many fields", gets(strings.Split(strings.Repeat("X: 1,", maxFieldsHere)+"X: 1", ",")...), leavesCount},
		{"too many fields with what net/http adds", gets(append(strings.Split(strings.Repeat("X: 1,", maxFieldsHere-2)+"X: 1", ","), "Pragma: no-cache")...), leavesCount},
		{"too long", gets("X: " + strings.Repeat("x", limitsHere.MaxHeaderBytes)), leavesSize},
		{"too long and without an end", gets("X: 1") + "GET /" + strings.Repeat("x", limitsHere.MaxHeaderBytes), stays},
		{"too much of a body", posts("Content-Length: " + strconv.FormatInt(limitsHere.MaxBody+1, 10)), leavesBody},
		{"half", plain[:len(plain)-1], leavesEOF},
	} {
		l := limitsHere
		if strings.HasPrefix(tt.name, "the longest") {
			l.MaxBody = 0
		}
		var h requestHead
		n, why := h.decide(l, []byte(tt.raw), len(tt.raw))
		if why != tt.why {
			t.Errorf("%s: got %q, want %q\n%q", tt.name, why, tt.why, tt.raw)
		}
		if why == stays && n != strings.Index(tt.raw, "\r\n\r\n")+4 {
			t.Errorf("%s: %d bytes of %q", tt.name, n, tt.raw)
		}
	}
	var h requestHead
	if n, why := h.decide(limitsHere, []byte(posts("content-length:\t 12 ", "Connection: CLOSE", "x-forwarded-for: b", "CONNECTION: keep-alive")), 1<<20); why != stays {
		t.Errorf("got %d, %v", n, why)
	}
	if string(h.method) != "POST" || string(h.target) != "/" || string(h.host) != "a" || h.length != 12 || !h.close || len(h.fields) != 4 || !h.has(kindFor) || h.has(kindHost) {
		t.Errorf("got %+v", h)
	}
	if f := h.fields[2]; string(f.name) != "x-forwarded-for" || string(f.value) != "b" || f.kind != kindFor {
		t.Errorf("got %s: %s, %d", f.name, f.value, f.kind)
	}
}

// TestReasons: each has a name of its own.
func TestReasons(t *testing.T) {
	names := map[string]bool{}
	for r := stays + 1; r < reasons; r++ {
		if name := r.String(); name == "" || names[name] {
			t.Errorf("reason %d is %q", r, name)
		}
		names[r.String()] = true
	}
}

const maxFieldsHere = 30

// limitsHere are small enough for tests to come near.
var limitsHere = Limits{MaxHeaderBytes: 4 << 10, MaxHeaders: maxFieldsHere, MaxBody: 32 << 10}

// decide is what a client decides of data that comes in pieces of size bytes, each
// looked at before the next, and then ends: client.request without what follows.
func (h *requestHead) decide(l Limits, data []byte, size int) (n int, why reason) {
	return h.decidePieces(l, data, func(have int) int { return have + size })
}

// decidePieces is decide, of pieces whose ends next says.
func (h *requestHead) decidePieces(l Limits, data []byte, next func(have int) int) (n int, why reason) {
	var scan lineScan
	for have := 0; have < len(data); {
		kept := have > 0
		have = min(next(have), len(data))
		p := data[:have]
		if kept {
			whole, why := scan.next(p)
			if why != stays {
				return 0, why
			}
			if !whole {
				if have > l.MaxHeaderBytes {
					return 0, leavesSize
				}
				continue
			}
		}
		n, why := h.parse(p, l.MaxHeaders)
		switch {
		case why != stays:
			return 0, why
		case n == 0 && have > l.MaxHeaderBytes, n > l.MaxHeaderBytes:
			return 0, leavesSize
		case n == 0:
			continue
		case l.MaxBody > 0 && h.length > l.MaxBody:
			return 0, leavesBody
		}
		return n, stays
	}
	return 0, leavesEOF
}

// checkPieces compares what is decided of data as a whole with what is of its
// pieces: that must not depend on how the network cuts, nor must a head wait for a
// byte behind it.
func checkPieces(t *testing.T, l Limits, data []byte) {
	t.Helper()
	var h requestHead
	want, why := h.decide(l, data, len(data))
	if n, pieces := h.decide(l, data, 1); n != want {
		t.Fatalf("%q: %d %q as a whole, %d %q byte by byte", data, want, why, n, pieces)
	}
	if want > 0 {
		if n, pieces := h.decide(l, data[:want], 1); n != want {
			t.Fatalf("%q: %d as a whole, %d %q without what is behind", data, want, n, pieces)
		}
	}
	cut := func(at int) {
		n, pieces := h.decidePieces(l, data, func(have int) int {
			if have == 0 {
				return at
			}
			return len(data)
		})
		if n != want {
			t.Fatalf("%q: %d %q as a whole, %d %q cut at %d", data, want, why, n, pieces, at)
		}
	}
	step := 1 + len(data)/512 // what is longer is cut at some places, and at those around the end
	for at := 1; at < len(data); at += step {
		cut(at)
	}
	for at := max(1, want-3); at < min(want+3, len(data)); at++ {
		cut(at)
	}
}

func TestPieces(t *testing.T) {
	for _, s := range shapes {
		checkPieces(t, limitsHere, []byte(s.raw+marker))
	}
	for size := limitsHere.MaxHeaderBytes - 40; size < limitsHere.MaxHeaderBytes+10; size++ {
		checkPieces(t, limitsHere, []byte(gets("X: "+strings.Repeat("x", size))))
	}
}

// FuzzLineScan: the scan finds the end where a plain search does.
func FuzzLineScan(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s.raw), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		var scan lineScan
		for have := 0; have < len(data); {
			have = min(have+1+int(size), len(data))
			whole, why := scan.next(data[:have])
			switch end := bytes.Index(data[:have], []byte("\r\n\r\n")); {
			case why != stays:
				return
			case whole && end < 0 && !bytes.HasPrefix(data, []byte("\r\n")):
				t.Fatalf("%q has no end", data[:have])
			case whole:
				return
			case end >= 0:
				t.Fatalf("%q has an end at %d", data[:have], end)
			}
		}
	})
}

// A shape is what a client sends to be understood in two ways.
type shape struct {
	name, raw string
	differs   string // why the front's answer is not net/http's alone
}

// marker is the request behind each shape: who sees it otherwise than whole has
// been led to think that the one before ended elsewhere.
const marker = "GET /marker HTTP/1.1\r\nHost: marker\r\n\r\n"

func asks(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }
func gets(fields ...string) string {
	return asks(append([]string{"GET / HTTP/1.1", "Host: a"}, fields...)...)
}
func posts(fields ...string) string {
	return asks(append([]string{"POST / HTTP/1.1", "Host: a"}, fields...)...)
}

// chunks is a chunked request with this body.
func chunks(body string) string { return posts("Transfer-Encoding: chunked") + body }

var browserLike = gets(
	"Connection: keep-alive", "Cache-Control: max-age=0", `Sec-Ch-Ua: "Chromium";v="130"`, "Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site: none",
	"Sec-Fetch-Mode: navigate", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en;q=0.9", "Cookie: a=b; c=d",
)

// hidden is a request that must not be seen where it is a body.
const hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"

var shapes = []shape{
	{name: "nothing odd", raw: plain},
	{name: "like a browser's", raw: browserLike},
	{name: "two", raw: plain + asks("HEAD /b HTTP/1.1", "Host: a")},
	{name: "a body", raw: posts("Content-Length: 5") + "12345"},
	{name: "a body that is a request", raw: posts("Content-Length: "+strconv.Itoa(len(hidden))) + hidden},
	{name: "GET with a body", raw: gets("Content-Length: "+strconv.Itoa(len(hidden))) + hidden},
	{name: "HEAD with a body", raw: asks("HEAD / HTTP/1.1", "Host: a", "Content-Length: 3") + "abc"},
	{name: "a body without a length", raw: posts() + hidden},
	{name: "a body of 0", raw: posts("Content-Length: 0")},

	// Ends of lines.
	{name: "LF", raw: strings.ReplaceAll(posts("Content-Length: 3"), "\r\n", "\n") + "abc"},
	{name: "LF behind the first line", raw: "GET / HTTP/1.1\nHost: a\r\n\r\n"},
	{name: "LF behind a field", raw: "POST / HTTP/1.1\r\nHost: a\r\nX: 1\nContent-Length: 3\r\n\r\nabc"},
	{name: "LF at the end", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\nabc"},
	{name: "LF LF amid a head", raw: "GET / HTTP/1.1\r\nHost: a\n\n" + hidden},
	{name: "CR", raw: strings.ReplaceAll(plain, "\r\n", "\r")},
	{name: "CR behind the first line", raw: "GET / HTTP/1.1\rHost: a\r\n\r\n"},
	{name: "CR in a value", raw: gets("X: 1\rContent-Length: 3")},
	{name: "CR CR LF", raw: "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"},
	{name: "CR CR LF at the end", raw: "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"},
	{name: "an empty line first", raw: "\r\n" + plain},
	{name: "LF first", raw: "\n" + plain},
	{name: "an empty line behind a GET", raw: plain + "\r\n"},
	{name: "an empty line behind a POST", raw: posts("Content-Length: 1") + "x\r\n"},
	{name: "two empty lines behind a POST", raw: posts("Content-Length: 1") + "x\r\n\r\n"},
	{name: "three empty lines behind a POST", raw: posts("Content-Length: 1") + "x\r\n\r\n\r\n"},
	{name: "LF LF LF behind a POST", raw: posts("Content-Length: 0") + "\n\n\n"},
	{name: "an empty line behind a PUT", raw: asks("PUT / HTTP/1.1", "Host: a", "Content-Length: 1") + "x\r\n"},

	// The first line.
	{name: "a space behind the version", raw: asks("GET / HTTP/1.1 ", "Host: a")},
	{name: "two spaces", raw: asks("GET  / HTTP/1.1", "Host: a")},
	{name: "two spaces before the version", raw: asks("GET /  HTTP/1.1", "Host: a")},
	{name: "a space first", raw: asks(" GET / HTTP/1.1", "Host: a")},
	{name: "tabs", raw: asks("GET\t/\tHTTP/1.1", "Host: a")},
	{name: "a tab before the version", raw: asks("GET /\tHTTP/1.1", "Host: a")},
	{name: "no version", raw: asks("GET /", "Host: a")},
	{name: "no target", raw: asks("GET HTTP/1.1", "Host: a")},
	{name: "no method", raw: asks("/ HTTP/1.1", "Host: a")},
	{name: "a method of odd bytes", raw: asks("GE(T / HTTP/1.1", "Host: a")},
	{name: "a method with NUL", raw: asks("GE\x00T / HTTP/1.1", "Host: a")},
	{name: "a method with a high byte", raw: asks("GE\xc3\xa9T / HTTP/1.1", "Host: a")},
	{name: "a method in lower case", raw: asks("get / HTTP/1.1", "Host: a")},
	{name: "a method of its own", raw: asks("PURGE / HTTP/1.1", "Host: a", "Content-Length: 1") + "x"},
	{name: "CONNECT", raw: asks("CONNECT a:443 HTTP/1.1", "Host: a")},
	{name: "CONNECT of a path", raw: asks("CONNECT /x HTTP/1.1", "Host: a")},
	{name: "TRACE", raw: asks("TRACE / HTTP/1.1", "Host: a")},
	{name: "PRI", raw: asks("PRI * HTTP/1.1", "Host: a")},
	{name: "HTTP/1.0", raw: asks("GET / HTTP/1.0", "Host: a")},
	{name: "HTTP/1.0 that stays", raw: asks("GET / HTTP/1.0", "Host: a", "Connection: keep-alive")},
	{name: "HTTP/1.0 and chunks", raw: asks("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked", "Connection: keep-alive") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "HTTP/1.2", raw: asks("GET / HTTP/1.2", "Host: a")},
	{name: "HTTP/1.10", raw: asks("GET / HTTP/1.10", "Host: a")},
	{name: "HTTP/01.1", raw: asks("GET / HTTP/01.1", "Host: a")},
	{name: "HTTP/2.0", raw: asks("GET / HTTP/2.0", "Host: a")},
	{name: "HTTP/0.9", raw: "GET /\r\n"},
	{name: "http/1.1", raw: asks("GET / http/1.1", "Host: a")},
	{name: "HTTP/1,1", raw: asks("GET / HTTP/1,1", "Host: a")},

	// Targets.
	{name: "absolute", raw: asks("GET http://b/c HTTP/1.1", "Host: a")},
	{name: "absolute without a path", raw: asks("GET http://b HTTP/1.1", "Host: a")},
	{name: "absolute with a user", raw: asks("GET http://u@b/c HTTP/1.1", "Host: a")},
	{name: "asterisk", raw: asks("OPTIONS * HTTP/1.1", "Host: a")},
	{name: "asterisk of GET", raw: asks("GET * HTTP/1.1", "Host: a")},
	{name: "authority", raw: asks("GET b:80 HTTP/1.1", "Host: a")},
	{name: "no slash", raw: asks("GET b HTTP/1.1", "Host: a")},
	{name: "two slashes", raw: asks("GET //b/c HTTP/1.1", "Host: a")},
	{name: "two slashes and a bad port", raw: asks("GET //b:c/d HTTP/1.1", "Host: a")},
	{name: "a fragment", raw: asks("GET /a#b?c HTTP/1.1", "Host: a")},
	{name: "only a query", raw: asks("GET ? HTTP/1.1", "Host: a")},
	{name: "a bad escape", raw: asks("GET /%zz HTTP/1.1", "Host: a")},
	{name: "a bad escape in the query", raw: asks("GET /?%zz HTTP/1.1", "Host: a")},
	{name: "escapes", raw: asks("GET /%2e%2E/%00%0d%0a?%0d HTTP/1.1", "Host: a")},
	{name: "odd bytes in a target", raw: asks("GET /\"<>\\^`{|}[] HTTP/1.1", "Host: a")},
	{name: "a NUL in a target", raw: asks("GET /\x00 HTTP/1.1", "Host: a")},
	{name: "a DEL in a target", raw: asks("GET /\x7f HTTP/1.1", "Host: a")},
	{name: "a high byte in a target", raw: asks("GET /\xc3\xa9 HTTP/1.1", "Host: a")},
	{name: "a high byte in a query", raw: asks("GET /?\xff HTTP/1.1", "Host: a")},
	{name: "dots", raw: asks("GET /../..//a/./b HTTP/1.1", "Host: a")},

	// Host.
	{name: "no Host", raw: asks("GET / HTTP/1.1", "X: 1")},
	{name: "an empty Host", raw: asks("GET / HTTP/1.1", "Host:")},
	{name: "two Hosts", raw: asks("GET / HTTP/1.1", "Host: a", "Host: b")},
	{name: "the same Host twice", raw: asks("GET / HTTP/1.1", "Host: a", "host: a")},
	{name: "a Host with a space", raw: asks("GET / HTTP/1.1", "Host: a b")},
	{name: "a Host with a path", raw: asks("GET / HTTP/1.1", "Host: a/b")},
	{name: "a Host with a user", raw: asks("GET / HTTP/1.1", "Host: u@a")},
	{name: "a Host that is a list", raw: asks("GET / HTTP/1.1", "Host: a, b")},
	{name: "a Host with a quote", raw: asks("GET / HTTP/1.1", `Host: "a"`)},
	{name: "a Host with an escape", raw: asks("GET / HTTP/1.1", "Host: a%00")},
	{name: "a Host with a high byte", raw: asks("GET / HTTP/1.1", "Host: \xc3\xa9")},
	{name: "a Host of IPv6", raw: asks("GET / HTTP/1.1", "Host: [::1]:80")},
	{name: "a Host that is no address", raw: asks("GET / HTTP/1.1", "Host: ]::[")},
	{name: "a space before Host's colon", raw: asks("GET / HTTP/1.1", "Host : a")},
	{name: "a continued Host", raw: asks("GET / HTTP/1.1", "Host:", " a")},

	// Fields.
	{name: "a continued line", raw: gets("X: 1", " Content-Length: 3")},
	{name: "a line continued by a tab", raw: gets("X: 1", "\t2")},
	{name: "a continued length", raw: posts("Content-Length:", " 3") + "abc"},
	{name: "a first field continued", raw: asks("GET / HTTP/1.1", " X: 1", "Host: a")},
	{name: "a line of a space", raw: gets(" ")},
	{name: "a space before the colon", raw: posts("Content-Length : 3") + "abc"},
	{name: "a tab before the colon", raw: posts("Content-Length\t: 3") + "abc"},
	{name: "a space before the name", raw: posts(" Content-Length: 3") + "abc"},
	{name: "a space in a name", raw: gets("X Y: 1")},
	{name: "no colon", raw: gets("X")},
	{name: "no name", raw: gets(": 1")},
	{name: "only a colon", raw: gets(":")},
	{name: "no value", raw: gets("X:")},
	{name: "tabs around a value", raw: gets("X:\t 1 \t")},
	{name: "a NUL in a name", raw: gets("X\x00Y: 1")},
	{name: "a NUL in a value", raw: gets("X: 1\x00")},
	{name: "a control byte in a value", raw: gets("X: \x01")},
	{name: "a vertical tab in a value", raw: gets("X: \v1")},
	{name: "a vertical tab behind a length", raw: posts("Content-Length: 3\v") + "abc"},
	{name: "a DEL in a value", raw: gets("X: \x7f")},
	{name: "high bytes in a value", raw: gets("X: \xc3\xa9\xff\x80")},
	{name: "a high byte in a name", raw: gets("X\xe9: 1")},
	{name: "a space of Unicode before a length", raw: posts("Content-Length: \xc2\xa03") + "abc"},
	{name: "odd names", raw: gets("!#$%&'*+-.^_`|~: 1", "x_y-z.0: 2")},
	{name: "a name with an underscore", raw: posts("Content_Length: 3")},
	{name: "names that are one", raw: gets("x-A: 1", "X-a: 2", "X-A: 3")},
	{name: "Cookie twice", raw: gets("Cookie: a=1", "Cookie: b=2")},
	{name: "Pragma", raw: gets("Pragma: no-cache")},
	{name: "Pragma and more", raw: gets("pragma: no-cache", "cache-control: x")},
	{name: "Pragma twice", raw: gets("Pragma: x", "Pragma: no-cache")},

	// Lengths.
	{name: "a signed length", raw: posts("Content-Length: +5") + "12345"},
	{name: "a length below 0", raw: posts("Content-Length: -1")},
	{name: "minus 0", raw: posts("Content-Length: -0")},
	{name: "a list of lengths", raw: posts("Content-Length: 5, 5") + "12345"},
	{name: "a list of two lengths", raw: posts("Content-Length: 5, 6") + "123456"},
	{name: "a hexadecimal length", raw: posts("Content-Length: 0x5") + "12345"},
	{name: "a length of hexadecimal digits", raw: posts("Content-Length: a") + "1234567890"},
	{name: "a length with a fraction", raw: posts("Content-Length: 5.0") + "12345"},
	{name: "a length with an exponent", raw: posts("Content-Length: 1e1") + "1234567890"},
	{name: "a length with an underscore", raw: posts("Content-Length: 1_0") + "1234567890"},
	{name: "a length with a space in it", raw: posts("Content-Length: 1 0") + "1234567890"},
	{name: "a quoted length", raw: posts(`Content-Length: "5"`) + "12345"},
	{name: "a length with zeros", raw: posts("Content-Length: 005") + "12345"},
	{name: "a length with 20 zeros", raw: posts("Content-Length: 000000000000000000005") + "12345"},
	{name: "a length with blanks", raw: posts("Content-Length: \t 5\t ") + "12345"},
	{name: "an empty length", raw: posts("Content-Length:") + "12345"},
	{name: "a blank length", raw: posts("Content-Length:   ") + "12345"},
	{name: "a length of words", raw: posts("Content-Length: many") + "12345"},
	{name: "the same length twice", raw: posts("Content-Length: 5", "Content-Length: 5") + "12345"},
	{name: "the same length in other words", raw: posts("Content-Length: 5", "Content-Length: 05") + "12345"},
	{name: "two lengths", raw: posts("Content-Length: 5", "Content-Length: 6") + "123456"},
	{name: "two lengths, the second 0", raw: posts("Content-Length: "+strconv.Itoa(len(hidden)), "content-length: 0") + hidden},
	{name: "a length and an empty one", raw: posts("Content-Length: 5", "Content-Length:") + "12345"},
	{name: "a length over 63 bits", raw: posts("Content-Length: 9223372036854775808")},
	{name: "a length over 64 bits", raw: posts("Content-Length: 18446744073709551621") + "12345"},
	{name: "the longest length", raw: posts("Content-Length: 9223372036854775807")},
	{name: "a length that is too long by one", raw: posts("Content-Length: "+strconv.Itoa(len(marker)+4)) + "abc"},

	// Transfer codings.
	{name: "chunks", raw: chunks("5\r\n12345\r\n0\r\n\r\n")},
	{name: "chunks that hold a request", raw: chunks(strconv.FormatInt(int64(len(hidden)), 16) + "\r\n" + hidden + "\r\n0\r\n\r\n")},
	{name: "chunks and a length", raw: posts("Content-Length: 3", "Transfer-Encoding: chunked") + "5\r\n12345\r\n0\r\n\r\n"},
	{name: "chunks and a length behind", raw: posts("Transfer-Encoding: chunked", "Content-Length: 3") + "0\r\n\r\n"},
	{name: "chunks and a bad length", raw: posts("Content-Length: +3", "Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{name: "chunks and two lengths", raw: posts("Content-Length: 3", "Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{name: "chunks of GET", raw: gets("Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "Chunked", raw: posts("Transfer-Encoding: Chunked") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "xchunked", raw: posts("Transfer-Encoding: xchunked") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "chunked, chunked", raw: posts("Transfer-Encoding: chunked, chunked") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "chunked, identity", raw: posts("Transfer-Encoding: chunked, identity") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "gzip, chunked", raw: posts("Transfer-Encoding: gzip, chunked") + "3\r\nabc\r\n0\r\n\r\n"},
	{name: "identity", raw: posts("Transfer-Encoding: identity", "Content-Length: 3") + "abc"},
	{name: "an empty coding", raw: posts("Transfer-Encoding:", "Content-Length: 3") + "abc"},
	{name: "chunked behind blanks", raw: posts("Transfer-Encoding: \t chunked \t") + "0\r\n\r\n"},
	{name: "chunked behind a vertical tab", raw: posts("Transfer-Encoding: \vchunked", "Content-Length: 3") + "abc"},
	{name: "a quoted coding", raw: posts(`Transfer-Encoding: "chunked"`, "Content-Length: 3") + "abc"},
	{name: "two codings", raw: posts("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{name: "two codings, the second identity", raw: posts("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n"},
	{name: "a coding with a space before its colon", raw: posts("Transfer-Encoding : chunked", "Content-Length: 3") + "abc"},
	{name: "a continued coding", raw: posts("Transfer-Encoding:", " chunked", "Content-Length: 3") + "abc"},
	{name: "a coding whose name has a NUL", raw: posts("Transfer-Encoding\x00: chunked", "Content-Length: 3") + "abc"},
	{name: "a coding with an underscore", raw: posts("Transfer_Encoding: chunked", "Content-Length: 3") + "abc"},

	// Chunks.
	{name: "a chunk with an extension", raw: chunks("5;ext\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk with a value", raw: chunks("5;a=\"b\r\n12345\r\n0\r\n\r\n")},
	{name: "an extension with LF", raw: chunks("5;a\nb\r\n12345\r\n0\r\n\r\n")},
	{name: "an extension with CR", raw: chunks("5;a\rb\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk of 0x5", raw: chunks("0x5\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk behind a space", raw: chunks(" 5\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk before a space", raw: chunks("5 \r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk before a tab", raw: chunks("5\t\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk with LF behind its size", raw: chunks("5\n12345\r\n0\r\n\r\n")},
	{name: "a chunk with LF behind it", raw: chunks("5\r\n12345\n0\r\n\r\n")},
	{name: "a chunk with nothing behind it", raw: chunks("5\r\n123450\r\n\r\n")},
	{name: "a chunk with other bytes behind it", raw: chunks("5\r\n12345xx0\r\n\r\n")},
	{name: "chunks that end with LF", raw: chunks("5\r\n12345\r\n0\n\n")},
	{name: "a chunk of too many digits", raw: chunks("00000000000000005\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk of zeros", raw: chunks("0005\r\n12345\r\n000\r\n\r\n")},
	{name: "a chunk that is too large", raw: chunks("fffffffffffffffff\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk of all bits", raw: chunks("ffffffffffffffff\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk below 0", raw: chunks("-5\r\n12345\r\n0\r\n\r\n")},
	{name: "a signed chunk", raw: chunks("+5\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk without a size", raw: chunks("\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk with an extension alone", raw: chunks(";a\r\n12345\r\n0\r\n\r\n")},
	{name: "a chunk with a dot", raw: chunks("5.\r\n12345\r\n0\r\n\r\n")},
	{name: "no last chunk", raw: chunks("5\r\n12345\r\n")},
	{name: "a trailer", raw: posts("Transfer-Encoding: chunked", "Trailer: X-T") + "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"},
	{name: "a trailer that was not announced", raw: chunks("0\r\nX-T: 1\r\n\r\n")},
	{name: "a trailer that is a length", raw: chunks("0\r\nContent-Length: 5\r\n\r\n")},
	{name: "a trailer that is none", raw: chunks("0\r\nX T\r\n\r\n")},
	{name: "a length as a trailer announced", raw: posts("Transfer-Encoding: chunked", "Trailer: Content-Length") + "0\r\n\r\n"},
	{name: "Trailer without chunks", raw: posts("Trailer: X-T", "Content-Length: 3") + "abc"},

	// The connection.
	{name: "close", raw: gets("Connection: close")},
	{name: "Close", raw: gets("connection: CLOSE")},
	{name: "close with a body", raw: posts("Connection: close", "Content-Length: 3") + "abc"},
	{name: "keep-alive", raw: gets("Connection: keep-alive")},
	{name: "keep-alive and close", raw: gets("Connection: keep-alive", "Connection: close")},
	{name: "keep-alive, close", raw: gets("Connection: keep-alive, close")},
	{name: "an empty Connection", raw: gets("Connection:")},
	{name: "Connection that names a field", raw: gets("Connection: X, Content-Length", "X: 1")},
	{name: "Connection that names the length", raw: posts("Connection: Content-Length", "Content-Length: 3") + "abc"},
	{name: "an upgrade", raw: gets("Connection: Upgrade", "Upgrade: websocket")},
	{name: "an upgrade to HTTP/2", raw: gets("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")},
	{name: "Upgrade alone", raw: gets("Upgrade: x")},
	{name: "Proxy-Connection", raw: gets("Proxy-Connection: close", "Keep-Alive: timeout=1")},
	{name: "Expect", raw: posts("Expect: 100-continue", "Content-Length: 3") + "abc"},
	{name: "Expect without a body", raw: gets("Expect: 100-continue")},
	{name: "another Expect", raw: posts("Expect: tea", "Content-Length: 3") + "abc"},
	{name: "Expect behind chunks", raw: posts("Transfer-Encoding: chunked", "Expect: 100-Continue") + "3\r\nabc\r\n0\r\n\r\n"},

	// Not requests.
	{name: "an answer", raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{name: "TLS", raw: "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"},
	{name: "the PROXY protocol", raw: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + plain},
	{name: "a byte", raw: "\x00"},
	{name: "a lone CR", raw: "\r"},
	{name: "three bytes", raw: "GET"},
	{name: "four bytes", raw: "GET "},
	{name: "half a head", raw: "GET / HTTP/1.1\r\nHo"},
	{name: "a head without its end", raw: "GET / HTTP/1.1\r\nHost: a\r\n"},
}
