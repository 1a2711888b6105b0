//go:build unix

package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// errUnsafe reports a path at which another user could have root write to any file.
var errUnsafe = errors.New("not safe for root")

// mostLinks is how many a path may lead through, path_resolution(7).
const mostLinks = 40

// openFile opens a log. For root it follows only links that nobody else could have
// made, and opens no file that another user may have put there.
func openFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	if os.Geteuid() != 0 {
		return os.OpenFile(path, flag, mode)
	}
	to, shared, err := resolve(path)
	if err != nil {
		return nil, err
	}
	if to == "" { // the kernel's own link
		return os.OpenFile(path, flag, mode)
	}
	f, err := os.OpenFile(to, flag|syscall.O_NOFOLLOW, mode)
	if err != nil || !shared {
		return f, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = checkShared(to, fi)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// openRotated opens for reading what has a rotated file's name, if it is a file.
func openRotated(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("logs: %s is no regular file", name)
	}
	return f, nil
}

// resolve is path without links, "" if it leads through one below /proc, which is
// what the kernel says it is. Each directory on the way has to be root's, and
// nobody else may write it: what is in it is as root wants it. Where a group may,
// or everybody with the sticky bit, what is there counts only if it is root's and
// no link; shared says that this is so of the last directory. The file need not be
// there.
func resolve(path string) (to string, shared bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", false, err
	}
	at, links := "/", 0
	for rest := parts(path); len(rest) > 0; {
		if at == "/proc" || strings.HasPrefix(at, "/proc/") {
			return "", false, nil
		}
		if shared, err = sharedDir(at); err != nil {
			return "", false, err
		}
		next := filepath.Join(at, rest[0])
		fi, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(append([]string{at}, rest...)...), shared, nil
		}
		if err != nil {
			return "", false, err
		}
		if shared {
			if err := checkShared(next, fi); err != nil {
				return "", false, err
			}
		}
		rest = rest[1:]
		if fi.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", false, err
		}
		if links++; links > mostLinks {
			return "", false, fmt.Errorf("logs: %s: %w", path, syscall.ELOOP)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(at, target) // at has no links, so dots mean what they say
		}
		at, rest = "/", append(parts(target), rest...)
	}
	return at, shared, nil
}

func parts(path string) []string {
	return strings.FieldsFunc(filepath.Clean(path), func(r rune) bool { return r == '/' })
}

// sharedDir says whether others than root may put something into dir. That
// everybody may is an error.
func sharedDir(dir string) (bool, error) {
	fi, err := os.Lstat(dir)
	if err != nil {
		return false, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir() || !ok:
		return false, fmt.Errorf("logs: %s: %w", dir, syscall.ENOTDIR)
	case st.Uid != 0:
		return false, fmt.Errorf("logs: %w: directory %s belongs to user %d, who could put links there; chown root it", errUnsafe, dir, st.Uid)
	case fi.Mode()&fs.ModeSticky != 0:
		return fi.Mode().Perm()&0o022 != 0, nil
	case fi.Mode().Perm()&0o002 != 0:
		return false, fmt.Errorf("logs: %w: everybody can write directory %s (mode %#o), and could put links there; chmod o-w it", errUnsafe, dir, fi.Mode().Perm())
	}
	return fi.Mode().Perm()&0o020 != 0, nil
}

// checkShared fails for what another user could have put into a shared directory.
func checkShared(name string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok || fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("logs: %w: %s is a link where others than root may make one", errUnsafe, name)
	case st.Uid != 0:
		return fmt.Errorf("logs: %w: %s belongs to user %d; remove it", errUnsafe, name, st.Uid)
	case !fi.IsDir() && st.Nlink > 1:
		return fmt.Errorf("logs: %w: %s has %d names where others than root may make one", errUnsafe, name, st.Nlink)
	}
	return nil
}
