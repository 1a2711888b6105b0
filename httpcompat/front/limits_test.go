package front

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// short is a time-out that tests wait for.
const short = 50 * time.Millisecond

// proxied puts sessions between the front and h.
func proxied(t *testing.T, h http.HandlerFunc) http.Handler {
	p := httpcompattest.NewProxy(h)
	t.Cleanup(p.Close)
	return p
}

func TestDefaults(t *testing.T) {
	o, err := Options{Listeners: []Listener{{Address: ":0"}}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Limits{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 20, MaxHeaders: 1000, MaxClients: MostClients()}
	if o.Limits != want {
		t.Errorf("got %+v, want %+v", o.Limits, want)
	}
	off := Limits{ReadHeaderTimeout: -1, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1, MaxBody: -1}
	o, err = Options{Listeners: []Listener{{Address: ":0"}}, Limits: off}.withDefaults()
	if want := (Limits{ReadHeaderTimeout: -1, IdleTimeout: -1, MaxHeaderBytes: 1 << 20, MaxHeaders: 1000, MaxClients: MostClients()}); err != nil || o.Limits != want {
		t.Errorf("got %+v, %v, want %+v", o.Limits, err, want)
	}
	for _, l := range []Limits{{MaxHeaderBytes: -1}, {MaxHeaderBytes: 1<<20 + 1}, {MaxHeaders: -1}, {MaxHeaders: 1001}, {MaxClients: -1}} {
		if _, err := (Options{Listeners: []Listener{{Address: ":0"}}, Limits: l}).withDefaults(); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	if _, err := (Options{}).withDefaults(); err == nil {
		t.Error("no listener is taken")
	}
}

// TestTimeouts: what a client does too slowly is ended.
func TestTimeouts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
		send   []string // an answer is read between two
		said   string   // in the end
	}{
		{"nothing is sent", Limits{ReadHeaderTimeout: short}, nil, ""},
		{"half a head", Limits{ReadHeaderTimeout: short}, []string{"GET / HTTP/1.1\r\nHost:"}, ""},
		{"half of HTTP/2's preface", Limits{ReadHeaderTimeout: short}, []string{"PRI * HT"}, "400 Bad Request"},
		{"a request, then nothing", Limits{IdleTimeout: short}, []string{plain, ""}, ""},
		{"half a body", Limits{ReadTimeout: short}, []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"}, "i/o timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, log := serve(t, Options{Limits: tt.limits}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
				}
			}))
			c := dial(t, s)
			br := bufio.NewReader(c)
			for i, raw := range tt.send {
				if i > 0 {
					readAnswer(t, br)
				}
				io.WriteString(c, raw)
			}
			b, err := io.ReadAll(br)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("it stays open: %v", err)
			}
			if !strings.Contains(string(b), tt.said) || tt.said == "" && len(b) > 0 {
				t.Errorf("got %q, want %q", b, tt.said)
			}
			if line := log.find("status=499"); line != "" {
				t.Errorf("the log has %s", line)
			}
		})
	}
}

// TestIdleStream: streams that are idle for longer than every time-out live on.
func TestIdleStream(t *testing.T) {
	limits := Limits{ReadHeaderTimeout: short, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short}
	s, log := serve(t, Options{Limits: limits}, proxied(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d %s\n\n", i, body)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-time.After(4 * short):
			case <-r.Context().Done():
				t.Error("the context ended")
			}
		}
	}))
	want := "data: 0 x\n\ndata: 1 x\n\ndata: 2 x\n\n"
	c := dial(t, s)
	post := "POST / HTTP/1.1\r\nHost: a\r\n"
	for _, raw := range []string{
		post + "Content-Length: 1\r\n\r\nx",
		post + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	} {
		if _, body := send(t, c, raw); body != want {
			t.Errorf("got %q", body)
		}
	}
	if _, body := send(t, c, plain); body != strings.ReplaceAll(want, "x", "") {
		t.Errorf("without a body: got %q", body)
	}
	resp, err := (&http.Client{Transport: transport(t, false, false, true), Timeout: patience}).Post("http://"+addr(s), "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); body != want {
		t.Errorf("HTTP/2: got %q", body)
	}
	if line := log.find("status=499"); line != "" {
		t.Errorf("the log has %s", line)
	}
}

// TestIdleHijacked: likewise a connection that is no longer the server's, with
// sessions in between and without.
func TestIdleHijacked(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		line, err := rw.ReadString('\n')
		fmt.Fprintf(c, "%q %v", line, err)
	}
	limits := Limits{ReadHeaderTimeout: short, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short}
	for name, h := range map[string]http.Handler{"alone": http.HandlerFunc(h), "sessions": proxied(t, h)} {
		s, log := serve(t, Options{Limits: limits}, h)
		c := dial(t, s)
		io.WriteString(c, plain)
		time.Sleep(4 * short)
		io.WriteString(c, "late\n")
		if got := closed(t, c); got != `"late\n" <nil>` {
			t.Errorf("%s: got %q", name, got)
		}
		if line := log.find("status=499"); line != "" {
			t.Errorf("%s: the log has %s", name, line)
		}
	}
}

