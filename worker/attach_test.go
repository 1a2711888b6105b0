package worker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// underHTTP makes this process, until the test is over, one that e has started
// under --http.
func underHTTP(t *testing.T, e *workertest.Engine, change func(*worker.Launch)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wt")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Listen(dir); err != nil {
		t.Fatal(err)
	}
	l := e.Launch()
	l.HTTP = true
	change(l)
	restore := worker.SetLaunched(l)
	t.Cleanup(func() {
		if w, err := worker.Attach(context.Background()); err == nil {
			_ = w.Close()
		}
		restore()
		_ = e.Kill()
		_ = os.RemoveAll(dir)
	})
}

// TestAttach: the process's functions attach it when one of them is used.
func TestAttach(t *testing.T) {
	e := workertest.New(workertest.Options{})
	underHTTP(t, e, func(*worker.Launch) {})
	if _, err := worker.New(worker.Options{}); err != worker.ErrHTTP {
		t.Errorf("New: %v", err)
	}
	if n := len(e.Seen().Handshakes); n > 0 {
		t.Fatal("attached by nobody's wish")
	}
	worker.ManualOnline()
	s := e.Seen()
	if len(s.Handshakes) != 1 || s.Handshakes[0].PID != os.Getpid() || s.Online > 0 {
		t.Errorf("after ManualOnline: %+v", s)
	}
	w, err := worker.Attach(context.Background())
	if err != nil || w.State() != worker.StateGreeted {
		t.Fatalf("%v, %v", w, err)
	}
	if err := worker.ReportOnline(); err != nil {
		t.Error(err)
	}
	<-e.Online()
	e.Suspend()
	until(t, "the suspension", worker.Suspended)
	e.Promote(5)
	<-worker.Resumed()
	if err := worker.AwaitResume(context.Background()); err != nil || worker.Index() != 5 {
		t.Errorf("index %d, %v", worker.Index(), err)
	}
	if err := worker.ReportBroken("why not"); err != nil {
		t.Error(err)
	}
	until(t, "the word broken", func() bool { s := e.Seen(); return len(s.Broken) == 1 && s.Broken[0] == "why not" })
	if n := len(e.Seen().Handshakes); n != 1 {
		t.Errorf("%d handshakes", n)
	}
	draining := worker.Draining()
	e.Drain(time.Minute)
	<-draining
	<-w.Done()
}

// TestAttachLate: what has changed since the process was started comes with the
// welcome.
func TestAttachLate(t *testing.T) {
	e := workertest.New(workertest.Options{})
	underHTTP(t, e, func(l *worker.Launch) { l.Suspended, l.Index = true, -1 })
	if worker.Suspended() || worker.Index() != 0 {
		t.Errorf("suspended %v, index %d", worker.Suspended(), worker.Index())
	}
}

// TestAttachBrokenFirst: a reason that is given first keeps the process from being
// online.
func TestAttachBrokenFirst(t *testing.T) {
	e := workertest.New(workertest.Options{})
	underHTTP(t, e, func(*worker.Launch) {})
	if err := worker.ReportBroken("no luck"); err != nil {
		t.Error(err)
	}
	until(t, "the word broken", func() bool { return len(e.Seen().Broken) == 1 })
	if n := e.Seen().Online; n > 0 {
		t.Error("online all the same")
	}
}

// TestAttachNobody: where no engine listens the functions say so, or do what they
// do by hand.
func TestAttachNobody(t *testing.T) {
	e := workertest.New(workertest.Options{})
	underHTTP(t, e, func(l *worker.Launch) { l.Endpoint = "unix:" + filepath.Join(t.TempDir(), "no") })
	if worker.Suspended() || worker.Index() != 0 {
		t.Error("suspended")
	}
	for range 2 {
		if err := worker.ReportOnline(); err == nil {
			t.Error("ReportOnline: no error")
		}
	}
	if _, err := worker.Attach(context.Background()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("Attach: %v", err)
	}
}

// TestAttachNot: who may not.
func TestAttachNot(t *testing.T) {
	if _, err := worker.Attach(context.Background()); err != worker.ErrNotLaunched {
		t.Errorf("by hand: %v", err)
	}
	restore := worker.SetLaunched(workertest.New(workertest.Options{}).Launch())
	defer restore()
	if _, err := worker.Attach(context.Background()); err != worker.ErrSessions {
		t.Errorf("a worker with sessions: %v", err)
	}
}

// TestPlainEnvironment: what the engine tells every program stays for the program
// to read, and what would have its children attach does not.
func TestPlainEnvironment(t *testing.T) {
	cmd := exec.Command(program(t), "-child")
	cmd.Env = append(os.Environ(), "HEDDLE_PROTOCOL=1", "HEDDLE_ENDPOINT=unix:/nowhere", "HEDDLE_HTTP=1", "HEDDLE_UUID=u", "HEDDLE_INDEX=2")
	out, err := cmd.CombinedOutput()
	if want := `env=["HEDDLE_UUID=u" "HEDDLE_INDEX=2"]`; err != nil || !strings.Contains(string(out), "launched=true") || !strings.Contains(string(out), want) {
		t.Errorf("got %s, %v; want %s", out, err, want)
	}
}
