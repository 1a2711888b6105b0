package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// suites are the files whose tests are run.
var suites = [...]string{"serve_test.go", "clientserver_test.go", "transport_test.go", "fs_test.go"}

const (
	self = "github.com/heddle-go/heddle"
	test = self + "/httpcompat/httpcompattest"
)

// fronts are the bodies of the function that wraps a test's handler. Each is
// the rest of a file in package http_test.
var fronts = map[string]string{
	"none": `import (
	"net/http"
	"testing"
)

func inFront(t testing.TB, srv *http.Server) {}
`,
	"reverseproxy": `import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

func inFront(t testing.TB, srv *http.Server) {
	s := httptest.NewUnstartedServer(srv.Handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	p := httputil.NewSingleHostReverseProxy(u)
	p.Transport = tr
	srv.Handler = p
	t.Cleanup(func() { tr.CloseIdleConnections(); s.CloseClientConnections(); s.Close() })
}
`,
	"heddle": `import (
	"net/http"
	"testing"
	"time"

	"` + test + `"
)

func inFront(t testing.TB, srv *http.Server) {
	p := httpcompattest.NewServerProxy(srv)
	srv.Handler = p
	t.Cleanup(func() {
		for end := time.Now().Add(time.Second); p.Mux().Sessions() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // hijacked connections, which a server's Close leaves alone
		}
		p.Close()
	})
}
`,
}

// A copyOf is a GOROOT that is ours to change.
type copyOf struct {
	root    string
	program string // the test program of net/http
}

