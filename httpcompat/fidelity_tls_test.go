package httpcompat_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// A secured is a fidelity over TLS, with HTTP/1.1 and HTTP/2. There the bytes
// are the client's own affair: what it makes of them is compared.
type secured struct {
	name    string
	handler func(n *notes, w http.ResponseWriter, r *http.Request)
	request func(url string) *http.Request // nil: GET /
	panics  bool                           // which is logged, by whoever it is, when the handler has gone
	differs map[string]string              // by protocol, as in fidelity
}

// A secureOutcome is all that came of it.
type secureOutcome struct {
	Answer  []string // what the client was told, with 1xx heads before and trailers behind
	Failure string   // whether it failed, and before or behind the head
	Notes   []string
	Logs    []string
}

var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// request is a request's maker, for the tables.
func request(method, path string, body io.Reader, change ...func(r *http.Request)) func(string) *http.Request {
	var data []byte
	if body != nil {
		data, _ = io.ReadAll(body)
	}
	return func(url string) *http.Request {
		var body io.Reader
		if data != nil {
			body = bytes.NewReader(data)
		}
		r, err := http.NewRequest(method, url+path, body)
		if err != nil {
			panic(err)
		}
		for _, f := range change {
			f(r)
		}
		return r
	}
}

// ofAnyLength takes away what is known about a body's length.
func ofAnyLength(r *http.Request) {
	r.Body, r.ContentLength, r.GetBody = struct{ io.ReadCloser }{r.Body}, -1, nil
}

func writes(h http.HandlerFunc) func(*notes, http.ResponseWriter, *http.Request) {
	return func(_ *notes, w http.ResponseWriter, r *http.Request) { h(w, r) }
}

