package upstream

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestLineOfAnother: the end of a request's client does not touch the next request,
// which is being written, and comes behind a write that is still to be done.
func TestLineOfAnother(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l := &line{Conn: ours}
	defer l.Close()
	write := func(s string) (done chan error) {
		done = make(chan error, 1)
		before := l.writes()
		go func() { // ends when it is read, or the line closed
			_, err := io.WriteString(l, s)
			done <- err
		}()
		for l.writes() == before {
			time.Sleep(time.Millisecond)
		}
		return done
	}
	read := func(want string) {
		t.Helper()
		p := make([]byte, len(want))
		if _, err := io.ReadFull(theirs, p); err != nil || string(p) != want {
			t.Errorf("got %q, %v; want %q", p, err, want)
		}
	}
	first := write("first")
	read("first")
	if err := <-first; err != nil {
		t.Error(err)
	}
	second := write("second")
	l.endAfter(1) // the first one's
	read("second")
	if err := <-second; err != nil {
		t.Error(err)
	}
	l.endAfter(3)
	third := write("third")
	read("third")
	if err := <-third; err != nil {
		t.Error(err)
	}
	if n, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind the third: %d bytes, %v; want the end", n, err)
	}
}
