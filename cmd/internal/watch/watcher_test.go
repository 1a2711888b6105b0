package watch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const patience = 20 * time.Second

// write makes a file, and its directories.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// module makes a module of two packages, with an embedded page, that replaces
// another one by a directory.
func module(t *testing.T) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"app/go.mod":           "module example.com/app\n\ngo 1.26\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../lib\n",
		"app/main.go":          "package main\n\nimport (\n\t_ \"embed\"\n\n\t_ \"example.com/app/inner\"\n\t_ \"example.com/lib\"\n)\n\n//go:embed pages/*.html\nvar _ string\n\nfunc main() {}\n",
		"app/main_test.go":     "package main\n",
		"app/pages/index.html": "hello",
		"app/inner/inner.go":   "package inner\n",
		"app/other/other.go":   "package other\n",
		"lib/go.mod":           "module example.com/lib\n\ngo 1.26\n",
		"lib/lib.go":           "package lib\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func TestPackage(t *testing.T) {
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	dir := module(t)
	app := filepath.Join(dir, "app")
	s, err := Package(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	rel := func(path string) string {
		r, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var files []string
	for f := range s.Files {
		files = append(files, rel(f))
	}
	slices.Sort(files)
	if diff := cmp.Diff([]string{"app/go.mod", "app/go.sum", "app/vendor/modules.txt", "lib/go.mod", "lib/go.sum", "lib/vendor/modules.txt"}, files); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
	dirs := make(map[string]Kind)
	for d, k := range s.Dirs {
		dirs[rel(d)] = k
	}
	if diff := cmp.Diff(map[string]Kind{"app": Code, "app/inner": Code, "app/pages": Every, "lib": Code}, dirs); diff != "" {
		t.Errorf("directories: -want +got\n%s", diff)
	}
	write(t, filepath.Join(app, "main.go"), "package main\n\nfunc main() {\n") // no error: a build tells
	if _, err := Package(t.Context(), app); err != nil {
		t.Errorf("a syntax error: %v", err)
	}
	write(t, filepath.Join(app, "go.mod"), "modulo\n")
	if _, err := Package(t.Context(), app); err == nil {
		t.Error("a go.mod that cannot be read: no error")
	}
}

func TestCounts(t *testing.T) {
	for name, want := range map[string]Kind{
		"a.go": Code | Every, "a.s": Code | Every, "a.h": Code | Every, "a.html": Every, "Makefile": Every,
		"a_test.go": 0, ".a.go": 0, "_a.go": 0, "a.go~": 0, ".a.go.swp": 0, "4913": Every, "#a.go#": Every,
	} {
		for _, k := range []Kind{Code, Every} {
			if got := k.counts(name, false); got != (want&k != 0) {
				t.Errorf("%s in a directory of kind %d: %v", name, k, got)
			}
		}
	}
	if Code.counts("d.go", true) || !Every.counts("d", true) {
		t.Error("directories count where something is embedded, only")
	}
}

// A running Watcher tells into a channel.
func running(t *testing.T, o Options, find func(context.Context) (Sources, error)) <-chan []string {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	w, err := New(t.Context(), find, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan []string, 100)
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx, func(paths []string) { told <- paths }) }) // ends with cancel
	t.Cleanup(func() { cancel(); wg.Wait(); w.Close() })
	return told
}

