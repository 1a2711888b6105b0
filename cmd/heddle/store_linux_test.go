package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/worker/engine"
)

// putBytes makes a program of b.
func putBytes(b string) func(context.Context, string) error {
	return func(_ context.Context, path string) error { return os.WriteFile(path, []byte(b), 0o755) }
}

func addRelease(t *testing.T, s *store, b string) string {
	t.Helper()
	r := &release{Name: s.reserve(), Target: "./x", Args: []string{}}
	if err := s.add(t.Context(), r, "x", putBytes(b)); err != nil {
		t.Fatal(err)
	}
	return r.Name
}

func states(s *store) string {
	var b strings.Builder
	for _, r := range s.all() {
		there := ""
		if _, err := os.Stat(r.Program); err == nil {
			there = "+"
		}
		fmt.Fprintf(&b, "%s:%s%s ", r.Name, r.State, there)
	}
	return strings.TrimSpace(b.String())
}

// TestStore: five programs are kept, and those in use; numbers are given once;
// what failed keeps its record.
func TestStore(t *testing.T) {
	s := newStore(t.TempDir())
	if s.serving().Name != "" || s.before().Name != "" {
		t.Error("an empty store has releases")
	}
	for i := range 4 {
		name := addRelease(t, s, fmt.Sprint(i))
		if err := s.serve(name); err != nil {
			t.Fatal(err)
		}
		s.prune(nil)
	}
	failed := addRelease(t, s, "bad")
	s.fail(failed, "worker 0: exited\nwith many words")
	for i := range 3 {
		if err := s.serve(addRelease(t, s, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	s.prune(map[string]bool{"r1": true})
	want := "r1:kept+ r2:retired r3:kept+ r4:kept+ r5:failed r6:kept+ r7:kept+ r8:serving+"
	if got := states(s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if retired := s.prune(nil); len(retired) != 1 || retired[0] != "r1" {
		t.Errorf("retired %q, want r1, whose workers have left", retired)
	}
	if r, _ := s.get("r5"); r.Reason != "worker 0: exited" {
		t.Errorf("reason: got %q, want the first line", r.Reason)
	}
	if got := s.before().Name; got != "r7" {
		t.Errorf("before: got %s, want r7", got)
	}
	if _, err := s.open("r2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a retired program: got %v", err)
	}
	f, err := s.open("r7")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	r, _ := s.get("r8")
	fi, err := os.Stat(r.Program)
	if err != nil || fi.Mode().Perm() != 0o500 || r.Size != 1 || len(r.SHA256) != 64 {
		t.Errorf("got %v, %v, %+v", fi, err, r)
	}
	if fi, err := os.Stat(filepath.Dir(r.Program)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory: got %v, %v", fi, err)
	}

	// Records: twenty in all.
	for range 30 {
		s.fail(addRelease(t, s, "bad"), "no")
		s.prune(nil)
	}
	all := s.all()
	records, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil || len(all) != keptRecords || len(records) != keptRecords {
		t.Errorf("%d releases, %d records (%v), want %d", len(all), len(records), err, keptRecords)
	}
	if all[len(all)-1].Name != "r38" || s.serving().Name != "r8" {
		t.Errorf("last is %s, serving %s", all[len(all)-1].Name, s.serving().Name)
	}
}

// TestCopyProgram: what is no program, and what changes meanwhile, leaves
// nothing.
func TestCopyProgram(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, b string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(b), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o700); err != nil {
		t.Fatal(err)
	}
	good := file("good", 0o755, strings.Repeat("weft", 1000))
	for _, tt := range []struct {
		path string
		flag int
		want error
	}{
		{good, os.O_RDONLY, nil},
		{dir, os.O_RDONLY, errNoFile},
		{fifo, os.O_RDWR, errNoFile},
		{"/dev/zero", os.O_RDONLY, errNoFile},
		{file("plain", 0o644, "x"), os.O_RDONLY, errNoProgram},
		{file("empty", 0o755, ""), os.O_RDONLY, errEmpty},
		{file("closed", 0o755, "x"), os.O_WRONLY, syscall.EBADF},
	} {
		f, err := os.OpenFile(tt.path, tt.flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(2, 0); err == nil && tt.want != nil {
			_, _ = f.Seek(0, 0)
		}
		s := newStore(t.TempDir())
		r := &release{Name: s.reserve()}
		err = s.add(t.Context(), r, "x", func(ctx context.Context, path string) error {
			return copyFailure(tt.path, path, copyProgram(ctx, path, f))
		})
		f.Close()
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.path, err, tt.want)
		}
		if tt.want == nil {
			// The descriptor's offset, which is the passer's, does not matter.
			if b, err := os.ReadFile(r.Program); err != nil || !bytes.Equal(b, bytes.Repeat([]byte("weft"), 1000)) {
				t.Errorf("%s: the copy differs: %d bytes, %v", tt.path, len(b), err)
			}
			continue
		}
		if _, err := os.Stat(s.home(r.Name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the half-made directory is left: %v", tt.path, err)
		}
		if got := states(s); got != "r1:failed" {
			t.Errorf("%s: got %s", tt.path, got)
		}
	}

	f, err := os.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errWithdrawn)
	if err := copyProgram(ctx, filepath.Join(dir, "a"), f); !errors.Is(err, errWithdrawn) {
		t.Errorf("withdrawn: got %v", err)
	}
}

// TestFullDisk copies onto a file system that is too small.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("heddle", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 1<<20), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(big)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newStore(dir)
	if err := s.serve(addRelease(t, s, "small")); err != nil {
		t.Fatal(err)
	}
	r := &release{Name: s.reserve(), Target: "./big"}
	err = s.add(t.Context(), r, "big", func(ctx context.Context, path string) error {
		return copyFailure("./big", path, copyProgram(ctx, path, f))
	})
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "no room for the copy of ./big in "+dir+": ") || !strings.Contains(err.Error(), "\ntry: df -h "+dir) {
		t.Errorf("got %v", err)
	}
	if got := states(s); got != "r1:serving+ r2:failed" {
		t.Errorf("got %s", got)
	}
	if err := s.add(t.Context(), &release{Name: s.reserve()}, "x", putBytes("small")); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// TestDeaths: the newest records are kept, those of workers that were asked to
// leave are not.
func TestDeaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deaths")
	var out output
	d := newDeaths(dir, logTo(&out))
	for i := range 25 {
		d.add(engine.Death{Pid: 1, Expected: true})
		d.add(engine.Death{Index: i, Pid: 100 + i, Signal: "SIGKILL", Reason: "killed", Stderr: []string{"last"}, Dump: []string{"goroutine 1 [running]:", "main.main()"}, Served: time.Second})
		until(func() bool { return strings.Count(out.String(), "msg=\"crash record\"") == i+1 })
	}
	d.close()
	d.add(engine.Death{}) // too late, and no harm
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2*keptDeaths {
		t.Fatalf("%d files, %v: %q", len(files), err, files)
	}
	b, err := os.ReadFile(filepath.Join(dir, "000025.json"))
	if err != nil || !strings.Contains(string(b), `"signal": "SIGKILL"`) || !strings.Contains(string(b), `"goroutines": "`+dir+`/000025.goroutines"`) {
		t.Errorf("got %s, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "000025.goroutines")); err != nil || string(b) != "goroutine 1 [running]:\nmain.main()\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if !strings.Contains(out.String(), "path="+dir+"/000025.json index=24 pid=124") {
		t.Errorf("the log does not name it:\n%s", out.String())
	}
}
