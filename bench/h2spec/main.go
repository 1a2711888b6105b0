// H2spec runs github.com/summerwind/h2spec, a conformance test of HTTP/2, against
// heddle's listeners and, in the same run, against net/http alone: over TLS and
// in clear. It prints what passed, and fails if heddle fails a case that net/http
// passes.
//
//	go run ./bench/h2spec
//
// h2spec is installed into a temporary folder first, unless -h2spec names one.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

const h2specModule = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

func main() {
	tool := flag.String("h2spec", "", "h2spec's path (default: "+h2specModule+", installed for the run)")
	timeout := flag.Int("o", 2, "seconds that a case may wait")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *tool, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "bench/h2spec:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, tool string, timeout int) error {
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if tool == "" {
		if tool, err = install(ctx, dir); err != nil {
			return err
		}
	}
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./examples/hello"); err != nil {
		return err
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := writePair(cert, key); err != nil {
		return err
	}
	// The stack asks for its page until it is ready.
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}

	fmt.Printf("%s, %s\n\n", h2specModule, runtime.Version())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "listener\tnet/http\theddle\t")
	var names, both []string
	for _, secret := range []bool{true, false} {
		bare, ours, err := compare(ctx, dir, tool, timeout, secret, cert, key)
		if err != nil {
			return err
		}
		listener := map[bool]string{true: "TLS", false: "in clear"}[secret]
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", listener, bare, ours)
		if bare.total != ours.total {
			return fmt.Errorf("%s: %d cases and %d: a run was cut short", listener, bare.total, ours.total)
		}
		for _, name := range ours.failed {
			if slices.Contains(bare.failed, name) {
				both = append(both, listener+": "+name)
			}
		}
		worse := ours.worse(bare)
		if len(worse) > 0 {
			// Some cases look at what comes within a moment, and on a busy machine
			// nothing does: what fails must fail twice.
			if _, ours, err = compare(ctx, dir, tool, timeout, secret, cert, key); err != nil {
				return err
			}
			worse = slices.DeleteFunc(worse, func(name string) bool { return !slices.Contains(ours.failed, name) })
			fmt.Fprintf(table, "%s, again\t\t%s\t\n", listener, ours)
		}
		for _, name := range worse {
			names = append(names, listener+": "+name)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(both) > 0 {
		fmt.Printf("\nboth fail:\n  %s\n", strings.Join(both, "\n  "))
	}
	if len(names) > 0 {
		return fmt.Errorf("heddle fails where net/http does not:\n  %s", strings.Join(names, "\n  "))
	}
	fmt.Println("\nheddle fails no case that net/http passes")
	return nil
}

// install puts h2spec into dir.
func install(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "install", h2specModule)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	cmd.Dir = dir // its dependencies are its own, and not this module's
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s\ntry: go run ./bench/h2spec -h2spec with the path of one", h2specModule, err, out)
	}
	return filepath.Join(dir, "h2spec"), nil
}

// compare runs h2spec against net/http, then against heddle.
func compare(ctx context.Context, dir, tool string, timeout int, secret bool, cert, key string) (bare, ours result, err error) {
	addr, stop, err := serveBare(secret, cert, key)
	if err != nil {
		return bare, ours, err
	}
	defer stop()
	if bare, err = test(ctx, dir, tool, timeout, secret, addr); err != nil {
		return bare, ours, fmt.Errorf("net/http: %w", err)
	}
	if addr, err = stack.FreeAddr(); err != nil {
		return bare, ours, err
	}
	url := "http://" + addr + "/"
	args := []string{"run", "--name", "bench-h2spec", "--workers", "2", "--listen", addr, "--control", filepath.Join(dir, "control.sock")}
	if secret {
		url = "https://" + addr + "/"
		args = append(args, "--tls-cert", cert, "--tls-key", key)
	}
	heddle, err := stack.Start(ctx, "heddle", url, filepath.Join(dir, "heddle"), append(args, filepath.Join(dir, "hello"))...)
	if err != nil {
		return bare, ours, err
	}
	defer heddle.Stop()
	if ours, err = test(ctx, dir, tool, timeout, secret, addr); err != nil {
		return bare, ours, fmt.Errorf("heddle: %w", err)
	}
	return bare, ours, nil
}

// serveBare serves examples/hello's answer on net/http alone.
func serveBare(secret bool, cert, key string) (addr string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{
		Protocols: new(http.Protocols),
		ErrorLog:  log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, "Hello, heddle\n")
		}),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { // ends with stop
		if secret {
			done <- srv.ServeTLS(ln, cert, key)
		} else {
			done <- srv.Serve(ln)
		}
	}()
	return ln.Addr().String(), func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "net/http:", err)
		}
	}, nil
}

// test runs all cases against addr.
func test(ctx context.Context, dir, tool string, timeout int, secret bool, addr string) (result, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return result{}, err
	}
	report := filepath.Join(dir, "report.xml")
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result{}, err
	}
	args := []string{"-p", port, "-o", strconv.Itoa(timeout), "-j", report}
	if secret {
		args = append(args, "-t", "-k")
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	out, err := cmd.CombinedOutput()
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) { // a failed case is one
		return result{}, err
	}
	b, rerr := os.ReadFile(report)
	if rerr != nil {
		return result{}, fmt.Errorf("h2spec left no report: %w\n%s", errors.Join(err, rerr), out)
	}
	return parseReport(b)
}

// writePair makes a certificate for the length of the run.
func writePair(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
}