// TestWatch: each way in which files change is told, with notices and without;
// a burst is told once, and what does not count not at all.
func TestWatch(t *testing.T) {
	for name, o := range map[string]Options{"notices": {Poll: time.Hour}, "both": {}, "looking": {unnoticed: true, Poll: 20 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOFLAGS", "-mod=mod")
			t.Setenv("GOWORK", "off")
			dir := module(t)
			app := filepath.Join(dir, "app")
			told := running(t, o, func(ctx context.Context) (Sources, error) { return Package(ctx, app) })
			// step wants a change to be told, as one or as parts of it.
			step := func(what string, do func(), want ...string) {
				t.Helper()
				do()
				left := slices.Clone(want)
				for end := time.After(patience); len(left) > 0; {
					select {
					case paths := <-told:
						for _, p := range paths {
							r, _ := filepath.Rel(dir, p)
							if !slices.Contains(want, r) {
								t.Fatalf("%s: %s was told", what, r)
							}
							left = slices.DeleteFunc(left, func(s string) bool { return s == r })
						}
					case <-end:
						t.Fatalf("%s: not told: %q", what, left)
					}
				}
			}
			quiet := func(what string, do func()) {
				t.Helper()
				do()
				select {
				case paths := <-told:
					t.Errorf("%s: told %q", what, paths)
				case <-time.After(300 * time.Millisecond):
				}
			}
			in := func(name string) string { return filepath.Join(dir, name) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			step("written", func() { write(t, in("app/inner/inner.go"), "package inner // 2\n") }, "app/inner/inner.go")
			step("renamed over", func() {
				write(t, in("app/inner/.inner.go.new"), "package inner // three\n")
				must(os.Rename(in("app/inner/.inner.go.new"), in("app/inner/inner.go")))
			}, "app/inner/inner.go")
			step("as vim does", func() {
				must(os.Rename(in("app/main.go"), in("app/main.go~")))
				write(t, in("app/main.go"), "package main\n\nimport _ \"embed\"\nimport _ \"example.com/app/inner\"\nimport _ \"example.com/lib\"\n\n//go:embed pages/*.html\nvar _ string\n\nfunc main() { }\n")
				must(os.Remove(in("app/main.go~")))
			}, "app/main.go")
			step("a new file", func() { write(t, in("lib/more.go"), "package lib\n") }, "lib/more.go")
			step("removed", func() { must(os.Remove(in("lib/more.go"))) }, "lib/more.go")
			step("embedded", func() { write(t, in("app/pages/index.html"), "hello there") }, "app/pages/index.html")
			step("go.sum", func() { write(t, in("app/go.sum"), "\n") }, "app/go.sum")
			quiet("what does not count", func() {
				write(t, in("app/main_test.go"), "package main // 2\n")
				write(t, in("app/README"), "x")
				write(t, in("app/.main.go.swp"), "x")
				write(t, in("app/other/other.go"), "package other // 2\n")
				must(os.Chtimes(in("app"), time.Now(), time.Now()))
			})
			step("a package that is imported from now on", func() {
				write(t, in("app/inner/inner.go"), "package inner\n\nimport _ \"example.com/app/other\"\n")
			}, "app/inner/inner.go")
			step("and changes", func() { write(t, in("app/other/other.go"), "package other // three\n") }, "app/other/other.go")
			step("syntax error", func() { write(t, in("app/other/other.go"), "package other }\n") }, "app/other/other.go")
			step("and right again", func() { write(t, in("app/other/other.go"), "package other\n") }, "app/other/other.go")
			step("a directory removed", func() { must(os.RemoveAll(in("app/other"))) }, "app/other/other.go")
			if name != "notices" { // of a directory made anew nobody tells
				step("and made anew", func() { write(t, in("app/other/other.go"), "package other // 4\n") }, "app/other/other.go")
			}
		})
	}
}

// TestBurst: many changes at once are one.
func TestBurst(t *testing.T) {
	dir := t.TempDir()
	told := running(t, Options{Poll: time.Hour}, func(context.Context) (Sources, error) {
		return Sources{Dirs: map[string]Kind{dir: Code}}, nil
	})
	for i := range 200 {
		write(t, filepath.Join(dir, string(rune('a'+i%26))+strings.Repeat("x", i/26)+".go"), "package x")
	}
	select {
	case paths := <-told:
		if len(paths) != 200 {
			t.Errorf("%d of 200 were told at first", len(paths))
		}
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
	select {
	case paths := <-told:
		t.Errorf("and then %q", paths)
	case <-time.After(300 * time.Millisecond):
	}
}

// TestEndless: somebody who writes all the time is told of all the same.
func TestEndless(t *testing.T) {
	dir := t.TempDir()
	told := running(t, Options{Quiet: 50 * time.Millisecond, Most: 200 * time.Millisecond, Poll: time.Hour}, func(context.Context) (Sources, error) {
		return Sources{Dirs: map[string]Kind{dir: Code}}, nil
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		select {
		case <-tick.C:
			write(t, filepath.Join(dir, "a.go"), strings.Repeat("x", time.Now().Nanosecond()%1000))
		case <-told:
			return
		case <-end:
			t.Fatal("it waits for quiet for ever")
		}
	}
}

// TestFile: one file, also where it is removed and comes back, or its mode
// changes.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app")
	write(t, path, "one")
	told := running(t, Options{}, func(context.Context) (Sources, error) { return Files(path), nil })
	for what, do := range []func() error{
		func() error { return os.WriteFile(path, []byte("other"), 0o644) },
		func() error { return os.Chmod(path, 0o755) },
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, []byte("back"), 0o755) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		select {
		case paths := <-told:
			if !slices.Equal(paths, []string{path}) {
				t.Errorf("%d: told %q", what, paths)
			}
		case <-time.After(patience):
			t.Fatalf("%d: not told", what)
		}
	}
}

// TestFindFails: at first it is New's error; later what was found before is
// watched on.
func TestFindFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := New(t.Context(), func(context.Context) (Sources, error) { return Sources{}, broken }, Options{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, "one")
	asked := 0
	told := running(t, Options{}, func(context.Context) (Sources, error) {
		if asked++; asked > 1 {
			return Sources{}, broken
		}
		return Files(path), nil
	})
	for _, text := range []string{"two 2", "three"} {
		write(t, path, text+text)
		select {
		case <-told:
		case <-time.After(patience):
			t.Fatalf("%s was not told", text)
		}
	}
}
