package front

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// apps is a switchboard of apps by host that differ in their limits.
type apps struct {
	*httpcompattest.Backend
	limits map[string]*AppLimits
}

func (a apps) Route(host, _ []byte) (Opener, *AppLimits) { return a.Backend, a.limits[string(host)] }

// ServeHTTP is for what net/http has.
func (a apps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := httpcompat.Proxy{Opener: a.Backend}
	if l := a.limits[r.Host]; l != nil {
		p.HeadTimeout = l.ResponseHeaderTimeout
	}
	p.ServeHTTP(w, r)
}

func (a apps) LimitsOf(r *http.Request) *AppLimits { return a.limits[r.Host] }

// TestAppLimits: what an app's requests may, on the loop and by net/http, also
// one behind another's on the same connection.
func TestAppLimits(t *testing.T) {
	big := strings.Repeat("x", 32<<20)
	h := httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			select {
			case <-time.After(3 * short):
				io.WriteString(w, "late")
			case <-r.Context().Done():
			}
		case "/big":
			io.WriteString(w, big)
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		}
	}))
	b, err := httpcompattest.NewBackend(h, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	all := apps{b, map[string]*AppLimits{
		"strict": {ResponseHeaderTimeout: short, WriteTimeout: short, MaxBody: 4},
		"free":   {},
	}}
	post := func(host, body string) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
	}
	get := func(host, path string) string { return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host) }
	for name, backend := range map[string]Backend{"loop": all, "net/http": nil} {
		t.Run(name, func(t *testing.T) {
			// The front's own are for whoever has no others.
			s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Limits: Limits{MaxBody: 8}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Serve(all, backend); err != nil {
				t.Fatal(err)
			}
			c := dial(t, s)
			br := bufio.NewReader(c)
			for _, tt := range []struct {
				raw  string
				code int
				body string
			}{
				{post("strict", "1234"), 200, "4"},
				{post("free", "123456789"), 200, "9"},
				{post("other", "12345678"), 200, "8"},
				{get("free", "/late"), 200, "late"},
				{get("strict", "/late"), 504, ""},
				{get("other", "/late"), 200, "late"},
				{post("other", "123456789"), 413, "the body has more than 8 bytes"},
				{post("strict", "12345"), 413, "the body has more than 4 bytes"},
			} {
				io.WriteString(c, tt.raw)
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatalf("%q: %v", tt.raw, err)
				}
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != tt.code || !strings.Contains(string(body), tt.body) || err != nil {
					t.Errorf("%q: got %d %q, %v", tt.raw, resp.StatusCode, body, err)
				}
				if resp.Close {
					c = dial(t, s)
					br = bufio.NewReader(c)
				}
			}

			// A client that takes nothing in.
			for host, whole := range map[string]bool{"strict": false, "free": true} {
				c := dial(t, s)
				io.WriteString(c, post(host, "1")+get(host, "/big"))
				time.Sleep(4 * short)
				n, err := io.Copy(io.Discard, io.LimitReader(c, 32<<20+100))
				if got := err == nil && n > 32<<20; got != whole {
					t.Errorf("%s: %d bytes came, %v", host, n, err)
				}
			}
		})
	}
}

// TestSpecialDeadlines: the lists of limits that nobody has any more do not pile up.
func TestSpecialDeadlines(t *testing.T) {
	r := newRig(t, Options{Limits: Limits{WriteTimeout: time.Minute}}, httpcompat.Handler(http.NotFoundHandler()), 1)
	ln := r.s.lanes[0]
	r.on(t, ln, func() {
		for i := range 10 * mostSpecial {
			ln.answering(time.Duration(i+1) * time.Second)
		}
		if ln.stalling(time.Minute) != &ln.writing || ln.answering(0) != &ln.waits[forAnswer] {
			t.Error("the front's own limits have lists of their own")
		}
		if n := len(ln.answers); n > mostSpecial {
			t.Errorf("%d lists", n)
		}
	})
}