// makeCopy copies GOROOT to root, or uses the copy that is there, and builds
// the test program with the front in it.
func makeCopy(ctx context.Context, root, front string) (*copyOf, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	goroot, err := output(ctx, "", nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	from := strings.TrimSpace(string(goroot))
	c := &copyOf{root: root, program: filepath.Join(root, "http-"+front+".test")}
	if err := claim(root); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(root, "src")); err != nil {
		return nil, err
	}
	if err := copyTree(filepath.Join(root, "src"), filepath.Join(from, "src"), true); err != nil {
		return nil, err
	}
	for _, name := range []string{"bin", "pkg", "lib", "VERSION", "go.env"} {
		err := os.Symlink(filepath.Join(from, name), filepath.Join(root, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	if front == "heddle" {
		if err := c.vendor(ctx); err != nil {
			return nil, fmt.Errorf("vendoring: %w", err)
		}
	}
	if err := c.patch(front); err != nil {
		return nil, err
	}
	env := append(os.Environ(), "GOROOT="+root, "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off")
	_, err = output(ctx, filepath.Join(root, "src"), env, filepath.Join(root, "bin", "go"), "test", "-vet=off", "-c", "-o", c.program, "net/http")
	return c, err
}

// marker is a file in a folder that is ours to fill and to empty.
const marker = ".stdlib-suite"

// claim refuses a folder that holds something else than an earlier copy.
func claim(root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	there, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	ours := func(e os.DirEntry) bool { return e.Name() == marker }
	if len(there) > 0 && !slices.ContainsFunc(there, ours) {
		return fmt.Errorf("%s is not empty and holds no copy of an earlier run; name a new folder", root)
	}
	return os.WriteFile(filepath.Join(root, marker), nil, 0o644)
}

// patch has newClientServerTest put the front into its server, once all options
// were applied to it and before it is started.
func (c *copyOf) patch(front string) error {
	dir := filepath.Join(c.root, "src", "net", "http")
	path := filepath.Join(dir, "clientserver_test.go")
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at, err := startOf(src)
	if err != nil {
		return err
	}
	src = slices.Concat(src[:at], []byte("inFront(t, cst.ts.Config)\n\t"), src[at:])
	if err := os.WriteFile(path, src, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "front_test.go"), []byte("package http_test\n\n"+fronts[front]), 0o644)
}

// startOf is the offset in clientserver_test.go of the statement by which
// newClientServerTest starts its server: it switches on the mode.
func startOf(src []byte) (int, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "", src, 0)
	if err != nil {
		return 0, err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "newClientServerTest" {
			continue
		}
		for _, stmt := range fn.Body.List {
			if sw, ok := stmt.(*ast.SwitchStmt); ok {
				if tag, ok := sw.Tag.(*ast.Ident); ok && tag.Name == "mode" {
					return set.Position(sw.Pos()).Offset, nil
				}
			}
		}
	}
	return 0, errors.New("this Go's net/http tests do not start their servers as those of 1.26 do, in newClientServerTest")
}

// tests are the names of the top-level tests that match.
func (c *copyOf) tests(match *regexp.Regexp) (names []string, err error) {
	for _, suite := range suites {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(c.root, "src", "net", "http", suite), nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") && len(fn.Type.Params.List) == 1 && match.MatchString(fn.Name.Name) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// A pkg is one of go list's packages.
type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	Module     *module
}

type module struct {
	Path, Version, Dir, GoVersion string
	Main                          bool
}

// vendor puts httpcompattest and all that it needs into std's vendor folder,
// go.mod and modules.txt.
func (c *copyOf) vendor(ctx context.Context) error {
	list, err := output(ctx, "", nil, "go", "list", "-deps", "-json=ImportPath,Dir,Standard,Module", test)
	if err != nil {
		return err
	}
	src := filepath.Join(c.root, "src")
	mods := map[string]*module{}
	pkgs := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(list)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if p.Standard {
			continue
		}
		if p.Module.Main {
			p.Module.Version = "v0.0.0"
		}
		mods[p.Module.Path] = p.Module
		pkgs[p.Module.Path] = append(pkgs[p.Module.Path], p.ImportPath)
		if err := copyTree(filepath.Join(src, "vendor", filepath.FromSlash(p.ImportPath)), p.Dir, false); err != nil {
			return err
		}
	}
	return errors.Join(c.require(mods), c.list(mods, pkgs))
}

// require enters mods in std's go.mod, in place of other versions of theirs.
func (c *copyOf) require(mods map[string]*module) error {
	path := filepath.Join(c.root, "src", "go.mod")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		if len(f) < 2 || mods[f[0]] == nil {
			b.WriteString(line)
		}
	}
	b.WriteString("\nrequire (\n")
	for _, m := range mods {
		fmt.Fprintf(&b, "\t%s %s\n", m.Path, m.Version)
	}
	b.WriteString(")\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// list enters mods and their packages in vendor/modules.txt. A module of which
// std has another version gets ours for its own packages too.
func (c *copyOf) list(mods map[string]*module, pkgs map[string][]string) error {
	path := filepath.Join(c.root, "src", "vendor", "modules.txt")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b strings.Builder
	var taken *module // the module whose lines are left out
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && f[0] == "#":
			taken = mods[f[1]]
		case taken != nil && !strings.HasPrefix(line, "#"):
			name := strings.TrimSpace(line)
			rest := strings.TrimPrefix(name, taken.Path)
			dst := filepath.Join(c.root, "src", "vendor", filepath.FromSlash(name))
			if err := os.RemoveAll(dst); err != nil {
				return err
			}
			if err := copyTree(dst, filepath.Join(taken.Dir, filepath.FromSlash(rest)), false); err != nil {
				return err
			}
			if !slices.Contains(pkgs[taken.Path], name) {
				pkgs[taken.Path] = append(pkgs[taken.Path], name)
			}
		}
		if taken == nil {
			b.WriteString(line)
		}
	}
	for name, m := range mods {
		fmt.Fprintf(&b, "# %s %s\n## explicit", name, m.Version)
		if m.GoVersion != "" {
			fmt.Fprintf(&b, "; go %s", m.GoVersion)
		}
		b.WriteString("\n")
		slices.Sort(pkgs[name])
		for _, p := range pkgs[name] {
			fmt.Fprintln(&b, p)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// copyTree copies the files of a folder, and with deep those below.
func copyTree(dst, src string, deep bool) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.IsDir() && deep:
			err = copyTree(to, from, true)
		case e.Type().IsRegular() && (deep || !strings.HasSuffix(e.Name(), "_test.go")):
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(to, data, 0o644)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// output runs a command and returns what it writes to standard output; what it
// writes to standard error is part of the error.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errs.Bytes())
	}
	return out.Bytes(), nil
}
