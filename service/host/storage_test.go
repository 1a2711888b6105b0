package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// A keeper asks storage in either dialect, and waits for each answer.
type keeper struct {
	*peer
	n uint64
}

func keep(t testing.TB, c *Cloud, d heddle.Dialect) *keeper {
	return &keeper{peer: to(t, c, "storage", d)}
}

// result is the one value that a method answers; failed is an error's text.
func (k *keeper) result(id uint64, args ...any) (result any, failed string) {
	k.t.Helper()
	k.n++
	k.call(k.n, id, args...)
	f, raw, err := k.next()
	if err != nil || f.Session != k.n {
		k.t.Fatalf("got %v, %x", err, raw)
	}
	if k.d == heddle.V1 {
		var all []any
		unpack(k.t, string(f.Args), &all)
		switch {
		case f.Type == error1:
			return all[0], all[1].(string)
		case len(all) == 0:
			return nil, ""
		}
		return all[0], ""
	}
	switch f.Type {
	case chunk0:
		var chunk []string
		unpack(k.t, string(f.Args), &chunk)
		unpack(k.t, chunk[0], &result)
	case error0:
		var all []any
		unpack(k.t, string(f.Args), &all)
		if all[0] != int64(1) {
			k.t.Errorf("got code %v, want 1", all[0])
		}
		result, failed = all[0], all[1].(string)
	case choke0:
		return nil, ""
	}
	k.want(k.n, choke0)
	return result, failed
}

// ok is result of a call that must not fail.
func (k *keeper) ok(id uint64, args ...any) any {
	k.t.Helper()
	result, failed := k.result(id, args...)
	if failed != "" {
		k.t.Fatalf("method %d: %v: %s", id, result, failed)
	}
	return result
}

// bad wants an error: in v1 this errno.
func (k *keeper) bad(no syscall.Errno, id uint64, args ...any) {
	k.t.Helper()
	result, failed := k.result(id, args...)
	if failed == "" {
		k.t.Errorf("method %d of %.80q: got %.80q, want an error", id, args, result)
	} else if k.d == heddle.V1 && fmt.Sprint(result) != fmt.Sprint([]any{12, int(no)}) {
		k.t.Errorf("method %d of %.80q: got %v: %.80s, want [12 %d]", id, args, result, failed, int(no))
	}
}

// The methods of storage.
const (
	read = iota
	write
	remove
	find
)

// bothDialects runs f for each.
func bothDialects(t *testing.T, f func(t *testing.T, d heddle.Dialect)) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) { f(t, d) })
	}
}

func TestStorage(t *testing.T) {
	everywhere(t, Options{Storage: t.TempDir()}, func(t *testing.T, c *Cloud) {
		bothDialects(t, func(t *testing.T, d heddle.Dialect) {
			k := keep(t, c, d)
			blob := strings.Repeat("\x00\xff blob", 100)
			k.ok(write, "coll", "b", blob, []any{"t1", "t2"})
			k.ok(write, "coll", "a", "", []any{"t2"})
			k.ok(write, "coll", "c", "no tags")
			if got := k.ok(read, "coll", "b"); got != blob {
				t.Errorf("got %q", got)
			}
			if got := k.ok(read, "coll", "a"); got != "" {
				t.Errorf("got %q, want an empty object", got)
			}
			for _, f := range []struct {
				tags []any
				want string
			}{{[]any{"t2"}, "[a b]"}, {[]any{"t1", "t2"}, "[b]"}, {[]any{"t3"}, "[]"}, {[]any{}, "[]"}} {
				if got := fmt.Sprint(k.ok(find, "coll", f.tags)); got != f.want {
					t.Errorf("%v: got %s, want %s", f.tags, got, f.want)
				}
			}
			k.ok(write, "coll", "b", "again", []any{"t3"}) // with other tags
			if got := sprint(k.ok(find, "coll", []any{"t1"}), k.ok(find, "coll", []any{"t3"}), k.ok(read, "coll", "b")); got != "[] [b] again" {
				t.Errorf("got %s of an object that was written again", got)
			}
			for _, key := range []string{"a", "b", "c", "none"} {
				k.ok(remove, "coll", key)
			}
			k.ok(remove, "none", "none")
			if got := sprint(k.ok(find, "coll", []any{"t3"}), k.ok(find, "none", []any{"t3"})); got != "[] []" {
				t.Errorf("got %s of what was removed", got)
			}
			if result, failed := k.result(read, "coll", "nokey"); d == heddle.V0 && failed != "object 'nokey' has not been found in 'coll'" ||
				d == heddle.V1 && (fmt.Sprint(result) != "[12 2]" || failed != "coll/nokey: No such file or directory") {
				t.Errorf("got %v, %s", result, failed)
			}
		})
	})
}

