package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quiet has the standard library's complaints about odd peers go nowhere.
func quiet(t *testing.T) {
	before := log.Writer()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(before) })
}

func caOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

// TestWeb: over TLS and HTTP/2, too, a real server's ledger and the report agree, and
// there are no more connections than were asked for.
func TestWeb(t *testing.T) {
	requests := []Request{
		{Path: "/{id}?q={id}", Expect: "ok"}, {Path: "/%2f/a;b", Expect: "ok"}, {Path: "/none", Status: 204}, {Path: "/head", Method: "HEAD"},
		{Path: "/post", Body: "order {id}", Expect: "ok", Header: http.Header{"X-Own": {"a {id}"}}}, {Path: "/large", Expect: strings.Repeat("x", 100_000)},
	}
	for _, tt := range []struct {
		name      string
		tls, h2   bool   // that the server has
		http      string // that is asked for
		unix      bool
		pipeline  int
		reconnect bool
		want      string
	}{
		{name: "HTTP/1.1 over TLS", tls: true, want: "HTTP/1.1"},
		{name: "agreed on", tls: true, h2: true, want: "HTTP/2.0"},
		{name: "HTTP/1.1 all the same", tls: true, h2: true, http: HTTP1, want: "HTTP/1.1"},
		{name: "HTTP/2 at once", h2: true, http: HTTP2, want: "HTTP/2.0"},
		{name: "HTTP/2 on a unix socket", h2: true, http: HTTP2, unix: true, pipeline: 3, want: "HTTP/2.0"},
		{name: "streams", tls: true, h2: true, http: HTTP2, pipeline: 20, want: "HTTP/2.0"},
		{name: "a connection for each", tls: true, reconnect: true, want: "HTTP/1.1"},
		{name: "a connection of HTTP/2 for each", tls: true, h2: true, reconnect: true, want: "HTTP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			quiet(t)
			var asked, conns atomic.Int64
			var ids sync.Map
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				id := r.Header.Get("X-Request-Id")
				if _, again := ids.LoadOrStore(id, true); again || len(id) != idLen {
					t.Errorf("id %q came twice", id)
				}
				if r.Proto != tt.want || r.Header.Get("User-Agent") != "" || r.Header.Get("Accept-Encoding") != "" {
					t.Errorf("got %s, %v", r.Proto, r.Header)
				}
				b, _ := io.ReadAll(r.Body)
				switch {
				case r.URL.Path == "/post":
					if string(b) != "order "+id || r.Header.Get("X-Own") != "a "+id || r.ContentLength != int64(len(b)) {
						t.Errorf("got %q, %v", b, r.Header)
					}
				case r.URL.Path == "/none":
					w.WriteHeader(http.StatusNoContent)
					return
				case r.URL.Path == "/large":
					_, _ = w.Write(bytes.Repeat([]byte("x"), 100_000))
					return
				case r.URL.RawPath == "/%2f/a;b", r.URL.Path == "/head", r.URL.Path == "/"+id && r.URL.RawQuery == "q="+id:
				default:
					t.Errorf("got %s", r.RequestURI)
				}
				_, _ = io.WriteString(w, "ok")
			}))
			if tt.unix {
				_ = srv.Listener.Close()
				var err error
				if srv.Listener, err = net.Listen("unix", filepath.Join(t.TempDir(), "s")); err != nil {
					t.Fatal(err)
				}
			}
			srv.EnableHTTP2 = tt.h2
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					conns.Add(1)
				}
			}
			o := Options{Requests: requests, Conns: 4, Count: 300, Duration: time.Minute, Timeout: 30 * time.Second, Pipeline: tt.pipeline, Reconnect: tt.reconnect}
			if tt.tls {
				srv.StartTLS()
				o.TLS.CACert = caOf(srv)
			} else {
				srv.Config.Protocols = new(http.Protocols)
				srv.Config.Protocols.SetUnencryptedHTTP2(true)
				srv.Start()
			}
			defer srv.Close()
			target := srv.URL
			if tt.unix {
				target = "unix:" + srv.Listener.Addr().String()
			}
			var err error
			if o.Target, err = ParseTarget(target); err != nil {
				t.Fatal(err)
			}
			o.Target.HTTP = tt.http
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests != 300 || r.Answered != 300 || r.Errors+r.Lost+r.Duplicated+r.Stray != 0 || asked.Load() != 300 {
				t.Errorf("got %+v, the server %d", r.Counts, asked.Load())
			}
			if r.Bytes < 100_000 || r.Statuses[204] == 0 || r.Target.Protocol != tt.want || !strings.HasPrefix(r.Target.Note(), tt.want) {
				t.Errorf("got %+v, %q", r.Counts, r.Target.Note())
			}
			if n := uint64(conns.Load()); tt.reconnect && n < 300 || !tt.reconnect && n != 4 || n != r.Connected {
				t.Errorf("%d connections, said to be %d", n, r.Connected)
			}
		})
	}
}

