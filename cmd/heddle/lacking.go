package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/worker/engine"
)

// lacking says what a file asks for that is not on this machine, and that run
// would fail for: all of it, each with its place; nil if nothing is missing.
func lacking(ctx context.Context, c *config.Config) error {
	var lines []string
	note := func(app, key string, err error) {
		if err == nil {
			return
		}
		name := key
		if app != "" {
			name = "app." + app + "." + key
		}
		lines = append(lines, fmt.Sprintf("%s: %s: %v", c.Origin(app, key), name, err))
	}
	group := func(name string) error {
		if name == "" {
			return nil
		}
		_, err := engine.LookupUser("", name)
		return err
	}
	note("", "listen-group", group(c.ListenGroup))
	note("", "tls-cert", c.TLS.Check())
	note("", "access-log", logDir(c.AccessLog))
	if c.AllowStart != "" {
		note("", "allow-start", directory(c.AllowStart))
	}
	for i := range c.Apps {
		a := &c.Apps[i]
		_, err := findTarget(ctx, "run", a.Target)
		var f *failure
		if errors.As(err, &f) {
			err = f.err
		}
		note(a.Name, "target", err)
		if a.User != "" {
			_, err := engine.LookupUser(a.User, "")
			note(a.Name, "user", err)
		}
		note(a.Name, "group", group(a.Group))
		if a.Dir != "" {
			note(a.Name, "dir", directory(a.Dir))
		}
		note(a.Name, "log.stdout", logDir(a.Log.Stdout))
		note(a.Name, "log.stderr", logDir(a.Log.Stderr))
	}
	if lines == nil {
		return nil
	}
	return &failure{
		code: exitError,
		err:  fmt.Errorf("%s is right, but this machine lacks %s:\n%s", c.Files[0], noun(len(lines), "thing"), strings.Join(lines, "\n")),
		try:  "try: heddle config check " + quoted(c.Files[0]) + ", when it is corrected; or there where it is to run",
	}
}

// directory refuses what is none.
func directory(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist", path)
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is no directory", path)
	}
	return nil
}

// logDir refuses a file whose directory is not there and cannot be made.
func logDir(path string) error {
	if path == "" || path == "-" {
		return nil
	}
	dir := filepath.Dir(path)
	for {
		_, err := os.Lstat(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return directory(dir)
		}
		dir = filepath.Dir(dir)
	}
}
