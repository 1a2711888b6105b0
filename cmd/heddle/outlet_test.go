package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A gate is a writer that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func TestOutletOrder(t *testing.T) {
	var b bytes.Buffer
	o := newOutlet(&b, 1<<20)
	var want strings.Builder
	for i := range 1000 {
		o.Printf("line %d", i)
		fmt.Fprintf(&want, "line %d\n", i)
	}
	o.Close(time.Minute)
	if b.String() != want.String() || o.Dropped() != 0 {
		t.Errorf("got %d bytes and %d dropped, want %d and 0", b.Len(), o.Dropped(), want.Len())
	}
	if n, err := o.Write([]byte("late\n")); n != 5 || err != nil {
		t.Errorf("write after Close: got %d, %v", n, err)
	}
}

// TestOutletFull: who writes never waits; what does not fit is counted, and
// the count is written where the lines would have been.
func TestOutletFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		o := newOutlet(g, 100)
		o.Printf("first")
		synctest.Wait() // its goroutine holds the line and waits
		line := strings.Repeat("x", 49)
		for range 5 {
			o.Printf("%s", line)
		}
		close(g.open)
		synctest.Wait()
		o.Printf("last")
		o.Close(time.Minute)
		want := "first\n" + line + "\n" + line + "\nheddle: 3 lines dropped: standard error was not read in time\nlast\n"
		if got := g.b.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if o.Dropped() != 3 {
			t.Errorf("dropped %d, want 3", o.Dropped())
		}
	})
}

// TestOutletClose is bounded, whoever does not read.
func TestOutletClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		o := newOutlet(g, 100)
		o.Printf("stuck")
		began := time.Now()
		o.Close(2 * time.Second)
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("Close took %v, want 2s", d)
		}
		close(g.open)
		<-o.done
	})
}

func TestOutletBroken(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("the reader left"))
	o := newOutlet(w, 100)
	o.Printf("a\nb")
	o.Close(time.Minute)
	if o.Dropped() != 2 {
		t.Errorf("dropped %d, want 2", o.Dropped())
	}
}

// TestOutletStatus: the status stays below whatever else is written.
func TestOutletStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		o := newOutlet(&b, 1000)
		step := func(f func()) { f(); synctest.Wait() }
		step(func() { o.SetStatus("0/2") })
		step(func() { o.Printf("a line") })
		step(func() { o.SetStatus("1/2") })
		step(func() { o.SetStatus("1/2") })
		step(func() { o.SetStatus("") })
		step(func() { o.Printf("ready") })
		o.Close(time.Minute)
		const c = clearLine
		if got, want := b.String(), "0/2"+c+"a line\n0/2"+c+"1/2"+c+"ready\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
