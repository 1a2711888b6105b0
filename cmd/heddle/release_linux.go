package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// largestProgram is what a release takes at most, in bytes.
const largestProgram = 4 << 30

// first builds or copies t into a new release.
func (lc *lifecycle) first(ctx context.Context, t target, args []string, stderr io.Writer) (*release, error) {
	s, k := lc.releases, lc.kind
	r := &release{Name: s.reserve(), Target: t.given, Source: t.source(), Args: append([]string{}, args...), Pid: os.Getpid()}
	lc.settle(r)
	if k.stays() && t.pkg == "" {
		f, err := openInPlace(t)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return r, s.add(ctx, r, t.name(), k.inPlace(r, t.path, f))
	}
	err := s.add(ctx, r, t.name(), func(ctx context.Context, path string) error {
		if t.pkg != "" {
			return t.build(ctx, path, stderr)
		}
		f, err := os.Open(t.path)
		if err != nil {
			return copyFailure(t.given, path, err)
		}
		defer f.Close()
		return copyFailure(t.given, path, copyProgram(ctx, path, f))
	})
	return r, err
}

// Why a program is not taken into a release.
var (
	errNoFile     = errors.New("it is not a regular file")
	errNoProgram  = errors.New("it is not executable")
	errEmpty      = errors.New("it is empty")
	errTooBig     = fmt.Errorf("it has more than %d bytes", int64(largestProgram))
	errBeingMade  = errors.New("it was written to while it was copied")
	errNothingNew = errors.New("it is not what it was when its release was made")
)

// copyProgram copies an executable from its descriptor, whatever stands at its
// path by now; the copy cannot be written.
func copyProgram(ctx context.Context, dst string, src *os.File) error {
	fi, err := src.Stat()
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return errNoFile
	case fi.Mode()&0o111 == 0:
		return errNoProgram
	case fi.Size() == 0:
		return errEmpty
	case fi.Size() > largestProgram:
		return errTooBig
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return err
	}
	// The descriptor's offset is shared with whoever passed it.
	n, err := io.Copy(out, &contextReader{ctx, io.NewSectionReader(src, 0, fi.Size())})
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	now, err := src.Stat()
	if err != nil {
		return err
	}
	if n != fi.Size() || now.Size() != fi.Size() || !now.ModTime().Equal(fi.ModTime()) {
		return fmt.Errorf("%w: %d of %d bytes", errBeingMade, n, now.Size())
	}
	return nil
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// copyFailure is what a person reads when the program given cannot be copied
// to path; nil for nil.
func copyFailure(given, path string, err error) error {
	dir := filepath.Dir(filepath.Dir(path)) // of all releases
	f := &failure{code: exitError, err: fmt.Errorf("%s cannot be copied into its release: %w", given, err)}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.err = fmt.Errorf("no room for the copy of %s in %s: %w", given, dir, err)
		f.try = "try: df -h " + dir + "; or start the daemon with XDG_RUNTIME_DIR on a larger file system"
	case errors.Is(err, errBeingMade):
		f.try = "try: again, once whatever writes it is done"
	case errors.Is(err, errNoFile), errors.Is(err, errNoProgram), errors.Is(err, errEmpty), errors.Is(err, errTooBig):
		f.try = "try: file " + given + "; ls -l " + given
	default:
		f.try = "try: ls -l " + given + "; df -h " + dir
	}
	f.fine = "the half-made copy was removed."
	return f
}

// hashFile reads a regular file. One of others that is a pipe by now has nobody
// wait.
func hashFile(path string) (sum string, size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return "", 0, err
	} else if !fi.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s is not a regular file (%v)", path, fi.Mode())
	}
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