// TestStorageNames: none leaves the directory, or gets at what is no object there.
func TestStorageNames(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "storage")
	c := start(t, Options{Storage: dir})
	outside := filepath.Join(parent, "outside")
	must(t, os.MkdirAll(filepath.Join(outside, "in"), 0o700), os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "coll", "directory"), 0o700), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink("coll", filepath.Join(dir, "inner")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "coll", "link")),
		os.Symlink("../file", filepath.Join(dir, "coll", "inner")), os.Symlink("/dev/full", filepath.Join(dir, "coll", "full")))
	before := tree(t, outside)
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		k := keep(t, c, d)
		for _, name := range []string{"", ".", "..", "/", "a/b", "../outside", "/etc", "..\x00", "\x00", ".heddle-x"} {
			for _, at := range [][]any{{name, "key"}, {"coll", name}} {
				k.bad(syscall.EINVAL, read, at...)
				k.bad(syscall.EINVAL, write, append(at, "blob")...)
				k.bad(syscall.EINVAL, remove, at...)
			}
			k.bad(syscall.EINVAL, find, name, []any{"t"})
		}
		long := strings.Repeat("x", mostName+1)
		k.bad(syscall.ENAMETOOLONG, write, "coll", long, "blob")
		k.bad(syscall.ENAMETOOLONG, read, strings.Repeat("x", 60<<10), "key")
		k.bad(syscall.EINVAL, write, "coll", "key", "blob", []any{""})
		k.bad(syscall.EINVAL, write, "coll", "key", "blob", []any{long})
		k.bad(syscall.E2BIG, write, "coll", "key", "blob", slices.Repeat([]any{"t"}, mostTags+1))
		k.bad(syscall.E2BIG, write, "coll", "key", "blob", slices.Repeat([]any{"t"}, 1_000_000))
		k.ok(write, "coll", "key", "blob", []any{"../..", "/"}) // no file of that name is made
		if got := fmt.Sprint(k.ok(find, "coll", []any{"../.."})); got != "[key]" {
			t.Errorf("got %s", got)
		}
		k.ok(remove, "coll", "key")
		if got := fmt.Sprint(k.ok(find, "coll", slices.Repeat([]any{"t"}, 1_000_000))); got != "[]" {
			t.Errorf("got %s of more tags than there can be", got)
		}
		for _, link := range []string{"link", "inner"} { // of collections
			k.bad(syscall.ENOTDIR, read, link, "secret")
			k.bad(syscall.ENOTDIR, write, link, "secret", "mine")
			k.bad(syscall.ENOTDIR, remove, link, "secret")
			k.bad(syscall.ENOTDIR, find, link, []any{"t"})
		}
		for _, link := range []string{"link", "inner", "full"} { // of keys
			k.bad(syscall.ELOOP, read, "coll", link)
			k.bad(syscall.ELOOP, write, "coll", link, "mine")
		}
		k.bad(syscall.ENOTDIR, write, "file", "key", "blob")
		k.bad(syscall.EISDIR, read, "coll", "directory")
		k.bad(syscall.EISDIR, write, "coll", "directory", "blob")
		k.bad(syscall.EISDIR, remove, "coll", "directory")
	})
	if after := tree(t, outside); after != before {
		t.Errorf("outside is now %s, was %s", after, before)
	}
}

