package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
)

// Limits of names and tags.
const (
	mostName = 200  // bytes of a collection's, key's or tag's name
	mostTags = 1024 // of one object
	mostKeys = 1 << 20
)

// ownPrefix begins names of files that are no objects.
const ownPrefix = ".heddle-"

// A store keeps objects in a directory: each is a file named by its key, in a
// directory named by its collection. A file is written beside its place, flushed
// and renamed, so that there is always one whole object with its own tags, the old
// or the new.
//
// The directory is opened anew for each call: it may come and go. Nothing in it is
// followed out of it, and no link is followed at all.
type store struct {
	dir    string
	most   int // bytes of a blob
	create createFile
}

// createFile makes a file that is not there.
type createFile func(r *os.Root, name string) (io.WriteCloser, error)

func newStore(dir string, most int, create createFile) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("host: storage: %w", err)
	}
	if create == nil {
		create = func(r *os.Root, name string) (io.WriteCloser, error) {
			return r.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	return &store{dir: dir, most: most, create: create}, nil
}

// An ident is the arguments of read and remove.
type ident struct {
	_          struct{} `msg:",tuple"`
	Collection string
	Key        string
}

type written struct {
	_          struct{} `msg:",tuple"`
	Collection string
	Key        string
	Blob       heddle.Raw // borrowed of the call
	Tags       []string
}

type wanted struct {
	_          struct{} `msg:",tuple"`
	Collection string
	Tags       []string
}

func (s *store) service() Service {
	methods := []Method{
		Slow(0, "read", 2, func(_ *Call, a *ident) (Results, error) {
			blob, err := s.read(a.Collection, a.Key)
			if err != nil {
				return nil, storageError(err, a.Collection, a.Key, accessObject)
			}
			return Results{heddle.Raw(blob)}, nil
		}),
		Slow(1, "write", 3, func(_ *Call, a *written) (Results, error) {
			return nil, storageError(s.write(a.Collection, a.Key, a.Blob, a.Tags), a.Collection, a.Key, "write object")
		}),
		Slow(2, "remove", 2, func(_ *Call, a *ident) (Results, error) {
			return nil, storageError(s.remove(a.Collection, a.Key), a.Collection, a.Key, "remove object")
		}),
		Slow(3, "find", 2, func(_ *Call, a *wanted) (Results, error) {
			keys, err := s.find(a.Collection, a.Tags)
			if err != nil {
				return nil, storageError(err, a.Collection, "", "list collection")
			}
			return Results{keys}, nil
		}),
	}
	return Service{Name: nameStorage, Version: 1, V0: methods, V1: methods}
}

// accessObject is what read does, in the real runtimes' words.
const accessObject = "access object"

// storageError is what a caller is told of err, with the words of the real runtimes
// where they have any (PROTOCOL 2.7, 3.7). Of the directory he learns nothing.
func storageError(err error, collection, key, what string) error {
	if err == nil {
		return nil
	}
	no := syscall.EIO
	if !errors.As(err, &no) && strings.Contains(err.Error(), "escapes") { // os.Root has no other name for it
		no = syscall.EPERM
	}
	e := &Error{Category: heddle.CategoryGeneric, Code: int64(no), Msg: clipName(collection)}
	e.MsgV0 = fmt.Sprintf("unable to %s '%s' in '%s': %v", what, clipName(key), clipName(collection), no)
	switch {
	case key == "":
		e.MsgV0 = fmt.Sprintf("unable to %s '%s': %v", what, clipName(collection), no)
	case no == syscall.ENOENT && what == accessObject:
		e.MsgV0 = fmt.Sprintf("object '%s' has not been found in '%s'", clipName(key), clipName(collection))
	}
	if key != "" {
		e.Msg += "/" + clipName(key)
	}
	text := no.Error()
	e.Msg += ": " + strings.ToUpper(text[:1]) + text[1:] // as C's library says it
	return e
}

// clipName is a name as an error tells it: a caller's own, and of any length.
func clipName(s string) string {
	if len(s) > mostName {
		return s[:mostName] + "…"
	}
	return s
}

// open opens the directory and checks names, which stand for no more than one
// element of a path each.
func (s *store) open(names ...string) (*os.Root, error) {
	for _, n := range names {
		switch {
		case len(n) > mostName:
			return nil, syscall.ENAMETOOLONG
		case n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\x00") || strings.HasPrefix(n, ownPrefix):
			return nil, syscall.EINVAL
		}
	}
	return os.OpenRoot(s.dir)
}

// read returns an object's blob.
func (s *store) read(collection, key string) ([]byte, error) {
	r, err := s.open(collection, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o, err := s.openObject(r, collection, key)
	if err != nil {
		return nil, err
	}
	defer o.f.Close()
	blob := make([]byte, o.blob)
	if _, err := o.f.ReadAt(blob, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return blob, nil
}

// write makes an object, or replaces it and its tags.
func (s *store) write(collection, key string, blob []byte, tags []string) (err error) {
	r, err := s.open(collection, key)
	if err != nil {
		return err
	}
	defer r.Close()
	switch {
	case len(blob) > s.most:
		return syscall.EFBIG
	case len(tags) > mostTags:
		return syscall.E2BIG
	}
	for _, t := range tags {
		if t == "" || len(t) > mostName || strings.ContainsRune(t, 0) {
			return syscall.EINVAL
		}
	}
	at, err := s.collection(r, collection)
	if err != nil {
		return err
	}
	defer at.Close()
	if fi, err := at.Lstat(key); err == nil && !fi.Mode().IsRegular() {
		return notObject(fi)
	}
	temp := ownPrefix + newUUID()
	f, err := s.create(at, temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = at.Remove(temp)
		}
	}()
	if _, err = f.Write(blob); err == nil {
		_, err = f.Write(trailer(tags))
	}
	if sync, ok := f.(interface{ Sync() error }); ok && err == nil {
		err = sync.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = at.Rename(temp, key); err != nil {
		return err
	}
	return syncDir(at)
}

// collection opens a collection's directory, and makes it if it is not there.
func (s *store) collection(r *os.Root, name string) (*os.Root, error) {
	switch fi, err := r.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := syncDir(r); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return nil, syscall.ENOTDIR
	}
	return r.OpenRoot(name)
}

// oldEnough is when nobody writes a file any more that has its temporary name.
const oldEnough = time.Hour

// sweep removes what writes have left that a crash cut short.
func (s *store) sweep() error {
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	before := time.Now().Add(-oldEnough)
	return fs.WalkDir(r.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // what cannot be read is left
		case d.IsDir() && strings.Count(path, "/") > 0:
			return fs.SkipDir // collections lie side by side
		case !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), ownPrefix):
			return nil
		}
		if fi, err := d.Info(); err == nil && fi.ModTime().Before(before) {
			return r.Remove(path)
		}
		return nil
	})
}

