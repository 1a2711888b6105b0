package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

func lineOf(i int) engine.Line {
	return engine.Line{Index: i % 2, ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i%2), Release: "r1", Pid: 100 + i%2, Stream: engine.Stdout, Text: fmt.Sprintf("line %d", i)}
}

// ask collects what Stream says: texts, and "skipped N".
func ask(t *testing.T, w *Output, q Query) (got []string) {
	t.Helper()
	if err := w.Stream(t.Context(), q, collect(t, &got)); err != nil {
		t.Fatal(err)
	}
	return got
}

func collect(t *testing.T, got *[]string) func([]byte) error {
	return func(p []byte) error {
		return Records(p, func(_ []byte, r Record) error {
			if r.Skipped > 0 {
				*got = append(*got, fmt.Sprintf("skipped %d", r.Skipped))
			} else {
				*got = append(*got, r.Text)
			}
			return nil
		})
	}
}

// The ring keeps the newest lines within its bytes, whatever their length, and
// numbers all of them.
func TestRingWraps(t *testing.T) {
	const limit = 100_000
	r := newRing(limit)
	chunk := make([]Line, 10000)
	for i := range 5000 {
		text := strings.Repeat("x", i*37%500)
		if x := r.add(engine.Line{Text: text}, time.Now); x.Seq != uint64(i+1) {
			t.Fatalf("line %d has number %d", i, x.Seq)
		}
		st := r.stats()
		if st.Bytes > limit || st.Next != uint64(i+2) || st.Lines != int(st.Next-st.First) {
			t.Fatalf("after %d: %+v", i, st)
		}
	}
	st := r.stats()
	n, gone := r.copy(chunk, 1)
	if n != st.Lines || gone != st.First-1 || st.Bytes < limit-lineCost-500 {
		t.Fatalf("%d lines, %d gone; %+v", n, gone, st)
	}
	for i, l := range chunk[:n] {
		if seq := st.First + uint64(i); l.Seq != seq || len(l.Text) != int(seq-1)*37%500 {
			t.Fatalf("line %d is %d with %d bytes", seq, l.Seq, len(l.Text))
		}
	}
	r.add(engine.Line{Text: strings.Repeat("y", 2*limit)}, time.Now)
	if st := r.stats(); st.Lines != 1 {
		t.Errorf("a line over the limit leaves %+v", st)
	}
}

func TestQuery(t *testing.T) {
	begun := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	now := begun
	w := New(Options{App: "a", Now: func() time.Time { now = now.Add(time.Second); return now }})
	defer w.Close()
	for i := range 2000 {
		w.Add(lineOf(i))
	}
	texts := func(from, to, step int) (want []string) {
		for i := from; i < to; i += step {
			want = append(want, fmt.Sprintf("line %d", i))
		}
		return want
	}
	for _, tt := range []struct {
		q    Query
		want []string
	}{
		{Query{Last: -1}, texts(0, 2000, 1)},
		{Query{Last: 0}, nil},
		{Query{Last: 3}, texts(1997, 2000, 1)},
		{Query{Last: 1500}, texts(500, 2000, 1)},
		{Query{Last: 5000}, texts(0, 2000, 1)},
		{Query{Last: 3, Selector: "0"}, texts(1994, 2000, 2)},
		{Query{Last: 900, Selector: "$101"}, texts(201, 2000, 2)},
		{Query{Last: -1, Selector: "00000001"}, texts(1, 2000, 2)},
		{Query{Last: -1, Selector: "7"}, nil},
		{Query{Last: -1, Since: begun.Add(1991 * time.Second)}, texts(1990, 2000, 1)},
		{Query{Last: 2, Since: begun.Add(1991 * time.Second), Selector: "!0"}, []string{"line 1997", "line 1999"}},
		{Query{Last: -1, Since: begun.Add(time.Hour)}, nil},
		{Query{Last: -1, Since: begun.AddDate(1000, 0, 0)}, nil},
		{Query{Last: 1, Since: begun.AddDate(-1000, 0, 0)}, texts(1999, 2000, 1)},
	} {
		if got := ask(t, w, tt.q); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %d lines, %.100q; want %d, %.100q", tt.q, len(got), got, len(tt.want), tt.want)
		}
	}
	if err := w.Stream(t.Context(), Query{Selector: "x y"}, nil); err == nil || !strings.Contains(err.Error(), "x y") {
		t.Errorf("a bad selector: %v", err)
	}
}

