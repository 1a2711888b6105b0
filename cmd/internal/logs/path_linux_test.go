package logs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// nobody is a user who is not root.
const nobody = 65534

// place makes a directory of an owner and a mode.
func place(t *testing.T, uid int, mode os.FileMode) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be led to files that others may not write")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, uid, uid), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPlanted: what another user has put where root's log is to be is not written
// to, nor made, nor cut.
func TestPlanted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		uid   int
		mode  os.FileMode
		plant func(target, path string) error
	}{
		{"link", nobody, 0o755, os.Symlink},
		{"link in a directory of all", 0, 0o777, os.Symlink},
		{"link in a sticky one", 0, 0o777 | os.ModeSticky, os.Symlink},
		{"link in a group's", 0, 0o775, os.Symlink},
		{"hard link in a sticky one", 0, 0o777 | os.ModeSticky, os.Link},
		{"file of another", 0, 0o777 | os.ModeSticky, func(_, path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Chown(path, nobody, nobody))
		}},
		{"nothing yet", nobody, 0o755, func(_, path string) error { return nil }},
	} {
		for _, absent := range []bool{false, true} {
			target := filepath.Join(t.TempDir(), "target")
			dir := place(t, tt.uid, tt.mode)
			path := filepath.Join(dir, "log")
			if !absent {
				if err := os.WriteFile(target, []byte("root's\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.plant(target, path); err != nil && !absent {
				t.Fatal(err)
			}
			if tt.name == "hard link in a sticky one" && absent {
				continue
			}
			f := newFile(FileOptions{Path: path})
			n, err := f.Write([]byte("* * * * * root evil\n"))
			if n > 0 || !errors.Is(err, errUnsafe) {
				t.Errorf("%s: wrote %d bytes, %v", tt.name, n, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			switch b, err := os.ReadFile(target); {
			case absent && !errors.Is(err, os.ErrNotExist):
				t.Errorf("%s: %q was made, %v", tt.name, b, err)
			case !absent && string(b) != "root's\n":
				t.Errorf("%s: got %q, %v", tt.name, b, err)
			}
		}
	}
}

// TestPlantedAbove: a directory on the way that another user could exchange.
func TestPlantedAbove(t *testing.T) {
	theirs := place(t, nobody, 0o755)
	ours := filepath.Join(theirs, "logs")
	if err := os.Mkdir(ours, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link") // root's own, to where others may write
	if err := os.Symlink(theirs, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(ours, "log"), filepath.Join(link, "log"), filepath.Join(link, "logs", "log")} {
		f := newFile(FileOptions{Path: path})
		if n, err := f.Write([]byte("line\n")); n > 0 || !errors.Is(err, errUnsafe) {
			t.Errorf("%s: wrote %d bytes, %v", path, n, err)
		}
		_ = f.Close()
	}
}

// TestOwnLinks: root's own links lead where they always did, the kernel's too, and
// a log in a directory of all or of a group is written on and rotated.
func TestOwnLinks(t *testing.T) {
	dir, all, group := place(t, 0, 0o755), place(t, 0, 0o777|os.ModeSticky), place(t, 0, 0o775)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "far"), 0o700), os.Symlink("far/log", filepath.Join(dir, "log")), os.Symlink("log", filepath.Join(dir, "twice"))); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join("/proc/self/fd", strconv.Itoa(int(w.Fd())))
	for path, at := range map[string]string{
		filepath.Join(dir, "twice"): filepath.Join(dir, "far/log"),
		filepath.Join(all, "log"):   filepath.Join(all, "log"),
		filepath.Join(group, "log"): filepath.Join(group, "log"),
		pipe:                        "",
	} {
		f := newFile(FileOptions{Path: path})
		write(t, f, "one\n")
		if err := f.Reopen(); err != nil {
			t.Error(err)
		}
		write(t, f, "two\n")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		b := make([]byte, 8)
		if at == "" {
			_, err = r.Read(b)
		} else {
			b, err = os.ReadFile(at)
		}
		if string(b) != "one\ntwo\n" || err != nil {
			t.Errorf("%s: got %q, %v", path, b, err)
		}
	}
}

// TestPlantedRotated: links and fifos with names of rotated files, and of what is
// being compressed, are neither followed nor waited for.
func TestPlantedRotated(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("root's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := place(t, 0, 0o777|os.ModeSticky)
	path := filepath.Join(dir, "log")
	name := rotatedName(path, time.Now())
	if err := errors.Join(os.WriteFile(name, []byte("line\n"), 0o600), os.Symlink(target, name+gzSuffix+partSuffix)); err != nil {
		t.Fatal(err)
	}
	if err := compress(t.Context(), name); !errors.Is(err, os.ErrExist) {
		t.Errorf("a link in the way of a compression: %v", err)
	}
	older := rotatedName(path, time.Now().Add(-time.Hour))
	oldest := rotatedName(path, time.Now().Add(-2*time.Hour))
	if err := errors.Join(os.Symlink(target, older), syscall.Mkfifo(oldest, 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{older, oldest} {
		if err := compress(t.Context(), name); err == nil {
			t.Errorf("%s was compressed", name)
		}
	}
	f := newFile(FileOptions{Path: path, Gzip: true})
	if err := f.tidy(); err != nil { // removes what a compression has left
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(name + gzSuffix); err != nil {
		t.Errorf("ours is not compressed: %v", err)
	}
	if b, err := os.ReadFile(target); string(b) != "root's\n" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}
