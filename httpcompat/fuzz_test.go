package httpcompat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// build makes a request of a head, or says why not.
func build(data []byte) (*http.Request, string, error) {
	var sc scratch
	if err := codec.DecodeRequestHead(&sc.req, data); err != nil {
		return nil, "", err
	}
	x := new(exchange)
	r := blank.WithContext(context.Background())
	local, _, err := sc.fill(r, &x.url, data, codec.ArgCount(data) == 5)
	return r, local, err
}

// same compares what a head says of two requests.
func same(a, b *http.Request) bool {
	return a.Method == b.Method && a.RequestURI == b.RequestURI && a.Proto == b.Proto && a.Host == b.Host &&
		a.ContentLength == b.ContentLength && a.RemoteAddr == b.RemoteAddr && a.Close == b.Close &&
		maps.EqualFunc(a.Header, b.Header, slices.Equal) && maps.EqualFunc(a.Trailer, b.Trailer, slices.Equal) &&
		slices.Equal(a.TransferEncoding, b.TransferEncoding) && *a.URL == *b.URL
}

func TestRequestHeadRoundTrip(t *testing.T) {
	cert := &x509.Certificate{}
	cert.RawSubject = []byte{0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 0x03, 0x55, 0x04, 0x03, 0x13, 0x04, 'a', 'n', 'n', 'a'} // CN=anna
	many := browser()
	for i := range 300 {
		many.Header.Add("X-Many", strings.Repeat("v", i))
	}
	post := httptest.NewRequest("POST", "/p", strings.NewReader("x"))
	post.ContentLength = -1
	post.TransferEncoding = []string{"chunked"}
	post.Trailer = http.Header{"X-Sum": nil, "X-More": nil}
	post.Close = true
	secure := httptest.NewRequest("GET", "https://secure.example/", nil)
	secure.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: 0x1301, ServerName: "secure.example", NegotiatedProtocol: "http/1.1", HandshakeComplete: true,
		PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	large := httptest.NewRequest("PUT", "/l", nil)
	large.ContentLength = 1 << 40
	for name, r := range map[string]*http.Request{"browser": browser(), "many": many, "post": post, "secure": secure, "large": large} {
		got, local, err := build(AppendRequestHead(nil, r, "192.0.2.1:80"))
		if err != nil || local != "192.0.2.1:80" {
			t.Fatalf("%s: %v, local %q", name, err, local)
		}
		if !same(got, r) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, r)
		}
		if (got.TLS == nil) != (r.TLS == nil) {
			t.Fatalf("%s: TLS %v", name, got.TLS)
		}
		if got.TLS != nil {
			var subject pkix.Name = got.TLS.PeerCertificates[0].Subject
			if subject.CommonName != "anna" || got.TLS.ServerName != "secure.example" || got.TLS.Version != tls.VersionTLS13 || got.TLS.NegotiatedProtocol != "http/1.1" {
				t.Errorf("%s: TLS %+v", name, got.TLS)
			}
		}
	}
}

// The plain form is what Cocaine's own proxies send.
func TestPlainRequestHead(t *testing.T) {
	head := []byte("\x95\xa4POST\xa2/x\xa8HTTP/1.1\x93\x92\xa4host\xa1h\x92\xa3X-a\xa11\x92\xa3x-A\xa12\xa4body")
	r, _, err := build(head)
	if err != nil {
		t.Fatal(err)
	}
	if r.Host != "h" || r.ContentLength != 4 || r.Proto != "HTTP/1.1" || !slices.Equal(r.Header["X-A"], []string{"1", "2"}) || len(r.Header) != 1 {
		t.Errorf("got %+v", r)
	}
	head, _ = appendPlainHead(nil, r, []byte("body"))
	again, _, err := build(head)
	again.Header.Del("Content-Length")
	if err != nil || !same(again, r) {
		t.Errorf("again: %v, %+v", err, again)
	}
}

func TestRefusedRequestHeads(t *testing.T) {
	for name, head := range map[string]string{
		"empty":          "",
		"four elements":  "\x94\xa3GET\xa1/\xa31.1\x90",
		"no array":       "\xa3GET",
		"cut off":        "\x95\xa3GET\xa1/\xa31.1\x91\x92\xa1a",
		"method":         "\x95\xa4GE T\xa1/\xa31.1\x90\xa0",
		"no method":      "\x95\xa0\xa1/\xa31.1\x90\xa0",
		"uri":            "\x95\xa3GET\xa3/%z\xa31.1\x90\xa0",
		"no uri":         "\x95\xa3GET\xa0\xa31.1\x90\xa0",
		"control in uri": "\x95\xa3GET\xa4/?\x01x\xa31.1\x90\xa0",
		"version":        "\x95\xa3GET\xa1/\xa19\x90\xa0",
		"name":           "\x95\xa3GET\xa1/\xa31.1\x91\x92\xa3a b\xa1v\xa0",
		"empty name":     "\x95\xa3GET\xa1/\xa31.1\x91\x92\xa0\xa1v\xa0",
		"newline":        "\x95\xa3GET\xa1/\xa31.1\x91\x92\xa1a\xa3v\nw\xa0",
		"return":         "\x95\xa3GET\xa1/\xa31.1\x91\x92\xa1a\xa3v\rw\xa0",
		"header no pair": "\x95\xa3GET\xa1/\xa31.1\x91\x91\xa1a\xa0",
		"bytes after":    "\x95\xa3GET\xa1/\xa31.1\x90\xa0\xa0",
		"promises a lot": "\x95\xa3GET\xa1/\xa31.1\xdd\x7f\xff\xff\xff",
	} {
		if r, _, err := build([]byte(head)); err == nil {
			t.Errorf("%s: accepted as %+v", name, r)
		}
	}
}

