package service

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoggerUsesThePublicOnly holds the Logger against K15: whatever it uses of this
// package is exported, so that anybody could have written it.
func TestLoggerUsesThePublicOnly(t *testing.T) {
	its := map[string]bool{"logger.go": true, "pending.go": true, "emit.go": true, "slog.go": true, "levels.go": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", exportsOf(t))}
	pkg, err := config.Check("service", fset, parsed, info)
	if err != nil {
		t.Fatal(err)
	}
	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	uses := 0
	for id, o := range info.Uses {
		if o.Pkg() != pkg || !its[file(id.Pos())] || its[file(o.Pos())] {
			continue
		}
		if uses++; !o.Exported() {
			t.Errorf("%s uses %s of %s", fset.Position(id.Pos()), o.Name(), file(o.Pos()))
		}
	}
	if uses < 10 {
		t.Errorf("only %d uses of the package were found", uses)
	}
}

// exportsOf finds the compiler's data of what the package imports.
func exportsOf(t *testing.T) importer.Lookup {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		at[p.ImportPath] = p.Export
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }
}
