package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	layoutRotated = "20060102T150405.000" // UTC
	gzSuffix      = ".gz"
	partSuffix    = ".part" // of what is being compressed
)

func rotatedName(path string, t time.Time) string {
	return path + "." + t.UTC().Format(layoutRotated)
}

// taken says whether a rotated file of that name is there, compressed or not.
func taken(name string) bool {
	for _, suffix := range []string{"", gzSuffix} {
		if _, err := os.Lstat(name + suffix); !os.IsNotExist(err) {
			return true
		}
	}
	return false
}

// tidy compresses the rotated files, if that is wanted, and removes all but the
// newest Keep.
func (f *file) tidy() error {
	names, err := rotated(f.o.Path)
	if err != nil {
		return err
	}
	var errs []error
	for len(names) > f.o.Keep {
		errs = append(errs, os.Remove(names[0]))
		names = names[1:]
	}
	for _, name := range names {
		if f.o.Gzip && !strings.HasSuffix(name, gzSuffix) {
			errs = append(errs, compress(f.stop, name))
		}
	}
	return errors.Join(errs...)
}

// rotated lists the rotated files of path, oldest first, and removes what a
// compression has left that did not come to its end.
func rotated(path string) (names []string, err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		when, ok := strings.CutPrefix(e.Name(), base+".")
		if !ok {
			continue
		}
		when, part := strings.CutSuffix(when, gzSuffix+partSuffix)
		when = strings.TrimSuffix(when, gzSuffix)
		if _, err := time.Parse(layoutRotated, when); err != nil {
			continue // not ours
		}
		name := filepath.Join(dir, e.Name())
		if !part && !e.Type().IsRegular() {
			continue // not ours
		}
		if part {
			err = errors.Join(err, os.Remove(name))
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names) // so the times are in order
	return names, err
}

// compress replaces a file by its compressed self, unless ctx ends before.
func compress(ctx context.Context, name string) (err error) {
	in, err := openRotated(name)
	if err != nil {
		return err
	}
	defer in.Close()
	part := name + gzSuffix + partSuffix
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, reading{ctx, in})
	err = errors.Join(err, z.Close(), out.Close())
	if err == nil {
		err = os.Rename(part, name+gzSuffix)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Remove(name)
}

// reading is a Reader until ctx ends.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