// TestWriteTimeout: who takes nothing in is let go.
func TestWriteTimeout(t *testing.T) {
	done := make(chan error, 1)
	s, log := serve(t, Options{Limits: Limits{WriteTimeout: short}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 1<<20)
		for {
			if _, err := w.Write(p); err != nil {
				done <- err
				return
			}
		}
	}))
	c := dial(t, s)
	io.WriteString(c, plain)
	select {
	case err := <-done:
		if !strings.Contains(err.Error(), "timeout") {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it goes on writing")
	}
	log.await(t, "status=499", "uri=/")
}

func TestHeaderLimits(t *testing.T) {
	s, log := serve(t, Options{Limits: Limits{MaxHeaderBytes: 8 << 10, MaxHeaders: 10}}, proxied(t, func(w http.ResponseWriter, r *http.Request) {}))
	many := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", n) + "X-Request-Id: mine\r\n\r\n"
	}
	resp, _ := send(t, dial(t, s), many(9))
	if resp.StatusCode != 200 {
		t.Errorf("10 fields: got %s", resp.Status)
	}
	c := dial(t, s)
	resp, body := send(t, c, many(10))
	if want := "431 Request Header Fields Too Large: the request has more than 10 header fields (request mine)\n"; resp.StatusCode != 431 || body != want || resp.Header.Get("X-Request-Id") != "" {
		t.Errorf("11 fields: got %s %q %v", resp.Status, body, resp.Header)
	}
	closed(t, c)
	resp, _ = send(t, dial(t, s), "GET / HTTP/1.1\r\nHost: a\r\nA: "+strings.Repeat("b", 7<<10)+"\r\n\r\n")
	if resp.StatusCode != 200 {
		t.Errorf("7 KiB: got %s", resp.Status)
	}
	resp, _ = send(t, dial(t, s), "GET / HTTP/1.1\r\nHost: a\r\nA: "+strings.Repeat("b", 13<<10)+"\r\n\r\n")
	if resp.StatusCode != 431 {
		t.Errorf("13 KiB: got %s", resp.Status)
	}
	h2 := &http.Client{Transport: transport(t, false, false, true), Timeout: patience}
	for n, want := range map[int]int{5: 200, 11: 431} {
		req, err := http.NewRequest("GET", "http://"+addr(s), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			req.Header.Add("A", "b")
		}
		resp, err := h2.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		if resp.StatusCode != want {
			t.Errorf("HTTP/2, %d fields: got %s, want %d", n, resp.Status, want)
		}
	}
	if st := s.Stats(); st.Refused != 2 {
		t.Errorf("got %+v, want 2 refused", st)
	}
	if line := log.find("status=499"); line != "" {
		t.Errorf("the log has %s", line)
	}
}

// TestMostHeaders: what the front lets through a session carries, with what was
// added to it.
func TestMostHeaders(t *testing.T) {
	s, _ := serve(t, Options{}, proxied(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, countFields(r.Header)) }))
	for n, want := range map[int]int{MostHeaders: 200, MostHeaders + 1: 431} {
		resp, body := send(t, dial(t, s), "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("A: b\r\n", n)+"\r\n")
		if resp.StatusCode != want || want == 200 && body != fmt.Sprint(n+5) {
			t.Errorf("%d fields: got %s %s", n, resp.Status, body)
		}
	}
}

func TestMaxBody(t *testing.T) {
	s, _ := serve(t, Options{Limits: Limits{MaxBody: 10}}, proxied(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			w.Header().Set("X-Handler", "was here")
			http.Error(w, "the handler's own words", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%q %v", b, r.Trailer)
	}))
	post := "POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n"
	const refused = "413 Request Entity Too Large: the body has more than 10 bytes (request mine)\n"
	for _, tt := range []struct {
		name, raw string
		code      int
		body      string
	}{
		{"as much as may be", post + "Content-Length: 10\r\n\r\n0123456789", 200, `"0123456789" map[]`},
		{"chunked, with trailers", post + "Trailer: A\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nA: b\r\n\r\n", 200, `"0123456789" map[A:[b]]`},
		{"one more", post + "Content-Length: 11\r\n\r\n0123456789a", 413, refused},
		{"announced only", post + "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n", 413, refused},
		{"chunked, one more", post + "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n", 413, refused},
	} {
		c := dial(t, s)
		resp, body := send(t, c, tt.raw)
		if resp.StatusCode != tt.code || body != tt.body {
			t.Errorf("%s: got %s %q", tt.name, resp.Status, body)
		}
		if tt.code == 413 {
			closed(t, c)
			if resp.Header.Get("X-Handler") != "" || resp.Header.Get("X-Request-Id") != "" {
				t.Errorf("%s: got %v", tt.name, resp.Header)
			}
		}
	}
	req, err := http.NewRequest("POST", "http://"+addr(s), io.MultiReader(strings.NewReader("0123456789a"))) // of unknown length
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "mine")
	resp, err := (&http.Client{Transport: transport(t, false, false, true), Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); resp.StatusCode != 413 || body != refused {
		t.Errorf("HTTP/2: got %s %q", resp.Status, body)
	}
	if n := s.Stats().Refused; n != 4 {
		t.Errorf("%d refused, want 4", n)
	}
}
