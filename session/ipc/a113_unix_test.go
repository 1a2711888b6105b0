//go:build linux

package ipc

import (
	"bytes"
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

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// The failures of a real daemon that PEERS A1.13 lists, as far as they are about
// the control socket; none of them happens here. One test for each row, in the
// order of the list. Rows that are tested elsewhere or not yet:
//
//   - a worker that never answers an app request, or dies meanwhile; a message to a
//     worker that is terminating: app messages are not built yet. What they ride on
//     is here: TestA113HandlerNeverAnswers, TestA113RequestWhileClosing.
//   - JSON lines where nobody answers them are refused as a whole; each kind of them is
//     in TestBadInput. Where somebody does: TestLines.
//   - left-over files, scaling down, a connection while no worker is online, the
//     working directory, log files: they are the engine's and the front's.
//
// docs/lifecycle.md has the whole list, with the test for each row.

// answers is what v's server says to one connection that sends these frames behind
// a greeting, until it falls silent or, if closed is expected, ends the connection.
func (v *victim) answers(t *testing.T, closed bool, frames ...[]byte) string {
	t.Helper()
	conn := dialRaw(t, v.path)
	defer conn.Close()
	write(conn, append(appendOffer(nil, "k", "n", 1), bytes.Join(frames, nil)...), nil)
	return said(t, conn, closed)
}

func TestA113BadJSONLine(t *testing.T) {
	v := newVictim(t, Options{})
	for _, line := range []string{"{\n", "{bad\n", `{"a":1,}` + "\n", "{\xff\xfe}\n", "{"} {
		conn := dialRaw(t, v.path)
		defer conn.Close()
		write(conn, []byte(line), nil)
		if got := said(t, conn, true); !strings.HasPrefix(got, `{"error":"`) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q: got %q, want one line with an error", line, got)
		}
		conn.Close()
		v.unharmed(t, 0)
	}
}

func TestA113UnknownMessage(t *testing.T) {
	v := newVictim(t, Options{})
	for id := range uint64(40) {
		if id <= 1 { // handshake or heartbeat, and terminate: known
			continue
		}
		v.answers(t, true, codec.AppendControl(nil, id))
	}
	v.unharmed(t, 0)
}

func TestA113UnknownRequest(t *testing.T) {
	v := newVictim(t, Options{})
	c := dial(t, v.path)
	var e *session.Error
	if _, err := c.Request(t.Context(), "app-messages-of-tomorrow", nil); !errors.As(err, &e) || e.Code != heddle.CodeNoHandler {
		t.Errorf("got %v, want error %d", err, heddle.CodeNoHandler)
	}
	if p, err := c.Request(t.Context(), "echo", []byte("x")); string(p) != "x" || err != nil {
		t.Errorf("the same connection: got %q, %v", p, err)
	}
	c.Close()
	v.unharmed(t, 0)
}

func TestA113RequestWithoutData(t *testing.T) {
	v := newVictim(t, Options{})
	want := string(codec.AppendChoke(codec.AppendChunk(nil, heddle.V1, 3, nil), heddle.V1, 3))
	if got := v.answers(t, false, codec.AppendChoke(codec.AppendInvoke(nil, heddle.V1, 3, "echo", -1), heddle.V1, 3)); !strings.Contains(got, want) {
		t.Errorf("got %q, want an empty reply", got)
	}
	v.unharmed(t, 0)
}

func TestA113ScalarsAndUnknownReplies(t *testing.T) {
	v := newVictim(t, Options{})
	for _, line := range []string{"3\n", `"x"` + "\n", "null\n", "[]\n"} {
		conn := dialRaw(t, v.path)
		write(conn, []byte(line), nil)
		said(t, conn, true)
		conn.Close()
	}
	// A reply to what was never asked ends that connection, one to what has ended is nothing.
	v.answers(t, true, codec.AppendChunk(nil, heddle.V1, 2, []byte("reply")))
	v.answers(t, false, requestFrames("echo", "p", 0)[len(appendOffer(nil, "k", "n", 1)):], codec.AppendChunk(nil, heddle.V1, 3, []byte("late")))
	v.unharmed(t, 0)
}

