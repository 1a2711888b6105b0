package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A listed is what go list -json says of a package, as far as it matters here.
type listed struct {
	ImportPath string
	Dir        string // "" of a package that is not there
	Standard   bool
	EmbedFiles []string
	Module     *struct {
		Path    string
		Dir     string
		Main    bool
		GoMod   string
		Replace *struct{ Version string }
	}
}

// Package is the Sources of the Go package in dir: its own files and those of
// the packages that it imports, as far as they are in modules that are worked
// on: the main one, others of the workspace, and directories that replace one.
// Code that does not compile is no error; a go.mod that cannot be read is.
func Package(ctx context.Context, dir string) (Sources, error) {
	s := Sources{Files: make(map[string]bool), Dirs: map[string]Kind{dir: Code}}
	out, err := goTool(ctx, dir, "list", "-e", "-deps", "-json=ImportPath,Dir,Standard,EmbedFiles,Module", "--", ".")
	if err != nil {
		return s, err
	}
	modules := make(map[string]string) // directories that are worked on, by module path
	var missing []string               // packages
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return s, fmt.Errorf("watch: go list: %w", err)
		}
		if p.Dir == "" && !p.Standard {
			missing = append(missing, p.ImportPath)
		}
		if p.Standard || p.Dir == "" || p.Module != nil && !p.Module.Main && (p.Module.Replace == nil || p.Module.Replace.Version != "") {
			continue
		}
		s.Dirs[p.Dir] |= Code
		for _, f := range p.EmbedFiles {
			s.Dirs[filepath.Dir(filepath.Join(p.Dir, f))] |= Every
		}
		if p.Module != nil && p.Module.GoMod != "" {
			s.addModule(p.Module.GoMod)
			modules[p.Module.Path] = p.Module.Dir
		}
	}
	for _, path := range missing { // where they would be: they may come, or come back
		for module, dir := range modules {
			if rest, ok := strings.CutPrefix(path, module+"/"); ok {
				s.Dirs[filepath.Join(dir, filepath.FromSlash(rest))] |= Code
			}
		}
	}
	if out, err := goTool(ctx, dir, "env", "GOWORK", "GOMOD"); err == nil {
		for path := range strings.Lines(string(out)) {
			switch path = strings.TrimSpace(path); {
			case !filepath.IsAbs(path), path == os.DevNull: // none, off, or outside of any module
			case strings.HasSuffix(path, ".work"):
				s.Files[path], s.Files[path+".sum"] = true, true
			default:
				s.addModule(path)
			}
		}
	}
	return s, nil
}

// addModule adds what says which versions a module is built with.
func (s *Sources) addModule(gomod string) {
	s.Files[gomod] = true
	s.Files[strings.TrimSuffix(gomod, ".mod")+".sum"] = true
	s.Files[filepath.Join(filepath.Dir(gomod), "vendor", "modules.txt")] = true
}

// goTool returns what a go command prints; it is killed when ctx ends.
func goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.WaitDelay = dir, 2*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("watch: go %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
