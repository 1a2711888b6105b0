package front

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often files are looked at, at most.
const lookEvery = time.Second

// maxPEM bounds each file, in bytes.
const maxPEM = 4 << 20

// certificates are TLSFiles as they were when last seen in order.
type certificates struct {
	// Immutable after newCertificates.
	files TLSFiles
	every time.Duration // between two looks
	log   *slog.Logger

	config atomic.Pointer[tls.Config] // replaced whole, never changed
	looked atomic.Int64               // when the files were last looked at, in ns since begun
	begun  time.Time

	mu     sync.Mutex
	seen   []os.FileInfo // guarded by mu; of the files that config was made of
	failed string        // guarded by mu; the error that was last logged
}

// newCertificates reads the files for the first time.
func newCertificates(files TLSFiles, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, every: lookEvery, log: log, begun: time.Now()}
	seen, err := c.stat()
	if err != nil {
		return nil, err
	}
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	c.seen = seen
	c.config.Store(config)
	return c, nil
}

// Check says why a server could not begin with these files, if it could not; nil
// without any.
func (f TLSFiles) Check() error {
	if f.Cert == "" {
		return nil
	}
	_, err := newCertificates(f, slog.Default())
	return err
}

// get is a tls.Config.GetConfigForClient. A client that connects while another
// one's handshake reads new files is served with the old ones.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Config, error) {
	now := int64(time.Since(c.begun))
	if last := c.looked.Load(); now-last >= int64(c.every) && c.looked.CompareAndSwap(last, now) {
		c.look()
	}
	return c.config.Load(), nil
}

// look takes the files if they have changed and are in order. While they are
// not, each look tries anew: of a certificate and its key, one is always
// replaced first.
func (c *certificates) look() {
	if !c.mu.TryLock() {
		return // a slow disk: who holds the lock will find what is new
	}
	defer c.mu.Unlock()
	seen, err := c.stat() // before reading: what changes meanwhile is seen next time
	if err == nil && c.unchanged(seen) {
		c.failed = ""
		return
	}
	var config *tls.Config
	if err == nil {
		config, err = c.load()
	}
	if err != nil {
		if text := err.Error(); text != c.failed {
			c.failed = text
			c.log.Error("front: changed TLS files cannot be used; those before them stay in use", "cert", c.files.Cert, "err", err)
		}
		return
	}
	c.seen, c.failed = seen, ""
	c.config.Store(config)
	c.log.Info("front: TLS files taken anew", "cert", c.files.Cert, "subject", config.Certificates[0].Leaf.Subject.String(), "until", config.Certificates[0].Leaf.NotAfter)
}

func (c *certificates) unchanged(seen []os.FileInfo) bool {
	return slices.EqualFunc(seen, c.seen, func(a, b os.FileInfo) bool {
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}

func (c *certificates) stat() (seen []os.FileInfo, err error) {
	for _, path := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular(): // reading another thing might never end
			return nil, fmt.Errorf("%s is not a regular file", path)
		}
		seen = append(seen, info)
	}
	return seen, nil
}

// load makes a configuration of the files. Session tickets are the server's own
// and outlive it; a client's certificate is held against the authorities of now
// also when its session is resumed.
func (c *certificates) load() (*tls.Config, error) {
	certPEM, err := readPEM(c.files.Cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readPEM(c.files.Key)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", c.files.Cert, c.files.Key, err)
	}
	if cert.Leaf == nil { // GODEBUG=x509keypairleaf=0
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", c.files.Cert, err)
		}
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.files.ClientCA == "" {
		return config, nil
	}
	ca, err := readPEM(c.files.ClientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s has no certificate in it", c.files.ClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if c.files.Optional {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, maxPEM+1)); err != nil {
		return nil, err
	}
	if b.Len() > maxPEM {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxPEM)
	}
	return b.Bytes(), nil
}
