//go:build linux

package front

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// summary answers with what came: the body's length and sum.
func summary(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		fmt.Fprintf(w, "cut off, ")
	}
	fmt.Fprintf(w, "%s %s %s %d %x", r.Method, r.RequestURI, r.Proto, n, sum.Sum(nil)[:4])
}

// handedOver waits until so many connections have left, and returns how many did
// for each reason.
func handedOver(t *testing.T, s *Server, want int64) map[string]int64 {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n := int64(0)
		m := s.Stats().HandedOver
		for _, k := range m {
			n += k
		}
		if n >= want {
			return m
		}
		if time.Now().After(end) {
			t.Fatalf("%v have left, want %d", m, want)
		}
	}
}

// TestHandedOver: a connection leaves once for each reason there is, is counted,
// and is answered as a front without loops answers it.
func TestHandedOver(t *testing.T) {
	const id = "X-Request-Id: mine"
	tests := [reasons][]string{
		leavesMethod:     {asks("PURGE / HTTP/1.1", "Host: a", id), asks("G@T / HTTP/1.1", "Host: a"), "\x00\r\n\r\n"},
		leavesTarget:     {asks("OPTIONS * HTTP/1.1", "Host: a", id), asks("GET http://b/c HTTP/1.1", "Host: a", id), asks("GET /%zz HTTP/1.1", "Host: a")},
		leavesVersion:    {asks("GET / HTTP/1.0", id), asks("GET / HTTP/3.0", "Host: a")},
		leavesField:      {gets("X : 1"), gets("X: 1", " 2", id), "GET / HTTP/1.1\nHost: a\n" + id + "\n\n"},
		leavesHost:       {asks("GET / HTTP/1.1", "X: 1"), asks("GET / HTTP/1.1", "Host: a", "Host: a"), asks("GET / HTTP/1.1", "Host: é"), asks("GET / HTTP/1.1", "Host:", id)},
		leavesLength:     {posts("Content-Length: +1"), posts("Content-Length: 1", "Content-Length: 1", id) + "x", posts("Content-Length: 1", "Content-Length: 2")},
		leavesTransfer:   {posts("Transfer-Encoding: chunked", id) + "1\r\nx\r\n0\r\n\r\n", posts("Transfer-Encoding: gzip")},
		leavesUpgrade:    {gets("Upgrade: x", "Connection: Upgrade", id), gets("Upgrade: x", id), gets("Connection: keep-alive, Upgrade", "Upgrade: x", id)},
		leavesExpect:     {posts("Expect: 100-continue", "Content-Length: 1", id) + "x", posts("Expect: x", "Content-Length: 1", id) + "x"},
		leavesConnection: {gets("Connection: x, close", id)},
		leavesCount:      {gets(append(strings.Split(strings.Repeat("X: 1,", maxFieldsHere-1)+"X: 1", ","), id)...)},
		leavesSize:       {gets("X: "+strings.Repeat("x", limitsHere.MaxHeaderBytes), id), gets("X: " + strings.Repeat("x", 3*limitsHere.MaxHeaderBytes))},
		leavesBody:       {posts("Content-Length: "+strconv.FormatInt(limitsHere.MaxBody+1, 10), id)},
		leavesEOF:        {plain[:len(plain)-2], "GET", "\r"},
	}
	s, _ := serveOnLoop(t, Options{Limits: limitsHere}, http.HandlerFunc(summary))
	std, _ := serve(t, Options{Limits: limitsHere}, proxied(t, summary))
	ask := func(s *Server, raw string) string {
		c := dial(t, s).(*net.TCPConn)
		io.WriteString(c, raw) // fails where it was refused before its end
		c.CloseWrite()
		return dates.ReplaceAllString(closed(t, c), "")
	}
	left := map[string]int64{}
	n := int64(0)
	for why, raws := range tests {
		why := reason(why)
		if why != stays && why != leavesRoute && why != leavesPlain && len(raws) == 0 {
			t.Errorf("no test of %q", why)
		}
		for _, raw := range raws {
			// As the first request of its connection, and as the second.
			for _, before := range []string{"", asks("GET /before HTTP/1.1", "Host: a")} {
				if why == leavesEOF && before != "" {
					continue // so few bytes are no head then, TestSmuggling
				}
				want, got := ask(std, before+raw), ask(s, before+raw)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%q %.200q\n-net/http +loop:\n%s", why, raw, d)
				}
				n++
				left[why.String()]++
				if m := handedOver(t, s, n); !maps.Equal(m, left) {
					t.Fatalf("%q %.200q: got %v, want %v", why, raw, m, left)
				}
			}
		}
	}
	want, got := std.Stats(), s.Stats()
	if want.Requests != got.Requests || want.Refused != got.Refused {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// TestHandedOverAtOnce: a head that is none is answered before its end has come,
// wherever the front's answers have got to.
func TestHandedOverAtOnce(t *testing.T) {
	const long = 8 << 20
	s, _ := serveOnLoop(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			w.Header().Set("Content-Length", strconv.Itoa(long))
			w.Write(make([]byte, long))
			return
		}
		summary(w, r)
	}))
	n := int64(0)
	for _, before := range []string{"", asks("GET /short HTTP/1.1", "Host: a"), asks("GET /long HTTP/1.1", "Host: a")} {
		for _, bad := range []string{"GET / HTTP/1.1\r\nHost: a\r\nX\x00: 1\r\nX: ", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\nGE", "G@T / HTTP/1.1\r\nHost", "GET / HTTP/1.1\nHost: a\n\n"} {
			c := dial(t, s)
			br := bufio.NewReader(c)
			io.WriteString(c, before)
			s.settle()
			io.WriteString(c, bad[:5])
			s.settle()
			io.WriteString(c, bad[5:])
			if before != "" {
				s.settle() // the answer is on its way, and the client takes none of it
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				k, err := io.Copy(io.Discard, resp.Body)
				if resp.Body.Close(); resp.StatusCode != 200 || err != nil || k != resp.ContentLength {
					t.Fatalf("%q: got %d, %d bytes, %v", before, resp.StatusCode, k, err)
				}
			}
			begun := time.Now()
			resp, _ := readAnswer(t, br)
			if want := map[bool]int{false: 400, true: 200}[strings.HasSuffix(bad, "GE") || strings.HasSuffix(bad, "\n\n")]; resp.StatusCode != want {
				t.Errorf("%q behind %q: got %d, want %d", bad, before, resp.StatusCode, want)
			}
			if d := time.Since(begun); d > DefaultReadHeaderTimeout/2 {
				t.Errorf("%q behind %q: after %v", bad, before, d)
			}
			n++
			handedOver(t, s, n)
			c.Close()
		}
	}
}

