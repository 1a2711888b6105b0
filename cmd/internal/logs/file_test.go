package logs

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A clock goes on when it is told to.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func write(t *testing.T, f *file, p string) {
	t.Helper()
	if n, err := f.Write([]byte(p)); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(p), err)
	}
}

// contents is what a file's family holds, oldest first, and how many rotated files
// there are.
func contents(t *testing.T, path string) (all string, n int) {
	t.Helper()
	names, err := rotated(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Clip(names), path) {
		h, err := os.Open(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = h
		if strings.HasSuffix(name, gzSuffix) {
			if r, err = gzip.NewReader(h); err != nil {
				t.Fatal(err)
			}
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
		h.Close()
	}
	return all, len(names)
}

// Size rotates, at line ends, and no line is lost while there are few enough files.
func TestRotateBySize(t *testing.T) {
	for _, gz := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "log")
		c := &clock{time.Now()}
		f := newFile(FileOptions{Path: path, MaxSize: 100, Keep: 1000, Gzip: gz, Now: c.Now})
		var want strings.Builder
		batch := ""
		for i := range 200 {
			line := fmt.Sprintf("line %d\n", i)
			want.WriteString(line)
			if batch += line; i%7 == 6 || i == 199 {
				write(t, f, batch)
				batch = ""
			}
		}
		long := strings.Repeat("x", 250) + "\n"
		write(t, f, long+"short\n"+long)
		want.WriteString(long + "short\n" + long)
		until(t, "all is compressed", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return !f.busy
		})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, n := contents(t, path)
		if got != want.String() {
			t.Errorf("gzip %v: got\n%s", gz, got)
		}
		if n < 18 || n > 25 {
			t.Errorf("%d rotated files", n)
		}
		names, _ := rotated(path)
		for _, name := range append(names, path) {
			fi, err := os.Stat(name)
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, fi.Mode(), err)
			}
			if isGz := strings.HasSuffix(name, gzSuffix); name != path && isGz != gz {
				t.Errorf("%s: gzip is %v", name, gz)
			}
			if !gz && fi.Size() > 100 && fi.Size() != 251 {
				t.Errorf("%s has %d bytes", name, fi.Size())
			}
		}
	}
}

// Age rotates with the next line; the oldest files go, and nobody else's.
func TestRotateByAge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	for _, other := range []string{"log.1", "log.old", "log.20261121T080000", "logs.20261121T080000.000"} {
		if err := os.WriteFile(filepath.Join(dir, other), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &clock{time.Now()}
	f := newFile(FileOptions{Path: path, MaxAge: time.Hour, Keep: 3, Now: c.Now})
	for i := range 10 {
		write(t, f, fmt.Sprintf("%d begins\n", i))
		c.now = c.now.Add(59 * time.Minute)
		write(t, f, fmt.Sprintf("%d ends\n", i))
		if i == 5 { // a daemon that starts anew knows how old the file is
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			f = newFile(FileOptions{Path: path, MaxAge: time.Hour, Keep: 3, Now: c.Now})
		}
		c.now = c.now.Add(2 * time.Minute)
		if i == 5 {
			f.begun = c.now // as birth has it on a real clock
		}
	}
	until(t, "old files are removed", func() bool { _, n := contents(t, path); return n == 3 })
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ := contents(t, path)
	if want := "6 begins\n6 ends\n7 begins\n7 ends\n8 begins\n8 ends\n9 begins\n9 ends\n"; got != want {
		t.Errorf("got\n%s", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 8 {
		t.Errorf("files: %v", entries)
	}
}

// birth is the file's own, not that of its last line.
func TestBirth(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("known on Linux alone")
	}
	path := filepath.Join(t.TempDir(), "log")
	begun := time.Now().Add(-time.Second)
	if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if at := birth(fi, path); at.Equal(fi.ModTime()) {
		t.Skip("this file system does not know")
	} else if at.Before(begun) || at.After(begun.Add(time.Minute)) {
		t.Errorf("got %v, want about %v", at, begun)
	}
}

// A file that was moved away is written on until Reopen; from then on there is a
// new one. A line that was left without its end gets one.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "log"), filepath.Join(dir, "moved")
	f := newFile(FileOptions{Path: path})
	write(t, f, "one\n")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\nhal")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "three\nfou")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = newFile(FileOptions{Path: path})
	write(t, f, "five\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{moved: "one\ntwo\nhal", path: "three\nfou\nfive\n"} {
		if b, err := os.ReadFile(name); string(b) != want || err != nil {
			t.Errorf("%s: got %q, %v", name, b, err)
		}
	}
}

// A line that was written in part is ended before the file makes room.
func TestRotateBehindLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := newFile(FileOptions{Path: path, MaxSize: 10})
	write(t, f, "12345")
	write(t, f, "6789 and more\nnext\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := rotated(path)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	for name, want := range map[string]string{names[0]: "123456789 and more\n", path: "next\n"} {
		if b, err := os.ReadFile(name); string(b) != want || err != nil {
			t.Errorf("%s: got %q, %v", name, b, err)
		}
	}
}

// A file that cannot be renamed grows on, and no line is lost.
func TestRotationFails(t *testing.T) {
	if os.Getuid() == 0 && runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	var log journal
	path := filepath.Join(t.TempDir(), strings.Repeat("n", 250)) // a longer name there may not be
	c := &clock{time.Now()}
	f := newFile(FileOptions{Path: path, MaxSize: 10, Now: c.Now, Logger: loggerTo(&log)})
	for range 5 {
		write(t, f, "a line\n")
	}
	c.now = c.now.Add(2 * restTime)
	write(t, f, "a line\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if string(b) != strings.Repeat("a line\n", 6) || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if n := log.has("cannot be rotated"); n != 2 {
		t.Errorf("said %d times:\n%s", n, log.b.String())
	}
}

// What is no regular file is never rotated.
func TestDevice(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	f := newFile(FileOptions{Path: "/dev/full", MaxSize: 10})
	if n, err := f.Write([]byte("a line that is long\n")); n > 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	f.o.Path = "/dev/null"
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "a line that is long\nand more\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
