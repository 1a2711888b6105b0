package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fewFiles lets this process have only so many descriptors for as long as the test
// takes.
func fewFiles(t *testing.T, n uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = n
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
}

// deepen makes n directories, each in the one before, and a file in each, from dir
// on. Their paths are longer than any may be.
func deepen(dir string, n int) error {
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }()
	name := strings.Repeat("d", 200)
	for range n {
		if err := errors.Join(unix.Mkdirat(at, name, 0o700), unix.Mknodat(at, "file\n", unix.S_IFREG, 0)); err != nil {
			return err
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_ = unix.Close(at)
		at = next
	}
	return nil
}

// fill makes what is not easy to remove, and a link to a directory that is not to
// be removed.
func fill(t *testing.T, dir, other string) {
	t.Helper()
	if err := deepen(dir, 1000); err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		sub := filepath.Join(dir, "s"+strconv.Itoa(i))
		if err := errors.Join(os.Mkdir(sub, 0o700), os.Symlink(other, filepath.Join(sub, "l")), unix.Mkfifo(filepath.Join(sub, "p"), 0), os.Chmod(sub, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(other, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveTree: with few descriptors, however deep a directory is, and in portions.
func TestRemoveTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run workers as another user")
	}
	dir, other := filepath.Join(t.TempDir(), "dir"), t.TempDir()
	kept := filepath.Join(other, "kept")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(kept, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, other)
	fewFiles(t, 100)
	tries := 1
	for ; tries < 100; tries++ {
		err := removeTree(dir, 500)
		if err == nil {
			break
		}
		if !errors.Is(err, errTooMany) || len(err.Error()) > 300 {
			t.Fatal(err)
		}
	}
	if tries < 6 || tries > 20 {
		t.Errorf("it took %d portions", tries)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if err := removeTree(dir, 1); err != nil {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(link, 100); err == nil {
		t.Error("a link was taken for a directory")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// TestUserDeep: what a program has made in its directory goes with the engine, costs
// no descriptors, and what a killed engine has left keeps no other from its start.
func TestUserDeep(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	users, err := os.MkdirTemp("", "hu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(users) })
	dir := filepath.Join(users, strconv.Itoa(u.UID)+"-"+strconv.Itoa(u.GID))
	left := filepath.Join(dir, "own")
	if err := errors.Join(os.Mkdir(dir, 0o711), os.Mkdir(left, 0o700), deepen(left, 1000)); err != nil {
		t.Fatal(err)
	}
	var log output
	fewFiles(t, 200)
	e, err := startPlain(t, "plain-deep", Options{Path: program, User: u, Dir: "/", UserDir: users, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if got := getPlain(t, e); !strings.HasPrefix(got, "plain-deep ") {
		t.Errorf("got %q", got)
	}
	e.Close()
	if rest, err := os.ReadDir(users); len(rest) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", rest, err)
	}
	if strings.Contains(log.String(), "something is left") {
		t.Error(log.String())
	}
}