func TestA113ClientClosesBeforeItsReply(t *testing.T) {
	v := newVictim(t, Options{})
	for range 100 {
		conn := dialRaw(t, v.path)
		write(conn, requestFrames("echo", "p", 0), nil)
		conn.Close()
	}
	for range 20 {
		c, err := Dial(t.Context(), v.path, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		go c.Request(t.Context(), "hold", nil) // ends with the connection
		c.Close()
	}
	v.unharmed(t, 0)
}

func TestA113LateReply(t *testing.T) {
	s := NewServer(Options{})
	failed := make(chan error, 1)
	s.Handle("late", func(ctx context.Context, r *Request) error {
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // the client's socket is gone by now
		failed <- r.Reply([]byte("done"))
		return nil
	})
	path := listen(t, s)
	c := dial(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Request(ctx, "late", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the time-out", err)
	}
	c.Close()
	if err := <-failed; err == nil {
		t.Error("the late reply went somewhere")
	}
	good(t, path)
}

func TestA113HandlerNeverAnswers(t *testing.T) {
	v := newVictim(t, Options{})
	c := dial(t, v.path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := ask(ctx, c, "hold", nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the asker's own time-out", err)
	}
	if p, err := c.Request(t.Context(), "echo", []byte("x")); string(p) != "x" || err != nil {
		t.Errorf("the same connection: got %q, %v", p, err)
	}
	c.Close()
	v.unharmed(t, 0)
}

func TestA113StreamFailsMidway(t *testing.T) {
	s := NewServer(Options{})
	s.Handle("midway", func(_ context.Context, r *Request) error {
		for i := range 3 {
			if err := r.Reply(fmt.Append(nil, i)); err != nil {
				return err
			}
		}
		return errors.New("no flour")
	})
	path := listen(t, s)
	c := dial(t, path)
	began := time.Now()
	got, err := ask(t.Context(), c, "midway", nil, nil)
	var e *session.Error
	if got != "0|1|2" || !errors.As(err, &e) || e.Msg != "no flour" {
		t.Errorf("got %q, %v, want what came and then the error", got, err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the error took %v", d)
	}
	good(t, path)
}

// See also TestBurst, which cuts the burst up.
func TestA113RepliesInOneRead(t *testing.T) {
	for _, n := range []int{1, 6, 1000} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() { // ends with the client
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			b := make([]byte, 4<<10)
			_, _ = conn.Read(b) // the greeting
			_, _ = conn.Write(appendWelcome(nil, raws(offered)))
			_, _ = conn.Read(b) // the request
			var burst []byte
			for i := range n {
				burst = codec.AppendChunk(burst, heddle.V1, 3, fmt.Append(nil, i))
			}
			_, _ = conn.Write(codec.AppendChoke(burst, heddle.V1, 3))
			_, _ = io.Copy(io.Discard, conn)
		}()
		c := dial(t, path)
		i := 0
		for p, err := range c.Stream(t.Context(), "x", nil) {
			if err != nil || string(p) != fmt.Sprint(i) {
				t.Fatalf("reply %d of %d: got %q, %v", i, n, p, err)
			}
			i++
		}
		if i != n {
			t.Errorf("got %d replies, want %d", i, n)
		}
		c.Close()
	}
}

func TestA113SplitUTF8(t *testing.T) {
	v := newVictim(t, Options{})
	want := "ü – 日本語 🧵"
	v.byteByByte(t, want)

	// And a hundred requests in one write.
	frames := appendOffer(nil, "k", "n", 1)
	const n = 100
	for i := range n {
		id := uint64(3 + 2*i)
		frames = codec.AppendChoke(codec.AppendChunk(codec.AppendInvoke(frames, heddle.V1, id, "echo", -1), heddle.V1, id, []byte(want)), heddle.V1, id)
	}
	conn := dialRaw(t, v.path)
	defer conn.Close()
	write(conn, frames, nil)
	got := said(t, conn, false)
	if k := strings.Count(got, want); k != n {
		t.Errorf("%d of %d answers came whole", k, n)
	}
	conn.Close()
	v.unharmed(t, 0)
}

func TestA113IdleClientsAtShutdown(t *testing.T) {
	s := NewServer(Options{})
	s.Handle("flood", func(_ context.Context, r *Request) error {
		for {
			if err := r.Reply(make([]byte, 32<<10)); err != nil {
				return err
			}
		}
	})
	path := filepath.Join(t.TempDir(), "s")
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	dial(t, path) // greeted, and asks nothing
	silent := dialRaw(t, path)
	defer silent.Close()
	half := dialRaw(t, path)
	defer half.Close()
	write(half, []byte("\x93"), nil)
	deaf := dialRaw(t, path) // never reads what it asked for
	defer deaf.Close()
	write(deaf, requestFrames("flood", "", 0), nil)
	s.mu.Lock()
	for end := time.Now().Add(10 * time.Second); len(s.peers) < 4 || s.running < 1; s.mu.Lock() {
		s.mu.Unlock()
		if time.Now().After(end) {
			t.Fatal("the clients are not there")
		}
		time.Sleep(time.Millisecond)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Close took %v", d)
	}
	s.mu.Lock()
	if len(s.peers) > 0 || s.running > 0 {
		t.Errorf("%d clients and %d handlers are still there", len(s.peers), s.running)
	}
	s.mu.Unlock()
}

func TestA113SecondDaemon(t *testing.T) {
	path := listen(t, NewServer(Options{}))
	second := NewServer(Options{})
	if err := second.Listen(newLoop(t), path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, want %v", err, syscall.EADDRINUSE)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	good(t, path) // nor is the socket gone
}

func TestA113StaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	s := NewServer(Options{})
	s.Handle("echo", echo)
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	good(t, path)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}

	// What is no socket stays.
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := NewServer(Options{}).Listen(newLoop(t), file); err == nil {
		t.Error("listens in place of a file")
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file: %q, %v", b, err)
	}
}

// A client may call itself what it likes: the kernel's word counts, and the words
// of workers mean nothing here.
func TestA113ForgedOnline(t *testing.T) {
	v := newVictim(t, Options{})
	for _, id := range []uint64{heddle.CtlOnline, heddle.CtlBroken, heddle.CtlSuspend, heddle.CtlResume, heddle.CtlDrain, heddle.CtlLeaving} {
		conn := dialRaw(t, v.path)
		defer conn.Close()
		write(conn, append(appendOffer(nil, "worker", "w1", 1), codec.AppendControl(nil, id)...), nil)
		said(t, conn, true)
		conn.Close()
	}
	v.unharmed(t, 0)
	if got := v.log.String(); strings.Contains(got, "pid=1 ") || !strings.Contains(got, fmt.Sprint("pid=", os.Getpid(), " ")) {
		t.Errorf("logged %q, want our own pid in it", got)
	}
}

func TestA113LongPath(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{107, 108, 200} { // sun_path is 108 bytes with its NUL, unix(7)
		path := filepath.Join(dir, strings.Repeat("s", n-len(dir)-1))
		s := NewServer(Options{})
		s.Handle("echo", echo)
		err := s.Listen(newLoop(t), path)
		if (err == nil) != (n <= 107) {
			t.Errorf("%d bytes: got %v", n, err)
		}
		if err == nil {
			good(t, path)
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%d bytes: left behind %v", n, left)
		}
	}
}

func TestA113RequestWhileClosing(t *testing.T) {
	s := NewServer(Options{})
	begun, release := make(chan struct{}), make(chan struct{})
	s.Handle("slow", func(_ context.Context, r *Request) error {
		close(begun)
		<-release
		return r.Reply([]byte("done"))
	})
	s.Handle("echo", echo)
	path := filepath.Join(t.TempDir(), "s")
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	var wg sync.WaitGroup
	wg.Go(func() {
		if p, err := c.Request(t.Context(), "slow", nil); string(p) != "done" || err != nil {
			t.Errorf("the request that was being answered: got %q, %v", p, err)
		}
	})
	<-begun
	wg.Go(func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for { // until Close has begun
		if _, err := c.Request(t.Context(), "echo", nil); err != nil {
			var e *session.Error
			if !errors.As(err, &e) || !strings.Contains(e.Msg, "closing") {
				t.Errorf("got %v, want it refused by word", err)
			}
			break
		}
	}
	close(release)
	wg.Wait()
}