// TestHandedOverInOrder: what a pipelining client was answered on the loop comes
// before what net/http answers, however much of it is still to be written, and then
// everything in its order.
func TestHandedOverInOrder(t *testing.T) {
	s, _ := serveOnLoop(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Of", r.URL.Path)
		io.WriteString(w, strings.Repeat(r.URL.Path, 1<<20/len(r.URL.Path)))
	}))
	c := dial(t, s)
	go func() { // ends when all is taken
		io.WriteString(c, asks("GET /1 HTTP/1.1", "Host: a")+asks("POST /2 HTTP/1.1", "Host: a", "Content-Length: 3")+"abc"+
			asks("POST /3 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")+"3\r\nabc\r\n0\r\n\r\n"+
			asks("GET /4 HTTP/1.1", "Host: a")+asks("GET /5 HTTP/1.0"))
	}()
	time.Sleep(20 * time.Millisecond) // for output to pile up
	br := bufio.NewReader(c)
	for i := 1; i <= 5; i++ {
		resp, body := readAnswer(t, br)
		if of := fmt.Sprint("/", i); resp.Header.Get("X-Of") != of || len(body) != 1<<20 || strings.Trim(body, of) != "" {
			t.Fatalf("%d: got %v, %d bytes", i, resp.Header, len(body))
		}
	}
	if m := handedOver(t, s, 1); !maps.Equal(m, map[string]int64{"transfer_coding": 1}) {
		t.Errorf("got %v", m)
	}
}

// TestHandedOverUpload: a long chunked upload arrives whole, and so does one that
// waits to be asked for.
func TestHandedOverUpload(t *testing.T) {
	s, _ := serveOnLoop(t, Options{}, http.HandlerFunc(summary))
	body := make([]byte, 5<<20)
	for i := range body {
		body[i] = byte(i * i >> 8)
	}
	sum := sha256.Sum256(body)
	want := fmt.Sprintf("POST / HTTP/1.1 %d %x", len(body), sum[:4])
	c := dial(t, s)
	br := bufio.NewReader(c)
	io.WriteString(c, plain)
	readAnswer(t, br)
	go func() { // ends when all is taken
		io.WriteString(c, posts("Transfer-Encoding: chunked"))
		for p := body; len(p) > 0; {
			n := min(len(p), 77777)
			fmt.Fprintf(c, "%x\r\n%s\r\n", n, p[:n])
			p = p[n:]
		}
		io.WriteString(c, "0\r\n\r\n")
	}()
	if _, got := readAnswer(t, br); got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	c = dial(t, s)
	br = bufio.NewReader(c)
	io.WriteString(c, plain)
	readAnswer(t, br)
	io.WriteString(c, posts("Expect: 100-continue", "Content-Length: "+strconv.Itoa(len(body))))
	if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	br.ReadString('\n')
	go c.Write(body) // ends when all is taken
	if _, got := readAnswer(t, br); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if m := handedOver(t, s, 2); !maps.Equal(m, map[string]int64{"transfer_coding": 1, "expect": 1}) {
		t.Errorf("got %v", m)
	}
}