// certificate makes one of a server that is its own authority.
func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: until.Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestTLSRefused: why TLS is not agreed on is said, and nothing is sent.
func TestTLSRefused(t *testing.T) {
	good, goodPEM := certificate(t, "bench.test", time.Now().Add(time.Hour))
	old, oldPEM := certificate(t, "bench.test", time.Now().Add(-time.Minute))
	talk := func(c *tls.Config) func(net.Conn) {
		return func(nc net.Conn) { _ = tls.Server(nc, c).Handshake() }
	}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	for _, tt := range []struct {
		name string
		fn   func(net.Conn)
		tls  TLS
		http string
		want string
	}{
		{name: "nobody vouches", fn: talk(with(good)), tls: TLS{ServerName: "bench.test"}, want: "TLS: unknown authority"},
		{name: "another's", fn: talk(with(good)), tls: TLS{CACert: goodPEM, ServerName: "other.test"}, want: "TLS: other name"},
		{name: "another's address", fn: talk(with(good)), tls: TLS{CACert: goodPEM}, want: "TLS: other name"},
		{name: "expired", fn: talk(with(old)), tls: TLS{CACert: oldPEM, ServerName: "bench.test"}, want: "TLS: expired"},
		{name: "no TLS", fn: func(c net.Conn) { answerer(c, func(int, string) (string, bool) { return "", false }) }, want: "TLS: closed"},
		{name: "speaks first", fn: func(c net.Conn) { _, _ = io.WriteString(c, "220 hello\r\n"); _, _ = io.Copy(io.Discard, c) }, want: "TLS: not spoken"},
		{name: "hangs up", fn: func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, want: "TLS: closed"},
		{name: "silent", fn: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, want: "connect timeout"},
		{name: "old TLS", fn: talk(&tls.Config{Certificates: with(good).Certificates, MaxVersion: tls.VersionTLS11}), tls: TLS{Insecure: true}, want: "TLS"},
		{name: "another protocol", fn: talk(&tls.Config{Certificates: with(good).Certificates, NextProtos: []string{"http/1.1"}}), tls: TLS{Insecure: true}, http: HTTP2, want: "no HTTP/2"},
		{name: "no protocol", fn: talk(with(good)), tls: TLS{Insecure: true}, http: HTTP2, want: "no HTTP/2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, err := ParseTarget("https://" + serve(t, "tcp", "127.0.0.1:0", tt.fn))
			if err != nil {
				t.Fatal(err)
			}
			target.HTTP = tt.http
			r, err := Run(t.Context(), Options{Target: target, TLS: tt.tls, Conns: 2, Duration: 100 * time.Millisecond, Timeout: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests != 0 || r.Kinds[tt.want] == 0 || r.Kinds[tt.want] != r.Errors {
				t.Errorf("got %+v, want %s", r.Counts, tt.want)
			}
		})
	}
	target := Target{Network: "tcp", Address: "x:1", Host: "x", Path: "/", TLS: true}
	for name, o := range map[string]Options{
		"no certificate": {Target: target, TLS: TLS{CACert: []byte("x")}}, "pipeline": {Target: target, Pipeline: 2},
		"version": {Target: Target{Network: "tcp", Address: "x:1", Host: "x", Path: "/", HTTP: "3"}},
		"path":    {Target: target, Requests: []Request{{Path: "/%zz"}}},
	} {
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
}

// TestTLSMischief: what a server does to requests over TLS is counted as without it.
func TestTLSMischief(t *testing.T) {
	quiet(t)
	cert, ca := certificate(t, "bench.test", time.Now().Add(time.Hour))
	for _, tt := range []struct {
		name string
		fn   func(c net.Conn, n int, id string) (string, bool)
		want func(r *Result) bool
	}{
		{"fine", func(_ net.Conn, _ int, id string) (string, bool) { return ok(id), true },
			func(r *Result) bool { return r.Answered == 40 && r.Errors == 0 && r.Connected == 1 }},
		{"dropped", func(_ net.Conn, n int, id string) (string, bool) { return map[bool]string{true: ok(id)}[n != 2], true },
			func(r *Result) bool {
				return r.Lost >= 5 && r.Lost+r.Late == r.Kinds["timeout"] && r.Errors == r.Lost+r.Late
			}},
		{"reset", func(c net.Conn, n int, id string) (string, bool) {
			if n == 3 {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				return "", false
			}
			return ok(id), true
		}, func(r *Result) bool { return r.Answered == 30 && r.Lost == 10 && r.Kinds["reset"] == 10 }},
		{"hung up", func(_ net.Conn, n int, id string) (string, bool) { return map[bool]string{true: ok(id)}[n < 3], n < 3 },
			func(r *Result) bool { return r.Answered == 30 && r.Lost == 10 && r.Kinds["closed"] == 10 }},
		{"closes", func(_ net.Conn, _ int, id string) (string, bool) {
			return strings.Replace(ok(id), "\r\n", "\r\nConnection: close\r\n", 1), false
		}, func(r *Result) bool { return r.Answered == 40 && r.Errors == 0 && r.Connected >= 40 }},
		{"short", func(net.Conn, int, string) (string, bool) {
			return "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello", false
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["truncated"] == 40 && r.Bytes == 5*40 }},
		{"longer than promised", func(_ net.Conn, _ int, id string) (string, bool) { return ok(id) + " and more\r\n\r\n", true },
			func(r *Result) bool {
				return r.Answered+r.Lost == 40 && r.Kinds["malformed"] > 0 && r.Kinds["malformed"] == r.Errors
			}},
		{"no HTTP", func(net.Conn, int, string) (string, bool) { return "220 hello\r\n\r\n", true },
			func(r *Result) bool { return r.Lost == 40 && r.Kinds["malformed"] == 40 }},
		{"endless head", func(net.Conn, int, string) (string, bool) {
			return "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*maxHead), true
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["too large"] == 40 }},
		{"endless body", func(c net.Conn, _ int, _ string) (string, bool) {
			return "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 300_000), true
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["timeout"] == 40 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
				c := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
				answerer(c, func(n int, id string) (string, bool) { return tt.fn(nc, n, id) })
				_ = c.CloseWrite()
			})
			target, err := ParseTarget("https://" + addr)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Target: target, TLS: TLS{CACert: ca, ServerName: "bench.test"}, Conns: 1, Count: 40, Duration: time.Minute, Timeout: 20 * time.Second}
			switch tt.name {
			case "dropped":
				o.Timeout = 200 * time.Millisecond
			case "endless body":
				o.Timeout, o.Conns = 200*time.Millisecond, 10
			}
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests != 40 || r.Requests != r.Answered+r.Late+r.Lost || !tt.want(r) {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
}

// TestStreamMischief: the same of HTTP/2, whose streams fail one by one.
func TestStreamMischief(t *testing.T) {
	quiet(t)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    func(r *Result) bool
	}{
		{"reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			func(r *Result) bool { return r.Lost == 40 && r.Kinds["reset"] == 40 && r.Connected == 1 }},
		{"amid the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["reset"] == 40 && r.Bytes <= 5*40 }},
		{"large head", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 * maxHead / 2048 {
				w.Header().Set("A"+strconv.Itoa(i), strings.Repeat("x", 1000))
			}
		},
			// What is far above the limit is a breach of the protocol to net/http, which ends the connection.
			func(r *Result) bool {
				return r.Lost == 40 && r.Errors == 40 && r.Kinds["too large"]+r.Kinds["malformed"] > 20
			}},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			func(r *Result) bool { return r.Lost == 40 && r.Kinds["timeout"] == 40 }},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 16<<10))
			}
		}, func(r *Result) bool { return r.Lost == 40 && r.Kinds["timeout"] == 40 }},
		{"failing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
			func(r *Result) bool { return r.Answered == 40 && r.Kinds["status"] == 40 && r.Statuses[418] == 40 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(tt.handler)
			srv.Config.Protocols = new(http.Protocols)
			srv.Config.Protocols.SetUnencryptedHTTP2(true)
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.Start()
			defer srv.Close()
			target, err := ParseTarget(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			target.HTTP = HTTP2
			o := Options{Target: target, Conns: 1, Pipeline: 4, Count: 40, Duration: time.Minute, Timeout: 20 * time.Second}
			if tt.name == "silent" || tt.name == "endless" {
				o.Timeout = 200 * time.Millisecond
			}
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests != 40 || r.Requests != r.Answered+r.Late+r.Lost || !tt.want(r) {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
	// One that speaks HTTP/1.1 is told apart from one that fails.
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		answerer(c, func(int, string) (string, bool) {
			return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false
		})
	})
	target, _ := ParseTarget(addr)
	target.HTTP = HTTP2
	r, err := Run(t.Context(), Options{Target: target, Conns: 1, Count: 5, Duration: 500 * time.Millisecond})
	if err != nil || r.Answered != 0 || r.Lost == 0 || r.Errors != r.Lost {
		t.Errorf("got %+v, %v", r, err)
	}
}
