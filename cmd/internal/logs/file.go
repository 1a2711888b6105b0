package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// DefaultKeep is how many rotated files are kept unless told otherwise.
const DefaultKeep = 5

// FileOptions say where lines go, and when a file makes room for the next. Only
// Path is needed.
type FileOptions struct {
	Path    string
	MaxSize int64         // bytes after which the file is rotated; 0: never. A longer line has a file of its own
	MaxAge  time.Duration // after which it is, when the next line comes; 0: never
	Keep    int           // rotated files that are kept; default 5
	Gzip    bool          // rotated files are compressed
	Now     func() time.Time
	Logger  *slog.Logger // told of rotations that fail; nil: discards
}

func (o FileOptions) withDefaults() FileOptions {
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A file is appended to, and rotated: renamed to Path.YYYYMMDDTHHMMSS.mmm, UTC,
// by which the oldest is known. It is opened when it is needed, mode 0600. One
// goroutine writes.
type file struct {
	o FileOptions

	f       *os.File  // nil: not open
	plain   bool      // a regular file
	size    int64     // bytes in it
	cut     bool      // its last line has no end yet
	begun   time.Time // when it was made
	resting time.Time // no rotation before, since the last one failed

	// Compressing and removing old files takes its time.
	tending sync.WaitGroup
	stop    context.Context
	end     context.CancelFunc
	mu      sync.Mutex
	busy    bool // a goroutine is at it
	more    bool // and has to look once more
}

func newFile(o FileOptions) *file {
	f := &file{o: o.withDefaults()}
	f.stop, f.end = context.WithCancel(context.Background())
	return f
}

// Write appends lines. Where one does not fit any more, it goes to the next file.
func (f *file) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if f.f == nil {
			if err := f.open(); err != nil {
				return n, err
			}
		}
		k := f.fits(p)
		if k == 0 {
			f.rotate()
			continue
		}
		k, err := f.f.Write(p[:k])
		f.size += int64(max(k, 0))
		if k > 0 {
			f.cut = p[k-1] != '\n'
		}
		n += k
		p = p[k:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fits is how much of p goes into the file as it is: whole lines, or all. 0 means
// that it has to be rotated first.
func (f *file) fits(p []byte) int {
	if !f.plain || f.size == 0 && f.o.MaxSize <= 0 {
		return len(p)
	}
	if f.cut { // the rest of that line comes first
		if k := bytes.IndexByte(p, '\n'); k >= 0 {
			return k + 1
		}
		return len(p)
	}
	now := f.o.Now()
	if now.Before(f.resting) {
		return len(p)
	}
	if f.size > 0 && f.o.MaxAge > 0 && now.Sub(f.begun) >= f.o.MaxAge {
		return 0
	}
	if f.o.MaxSize <= 0 || f.size+int64(len(p)) <= f.o.MaxSize {
		return len(p)
	}
	room := max(f.o.MaxSize-f.size, 0)
	if k := bytes.LastIndexByte(p[:room], '\n'); k >= 0 {
		return k + 1
	}
	if f.size > 0 {
		return 0
	}
	if k := bytes.IndexByte(p, '\n'); k >= 0 { // one that is longer than any file
		return k + 1
	}
	return len(p)
}

// open opens the file, and ends a line that was left without its end.
func (f *file) open() error {
	const mode = 0o600
	h, err := openFile(f.o.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, mode)
	if errors.Is(err, fs.ErrPermission) { // perhaps it may be written only
		h, err = openFile(f.o.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, mode)
	}
	if err != nil {
		return err
	}
	fi, err := h.Stat()
	if err != nil {
		_ = h.Close() // nothing was written
		return err
	}
	f.f, f.plain, f.size, f.begun = h, fi.Mode().IsRegular(), fi.Size(), f.o.Now()
	f.cut = false
	if !f.plain || f.size == 0 {
		return nil
	}
	f.begun = birth(fi, f.o.Path)
	last := []byte{'\n'}
	if _, err := h.ReadAt(last, f.size-1); err == nil && last[0] != '\n' {
		n, err := h.Write([]byte{'\n'})
		f.size += int64(max(n, 0))
		return err
	}
	return nil
}

// Reopen closes the file and opens what has its name now.
func (f *file) Reopen() error {
	f.shut()
	return f.open()
}

func (f *file) shut() {
	if f.f != nil {
		if err := f.f.Close(); err != nil {
			f.o.Logger.Warn("logs: close", "file", f.o.Path, "err", err)
		}
		f.f = nil
	}
}

// restTime is how long a file is let grow whose rotation failed.
const restTime = time.Minute

// rotate renames the file, so that the next write makes another.
func (f *file) rotate() {
	f.shut()
	now := f.o.Now()
	err := errors.New("a thousand files of this moment are there already")
	for i := range 1000 { // others of this millisecond
		to := rotatedName(f.o.Path, now.Add(time.Duration(i)*time.Millisecond))
		if taken(to) {
			continue
		}
		err = os.Rename(f.o.Path, to)
		break
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // then somebody has moved it
		f.resting = now.Add(restTime)
		f.o.Logger.Warn("logs: a file cannot be rotated; it grows on", "file", f.o.Path, "err", err)
		return
	}
	f.tend()
}

// tend looks after the rotated files, in a goroutine of its own.
func (f *file) tend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.more = true
	if f.busy {
		return
	}
	f.busy = true
	f.tending.Go(func() { // ends when nothing is left to do, or with Close
		for f.again() {
			if err := f.tidy(); err != nil && f.stop.Err() == nil {
				f.o.Logger.Warn("logs: rotated files", "file", f.o.Path, "err", err)
			}
		}
	})
}

func (f *file) again() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy = f.more && f.stop.Err() == nil
	f.more = false
	return f.busy
}

// Close closes the file; what is being compressed stays as it was.
func (f *file) Close() error {
	f.end()
	f.tending.Wait()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	return nil
}
