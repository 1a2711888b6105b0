//go:build linux

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// newLoop gives a loop that runs until the test's end.
func newLoop(t *testing.T) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{LingerTimeout: time.Second}) // for clients that read nothing
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }() // ends when the loop is closed below
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l
}

// listen gives a server with the topic echo on a socket of its own.
func listen(t *testing.T, s *Server) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	s.Handle("echo", echo)
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return path
}

func TestUnix(t *testing.T) {
	path := listen(t, NewServer(Options{}))
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := fi.Mode().Perm(); got != 0o600 {
		t.Errorf("the socket's mode: got %v, want 0600", got)
	}
	shared := newLoop(t)
	for name, l := range map[string]*loop.Loop{"own loop": nil, "given loop": shared} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					c, err := Dial(t.Context(), path, DialOptions{Loop: l, Kind: "test", Name: name})
					if err != nil {
						t.Error(err)
						return
					}
					for j := range 50 {
						want := fmt.Sprint(i, j)
						if p, err := c.Request(t.Context(), "echo", []byte(want)); err != nil || string(p) != want {
							t.Errorf("got %q, %v, want %q", p, err, want)
						}
					}
					if err := c.Close(); err != nil {
						t.Error(err)
					}
					if err := c.Close(); err != nil {
						t.Errorf("second Close: %v", err)
					}
					if _, err := c.Request(t.Context(), "echo", nil); err == nil {
						t.Error("a closed client still asks")
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	for _, tt := range []struct {
		path  string
		cause error
	}{
		{filepath.Join(dir, "none"), syscall.ENOENT},
		{dead, syscall.ECONNREFUSED},
		{filepath.Join(dir, strings.Repeat("x", 200)), nil},
	} {
		c, err := Dial(t.Context(), tt.path, DialOptions{})
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, ErrUnreachable) || tt.cause != nil && !errors.Is(err, tt.cause) {
			t.Errorf("%s: got %v, want %v and %v", tt.path, err, ErrUnreachable, tt.cause)
		}
	}
}

// TestSilentServer: a socket where somebody listens and says nothing, or goes
// at once.
func TestSilentServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Dial(t.Context(), path, DialOptions{Timeout: 50 * time.Millisecond}); !errors.Is(err, ErrUnreachable) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent: got %v, want %v", err, ErrUnreachable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, path, DialOptions{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnreachable) {
		t.Errorf("context ended: got %v, want %v", err, context.DeadlineExceeded)
	}
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := Dial(t.Context(), path, DialOptions{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("gone at once: got %v, want %v", err, ErrUnreachable)
	}
}

func TestInUse(t *testing.T) {
	path := listen(t, NewServer(Options{}))
	if err := NewServer(Options{}).Listen(newLoop(t), path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second server on one path: got %v, want %v", err, syscall.EADDRINUSE)
	}
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatalf("the first one suffers: %v", err)
	}
	defer c.Close()
	if _, err := c.Request(t.Context(), "echo", nil); err != nil {
		t.Errorf("the first one suffers: %v", err)
	}
}

// TestStranger: who runs as another user is not even read.
func TestStranger(t *testing.T) {
	var log journal
	s := NewServer(Options{Logger: log.logger()})
	s.uid++ // now everybody here is another user
	path := listen(t, s)
	if _, err := Dial(t.Context(), path, DialOptions{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
	if got := log.String(); !strings.Contains(got, errStranger.Error()) || !strings.Contains(got, fmt.Sprint("pid=", os.Getpid())) {
		t.Errorf("log: got %q, want %q with our pid", got, errStranger)
	}
}

// TestJSON: the reserved first byte over a real socket.
func TestJSON(t *testing.T) {
	path := listen(t, NewServer(Options{}))
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(`{"topic":`)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || strings.Count(string(got), "\n") != 1 || !strings.HasPrefix(string(got), `{"error":"`) {
		t.Errorf("got %q, %v, want one JSON line", got, err)
	}
}

// TestProbe: connecting and leaving is no event worth a word.
func TestProbe(t *testing.T) {
	var log journal
	s := NewServer(Options{Logger: log.logger()})
	path := listen(t, s)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.await(ctx, func() bool { return len(s.peers) == 0 })
	if got := log.String(); got != "" {
		t.Errorf("log: got %q, want nothing", got)
	}
}

// TestServerGone: requests that wait when the server's process ends.
func TestServerGone(t *testing.T) {
	s := NewServer(Options{})
	l := newLoop(t)
	path := filepath.Join(t.TempDir(), "s")
	begun := make(chan struct{})
	s.Handle("wait", func(ctx context.Context, _ *Request) error {
		close(begun)
		<-ctx.Done()
		return nil
	})
	if err := s.Listen(l, path); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { // ends at once after the request has begun
		<-begun
		l.Close()
	}()
	if _, err := c.Request(t.Context(), "wait", nil); !errors.Is(err, session.ErrLost) {
		t.Errorf("got %v, want %v", err, session.ErrLost)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
