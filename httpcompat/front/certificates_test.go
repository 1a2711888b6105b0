package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A pair is a certificate and its key, as PEM and as Go has them.
type pair struct {
	certPEM, keyPEM []byte
	cert            tls.Certificate
}

// newPair makes a certificate of name, signed by itself, or by ca.
func newPair(t *testing.T, name string, ca *pair) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Heddle"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.cert.Leaf, ca.cert.PrivateKey
	} else {
		template.IsCA = true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	if p.cert, err = tls.X509KeyPair(p.certPEM, p.keyPEM); err != nil {
		t.Fatal(err)
	}
	if p.cert.Leaf == nil {
		p.cert.Leaf, _ = x509.ParseCertificate(der)
	}
	return p
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsFiles writes p into a directory of its own.
func tlsFiles(t *testing.T, p *pair) TLSFiles {
	t.Helper()
	dir := t.TempDir()
	f := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	write(t, f.Cert, p.certPEM)
	write(t, f.Key, p.keyPEM)
	return f
}

// served is whose certificate the server shows.
func served(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestReload(t *testing.T) {
	one, two, three := newPair(t, "one", nil), newPair(t, "two", nil), newPair(t, "three", nil)
	files := tlsFiles(t, one)
	s, log := serve(t, Options{TLS: files}, http.NotFoundHandler())
	s.certs.every = 0 // look at each handshake
	if got := served(t, addr(s)); got != "one" {
		t.Fatalf("got the certificate of %s", got)
	}

	// A certificate without its key is not taken, and said once.
	write(t, files.Cert, two.certPEM)
	for range 3 {
		if got := served(t, addr(s)); got != "one" {
			t.Fatalf("half of a pair was taken: %s", got)
		}
	}
	log.await(t, "level=ERROR", "those before them stay in use", files.Cert, files.Key)
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
	write(t, files.Key, two.keyPEM)
	if got := served(t, addr(s)); got != "two" {
		t.Fatalf("got the certificate of %s, want two", got)
	}
	log.await(t, "level=INFO", "taken anew", "CN=two")

	// Garbage, then nothing at all.
	write(t, files.Cert, []byte("garbage"))
	if got := served(t, addr(s)); got != "two" {
		t.Fatalf("got the certificate of %s, want two", got)
	}
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	if got := served(t, addr(s)); got != "two" {
		t.Fatalf("got the certificate of %s, want two", got)
	}
	log.await(t, "level=ERROR", "no such file")

	// Replaced by renaming, as good tools do.
	write(t, files.Key+".new", three.keyPEM)
	write(t, files.Cert+".new", three.certPEM)
	for _, path := range []string{files.Key, files.Cert} {
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if got := served(t, addr(s)); got != "three" {
		t.Fatalf("got the certificate of %s, want three", got)
	}

	// Between two looks nothing is looked at.
	s.certs.every = time.Hour
	write(t, files.Cert, one.certPEM)
	write(t, files.Key, one.keyPEM)
	if got := served(t, addr(s)); got != "three" {
		t.Fatalf("the files were looked at too soon: %s", got)
	}
}

func TestBadTLSFiles(t *testing.T) {
	p := newPair(t, "one", nil)
	good := tlsFiles(t, p)
	other := tlsFiles(t, newPair(t, "two", nil))
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	write(t, big, make([]byte, maxPEM+1))
	for _, tt := range []struct {
		name  string
		files TLSFiles
		is    error
		text  string
	}{
		{"no such file", TLSFiles{Cert: filepath.Join(dir, "none"), Key: good.Key}, fs.ErrNotExist, "none"},
		{"another's key", TLSFiles{Cert: good.Cert, Key: other.Key}, nil, "does not match"},
		{"swapped", TLSFiles{Cert: good.Key, Key: good.Cert}, nil, good.Key},
		{"a directory", TLSFiles{Cert: dir, Key: good.Key}, nil, "not a regular file"},
		{"too big", TLSFiles{Cert: big, Key: good.Key}, nil, "more than"},
		{"no authority", TLSFiles{Cert: good.Cert, Key: good.Key, ClientCA: good.Key}, nil, "no certificate in it"},
		{"no key", TLSFiles{Cert: good.Cert}, nil, "both"},
		{"authorities without TLS", TLSFiles{ClientCA: good.Cert}, nil, "need TLS"},
		{"optional without authorities", TLSFiles{Cert: good.Cert, Key: good.Key, Optional: true}, nil, "authorities"},
	} {
		s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, TLS: tt.files})
		if err == nil {
			s.Close()
			t.Errorf("%s: taken", tt.name)
			continue
		}
		if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// TestClientCertificates: who shows none, one of a stranger's, one of ours.
func TestClientCertificates(t *testing.T) {
	ca := newPair(t, "authority", nil)
	ours, stranger := newPair(t, "client", ca), newPair(t, "stranger", nil)
	subject := func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			fmt.Fprint(w, "nobody")
			return
		}
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject)
	}
	for _, optional := range []bool{false, true} {
		files := tlsFiles(t, newPair(t, "server", nil))
		files.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
		write(t, files.ClientCA, ca.certPEM)
		files.Optional = optional
		s, _ := serve(t, Options{TLS: files}, http.HandlerFunc(subject))
		for _, tt := range []struct {
			name string
			cert *pair
			want string // "": no connection
		}{
			{"none", nil, map[bool]string{true: "nobody"}[optional]},
			{"a stranger's", stranger, ""},
			{"ours", ours, "CN=client,O=Heddle"},
		} {
			config := &tls.Config{InsecureSkipVerify: true}
			if tt.cert != nil {
				// Shown whatever authorities the server names.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tt.cert.cert, nil }
			}
			got := ""
			tr := &http.Transport{TLSClientConfig: config}
			resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + addr(s))
			if err == nil {
				got = readAll(t, resp)
			}
			tr.CloseIdleConnections()
			if got != tt.want {
				t.Errorf("optional %v, %s: got %q, %v, want %q", optional, tt.name, got, err, tt.want)
			}
		}
	}
}

// TestAuthorityRemoved: a session begun under an authority is not resumed once
// another has taken its place.
func TestAuthorityRemoved(t *testing.T) {
	before, after := newPair(t, "before", nil), newPair(t, "after", nil)
	alice := newPair(t, "alice", before)
	files := tlsFiles(t, newPair(t, "server", nil))
	files.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
	write(t, files.ClientCA, before.certPEM)
	s, log := serve(t, Options{TLS: files}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.DidResume) }))
	s.certs.every = 0 // look at each handshake
	config := &tls.Config{
		InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &alice.cert, nil },
	}
	get := func() (string, error) {
		tr := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + addr(s))
		if err != nil {
			return "", err
		}
		return readAll(t, resp), nil
	}
	for i, want := range []string{"false", "true"} {
		if got, err := get(); got != want || err != nil {
			t.Fatalf("request %d: resumed %q, %v, want %s", i, got, err, want)
		}
	}
	write(t, files.ClientCA, after.certPEM)
	if got, err := get(); err == nil {
		t.Errorf("with the authority gone: resumed %s", got)
	}
	log.await(t, "TLS handshake error", "unknown authority")
}
