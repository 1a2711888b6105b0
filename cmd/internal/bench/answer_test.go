package bench

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An outcome is what was made of the bytes of one answer.
type outcome struct {
	status int
	body   string
	closes bool
	id     uint64
	hasID  bool
	rest   bool // the body goes on to the connection's end
}

// take parses the answer at the front of p, given in pieces of step bytes, as the loop
// would: what is not consumed comes again with more behind it.
func take(p []byte, step int, bare bool) (o outcome, n int, done bool, err error) {
	return takeAfter(new(headCache), p, step, bare)
}

// takeAfter is take behind answers that cache has seen.
func takeAfter(cache *headCache, p []byte, step int, bare bool) (o outcome, n int, done bool, err error) {
	var a answer
	inBody := false
	check := func(b []byte) { o.body += string(b) }
	for end := 0; ; {
		end = min(end+step, len(p))
		for again := true; again; {
			again = false
			var k int
			if !inBody {
				k, inBody, err = a.head(p[n:end], "x-request-id", cache)
				if again = inBody; inBody {
					a.begin(bare)
				}
			} else {
				k, done, err = a.body(p[n:end], check)
			}
			n += k
			o.status, o.closes, o.id, o.hasID, o.rest = a.status, a.closes, a.id, a.hasID, a.rest()
			if err != nil || done {
				return o, n, done, err
			}
		}
		if end == len(p) {
			return o, n, false, nil
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		bare     bool
		want     outcome
		behind   string // what is left
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", false, outcome{status: 200, body: "hello"}, "HTTP"},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, outcome{status: 200}, ""},
		{"case and spaces", "HTTP/1.1 200 OK\r\ncontent-LENGTH: \t2 \r\nCONNECTION: x, Close\r\n\r\nok", false, outcome{status: 200, body: "ok", closes: true}, ""},
		{"same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", false, outcome{status: 200, body: "ok"}, ""},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: x\r\n\r\nX", false, outcome{status: 200, body: "abc0123456789"}, "X"},
		{"chunked beats length", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", false, outcome{status: 200, body: "a"}, ""},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\nall of it", false, outcome{status: 200, body: "all of it", closes: true, rest: true}, ""},
		{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, outcome{status: 200, body: "x", closes: true}, ""},
		{"1.0 kept", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", false, outcome{status: 200, body: "x"}, ""},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nHTTP", true, outcome{status: 200}, "HTTP"},
		{"204", "HTTP/1.1 204 No Content\r\n\r\nHTTP", false, outcome{status: 204}, "HTTP"},
		{"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nHTTP", false, outcome{status: 304}, "HTTP"},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx", false, outcome{status: 201, body: "x"}, ""},
		{"id", "HTTP/1.1 200 OK\r\nX-Request-ID: 00000000000000fF\r\nContent-Length: 0\r\n\r\n", false, outcome{status: 200, id: 255, hasID: true}, ""},
		{"other id", "HTTP/1.1 200 OK\r\nX-Request-ID: something\r\nContent-Length: 0\r\n\r\n", false, outcome{status: 200}, ""},
	} {
		for _, step := range []int{1, 2, 3, 7, 1000} {
			got, n, done, err := take([]byte(tt.in), step, tt.bare)
			if err != nil || done == tt.want.rest || got != tt.want || tt.in[n:] != tt.behind {
				t.Errorf("%s, by %d: got %+v, done %v, %q left, %v; want %+v, %q left", tt.name, step, got, done, tt.in[n:], err, tt.want, tt.behind)
			}
		}
	}
}

func TestAnswersRefused(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\n"
	chunked := ok + "Transfer-Encoding: chunked\r\n\r\n"
	for in, want := range map[string]error{
		"\r\n\r\n":                                                    errHead,
		"nonsense\r\n\r\n":                                            errHead,
		"HTTP/2.0 200 OK\r\n\r\n":                                     errHead,
		"HTTP/1.1 20x OK\r\n\r\n":                                     errHead,
		"HTTP/1.1 099 OK\r\n\r\n":                                     errHead,
		"HTTP/1.1 2000 OK\r\n\r\n":                                    errHead,
		"HTTP/1.1  200 OK\r\n\r\n":                                    errHead,
		ok + "no colon\r\n\r\n":                                       errHead,
		ok + ": x\r\n\r\n":                                            errHead,
		ok + "A: x\n\r\n\r\n":                                         errHead,
		ok + "A: x\r\n folded\r\n\r\n":                                errHead,
		ok + "Content-Length : 5\r\n\r\n":                             errHead,
		ok + "Content-Length: -5\r\n\r\n":                             errHead,
		ok + "Content-Length: +5\r\n\r\n":                             errHead,
		ok + "Content-Length: 5, 5\r\n\r\n":                           errHead,
		ok + "Content-Length:\r\n\r\n":                                errHead,
		ok + "Content-Length: 99999999999999999999\r\n\r\n":           errHead,
		ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n":         errHead,
		ok + "Transfer-Encoding: gzip, chunked\r\n\r\n":               errHead,
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":       errHead,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                    errSwitch,
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim+1): errHead,
		ok + "A: " + strings.Repeat("x", maxHead):                     errTooBig,
		chunked + "x\r\n":                                             errChunk,
		chunked + "\r\n":                                              errChunk,
		chunked + "5\n":                                               errChunk,
		chunked + "-1\r\n":                                            errChunk,
		chunked + "1000000000000000\r\n":                              errChunk,
		chunked + "1\r\nab\r\n":                                       errChunk,
		chunked + "0\r\nbad\r\n\r\n":                                  errChunk,
		chunked + "1;" + strings.Repeat("x", maxLine):                 errTooBig,
		chunked + "0\r\n" + strings.Repeat("A: x\r\n", maxHead/4):     errTooBig,
	} {
		for _, step := range []int{1, 1 << 20} {
			if step == 1 && len(in) > 10_000 {
				step = 1000
			}
			if _, _, done, err := take([]byte(in), step, false); done || !errors.Is(err, want) {
				t.Errorf("%.80q, by %d: got done %v, %v; want %v", in, step, done, err, want)
			}
		}
	}
}

