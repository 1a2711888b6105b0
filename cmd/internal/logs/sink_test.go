package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A journal is a buffer for a logger.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) has(words ...string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
lines:
	for line := range strings.Lines(j.b.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		n++
	}
	return n
}

func loggerTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// A fake is a target that does what its test says.
type fake struct {
	mu      sync.Mutex
	got     bytes.Buffer
	room    int   // bytes until err; negative: no end
	err     error // then
	reopens int
}

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room < 0 || len(p) <= f.room {
		f.room -= min(len(p), max(f.room, 0))
		return f.got.Write(p)
	}
	n, _ := f.got.Write(p[:f.room])
	f.room = 0
	return n, f.err
}

func (f *fake) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reopens++
	return nil
}
func (f *fake) Close() error { return nil }

func (f *fake) set(room int) {
	f.mu.Lock()
	f.room = room
	f.mu.Unlock()
}

func put(s *Sink, line string) {
	if sh := s.begin(0, len(line)); sh != nil {
		sh.buf = append(append(sh.buf, line...), '\n')
		s.end(sh, len(line)+1)
	}
}

// A disk that is full for a while costs nothing that there was room for; what
// there was none for is counted, and both are said once.
func TestSinkWaitsForRoom(t *testing.T) {
	var log journal
	to := &fake{room: 55, err: syscall.ENOSPC} // amid the sixth line
	s := newSink(to, "", SinkOptions{Name: "stdout", Where: "/x", Waiting: 1000, Logger: loggerTo(&log), retry: 5 * time.Millisecond})
	const sent = 500
	for i := range sent {
		put(s, fmt.Sprintf("line %04d", i))
	}
	until(t, "trouble is said", func() bool { return log.has("cannot be written", "no space left", "log=stdout", "file=/x") == 1 })
	time.Sleep(30 * time.Millisecond) // some retries
	st := s.Stats()
	if st.Dropped != sent-100 || st.Written != 5 {
		t.Errorf("while it is full: %+v", st)
	}
	to.set(-1)
	until(t, "recovery is said", func() bool { return log.has("written again", "dropped_lines=400") == 1 })
	put(s, "later 001")
	s.Close(patience)
	st = s.Stats()
	if st.Written != 101 || st.Dropped != sent-100 || st.Waiting != 0 {
		t.Errorf("at the end: %+v", st)
	}
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %04d\n", i)
	}
	want.WriteString("later 001\n")
	if to.got.String() != want.String() {
		t.Errorf("got\n%s", to.got.String())
	}
	if n := log.has("logs:"); n != 2 {
		t.Errorf("%d lines in the daemon's log:\n%s", n, log.b.String())
	}
}

// What cannot be written at the end is counted.
func TestSinkCloseCounts(t *testing.T) {
	to := &fake{room: 25, err: errors.New("bad")}
	s := newSink(to, "", SinkOptions{retry: time.Hour})
	for i := range 10 {
		put(s, fmt.Sprintf("line %04d", i))
	}
	s.Close(patience)
	if st := s.Stats(); st.Written != 2 || st.Dropped != 8 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

// A write that never ends holds up neither who brings lines nor Close.
func TestSinkStuck(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(plain{w}, "", SinkOptions{Waiting: 1 << 20})
	const sent = 30000
	text := strings.Repeat("x", 99)
	for range sent {
		put(s, text)
	}
	begun := time.Now()
	s.Close(10 * time.Millisecond)
	if d := time.Since(begun); d > patience/2 {
		t.Errorf("Close took %v", d)
	}
	// Now somebody reads: each line was kept or dropped.
	kept := make(chan int64)
	go func() { // ends with w
		b, _ := io.ReadAll(r)
		kept <- lines(b)
	}()
	<-s.done
	w.Close()
	if st, k := s.Stats(), <-kept; k+st.Dropped != sent || st.Written != k || k < 9000 {
		t.Errorf("sent %d, read %d; %+v", sent, k, st)
	}
	r.Close()
}

// Many at once: each line is written whole, in its shard's order.
func TestSinkShards(t *testing.T) {
	to := &fake{room: -1}
	s := newSink(to, "", SinkOptions{Shards: 4, Waiting: 64 << 20})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 5000 {
				sh := s.begin(i, 20)
				n := len(sh.buf)
				sh.buf = fmt.Appendf(sh.buf, "%d %d\n", i, k)
				s.end(sh, len(sh.buf)-n)
			}
		})
	}
	wg.Wait()
	s.Close(patience)
	var next [4]int
	for line := range strings.Lines(to.got.String()) {
		var i, k int
		if n, err := fmt.Sscanf(line, "%d %d\n", &i, &k); n != 2 || err != nil || next[i] != k {
			t.Fatalf("got %q, want %d; %v", line, next[i], err)
		}
		next[i]++
	}
	if next != [4]int{5000, 5000, 5000, 5000} {
		t.Error(next)
	}
}

// A directory that is not there costs lines until it is.
func TestSinkUnwritable(t *testing.T) {
	var log journal
	dir := filepath.Join(t.TempDir(), "absent")
	path := filepath.Join(dir, "log")
	s := newSink(newFile(FileOptions{Path: path}), "", SinkOptions{Name: "stdout", Where: path, Logger: loggerTo(&log), retry: 5 * time.Millisecond})
	defer s.Close(patience)
	put(s, "first")
	until(t, "trouble is said", func() bool { return log.has("cannot be written", "no such file", path) == 1 })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	until(t, "it recovers", func() bool { return s.Stats().Written == 1 })
	if b, err := os.ReadFile(path); string(b) != "first\n" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}