// syncDir has the names of a directory survive the machine's crash.
func syncDir(r *os.Root) error {
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// remove removes an object. There need be none.
func (s *store) remove(collection, key string) error {
	r, err := s.open(collection, key)
	if err != nil {
		return err
	}
	defer r.Close()
	at, err := s.present(r, collection)
	if at == nil || err != nil {
		return err
	}
	defer at.Close()
	switch fi, err := at.Lstat(key); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.IsDir():
		return syscall.EISDIR
	}
	if err := at.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(at)
}

// present opens a collection's directory; nil if there is none.
func (s *store) present(r *os.Root, name string) (*os.Root, error) {
	fi, err := r.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return nil, syscall.ENOTDIR
	}
	return r.OpenRoot(name)
}

// find returns the keys of the objects that have all the tags, in order. No tags
// find nothing, as in the real runtimes.
func (s *store) find(collection string, tags []string) ([]string, error) {
	keys := []string{}
	r, err := s.open(collection)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if len(tags) == 0 || len(tags) > mostTags { // no object has so many
		return keys, nil
	}
	at, err := s.present(r, collection)
	if at == nil || err != nil {
		return keys, err
	}
	defer at.Close()
	d, err := at.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	size := 0
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			if strings.HasPrefix(name, ownPrefix) {
				continue
			}
			has, err := s.tagsOf(r, collection, name)
			switch {
			case err != nil: // it was removed, or is none of ours
				continue
			case slices.ContainsFunc(tags, func(t string) bool { return !slices.Contains(has, t) }):
				continue
			}
			if size += len(name) + 5; size > s.most || len(keys) == mostKeys {
				return nil, syscall.EOVERFLOW
			}
			keys = append(keys, name)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func (s *store) tagsOf(r *os.Root, collection, key string) ([]string, error) {
	o, err := s.openObject(r, collection, key)
	if err != nil {
		return nil, err
	}
	defer o.f.Close()
	return o.tags()
}

// notObject is what is wrong with something that stands where an object should.
func notObject(fi fs.FileInfo) error {
	switch {
	case fi.IsDir():
		return syscall.EISDIR
	case fi.Mode()&fs.ModeSymlink != 0:
		return syscall.ELOOP
	}
	return syscall.EPERM
}
