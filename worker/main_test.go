package worker_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes the events of a worker.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	d.lines = append(d.lines, line)
	d.mu.Unlock()
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n")
}

// play makes an engine and a worker, not yet connected, that serve each other
// in memory until the test is over.
func play(t *testing.T, eo workertest.Options, wo worker.Options) (*workertest.Engine, *worker.Worker) {
	t.Helper()
	e := workertest.New(eo)
	if wo.Launch == nil {
		wo.Launch = e.Launch()
	}
	if wo.Dial == nil {
		wo.Dial = e.Dial
	}
	if wo.Logger == nil {
		wo.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := worker.New(wo)
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("echo", worker.HandlerFunc(echo))
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close worker: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	return e, w
}

// connect makes the worker go online.
func connect(t *testing.T, w *worker.Worker) {
	t.Helper()
	if err := w.Connect(context.Background()); err != nil {
		t.Fatalf("connect: %v", err)
	}
}

// echo sends back what it gets.
func echo(_ context.Context, s *session.Session) { _, _ = io.Copy(s, s) }

// open opens a session of event and writes first, without an end if more.
func open(t *testing.T, e *workertest.Engine, event, first string, more bool) *session.Session {
	t.Helper()
	s, err := e.Open(context.Background(), session.OpenOptions{Event: event, First: []byte(first), Last: !more})
	if err != nil {
		t.Fatalf("open %q: %v", event, err)
	}
	return s
}

// answer reads a session to its end.
func answer(t *testing.T, s *session.Session) (string, error) {
	t.Helper()
	b, err := io.ReadAll(s)
	if err == nil {
		_, err = s.Recv() // io.EOF after a choke
		if err == io.EOF {
			err = nil
		}
	}
	s.Discard()
	return string(b), err
}

// ask is a whole conversation.
func ask(t *testing.T, e *workertest.Engine, event, question string) (string, error) {
	t.Helper()
	return answer(t, open(t, e, event, question, false))
}
