package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/httpcompat/upstream"
	"github.com/heddle-go/heddle/worker/engine"
)

// plainProxy asks an engine's plain workers for answers.
func plainProxy(e *engine.Engine, log *slog.Logger, late time.Duration) *upstream.Proxy {
	return &upstream.Proxy{Logger: log, HeadTimeout: late, Backend: func(ctx context.Context, label string) (upstream.Target, error) {
		u, err := e.Acquire(ctx, label)
		if err != nil {
			return nil, err
		}
		return u, nil
	}}
}

// A kind is what an app's programs are.
type kind struct {
	plain   *engine.PlainHTTP // nil: workers with sessions
	dialect engine.Dialect    // that those speak
}

// stays says whether executables are run where they are.
func (k kind) stays() bool { return k.plain != nil || k.dialect != engine.DialectHeddle }

// inPlace makes r a release whose program stays where it is. file is the one that
// was meant.
func (k kind) inPlace(r *release, path string, file *os.File) (put func(context.Context, string) error) {
	r.InPlace, r.Program = true, path
	return func(_ context.Context, path string) error {
		fail := func(format string, args ...any) error {
			return &failure{code: exitError, err: fmt.Errorf(format, args...), try: "try: ls -l " + path}
		}
		here, err := os.Stat(path)
		if err != nil {
			return fail("%s: %w", path, cause(err))
		}
		meant, err := file.Stat()
		switch {
		case err != nil:
			return fail("%s: %w", path, err)
		case !os.SameFile(here, meant):
			return fail("%s is another file where the daemon runs, or was replaced just now", path)
		case !here.Mode().IsRegular() || here.Mode()&0o111 == 0:
			return fail("%s is not a program (%v)", path, here.Mode())
		}
		return nil
	}
}

// cause is err without the path that it repeats.
func cause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// again has a rollback start the program of from anew, if it is still the same.
func (lc *lifecycle) again(from release, r *release, file *os.File) (put func(context.Context, string) error, err error) {
	if why := from.changed(); why != "" {
		return nil, &failure{
			code: exitRefused,
			err:  fmt.Errorf("%s cannot be brought back: %s, and such programs are run where they are, without a copy", from.Name, why),
			fine: lc.still(),
			try:  "try: put the old file back, or heddle deploy " + quoted(from.Target),
		}
	}
	return lc.kind.inPlace(r, from.Program, file), nil
}

// takeInPlace looks at a program that is there.
func (s *store) takeInPlace(r *release) error {
	fi, err := os.Stat(r.Program)
	if err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	sum, size, err := hashFile(r.Program)
	if err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.SHA256, r.Size, r.Inode, r.Modified = sum, size, inodeOf(fi), fi.ModTime()
	return s.recordLocked(r)
}

// openInPlace opens t, which is to stay where it is.
func openInPlace(t target) (*os.File, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, &failure{code: exitError, err: fmt.Errorf("%s cannot be read: %w", t.given, cause(err)), fine: unharmed(t.verb), try: "try: ls -l " + filepath.Clean(t.path)}
	}
	return f, nil
}

func inodeOf(fi os.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// changed says what has become of the program's file since its release was made,
// if it is run in place; "" if nothing has.
func (r *release) changed() string {
	if !r.InPlace {
		return ""
	}
	fi, err := os.Stat(r.Program)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("%s has gone since %s was made", r.Program, r.Name)
	case err != nil:
		return fmt.Sprintf("%s: %v", r.Program, err)
	case fi.Mode().IsRegular() && fi.Size() == r.Size && fi.ModTime().Equal(r.Modified) && inodeOf(fi) == r.Inode:
		return ""
	case !fi.Mode().IsRegular() || fi.Size() != r.Size:
		return fmt.Sprintf("%s has changed since %s was made", r.Program, r.Name)
	}
	sum, _, err := hashFile(r.Program)
	switch {
	case err != nil:
		return fmt.Sprintf("%s cannot be read: %v", r.Program, err)
	case sum != r.SHA256:
		return fmt.Sprintf("%s has changed since %s was made", r.Program, r.Name)
	}
	return ""
}

// What a plain program is told of when it is tried alone.
const (
	alonePort   = "8080"
	aloneSocket = "/tmp/try.sock"
)

// alone is how a person starts the release's program by hand, as a shell takes it.
func (r *release) alone(plain bool) string {
	program := r.Source
	if r.Source != r.Target && strings.HasPrefix(r.Target, ".") {
		program = r.Target
	}
	words := []string{quoted(program)}
	if fi, err := os.Stat(r.Source); err == nil && fi.IsDir() {
		words = []string{"go", "run", quoted(program)}
	}
	for _, arg := range r.Args {
		if plain {
			arg = strings.NewReplacer("{port}", alonePort, "{socket}", aloneSocket).Replace(arg)
		}
		words = append(words, quoted(arg))
	}
	if plain {
		words = append([]string{"PORT=" + alonePort, "HEDDLE_SOCKET=" + aloneSocket}, words...)
	}
	return strings.Join(words, " ")
}