// TestAnswersOfNetHTTP: what http.Response writes is read as it was meant.
func TestAnswersOfNetHTTP(t *testing.T) {
	for _, length := range []int64{-1, 0, 1, 10_000} {
		for _, closes := range []bool{false, true} {
			body := strings.Repeat("x", int(max(length, 0)))
			if length < 0 {
				body = "of any length"
			}
			r := &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body)), ContentLength: length, Close: closes}
			if length < 0 && !closes {
				r.TransferEncoding = []string{"chunked"}
			}
			var b bytes.Buffer
			if err := r.Write(&b); err != nil {
				t.Fatal(err)
			}
			got, n, done, err := take(b.Bytes(), 100, false)
			if err != nil || got.body != body || n != b.Len() || done == got.rest {
				t.Errorf("%q: got %+v, %d bytes, done %v, %v", b.String(), got, n, done, err)
			}
		}
	}
}

// TestSameHead: a head that is the one before but for a byte, or goes on where that
// ended, is not taken for it.
func TestSameHead(t *testing.T) {
	var cache headCache
	for _, tt := range []struct {
		in, body string
		status   int
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 200},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", "b", 200},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", 200},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\ncd", "cd", 200},
		{"HTTP/1.1 201 OK\r\nContent-Length: 2\r\nA: b\r\n\r\ncd", "cd", 201},
		{"HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "x", 201},
		{"HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyz\r\n0\r\n\r\n", "yz", 201},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id: 0123456789abcdef\r\nContent-Length: 2\r\n\r\ncd", "cd", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id: 0123456789abcdee\r\nContent-Length: 2\r\n\r\ncd", "cd", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id: 0123456789abcde\r\n\r\n: 2\r\n\r\n", ": 2\r\n\r\n", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id:\t 00000000000000ff \r\nX-Request-Id:  1123456789abcdee \r\nA: b\r\nContent-Length: 2\r\n\r\ncd", "cd", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id:\t 00000000000000ff \r\nX-Request-Id:  0223456789abcdee \r\nA: b\r\nContent-Length: 2\r\n\r\nef", "ef", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id:\t 0323456789abcdee \r\nX-Request-Id:  00000000000000aa \r\nA: b\r\nContent-Length: 2\r\n\r\ngh", "gh", 201},
		{"HTTP/1.1 201 OK\r\nX-Request-Id:\t 0323456789abcdee \r\nX-Request-Id:  xxxxxxxxxxxxxxxx \r\nA: b\r\nContent-Length: 2\r\n\r\nij", "ij", 201},
	} {
		got, n, done, err := takeAfter(&cache, []byte(tt.in), 1<<20, false)
		if got.status != tt.status || got.body != tt.body || n != len(tt.in) && !got.rest || !done && !got.rest || err != nil {
			t.Errorf("%q: got %+v, %d bytes, done %v, %v", tt.in, got, n, done, err)
		}
		if fresh, _, _, _ := take([]byte(tt.in), 1<<20, false); fresh != got {
			t.Errorf("%q: got %+v, without those before %+v", tt.in, got, fresh)
		}
	}
}

// FuzzAnswer holds the parser against net/http's: of what both take they must think
// the same. Where an answer ends is what matters most.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\nX",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Request-Id: 0123456789abcdef\r\n\r\nto the end",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, p []byte, head bool) {
		got, n, done, err := take(p, 1<<20, head)
		var cache headCache // knows the same head, and that with which another way begins
		_, _, _, _ = takeAfter(&cache, p, 1<<20, !head)
		if again, m, d, e := takeAfter(&cache, p, 1<<20, head); again != got || m != n || d != done || e != err {
			t.Fatalf("%q: first %+v, %d, %v, %v; then %+v, %d, %v, %v", p, got, n, done, err, again, m, d, e)
		}
		if by, m, d, e := take(p, 1+len(p)/5, head); by != got || m != n || d != done || e != err {
			t.Fatalf("%q: in one piece %+v, %d, %v, %v; in pieces %+v, %d, %v, %v", p, got, n, done, err, by, m, d, e)
		}
		if err != nil || !done && !got.rest {
			return
		}
		method := map[bool]string{false: "GET", true: "HEAD"}[head]
		br := bufio.NewReader(bytes.NewReader(p))
		var r *http.Response
		for {
			if r, err = http.ReadResponse(br, &http.Request{Method: method}); err != nil {
				return
			}
			if r.StatusCode >= 200 {
				break
			}
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		behind, _ := io.ReadAll(br)
		if got.status != r.StatusCode || got.body != string(body) || string(p[n:]) != string(behind) {
			t.Errorf("%q: got status %d, body %q, %q behind; net/http has %d, %q, %q", p, got.status, got.body, p[n:], r.StatusCode, body, behind)
		}
		if r.Close && !got.closes {
			t.Errorf("%q: net/http closes the connection, we do not", p)
		}
	})
}
