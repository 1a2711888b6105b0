package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mostRemoved is how many files and directories one removal takes away: some
// seconds' work. Who makes more is not waited for.
const mostRemoved = 100_000

// errTooMany reports a directory in which another user has made more than
// mostRemoved.
var errTooMany = errors.New("there is more in it than is removed at once")

// RemoveUserDir removes a UserDir, or one on the way to it, with whatever its users
// have made there, however deep it is: with two descriptors, and about 200,000
// files and directories at most. What is left then is out of its users' reach, an
// error, and the next call goes on with it. That there is no such directory is no
// error.
func RemoveUserDir(dir string) error { return removeTree(dir, mostRemoved) }

// removeTree removes a directory that somebody else has filled, most entries of it.
// Directories in directories are moved to the top, one after the other: then no
// descriptor and no path has to be as deep as they are. Links are not followed.
// Errors name path alone, since what is below has names as long as others like.
func removeTree(path string, most int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: %s cannot be removed: %w", path, err)
	}
	top := os.NewFile(uintptr(fd), path)
	defer top.Close()
	// Nobody comes this way any more, and nobody puts something beside.
	_ = top.Chown(os.Geteuid(), -1)
	_ = top.Chmod(0o700)
	r := &remover{top: top, left: most}
	for {
		before := r.left
		r.err = nil
		if err := r.each(top, r.enter); err != nil {
			return fmt.Errorf("engine: %s cannot be removed: %w", path, err)
		}
		err := unix.Rmdir(path)
		switch {
		case err == nil:
			return nil
		case r.left <= 0:
			r.err = errTooMany
		case r.left < before && errors.Is(err, unix.ENOTEMPTY):
			continue
		case r.err == nil:
			r.err = err
		}
		return fmt.Errorf("engine: %s cannot be removed: %w", path, r.err)
	}
}

// A remover removes what is in one directory.
type remover struct {
	top  *os.File
	left int   // entries that may yet be removed or moved
	err  error // of the last one that could not be
}

// each calls do for what is in dir, until nothing may be removed any more.
func (r *remover) each(dir *os.File, do func(dir *os.File, name string)) error {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if r.left <= 0 {
				return nil
			}
			do(dir, name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// enter removes one that is in the top directory, after what is in it.
func (r *remover) enter(top *os.File, name string) {
	err := r.remove(top, name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		r.note(err)
		return
	}
	fd, err := unix.Openat(int(top.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		r.note(err)
		return
	}
	dir := os.NewFile(uintptr(fd), "")
	defer dir.Close()
	r.note(r.each(dir, r.lift))
	r.note(r.remove(top, name))
}

// lift removes one that is in a directory in the top directory, or moves it there
// if it is a directory with something in it.
func (r *remover) lift(dir *os.File, name string) {
	err := r.remove(dir, name)
	if errors.Is(err, unix.ENOTEMPTY) {
		err = unix.Renameat(int(dir.Fd()), name, int(r.top.Fd()), rand.Text()) // nobody foresees that name
		if err == nil {
			r.left--
		}
	}
	r.note(err)
}

// remove removes a file or an empty directory.
func (r *remover) remove(dir *os.File, name string) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	}
	switch {
	case err == nil:
		r.left--
	case errors.Is(err, unix.EEXIST): // as some file systems say it
		return unix.ENOTEMPTY
	case errors.Is(err, unix.ENOENT): // somebody else did
		return nil
	}
	return err
}

func (r *remover) note(err error) {
	if err != nil {
		r.err = err
	}
}
