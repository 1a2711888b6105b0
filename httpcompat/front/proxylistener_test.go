package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func whence(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %v %s", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey), r.Header.Get("X-Forwarded-For"))
}

func TestProxyProtocol(t *testing.T) {
	s, log := serve(t, Options{
		Listeners: []Listener{{Address: "127.0.0.1:0", Proxy: true}},
		Limits:    Limits{ReadHeaderTimeout: short},
	}, http.HandlerFunc(whence))
	for _, tt := range []struct{ header, want string }{
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n", "192.0.2.1:4711 198.51.100.2:443 192.0.2.1"},
		{v2(1, 0x11, tcp4Rest+tlv), "192.0.2.1:4711 198.51.100.2:443 192.0.2.1"},
		{v2(1, 0x21, tcp6Rest), "[2001:db8::1]:4711 [2001:db8::2]:443 2001:db8::1"},
		{v2(1, 0x31, unixRest), "/run/a @abstract "},
		{v2(1, 0x11, tcp4Rest+strings.Repeat("x", 2000)), "192.0.2.1:4711 198.51.100.2:443 192.0.2.1"},
		{"PROXY UNKNOWN\r\n", "own"},
		{v2(0, 0x00, ""), "own"},
	} {
		// In one packet, byte by byte, and in two.
		for _, size := range []int{len(tt.header) + len(plain), 1, len(tt.header)} {
			c := dial(t, s)
			raw := tt.header + plain
			for len(raw) > size && size > 1 || size == 1 && len(raw) > len(plain) && len(tt.header) < 100 {
				io.WriteString(c, raw[:size])
				raw = raw[size:]
			}
			want := tt.want
			if want == "own" {
				want = c.LocalAddr().String() + " " + c.RemoteAddr().String() + " 127.0.0.1"
			}
			if _, body := send(t, c, raw); body != want {
				t.Errorf("%q, %d bytes at once: got %s, want %s", tt.header, size, body, want)
			}
		}
	}
	for _, raw := range []string{
		plain, // no header at all
		"PROXY TCP4 1 2 3 4\r\n" + plain,
		"PROXY " + strings.Repeat("x", 200),
		v2(1, 0x44, tcp4Rest) + plain,
		v2(1, 0x11, strings.Repeat("x", 5000)),
		"PROXY TCP4 192.0.2.1 198.51", // and then nothing
		"",
	} {
		before := strings.Count(log.String(), "no PROXY protocol header came")
		c := dial(t, s)
		io.WriteString(c, raw)
		b, _ := io.ReadAll(c) // reset, where bytes were left unread
		if len(b) > 0 {
			t.Errorf("%q: got %q, want silence", raw, b)
		}
		want := before + 1
		if raw == "" { // a health check
			want = before
		}
		if n := strings.Count(log.String(), "no PROXY protocol header came"); n != want {
			t.Errorf("%q: logged %d times", raw, n-before)
		}
	}
}

// TestProxyTLS: the header is in clear, before the handshake.
func TestProxyTLS(t *testing.T) {
	s, _ := serve(t, Options{Listeners: []Listener{{Address: "127.0.0.1:0", Proxy: true}}, TLS: tlsFiles(t, newPair(t, "one", nil))}, http.HandlerFunc(whence))
	c := dial(t, s)
	io.WriteString(c, "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n")
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if _, body := send(t, tc, plain); body != "192.0.2.1:4711 198.51.100.2:443 192.0.2.1" {
		t.Errorf("got %s", body)
	}
}

// TestProxyTrusted: with a list, only those in it may say a header; and whom a
// header names is believed only if he is in it himself.
func TestProxyTrusted(t *testing.T) {
	for _, tt := range []struct {
		trusted string
		want    string // "": no connection
	}{
		{"10.0.0.0/8", ""},
		{"127.0.0.1", "192.0.2.1:4711 198.51.100.2:443 192.0.2.1"},
		{"127.0.0.1 192.0.2.0/24", "192.0.2.1:4711 198.51.100.2:443 203.0.113.1, 192.0.2.1"},
	} {
		trusted, err := ParseTrusted(strings.Fields(tt.trusted))
		if err != nil {
			t.Fatal(err)
		}
		s, log := serve(t, Options{Listeners: []Listener{{Address: "127.0.0.1:0", Proxy: true}}, Trusted: trusted}, http.HandlerFunc(whence))
		c := dial(t, s)
		raw := "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n"
		if tt.want == "" {
			io.WriteString(c, raw)
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("%s: got %q", tt.trusted, b)
			}
			log.await(t, "no trusted proxy", c.LocalAddr().String())
			continue
		}
		if _, body := send(t, c, raw); body != tt.want {
			t.Errorf("%s: got %s, want %s", tt.trusted, body, tt.want)
		}
	}
}

// TestProxyHalfClose: the connection can be half-closed as without a header.
func TestProxyHalfClose(t *testing.T) {
	s, _ := serve(t, Options{Listeners: []Listener{{Address: "127.0.0.1:0", Proxy: true}}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "bye")
		c.(interface{ CloseWrite() error }).CloseWrite()
		b, err := io.ReadAll(rw)
		if string(b) != "still here" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
	}))
	c := dial(t, s).(*net.TCPConn)
	io.WriteString(c, "PROXY UNKNOWN\r\n"+plain)
	if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	io.WriteString(c, "still here")
	c.CloseWrite()
	for s.Active() > 0 { // it looks at what came
		time.Sleep(time.Millisecond)
	}
}
