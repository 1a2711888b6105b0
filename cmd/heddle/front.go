package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// Limits of the front, net/http's names.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 1 << 20
)

// A front is the HTTP server that turns requests into sessions.
type front struct {
	srv  *http.Server
	lns  []net.Listener
	urls []string

	failed chan error // a listener's end that nobody asked for
	wg     sync.WaitGroup
	active atomic.Int64 // requests being answered, upgraded connections among them
}

// newFront takes the addresses, without accepting anything yet: what connects
// meanwhile waits.
func newFront(addrs []string, log *slog.Logger) (*front, error) {
	f := &front{
		srv: &http.Server{
			ReadHeaderTimeout: readHeaderTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		failed: make(chan error, len(addrs)),
	}
	for _, addr := range addrs {
		ln, err := listen(addr)
		if err != nil {
			f.release()
			return nil, listenFailure(addr, err)
		}
		f.lns = append(f.lns, ln)
		f.urls = append(f.urls, urlOf(ln.Addr()))
	}
	return f, nil
}

// listen takes one address of the command line.
func listen(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return loop.ListenUnix(path, 0o600)
	}
	return net.Listen("tcp", addr)
}

// listenFailure is what a person reads when addr cannot be taken.
func listenFailure(addr string, err error) error {
	f := &failure{code: exitError, err: fmt.Errorf("cannot listen on %s: %w", addr, err), fine: "nothing was started."}
	path, isPath := strings.CutPrefix(addr, "unix:")
	switch {
	case errors.Is(err, loop.ErrNotSocket): // EADDRINUSE too
		f.err = fmt.Errorf("cannot listen on %s: %s exists and is not a socket; it is left as it is", addr, path)
		f.try = "try: heddle run --listen with another path"
	case isPath && errors.Is(err, syscall.EADDRINUSE) && errors.Is(err, syscall.EACCES): // a socket that we may not ask
		f.err = fmt.Errorf("cannot listen on %s: %s exists, and whether somebody serves there cannot be told: %w", addr, path, syscall.EACCES)
		f.try = "try: heddle run --listen with another path"
	case errors.Is(err, syscall.EADDRINUSE):
		f.err = fmt.Errorf("cannot listen on %s: somebody serves there already", addr)
		f.fine = "whoever does goes on; nothing was started."
		f.try = "try: heddle run --listen 127.0.0.1:0 TARGET takes a free port; ss -lptn shows who has this one"
		if isPath {
			f.try = "try: heddle run --listen with another path; ss -lpx shows who has this one"
		}
	case errors.Is(err, syscall.EACCES):
		f.try = "try: heddle run --listen with a port from 1024 on, or a path where you may write"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.try = "try: heddle run --listen with an address of this machine (ip addr), or :PORT for all"
	}
	return f
}

// urlOf is how a client reaches a listener: any address is said as loopback.
func urlOf(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "unix:" + a.String()
	}
	if t.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", t.Port)
	}
	return "http://" + t.String()
}

// serve begins to accept, with h answering.
func (f *front) serve(h http.Handler) {
	f.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.active.Add(1)
		defer f.active.Add(-1)
		h.ServeHTTP(w, r)
	})
	for _, ln := range f.lns {
		f.wg.Go(func() { // ends when the listener is closed, by shutdown or close
			if err := f.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				f.failed <- fmt.Errorf("the front at %s: %w", urlOf(ln.Addr()), err)
			}
		})
	}
}

// shutdown stops accepting and waits for the requests that are being answered,
// those on upgraded connections too, which net/http forgets.
func (f *front) shutdown(ctx context.Context) error {
	if err := f.srv.Shutdown(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for f.active.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// release closes the listeners and every connection.
func (f *front) release() {
	_ = f.srv.Close() // the connections; their errors are of no use any more
	for _, ln := range f.lns {
		_ = ln.Close() // closed already if it was served
	}
	f.wg.Wait()
}
