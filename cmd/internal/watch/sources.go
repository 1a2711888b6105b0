package watch

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sources are what a build reads.
type Sources struct {
	Files map[string]bool // paths that count, whether they exist or not
	Dirs  map[string]Kind // directories in which files count, by path
}

// A Kind says which files of a directory count.
type Kind uint8

const (
	Code  Kind = 1 << iota // what the go command compiles, but for tests
	Every                  // every file and directory that is not hidden: something there is embedded
)

// Files are the Sources of these files alone.
func Files(paths ...string) Sources {
	s := Sources{Files: make(map[string]bool)}
	for _, path := range paths {
		s.Files[path] = true
	}
	return s
}

// dirs are the directories in which anything can happen.
func (s Sources) dirs() map[string]bool {
	all := make(map[string]bool)
	for dir := range s.Dirs {
		all[dir] = true
	}
	for file := range s.Files {
		all[filepath.Dir(file)] = true
	}
	return all
}

// code are the endings that the go command knows, from go help packages and
// go/build.
var code = map[string]bool{
	".go": true, ".c": true, ".cc": true, ".cpp": true, ".cxx": true, ".m": true, ".h": true, ".hh": true, ".hpp": true, ".hxx": true,
	".f": true, ".F": true, ".for": true, ".f90": true, ".s": true, ".S": true, ".sx": true, ".swig": true, ".swigcxx": true, ".syso": true,
}

// counts says whether an entry called name does, in a directory of that kind.
func (k Kind) counts(name string, dir bool) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.HasSuffix(name, "~") {
		return false
	}
	if k&Every != 0 {
		return !strings.HasSuffix(name, "_test.go")
	}
	return !dir && code[filepath.Ext(name)] && !strings.HasSuffix(name, "_test.go")
}

// A stamp is what a file was like.
type stamp struct {
	size int64
	mod  time.Time
	mode os.FileMode
}

// look stamps all that counts and is there.
func (s Sources) look() map[string]stamp {
	seen := make(map[string]stamp)
	add := func(path string) {
		fi, err := os.Stat(path)
		switch {
		case err != nil: // not there, or gone just now
		case fi.IsDir():
			seen[path] = stamp{mode: os.ModeDir} // its times change with what does not count
		default:
			seen[path] = stamp{fi.Size(), fi.ModTime(), fi.Mode()}
		}
	}
	for path := range s.Files {
		add(path)
	}
	for dir, kind := range s.Dirs {
		entries, _ := os.ReadDir(dir) // what was read of it counts; it may be gone
		for _, e := range entries {
			if kind.counts(e.Name(), e.IsDir()) {
				add(filepath.Join(dir, e.Name()))
			}
		}
	}
	return seen
}

// differences are the paths that are not in both as they are in one.
func differences(a, b map[string]stamp) (paths []string) {
	for path, was := range a {
		if is, ok := b[path]; !ok || is != was {
			paths = append(paths, path)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			paths = append(paths, path)
		}
	}
	return paths
}