// tree lists a directory's files with their contents.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var p []byte
			p, err = os.ReadFile(path)
			fmt.Fprintf(&b, "%s=%s ", path, p)
		}
		return err
	}))
	return b.String()
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A brokenFile fails as a full disk does.
type brokenFile struct {
	*os.File
	write, sync error
}

func (f brokenFile) Write(p []byte) (int, error) {
	if f.write != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, &os.PathError{Op: "write", Path: "x", Err: f.write}
	}
	return f.File.Write(p)
}

func (f brokenFile) Sync() error { return errors.Join(f.sync, f.File.Sync()) }

// TestStorageFails: on a full or read-only disk the object stays as it was, nothing
// is left beside it, and the next write is fine.
func TestStorageFails(t *testing.T) {
	dir := t.TempDir()
	usual := func(r *os.Root, name string) (io.WriteCloser, error) {
		return r.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	var now atomic.Pointer[createFile]
	c := start(t, Options{Storage: dir, create: func(r *os.Root, name string) (io.WriteCloser, error) {
		if f := now.Load(); f != nil {
			return (*f)(r, name)
		}
		return usual(r, name)
	}})
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		k := keep(t, c, d)
		for _, f := range []struct {
			name string
			no   syscall.Errno
			make createFile
		}{
			{"full", syscall.ENOSPC, broken(usual, syscall.ENOSPC, nil)},
			{"quota", syscall.EDQUOT, broken(usual, syscall.EDQUOT, nil)},
			{"full when it is flushed", syscall.ENOSPC, broken(usual, nil, syscall.ENOSPC)},
			{"read-only", syscall.EROFS, func(*os.Root, string) (io.WriteCloser, error) { return nil, syscall.EROFS }},
			{"not allowed", syscall.EACCES, func(*os.Root, string) (io.WriteCloser, error) {
				return nil, &os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
			}},
		} {
			t.Run(f.name, func(t *testing.T) {
				k.t = t
				k.ok(write, "coll", "key", "as it was", []any{"t"})
				now.Store(&f.make)
				k.bad(f.no, write, "coll", "key", "new", []any{"u"})
				k.bad(f.no, write, "coll", "other", "new")
				now.Store(nil)
				if got := sprint(k.ok(read, "coll", "key"), k.ok(find, "coll", []any{"t"}), k.ok(find, "coll", []any{"u"})); got != "as it was [key] []" {
					t.Errorf("got %s", got)
				}
				entries, err := os.ReadDir(filepath.Join(dir, "coll"))
				if err != nil || len(entries) != 1 {
					t.Errorf("got %v, %v, want the object alone", entries, err)
				}
			})
		}
	})
}

func broken(usual createFile, write, sync error) createFile {
	return func(r *os.Root, name string) (io.WriteCloser, error) {
		f, err := usual(r, name)
		if err != nil {
			return nil, err
		}
		return brokenFile{f.(*os.File), write, sync}, nil
	}
}

// TestStorageRemoved: the directory goes, and comes back.
func TestStorageRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	c := start(t, Options{Storage: dir})
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		k := keep(t, c, d)
		k.ok(write, "coll", "key", "blob", []any{"t"})
		must(t, os.RemoveAll(dir))
		k.bad(syscall.ENOENT, write, "coll", "key", "blob")
		k.bad(syscall.ENOENT, read, "coll", "key")
		k.bad(syscall.ENOENT, find, "coll", []any{"t"})
		must(t, os.Mkdir(dir, 0o700))
		k.ok(write, "coll", "key", "blob", []any{"t"})
	})
}

