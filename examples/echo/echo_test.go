package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// serve connects the worker to an engine in memory.
func serve(t *testing.T, o worker.Options) {
	t.Helper()
	w, err := worker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	handle(w)
	if err := w.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
}

// opened is a session of the echo, behind an engine of ours.
func opened(t *testing.T) *session.Session {
	t.Helper()
	e := workertest.New(workertest.Options{})
	t.Cleanup(func() { _ = e.Close() })
	serve(t, worker.Options{Launch: e.Launch(), Dial: e.Dial})
	s, err := e.Open(context.Background(), session.OpenOptions{Event: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEchoUnderHeddle: chunks come back while the session goes on.
func TestEchoUnderHeddle(t *testing.T) {
	s := opened(t)
	for _, p := range []string{"a", "bc"} {
		if err := s.WriteChunk([]byte(p)); err != nil {
			t.Fatal(err)
		}
		if m, err := s.Recv(); err != nil || string(m.Data) != p {
			t.Errorf("got %q, %v", m.Data, err)
		}
	}
	_ = s.Close()
	if _, err := s.Recv(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}

// TestEchoUnderRuntimes: the same under both Cocaine runtimes, whose rules the
// worker is held to.
func TestEchoUnderRuntimes(t *testing.T) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		t.Run(v.String(), func(t *testing.T) {
			r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{Network: workertest.Memory})
			serve(t, worker.Options{Launch: r.Launch(), Dial: r.Dial})

			c, err := r.Invoke("echo", workertest.InvokeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{"a", "", "bc"} {
				if err := c.Write([]byte(p)); err != nil {
					t.Fatal(err)
				}
				if got, err := c.Next(); err != nil || string(got) != p {
					t.Errorf("got %q, %v", got, err)
				}
			}
			if err := c.Fail(43, 7, "no more"); err != nil {
				t.Fatal(err)
			}
			var e *session.Error
			if _, err := c.Next(); !errors.As(err, &e) || e.Code != 7 || e.Msg != "no more" {
				t.Errorf("got %v", err)
			}

			clock, err := r.Invoke("time", workertest.InvokeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := clock.Next()
			if _, perr := time.Parse(time.RFC3339Nano, string(p)); err != nil || perr != nil {
				t.Errorf("got %q, %v", p, err)
			}
			if err := clock.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := clock.Answer(); err != nil {
				t.Errorf("after the asker's end: %v", err)
			}
		})
	}
}

// TestEchoLong: what is longer than a window holds whole comes back in pieces.
func TestEchoLong(t *testing.T) {
	s := opened(t)
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	done := make(chan error, 1)
	go func() { // ends with the session
		err := s.WriteChunk([]byte("head"))
		if err == nil {
			_, err = s.Write(long)
		}
		done <- errors.Join(err, s.Close())
	}()
	got, err := io.ReadAll(s)
	if sent := <-done; err != nil || sent != nil || string(got) != "head"+string(long) {
		t.Errorf("got %d bytes, %v, %v", len(got), err, sent)
	}
}
