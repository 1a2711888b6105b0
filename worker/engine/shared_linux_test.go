package engine

import (
	"os"
	"strconv"
	"testing"

	"github.com/heddle-go/heddle/loop"
)

// Two engines on the same loops: one ends and leaves them to the other.
func TestSharedLoops(t *testing.T) {
	var loops []*loop.Loop
	for range 2 {
		l, err := loop.New(loop.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- l.Run() }() // ends with the test
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			<-ran
		})
		loops = append(loops, l)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a := newReal(t, "good", Options{Name: "a", RuntimeDir: dir, On: loops})
	b := newReal(t, "good", Options{Name: "b", RuntimeDir: dir, On: loops})
	start(t, a)
	start(t, b)
	for i, l := range loops {
		if a.Loops()[i] != l || b.Loops()[i] != l {
			t.Errorf("loop %d is another", i)
		}
	}
	answers := func(e *Engine) {
		t.Helper()
		for range 4 {
			got, err := ask(t, e, "pid")
			if err != nil || got != strconv.Itoa(pidsOf(e)[0]) {
				t.Errorf("got %q, %v, want %d", got, err, pidsOf(e)[0])
			}
		}
	}
	answers(a)
	answers(b)
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for i, l := range loops {
		if n := l.Stats().Conns; n != 0 {
			t.Errorf("loop %d has %d connections left", i, n)
		}
	}
}