func FuzzRequestHead(f *testing.F) {
	f.Add(AppendRequestHead(nil, browser(), "127.0.0.1:1"))
	plain, _ := appendPlainHead(nil, browser(), []byte("body"))
	f.Add(plain)
	f.Add([]byte("\x95\xa3GET\xa1/\xa31.1\x92\x92\xa1a\xa11\x92\xa1A\xa12\xa0"))
	f.Add([]byte("\x96\xa7CONNECT\xa5h:443\xa32.0\x90\xc0\x90"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, local, err := build(bytes.Clone(data))
		if err != nil {
			return
		}
		if r.URL == nil || r.Header == nil || r.Method == "" || r.ContentLength < -1 {
			t.Fatalf("half a request: %+v", r)
		}
		again, local2, err := build(AppendRequestHead(nil, r, local))
		if err != nil || local2 != local {
			t.Fatalf("not a head again: %v\n%+v", err, r)
		}
		if codec.ArgCount(data) != 5 && !same(r, again) {
			t.Fatalf("got %+v\nwant %+v", again, r)
		}
		// What is accepted is a request that can be written and read again.
		if r.Method != "CONNECT" {
			line := r.Method + " " + r.RequestURI + " HTTP/1.1\r\nHost: a\r\n\r\n"
			std, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line)))
			if err != nil {
				if !strings.ContainsAny(r.RequestURI, " \n\r") {
					t.Fatalf("net/http refuses %q: %v", line, err)
				}
			} else if std.RequestURI == r.RequestURI && *std.URL != *r.URL {
				t.Fatalf("%q: got %#v\nwant %#v", line, r.URL, std.URL)
			}
		}
	})
}

func FuzzResponseHead(f *testing.F) {
	f.Add([]byte("\x92\xcc\xc8\x92\x92\xacContent-Type\xaatext/plain\x92\xa1X\xa11"), []byte("body"))
	f.Add([]byte("\x92\xcd\x01\x30\x90"), []byte{})
	f.Add([]byte("\x92\x64\x90"), []byte("x"))
	f.Fuzz(func(t *testing.T, data, body []byte) {
		var sc scratch
		rec := httptest.NewRecorder()
		a := &asking{p: &Proxy{}, w: rec, r: httptest.NewRequest("GET", "/", nil), sc: &sc, heddle: true}
		if a.head(data) != nil {
			if a.headSent || len(rec.Result().Header) != 0 {
				t.Fatalf("a refused head left %v", rec.Header())
			}
			return
		}
		if rec.Code < 200 && rec.Code != http.StatusSwitchingProtocols || rec.Code > 999 || int64(rec.Code) != sc.resp.Code {
			t.Fatalf("status %d", rec.Code)
		}
		for name, vv := range rec.Header() {
			if _, ok := canonical(name); !ok {
				t.Fatalf("name %q", name)
			}
			for _, v := range vv {
				if strings.ContainsAny(v, "\r\n") {
					t.Fatalf("value %q", v)
				}
			}
		}
		// The worker's encoder and this decoder agree on what was taken.
		w := &response{h: &handler{server: new(http.Server)}, req: a.r, sc: getScratch(), header: rec.Header().Clone(), length: -1}
		w.WriteHeader(rec.Code)
		var resp heddle.ResponseHead
		if err := codec.DecodeResponseHead(&resp, w.head(body, false)); err != nil || int(resp.Code) != rec.Code {
			t.Fatalf("encoded again: %v, %d", err, resp.Code)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, uri := range []string{"/", "/a/b?c=d", "//x", "/%41", "/a b", "*", "http://h/p?q", "/?", "/a?b?", "/é", "/a#b", "/;:@&=+$,-_.!~*'()", ""} {
		f.Add("GET", uri)
	}
	f.Add("CONNECT", "h:443")
	f.Fuzz(func(t *testing.T, method, uri string) {
		var u requestURL
		err := u.parse(method, uri)
		if method == "CONNECT" && !strings.HasPrefix(uri, "/") {
			return
		}
		want, wantErr := url.ParseRequestURI(uri)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(&u.URL, want) {
			t.Fatalf("%q: got %#v, %v\nwant %#v, %v", uri, u.URL, err, want, wantErr)
		}
	})
}
