package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelp: every verb says in short and at length what it does, has examples
// that it would take, and says of each flag what it is for.
func TestHelp(t *testing.T) {
	root := newRoot()
	root.InitDefaultHelpFlag()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		for what, text := range map[string]string{"Short": cmd.Short, "Long": cmd.Long, "Example": cmd.Example} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: no %s", path, what)
			}
		}
		if strings.HasSuffix(cmd.Short, ".") || cmd.Short != "" && strings.ToUpper(cmd.Short[:1]) != cmd.Short[:1] {
			t.Errorf("%s: Short is a phrase that begins with a capital and has no full stop: %q", path, cmd.Short)
		}
		for line := range strings.Lines(cmd.Long) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 90 {
				t.Errorf("%s: a line of %d characters in Long: %s", path, n, line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if strings.TrimSpace(f.Usage) == "" {
				t.Errorf("%s: --%s has no usage", path, f.Name)
			}
		})
		for line := range strings.Lines(cmd.Example) {
			checkExample(t, cmd, line)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// checkExample wants a line of a verb's examples to name the verb, and flags
// that it has.
func checkExample(t *testing.T, cmd *cobra.Command, line string) {
	t.Helper()
	path := cmd.CommandPath()
	if !strings.HasPrefix(line, "  ") {
		t.Errorf("%s: an example begins with two spaces: %q", path, line)
	}
	_, rest, ok := strings.Cut(line, path)
	if !ok {
		t.Errorf("%s: an example that does not name it: %q", path, line)
		return
	}
	if cmd.HasSubCommands() {
		return // its examples are of verbs
	}
	if end := strings.IndexAny(rest, "|;&>"); end >= 0 {
		rest = rest[:end]
	}
	for _, word := range strings.Fields(rest) {
		if word == "--" {
			return
		}
		name, isFlag := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(strings.TrimRight(name, ")"), "="); isFlag && cmd.Flags().Lookup(name) == nil {
			t.Errorf("%s: the example %q has --%s, which it does not know", path, line, name)
		}
	}
}

// TestMan: a page for each verb, from the same source, the same each time.
func TestMan(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := filepath.Join(t.TempDir(), "share", "man1")
	var once map[string]string
	for round := range 2 {
		root := newRoot()
		root.SetArgs([]string{"man", dir})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		pages := make(map[string]string)
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			pages[filepath.Base(f)] = string(b)
		}
		for _, cmd := range root.Commands() {
			page := pages["heddle-"+cmd.Name()+".1"]
			if cmd.Name() == "help" {
				continue // cobra writes none of it
			}
			if !strings.Contains(page, `.TH "HEDDLE`) || !strings.Contains(page, "Nov 2023") || !strings.Contains(page, ".SH EXAMPLE") {
				t.Errorf("%s: round %d: the page is\n%s", cmd.Name(), round, page)
			}
			if strings.Contains(page, "Auto generated") {
				t.Errorf("%s: it says who generated it", cmd.Name())
			}
		}
		if !strings.Contains(pages["heddle.1"], "heddle-run(1)") {
			t.Errorf("heddle.1 does not name the others:\n%s", pages["heddle.1"])
		}
		if round > 0 && len(once) != len(pages) {
			t.Errorf("%d pages, then %d", len(once), len(pages))
		}
		for name := range once {
			if once[name] != pages[name] {
				t.Errorf("%s is not the same again", name)
			}
		}
		once = pages
	}
	if page := once["heddle-restart.1"]; !strings.Contains(page, "0, 1-3, 2-, -2   an index, or indexes from and to\n") {
		t.Errorf("a list has lost its lines:\n%s", page)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := writeMan(newRoot(), file)
	var f *failure
	if !errors.As(err, &f) || f.try == "" {
		t.Errorf("into a file: got %v", err)
	}
}