var secureds = []secured{
	{name: "request", handler: seeTLS, request: request("GET", "/a%2Fb?x=1;y", nil, func(r *http.Request) {
		r.Header["X-A"] = []string{"1", "2"}
		r.Header.Set("Cookie", "a=1; b=2")
		r.Header.Set("Te", "trailers")
		r.Host = "other.example"
	})},
	{name: "http.Pusher", handler: func(n *notes, w http.ResponseWriter, r *http.Request) { n.add("%s", abilities(w)) },
		differs: map[string]string{"HTTP/2.0": "there is none: a front has nothing to push from, and browsers have given push up. Ask whether w is one before its use, as ever"}},
	{name: "client certificate", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		cert := r.TLS.PeerCertificates[0]
		n.add("subject %s, chains %d", cert.Subject, len(r.TLS.VerifiedChains))
	}},
	{name: "client certificate whole", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		cert := r.TLS.PeerCertificates[0]
		n.add("raw %v, issuer %s, until %v", len(cert.Raw) > 0, cert.Issuer, cert.NotAfter)
	}, differs: map[string]string{
		"HTTP/1.1": "of a client's certificate a worker knows the subject alone, and the other fields are empty. Decide on the subject: the front has verified the certificate",
		"HTTP/2.0": "as with HTTP/1.1: of a client's certificate the subject alone is known",
	}},
	{name: "method", handler: see1, request: request("PROPFIND", "/", nil)},
	{name: "HEAD", handler: see1, request: request("HEAD", "/", nil)},
	{name: "OPTIONS *", handler: see1, request: func(url string) *http.Request {
		r := request("OPTIONS", "", nil)(url)
		r.URL.Opaque = "*"
		return r
	}},
	{name: "body", handler: see1, request: request("POST", "/", strings.NewReader("abc"))},
	{name: "long body", handler: see1, request: request("POST", "/", strings.NewReader(strings.Repeat(much, 20)))},
	{name: "body of any length", handler: see1, request: request("POST", "/", strings.NewReader("abc"), ofAnyLength)},
	{name: "request trailers", handler: see1, request: request("POST", "/", strings.NewReader("abc"), ofAnyLength, func(r *http.Request) {
		r.Trailer = http.Header{"X-Sum": {"6"}, "X-More": {"1", "2"}}
	})},
	{name: "expectation", handler: see1, request: request("POST", "/", strings.NewReader("abc"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })},
	{name: "expectation refused", handler: writes(says(417, nil, "no")), request: request("POST", "/", strings.NewReader("abc"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") }),
		differs: map[string]string{"HTTP/2.0": "net/http's HTTP/2 server hides from handlers that the client waits for 100, so the front always asks for the body. It is dropped if the handler does not read it; nothing to do"}},
	{name: "body not read", handler: writes(says(0, nil, "ignored")), request: request("POST", "/", strings.NewReader("abc"))},
	{name: "body too long", handler: limited(2), request: request("POST", "/", strings.NewReader("abc")),
		differs: map[string]string{"HTTP/1.1": "as in clear: MaxBytesReader closes net/http's connection, and not that of a front. Set Connection: close with the 413"}},
	{name: "text", handler: writes(says(0, nil, "text"))},
	{name: "page", handler: writes(says(0, nil, page))},
	{name: "nothing", handler: writes(says(0, nil))},
	{name: "much", handler: writes(says(0, nil, much))},
	{name: "HEAD of text", handler: writes(says(0, nil, "text")), request: request("HEAD", "/", nil)},
	{name: "fields", handler: writes(says(0, http.Header{"X-B": {"1", "2"}, "Vary": {"a", "b"}, "X-Pad": {" p "}, "Content-Type": nil, "Date": nil}, "x"))},
	{name: "status", handler: writes(says(418, nil, "tea"))},
	{name: "204", handler: writes(says(204, nil))},
	{name: "304", handler: writes(says(304, http.Header{"Etag": {`"e"`}}))},
	{name: "length", handler: writes(says(0, http.Header{"Content-Length": {"3"}}, "abc"))},
	{name: "length and less", handler: writes(says(0, http.Header{"Content-Length": {"9"}}, "abc"))},
	{name: "flushed", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		n.put(w, "one ")
		n.fail("flush", rc.Flush())
		n.fail("read deadline", rc.SetReadDeadline(time.Now().Add(time.Hour)))
		n.fail("write deadline", rc.SetWriteDeadline(time.Now().Add(time.Hour)))
		n.fail("full duplex", rc.EnableFullDuplex())
		n.put(w, "two")
	}},
	{name: "no hijacking", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			_, _, err := http.NewResponseController(w).Hijack()
			n.fail("hijack", err)
		}
	}},
	{name: "read after the answer began", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		readAll(n, w, r)
	}, request: request("POST", "/", strings.NewReader("abc"))},
	{name: "hints", handler: writes(hints(103, 103))},
	{name: "trailers", handler: writes(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		_, _ = io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "6")
	})},
	{name: "trailers undeclared", handler: writes(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	})},
	{name: "trailers alone", handler: writes(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(200)
		w.Header().Set("Grpc-Status", "0")
	})},
	{name: "superfluous", handler: writes(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }),
		differs: map[string]string{"HTTP/2.0": "net/http logs a second WriteHeader with HTTP/1.1 alone, sessions with HTTP/2 too. Call it once"}},
	{name: "panic", panics: true, handler: writes(func(w http.ResponseWriter, r *http.Request) { panic("on purpose") })},
	{name: "panic behind a flush", panics: true, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic("on purpose")
	}},
	{name: "abort behind a flush", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic(http.ErrAbortHandler)
	}},
}

// see1 is see without what is another row's.
func see1(n *notes, w http.ResponseWriter, r *http.Request) {
	see(n, w, r)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, l := range n.lines {
		if strings.HasPrefix(l, "writer: ") {
			n.lines[i] = "writer"
		}
	}
}

// seeTLS notes the connection's state as well.
func seeTLS(n *notes, w http.ResponseWriter, r *http.Request) {
	see1(n, w, r)
	t := r.TLS
	n.add("tls %x %x %q %q %v", t.Version, t.CipherSuite, t.ServerName, t.NegotiatedProtocol, t.HandshakeComplete)
}