// Who follows gets every line, once and in order, until the Output ends.
func TestFollow(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	w.Add(lineOf(0))
	w.Add(lineOf(1))
	var got []string
	done := make(chan error, 1)
	go func() { done <- w.Stream(t.Context(), Query{Last: 1, Follow: true}, collect(t, &got)) }() // ends with End
	for i := 2; i < 3000; i++ {
		w.Add(lineOf(i))
		if i%500 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	w.End()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// It may have begun later than it looks.
	if len(got) == 0 || got[len(got)-1] != "line 2999" {
		t.Fatalf("got %d lines, the last %q", len(got), got[max(0, len(got)-1):])
	}
	for i, text := range got {
		if want := fmt.Sprintf("line %d", 3000-len(got)+i); text != want {
			t.Fatalf("line %d is %q, want %q", i, text, want)
		}
	}
}

// Who is slow misses lines, is told how many, and holds nobody up; a reply that
// took too long is said once more.
func TestSlowReaderSkips(t *testing.T) {
	const all = 20000
	w := New(Options{Ring: 64 << 10})
	defer w.Close()
	w.Add(lineOf(0))
	var got []string
	take := collect(t, &got)
	stuck, release := make(chan struct{}), make(chan struct{})
	calls := 0
	done := make(chan error, 1)
	go func() { // ends with End
		done <- w.Stream(t.Context(), Query{Last: -1, Follow: true}, func(p []byte) error {
			calls++
			if calls == 2 {
				close(stuck)
				<-release
				return fmt.Errorf("reply: %w", os.ErrDeadlineExceeded)
			}
			return take(p)
		})
	}()
	sent := 1
	for ; ; sent++ {
		w.Add(lineOf(sent))
		select {
		case <-stuck:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	for sent++; sent < all; sent++ {
		w.Add(lineOf(sent)) // would wait for ever if it waited for the reader
	}
	close(release)
	w.End()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	next, skipped := 0, 0
	for _, s := range got {
		var n int
		switch {
		case strings.HasPrefix(s, "skipped "):
			fmt.Sscanf(s, "skipped %d", &n)
			skipped += n
			next += n
		default:
			fmt.Sscanf(s, "line %d", &n)
			if n != next {
				t.Fatalf("got %q, want line %d", s, next)
			}
			next++
		}
	}
	if next != all || skipped == 0 {
		t.Errorf("%d lines of %d, %d skipped", next, all, skipped)
	}
}

// Who leaves is left.
func TestFollowEndsWithContext(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Stream(ctx, Query{Follow: true}, func([]byte) error { return nil }) }() // ends with ctx
	why := errors.New("gone")
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Error(err)
	}
	broken := errors.New("broken")
	w.Add(lineOf(1))
	if err := w.Stream(t.Context(), Query{Last: -1}, func([]byte) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A reply has one line's length over 64 KiB at most, even of the worst text there
// is, and so fits into a message.
func TestRepliesAreBounded(t *testing.T) {
	w := New(Options{Ring: 16 << 20})
	defer w.Close()
	for range 50 {
		w.Add(engine.Line{Stream: engine.Stdout, Text: strings.Repeat("\x01", 64<<10), More: true})
		w.Add(lineOf(1))
	}
	most, n := 0, 0
	err := w.Stream(t.Context(), Query{Last: -1}, func(p []byte) error {
		most = max(most, len(p))
		n += strings.Count(string(p), "\n")
		return nil
	})
	if err != nil || n != 100 || most > 512<<10 {
		t.Errorf("%d lines, a reply of %d bytes, %v", n, most, err)
	}
}