// TestHandedOverHTTP2: a client that begins with HTTP/2's preface is served on the
// same port.
func TestHandedOverHTTP2(t *testing.T) {
	s, _ := serveOnLoop(t, Options{}, http.HandlerFunc(summary))
	client := &http.Client{Transport: transport(t, false, false, true), Timeout: patience}
	for range 3 {
		resp, err := client.Post(s.URLs()[0], "text/plain", strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); !strings.HasPrefix(got, "POST / HTTP/2.0 3 ") {
			t.Errorf("got %q", got)
		}
	}
	if m := handedOver(t, s, 1); !maps.Equal(m, map[string]int64{"method": 1}) {
		t.Errorf("got %v", m)
	}
}

// TestNotHandedOver: what clients usually say stays on the loop.
func TestNotHandedOver(t *testing.T) {
	s, _ := serveOnLoop(t, Options{}, http.HandlerFunc(summary))
	c := dial(t, s)
	br := bufio.NewReader(c)
	body := strings.Repeat("0123456789", 100<<10)
	n := int64(0)
	for _, raw := range []string{plain, browserLike, posts("Content-Length: 3") + "abc", asks("PUT /x?y=%2f HTTP/1.1", "Host: a:80", "Content-Length: "+strconv.Itoa(len(body))) + body, asks("DELETE /x HTTP/1.1", "Host: a"), asks("OPTIONS /x HTTP/1.1", "Host: a", "Origin: b")} {
		go io.WriteString(c, raw) // ends when all is taken
		if resp, got := readAnswer(t, br); resp.StatusCode != 200 || !strings.HasPrefix(got, raw[:4]) {
			t.Errorf("%.100q: got %d %q", raw, resp.StatusCode, got)
		}
		n++
	}
	// Many at once, in pieces too, and HEAD.
	many := strings.Repeat(asks("HEAD / HTTP/1.1", "Host: a")+browserLike+posts("Content-Length: 5")+"12345", 100)
	go func() { // ends when all is taken
		for p := many; len(p) > 0; {
			k := min(len(p), 997)
			io.WriteString(c, p[:k])
			p = p[k:]
		}
	}()
	for i := range 300 {
		method := []string{"HEAD", "GET", "POST"}[i%3]
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); resp.StatusCode != 200 || (method == "HEAD") != (got == "") || !strings.HasPrefix(got, method) && got != "" {
			t.Fatalf("%d: got %d %q", i, resp.StatusCode, got)
		}
		n++
	}
	// A Go program, and curl.
	client := &http.Client{Transport: transport(t, true, false, false), Timeout: patience}
	for range 2 {
		resp, err := client.Post(s.URLs()[0]+"/p", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); !strings.HasPrefix(got, "POST /p HTTP/1.1 "+strconv.Itoa(len(body))) {
			t.Errorf("got %q", got)
		}
		n++
	}
	io.WriteString(c, gets("User-Agent: curl/8.0.1", "Accept: */*"))
	readAnswer(t, br)
	n++
	if st := s.Stats(); len(st.HandedOver) > 0 || st.Requests != n || st.Active != 0 {
		t.Errorf("got %+v, want %d requests and nobody handed over", st, n)
	}
}

// TestHandover is what net/http sees of it.
func TestHandover(t *testing.T) {
	h := newHandover()
	far := make([]net.Conn, 3)
	give := func(i int, read string) {
		var near net.Conn
		near, far[i] = net.Pipe()
		far[i].SetDeadline(time.Now().Add(patience))
		h.give(near, []byte(read))
	}
	give(0, "read before")
	c, err := h.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends when it is read
		io.WriteString(far[0], ", and after")
		far[0].Close()
	}()
	b := make([]byte, 4)
	if n, err := c.Read(b); n != 4 || err != nil || string(b) != "read" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if rest, err := io.ReadAll(c); err != nil || string(rest) != " before, and after" {
		t.Errorf("got %q, %v", rest, err)
	}
	c.Close()

	waiting := make(chan error)
	go func() { // ends with Close
		for {
			if _, err := h.Accept(); err != nil {
				waiting <- err
				return
			}
		}
	}()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	give(1, "too late")
	if said := closed(t, far[1]); said != "" {
		t.Errorf("got %q", said)
	}
	h = newHandover()
	give(2, "nobody takes it")
	h.Close()
	if said := closed(t, far[2]); said != "" {
		t.Errorf("got %q", said)
	}
}
