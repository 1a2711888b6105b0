package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A target is what TARGET names: a Go package or an executable.
type target struct {
	verb  string // which wants it
	given string // on the command line
	pkg   string // directory of the package; "" for an executable
	path  string // of the executable; "" for a package
}

// name is what the daemon is called when nobody says otherwise.
func (t target) name() string {
	if t.pkg != "" {
		return filepath.Base(t.pkg)
	}
	return filepath.Base(t.path)
}

// source is where it is: the package's directory or the executable.
func (t target) source() string {
	if t.pkg != "" {
		return t.pkg
	}
	return t.path
}

// unharmed is what a verb that got no program has left as it was.
func unharmed(verb string) string {
	if verb == "run" {
		return "nothing was started."
	}
	return "nothing was changed."
}

// findTarget finds what given names: something that exists, else a program in
// PATH, else a package by its import path.
func findTarget(ctx context.Context, verb, given string) (target, error) {
	fail := func(try, format string, args ...any) (target, error) {
		return target{}, &failure{code: exitError, err: fmt.Errorf(format, args...), fine: unharmed(verb), try: try}
	}
	tryTarget := "try: heddle " + verb + " ./examples/hello, or give the path of an executable"
	bare := !strings.ContainsRune(given, filepath.Separator) && given != "." && given != ".."
	if strings.Contains(given, "...") {
		return fail("try: heddle "+verb+" and one package's directory", "%s can name several packages; %s takes one", given, verb)
	}
	fi, err := os.Stat(given)
	switch {
	case err == nil && fi.IsDir():
		dir, err := filepath.Abs(given)
		if err != nil {
			return target{}, err
		}
		if hasGo(dir) {
			return target{verb: verb, given: given, pkg: dir}, nil
		}
		if !bare {
			return fail(tryTarget, "%s is a directory without Go files", given)
		}
	case err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0:
		path, err := filepath.Abs(given)
		return target{verb: verb, given: given, path: path}, err
	case err == nil && strings.HasSuffix(given, ".go"):
		return fail("try: heddle "+verb+" "+near(filepath.Dir(given)), "%s is one Go file; %s takes the package's directory", given, verb)
	case err == nil && !fi.Mode().IsRegular():
		return fail(tryTarget, "%s is neither a Go package nor a program (%v)", given, fi.Mode())
	case err == nil:
		return fail("try: chmod +x "+given+", if it is a program", "%s is not executable (mode %04o)", given, fi.Mode().Perm())
	case !errors.Is(err, fs.ErrNotExist):
		return fail(tryTarget, "%s: %w", given, err)
	}
	if bare {
		if path, err := exec.LookPath(given); err == nil {
			path, err = filepath.Abs(path)
			return target{verb: verb, given: given, path: path}, err
		}
		return fail(tryTarget, "%s does not exist, here or in PATH", given)
	}
	if isImportPath(given) {
		if p, err := listPackage(ctx, ".", given); err == nil && p.dir != "" {
			return target{verb: verb, given: given, pkg: p.dir}, nil
		}
		return fail(tryTarget, "%s does not exist, and go list knows no package of that name from here", given)
	}
	return fail(tryTarget, "%s does not exist", given)
}

// near writes a relative directory so that it is not taken for a name in PATH.
func near(dir string) string {
	if filepath.IsAbs(dir) || dir == "." || strings.HasPrefix(dir, "..") {
		return dir
	}
	return "./" + dir
}

// isImportPath says whether given may be one: not absolute and not from here.
func isImportPath(given string) bool {
	return !filepath.IsAbs(given) && !strings.HasPrefix(given, "./") && !strings.HasPrefix(given, "../")
}

func hasGo(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return err == nil && len(files) > 0
}

// A listed is what go list knows of a package.
type listed struct{ name, dir string }

func listPackage(ctx context.Context, dir, pkg string) (listed, error) {
	cmd := goCommand(ctx, dir, "list", "-e", "-f", "{{.Name}}\t{{.Dir}}", "--", pkg)
	out, err := cmd.Output()
	if err != nil {
		return listed{}, err
	}
	name, dir, _ := strings.Cut(strings.TrimSpace(string(out)), "\t")
	return listed{name, dir}, nil
}

// goCommand runs the go tool in dir; it is killed when ctx ends.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.WaitDelay = 2 * time.Second // for compilers that hold the pipes
	return cmd
}

// build compiles the package into the file out. The compiler's words go to
// stderr as they are.
func (t target) build(ctx context.Context, out string, stderr io.Writer) error {
	fail := func(try, format string, args ...any) error {
		return &failure{code: exitError, err: fmt.Errorf(format, args...), fine: unharmed(t.verb), try: try}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fail("try: install Go (https://go.dev/dl), or build it elsewhere and give the executable", "%s is a Go package, and there is no go command to build it", t.given)
	}
	p, err := listPackage(ctx, t.pkg, ".")
	if err == nil && p.name != "" && p.name != "main" {
		return fail("try: give the directory of a main package", "%s is package %s, not a program", t.given, p.name)
	}
	var words bytes.Buffer
	cmd := goCommand(ctx, t.pkg, "build", "-o", out, ".")
	cmd.Stdout, cmd.Stderr = &words, &words
	err = cmd.Run()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	_, _ = stderr.Write(words.Bytes()) // an outlet never fails
	if err != nil {
		return fail("try: cd "+t.pkg+" && go build .", "%s does not build: go build: %w; the compiler's words are above", t.given, err)
	}
	return nil
}