// TestStorageSweep: what a crash has left is removed, once nobody can be writing it.
func TestStorageSweep(t *testing.T) {
	dir := t.TempDir()
	long := time.Now().Add(-2 * oldEnough)
	must(t, os.MkdirAll(filepath.Join(dir, "coll", "deep"), 0o700))
	names := []string{"coll/.heddle-old", "coll/.heddle-young", "coll/old", "coll/deep/.heddle-old"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		if !strings.Contains(name, "young") {
			must(t, os.Chtimes(path, long, long))
		}
	}
	start(t, Options{Storage: dir})
	wait(t, func() bool {
		_, err := os.Lstat(filepath.Join(dir, names[0]))
		return errors.Is(err, os.ErrNotExist)
	}, "the old one is gone")
	for _, name := range names[1:] {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestStorageSize: blobs of the limit and over it.
func TestStorageSize(t *testing.T) {
	const limit = 1 << 20
	dir := t.TempDir()
	c := start(t, Options{Storage: dir, Blob: limit})
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		k := keep(t, c, d)
		blob := strings.Repeat("x", limit)
		k.ok(write, "coll", "key", blob)
		if got := k.ok(read, "coll", "key"); got != blob {
			t.Errorf("got %d bytes", len(got.(string)))
		}
		k.bad(syscall.EFBIG, write, "coll", "key", blob+"x")
		must(t, os.WriteFile(filepath.Join(dir, "coll", "byhand"), []byte(blob+"x"), 0o600))
		k.bad(syscall.EFBIG, read, "coll", "byhand")
		must(t, os.WriteFile(filepath.Join(dir, "coll", "byhand"), []byte("by hand"), 0o600))
		if got := k.ok(read, "coll", "byhand"); got != "by hand" {
			t.Errorf("got %q", got)
		}
		for _, end := range []string{trailerMagic, "\xff\xff\xff\xff" + trailerMagic, "\x00\x00\x00\x05" + trailerMagic, "\x00\x00\x00\x01\xdd" + trailerMagic} {
			must(t, os.WriteFile(filepath.Join(dir, "coll", "byhand"), []byte(end), 0o600)) // no trailer of ours, though it looks so
			k.ok(find, "coll", []any{"t"})
			k.ok(read, "coll", "byhand")
		}
		k.send([]byte{0x93, 0x01, 0x01, 0x93, 0xa1, 'c', 0xa1, 'k', 0xdb, 0x40, 0, 0, 0}) // and more than a frame may have
		k.wantEnd()
	})
}

// TestStorageOrder: what one connection asks for at once happens in that order, and
// is answered so.
func TestStorageOrder(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	p := to(t, c, "storage", heddle.V1)
	const rounds = 40
	var b []byte
	for i := range uint64(rounds) {
		b = append(b, frame(t, 2*i+1, write, "coll", "key", fmt.Sprint(i))...)
		b = append(b, frame(t, 2*i+2, read, "coll", "key")...)
	}
	p.send(b)
	for i := range uint64(rounds) {
		p.want(2*i+1, value1)
		p.want(2*i+2, value1, fmt.Sprint(i))
	}
}

// frame is one of dialect v1.
func frame(t testing.TB, channel, id uint64, args ...any) []byte {
	return codec.AppendMethod(nil, heddle.V1, channel, id, pack(t, list(args)))
}

func sprint(all ...any) string { return strings.TrimSpace(fmt.Sprintln(all...)) }

// TestLargestBlob: one of as many bytes as an object may have is kept, one of more is
// refused, and the connection goes on.
func TestLargestBlob(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		p := to(t, c, "storage", d)
		say := func(session uint64, blob string) codec.Frame {
			args := []byte{0x94}
			for _, v := range []string{"c", "k", blob} {
				args = codec.AppendRawString(args, v)
			}
			p.send(codec.AppendMethod(nil, d, session, write, append(args, 0x90)))
			f, _, err := p.next()
			if err != nil || f.Session != session {
				t.Fatalf("got %v", err)
			}
			return f
		}
		blob := strings.Repeat("x", DefaultBlob)
		if f := say(1, blob); d == heddle.V1 && f.Type != value1 || d == heddle.V0 && f.Type != choke0 {
			t.Errorf("got message %d %q", f.Type, f.Args)
		}
		if f := say(2, blob+"y"); !strings.Contains(string(f.Args), "ile too large") {
			t.Errorf("one byte more: got message %d %q", f.Type, f.Args)
		}
		if d == heddle.V0 {
			p.want(2, choke0)
		}
		p.call(3, read, "c", "k")
		if f, _, err := p.next(); err != nil || len(f.Args) < DefaultBlob {
			t.Errorf("got %v, %d bytes", err, len(f.Args))
		}
	})
}
