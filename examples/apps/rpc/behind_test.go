package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// grpc-go's own client makes calls of all four kinds, over HTTP/2 in clear and by
// TLS.
func TestBehind(t *testing.T) {
	cert, key, pool := certificate(t)
	for name, row := range map[string]struct {
		flags []string
		creds credentials.TransportCredentials
	}{
		"clear": {nil, insecure.NewCredentials()},
		"TLS":   {[]string{"--tls-cert", cert, "--tls-key", key}, credentials.NewTLS(&tls.Config{RootCAs: pool})},
	} {
		t.Run(name, func(t *testing.T) {
			url := behind.Heddle(t, "rpc", append([]string{"--workers", "2"}, row.flags...))
			_, host, _ := strings.Cut(url, "://")
			c, err := grpc.NewClient(host, grpc.WithTransportCredentials(row.creds))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			unary(ctx, t, c)
			streams(ctx, t, c)
			ends(ctx, t, c)
		})
	}
}

func unary(ctx context.Context, t *testing.T, c *grpc.ClientConn) {
	h, err := healthpb.NewHealthClient(c).Check(ctx, new(healthpb.HealthCheckRequest))
	if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health: %v, %v", h, err)
	}
	var header, trailer metadata.MD
	out := new(text)
	word := metadata.AppendToOutgoingContext(ctx, "x-word", "one", "x-word", "two")
	for _, in := range []string{"hello", "", strings.Repeat("x", 3<<20)} {
		if err := c.Invoke(word, "/heddle.Echo/Say", wrapperspb.String(in), out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil || out.Value != in {
			t.Fatalf("%d bytes: got %d, %v", len(in), len(out.Value), err)
		}
		if fmt.Sprint(header["x-header"], trailer["x-trailer"], trailer["x-word"]) != "[begun] [done] [one two]" {
			t.Errorf("header %v, trailer %v", header, trailer)
		}
	}
	err = c.Invoke(ctx, "/heddle.Echo/Say", wrapperspb.String("fail"), out)
	if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "it fails: ü, 100%" {
		t.Errorf("fail: %v", err)
	}
	if err = c.Invoke(ctx, "/heddle.Echo/None", wrapperspb.String(""), out); status.Code(err) != codes.Unimplemented {
		t.Errorf("no such method: %v", err)
	}
}

func streams(ctx context.Context, t *testing.T, c *grpc.ClientConn) {
	s := open(ctx, t, c, 0)
	send(t, s, "word")
	s.CloseSend()
	for i := range 10 {
		if got := recv(t, s); got != fmt.Sprint("word ", i) {
			t.Errorf("count: %q", got)
		}
	}
	if err := s.RecvMsg(new(text)); err != io.EOF {
		t.Errorf("count ends with %v", err)
	}

	s = open(ctx, t, c, 1)
	for range 1000 {
		send(t, s, strings.Repeat("y", 1<<10))
	}
	s.CloseSend()
	if got := recv(t, s); got != "1000 messages, 1024000 bytes" {
		t.Errorf("collect: %q", got)
	}

	s = open(ctx, t, c, 2)
	send(t, s, "ping")
	if got := recv(t, s); got != "ping" { // before we say more
		t.Errorf("talk: %q", got)
	}
	const n = 10_000
	go func() { // ends with its messages, or the stream
		for i := range n {
			if s.SendMsg(wrapperspb.String(fmt.Sprint(i))) != nil {
				return
			}
		}
		s.CloseSend()
	}()
	for i := range n {
		if got := recv(t, s); got != fmt.Sprint(i) {
			t.Fatalf("message %d: %q", i, got)
		}
	}
	if err := s.RecvMsg(new(text)); err != io.EOF {
		t.Errorf("talk ends with %v", err)
	}
}

// ends are calls that their callers give up.
func ends(ctx context.Context, t *testing.T, c *grpc.ClientConn) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := c.Invoke(short, "/heddle.Echo/Say", wrapperspb.String("hang"), new(text)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("hang: %v", err)
	}
	given, up := context.WithCancel(ctx)
	s := open(given, t, c, 2)
	send(t, s, "a")
	recv(t, s)
	up()
	if err := s.RecvMsg(new(text)); status.Code(err) != codes.Canceled {
		t.Errorf("given up: %v", err)
	}
	if err := c.Invoke(ctx, "/heddle.Echo/Say", wrapperspb.String("and on"), new(text)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func open(ctx context.Context, t *testing.T, c *grpc.ClientConn, which int) grpc.ClientStream {
	t.Helper()
	d := &echoService.Streams[which]
	s, err := c.NewStream(ctx, d, "/heddle.Echo/"+d.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s grpc.ClientStream, word string) {
	t.Helper()
	if err := s.SendMsg(wrapperspb.String(word)); err != nil {
		t.Fatal(err)
	}
}

func recv(t *testing.T, s grpc.ClientStream) string {
	t.Helper()
	out := new(text)
	if err := s.RecvMsg(out); err != nil {
		t.Fatal(err)
	}
	return out.Value
}

// certificate writes one for 127.0.0.1, and its key.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return cert, key, pool
}