// A secureSide is a TLS server under comparison.
type secureSide struct {
	srv      *httptest.Server
	notes    *notes
	logs     *lockedBuffer
	handlers sync.WaitGroup
	proxy    *httpcompattest.Proxy
}

func (f *secured) start(t *testing.T, proto string, through bool, certs *certificates) *secureSide {
	s := &secureSide{notes: newNotes(), logs: new(lockedBuffer)}
	inner := (&fidelity{handler: f.handler}).newServer(s.notes, s.logs, &s.handlers)
	h := inner.Handler
	if through {
		s.proxy = httpcompattest.NewWorkerProxy(httpcompat.ServerHandler(inner), session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
		s.proxy.Logger = slog.New(slog.NewTextHandler(s.logs, nil))
		h = counted(&s.handlers, s.proxy)
	}
	s.srv = httptest.NewUnstartedServer(h)
	s.srv.Config.ErrorLog = log.New(s.logs, "", 0)
	s.srv.Config.DisableGeneralOptionsHandler = through
	s.srv.EnableHTTP2 = proto == "HTTP/2.0"
	s.srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: certs.pool}
	s.srv.StartTLS()
	return s
}

// run asks once, and says what came of it.
func (f *secured) run(t *testing.T, s *secureSide, certs *certificates) (o secureOutcome) {
	t.Helper()
	client := s.srv.Client()
	tr := client.Transport.(*http.Transport)
	tr.TLSClientConfig.Certificates = []tls.Certificate{certs.client}
	tr.TLSClientConfig.ServerName = "example.com" // what httptest's certificate is for
	tr.ExpectContinueTimeout = patience
	build := f.request
	if build == nil {
		build = request("GET", "/", nil)
	}
	var addr string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { addr = i.Conn.LocalAddr().String() },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			o.Answer = append(o.Answer, fmt.Sprint(code, " ", fields(http.Header(h))))
			return nil
		},
	})
	resp, err := tr.RoundTrip(build(s.srv.URL).WithContext(ctx))
	if err != nil {
		o.Failure = "before the head"
	} else {
		s.notes.tell("seen")
		if resp.Header["Date"] != nil {
			resp.Header.Set("Date", "*")
		}
		o.Answer = append(o.Answer, resp.Proto+" "+resp.Status, fields(resp.Header), fmt.Sprint(resp.ContentLength, resp.TransferEncoding, resp.Close, resp.Uncompressed))
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			o.Failure = "behind the head"
		}
		o.Answer = append(o.Answer, brief(string(body)), fields(resp.Trailer))
		_ = resp.Body.Close()
	}
	if ctx.Err() != nil {
		t.Errorf("no answer: %v", ctx.Err())
	}
	tr.CloseIdleConnections()
	await(t, &s.handlers)
	for end := time.Now().Add(patience); f.panics && len(gists(s.logs.String())) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s.srv.Close()
	if s.proxy != nil {
		s.proxy.Close()
	}
	addresses := strings.NewReplacer(addr, "client", s.srv.Listener.Addr().String(), "server")
	for _, line := range s.notes.lines {
		o.Notes = append(o.Notes, addresses.Replace(line))
	}
	o.Logs = gists(s.logs.String())
	return o
}

// certificates are a client's, and who vouches for it.
type certificates struct {
	client tls.Certificate
	pool   *x509.CertPool
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "anna", Organization: []string{"Weavers"}, Country: []string{"DE"}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{client: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool: x509.NewCertPool()}
	c.pool.AddCert(cert)
	return c
}

func TestFidelitySecured(t *testing.T) {
	certs := newCertificates(t)
	for _, proto := range protocols {
		for _, f := range secureds {
			t.Run(proto+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				want := f.run(t, f.start(t, proto, false, certs), certs)
				got := f.run(t, f.start(t, proto, true, certs), certs)
				switch d := cmp.Diff(want, got); {
				case d != "" && f.differs[proto] == "":
					t.Errorf("-alone +sessions:\n%s", d)
				case d == "" && f.differs[proto] != "":
					t.Errorf("there is no difference any more: %s\n%q", f.differs[proto], got)
				}
			})
		}
	}
}
