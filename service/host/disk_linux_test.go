package host

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"golang.org/x/sys/unix"
)

// TestRealDisk: on a file system that is full, of bytes or of files, and on one that is
// read-only, writing is an error, what was there stays, and nothing is left beside it.
func TestRealDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("heddle", dir, "tmpfs", 0, "size=64k,nr_inodes=32"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { // behind the cloud's end
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	remount := func(flags uintptr) {
		must(t, unix.Mount("heddle", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=64k,nr_inodes=32"))
	}
	c := start(t, Options{Storage: dir})
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		k := keep(t, c, d)
		coll := "coll" + d.String()
		same := func(others int) {
			t.Helper()
			if got := sprint(k.ok(read, coll, "key"), k.ok(find, coll, []any{"t"}), k.ok(find, coll, []any{"u"})); got != "as it was [key] []" {
				t.Errorf("got %s", got)
			}
			entries, err := os.ReadDir(filepath.Join(dir, coll))
			if err != nil || len(entries) != 1+others {
				t.Errorf("got %d entries, %v, want %d", len(entries), err, 1+others)
			}
		}
		k.ok(write, coll, "key", "as it was", []any{"t"})

		k.bad(syscall.ENOSPC, write, coll, "key", strings.Repeat("x", 100<<10), []any{"u"})
		k.bad(syscall.ENOSPC, write, coll, "new", strings.Repeat("x", 100<<10), []any{"u"})
		same(0)
		k.ok(write, coll, "other", strings.Repeat("x", 30<<10))
		k.bad(syscall.ENOSPC, write, coll, "key", strings.Repeat("x", 40<<10), []any{"u"})
		k.ok(remove, coll, "other")
		same(0)

		var files []string // until there can be no more
		for i := range 64 {
			name := filepath.Join(dir, "file"+string(rune('A'+i)))
			if os.WriteFile(name, nil, 0o600) != nil {
				break
			}
			files = append(files, name)
		}
		k.bad(syscall.ENOSPC, write, coll, "key", "new", []any{"u"})
		k.bad(syscall.ENOSPC, write, "another", "key", "new", []any{"u"})
		same(0)
		for _, name := range files {
			must(t, os.Remove(name))
		}

		remount(unix.MS_RDONLY)
		k.bad(syscall.EROFS, write, coll, "key", "new", []any{"u"})
		k.bad(syscall.EROFS, write, coll, "new", "new", []any{"u"})
		k.bad(syscall.EROFS, write, "another", "key", "new", []any{"u"})
		k.bad(syscall.EROFS, remove, coll, "key")
		same(0)
		remount(0)
		k.ok(write, coll, "new", "there is room", []any{"t"})
	})
}
