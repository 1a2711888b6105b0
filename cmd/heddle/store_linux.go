package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

const (
	keptReleases = 5  // with their programs, the serving one included
	keptRecords  = 20 // of releases, with or without programs
)

// A store has a daemon's releases: DIR/r1/PROGRAM and DIR/r1.json, and so on.
// Numbers are given once; a release that failed keeps its own.
type store struct {
	dir string // immutable

	mu   sync.Mutex
	last int        // number given last
	list []*release // by number
}

func newStore(dir string) *store { return &store{dir: dir} }

// reserve gives the next release's name.
func (s *store) reserve() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return fmt.Sprintf("r%d", s.last)
}

// add makes the release that r describes; put makes its program at a path that
// does not exist yet. When it fails, nothing is left of the release but its
// record.
func (s *store) add(ctx context.Context, r *release, program string, put func(ctx context.Context, path string) error) error {
	if _, err := fmt.Sscanf(r.Name, "r%d", &r.number); err != nil {
		return fmt.Errorf("release %q: %w", r.Name, err)
	}
	home := s.home(r.Name)
	r.State, r.Created = releaseDeploying, time.Now()
	if !r.InPlace {
		if r.open != "" {
			home = filepath.Join(r.open, r.Name)
		}
		r.Program = filepath.Join(home, program)
	}
	s.mu.Lock()
	i, _ := slices.BinarySearchFunc(s.list, r.number, func(x *release, n int) int { return x.number - n })
	s.list = slices.Insert(s.list, i, r)
	s.mu.Unlock()
	err := s.furnish(ctx, r, home, put)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // it was not the copy that failed
		}
		s.fail(r.Name, err.Error())
	}
	return err
}

func (s *store) furnish(ctx context.Context, r *release, home string, put func(ctx context.Context, path string) error) error {
	if r.InPlace {
		if err := put(ctx, r.Program); err != nil {
			return err
		}
		return s.takeInPlace(r)
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	if err := put(ctx, r.Program); err != nil {
		return err
	}
	if err := r.protect(home); err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	sum, size, err := hashFile(r.Program)
	if err != nil {
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.SHA256, r.Size = sum, size
	return s.recordLocked(r)
}

// protect has nobody write the program, and nobody read it but its workers' user:
// one that is not ours by way of its group.
func (r *release) protect(home string) error {
	if !r.user.Foreign() {
		return os.Chmod(r.Program, 0o500)
	}
	return errors.Join(os.Lchown(r.Program, -1, r.user.GID), os.Chmod(r.Program, 0o550), engine.MakeUserDir(home))
}

// clear removes the release's program, if that is a copy.
func (r *release) clear() error {
	if r.InPlace {
		return nil
	}
	return os.RemoveAll(filepath.Dir(r.Program))
}

func (s *store) home(name string) string { return filepath.Join(s.dir, name) }

// recordLocked writes r's JSON, whole or not at all.
func (s *store) recordLocked(r *release) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	path := s.home(r.Name) + ".json"
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		_ = os.Remove(path + ".new")
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	return os.Rename(path+".new", path)
}

// serve gives name the work; the one that had it is kept. Its error concerns
// the records only.
func (s *store) serve(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, r := range s.list {
		switch {
		case r.Name == name:
			r.Served = time.Now()
			err = errors.Join(err, r.move(releaseServes), s.recordLocked(r))
		case r.State == releaseServing:
			err = errors.Join(err, r.move(releaseYields), s.recordLocked(r))
		}
	}
	return err
}

// fail says why name never served, and removes its program. Of the reason's
// lines the first is kept.
func (s *store) fail(name, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.list {
		if r.Name == name && r.move(releaseFails) == nil {
			r.Reason, _, _ = strings.Cut(reason, "\n")
			_ = r.clear()
			_ = s.recordLocked(r) // on a full disk the list in memory has it
		}
	}
}

// prune removes what exceeds the limits: programs of the oldest releases, but
// for those that serve or are inUse, and then records.
func (s *store) prune(inUse map[string]bool) (retired []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	with := 0
	for _, r := range slices.Backward(s.list) {
		if !r.has() {
			continue
		}
		if with++; with <= keptReleases || r.State != releaseKept || inUse[r.Name] {
			continue
		}
		if r.clear() != nil {
			continue // the next time
		}
		if r.move(releaseRetires) != nil {
			continue // never: it was kept
		}
		retired = append(retired, r.Name)
		_ = s.recordLocked(r)
	}
	drop := len(s.list) - keptRecords
	s.list = slices.DeleteFunc(s.list, func(r *release) bool {
		if drop <= 0 || r.has() {
			return false
		}
		drop--
		_ = os.Remove(s.home(r.Name) + ".json")
		return true
	})
	return retired
}

// all is the releases by number, as they are now.
func (s *store) all() []release {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]release, 0, len(s.list))
	for _, r := range s.list {
		list = append(list, *r)
	}
	return list
}

// get is the release called name.
func (s *store) get(name string) (release, bool) {
	for _, r := range s.all() {
		if r.Name == name {
			return r, true
		}
	}
	return release{}, false
}

// serving is the release that has the work; its Name is "" before the first.
func (s *store) serving() release {
	for _, r := range s.all() {
		if r.State == releaseServing {
			return r
		}
	}
	return release{}
}

// before is the release that served before the one that does; its Name is ""
// if there is none.
func (s *store) before() (before release) {
	for _, r := range s.all() {
		if r.State == releaseKept && r.Served.After(before.Served) {
			before = r
		}
	}
	return before
}

// open opens a release's program, which may be removed meanwhile.
func (s *store) open(name string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.list {
		if r.Name == name && r.has() {
			return os.OpenFile(r.Program, os.O_RDONLY|syscall.O_NONBLOCK, 0) // one that is run in place may be a pipe by now
		}
	}
	return nil, os.ErrNotExist
}
