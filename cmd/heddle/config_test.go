package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md's tables and the golden files anew")

// TestConfigurationPage holds the tables of docs/configuration.md to the keys
// and the flags that there are.
func TestConfigurationPage(t *testing.T) {
	file := filepath.FromSlash("../../docs/configuration.md")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page, run := string(b), newRun()
	for _, table := range []string{"daemon", "app", "log"} {
		var w strings.Builder
		w.WriteString("| key | type | default | flag | change | meaning |\n|---|---|---|---|---|---|\n")
		for _, k := range config.Keys() {
			name, isLog := strings.CutPrefix(k.Name, "log.")
			if isLog != (table == "log") || k.App != (table != "daemon") {
				continue
			}
			flag := "-"
			if run.Flags().Lookup(flagOf(&k)) != nil {
				flag = "`--" + flagOf(&k) + "`"
			}
			def := k.Default
			if strings.HasPrefix(def, `"`) || strings.HasPrefix(def, "[") {
				def = "`" + def + "`"
			}
			when := k.When.String()
			if k.Name == "extends" {
				when = "-"
			}
			fmt.Fprintf(&w, "| `%s` | %s | %s | %s | %s | %s |\n", name, k.Type, def, flag, when, k.Means)
		}
		before, rest, ok := strings.Cut(page, "<!-- "+table+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- end -->")
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table %s", file, table)
		}
		page = before + "<!-- " + table + " -->\n" + w.String() + "<!-- end -->" + after
	}
	if page == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s does not have the keys as they are; if that is meant: go test ./cmd/heddle -run TestConfigurationPage -update", file)
	}
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConfigurationExample: the page's own example is a good file.
func TestConfigurationExample(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash("../../docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(b), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	file := filepath.Join(t.TempDir(), "heddle.toml")
	if err := os.WriteFile(file, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(file); err != nil || len(c.Apps) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestConfigFlags: a key and the flag of its name have the same default and
// refuse the same.
func TestConfigFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "heddle.toml")
	if err := os.WriteFile(file, []byte("[app.a]\ntarget = 'x'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	fs := newRun().Flags()
	shared := 0
	for _, s := range append(c.Settings(""), c.Settings("a")...) {
		f := fs.Lookup(flagOf(s.Key))
		if f == nil || s.Key.Name == "name" { // by default the app's
			continue
		}
		shared++
		before := f.Value.String()
		if err := setFlag(f.Value, s.FlagText()); err != nil {
			t.Errorf("--%s does not take the key's default: %v", f.Name, err)
		}
		if got := f.Value.String(); got != before {
			t.Errorf("%s: the flag's default is %s, the key's %s", f.Name, before, got)
		}
	}
	if shared < 28 {
		t.Errorf("only %d keys are flags", shared)
	}
	for _, line := range []string{
		"--workers=0", "--workers=10001", "--standbys=-1", "--standbys=1001", "--loops=0", "--loops=257", "--concurrency=-1", "--concurrency=1048577", "--queue=0", "--queue=1048577",
		"--queue-age=0s", "--start-timeout=0s", "--heartbeat-timeout=9s", "--drain-timeout=0s", "--shutdown-timeout=0s", "--kill-delay=0s", "--listen-mode=8", "--listen-mode=0", "--listen-mode=01777", "--recycle-age=-1s", "--max-header-bytes=1023", "--max-header-bytes=1048577",
		"--max-headers=0", "--max-headers=1001", "--max-body-bytes=-1", "--max-clients=-1", "--idle-timeout=-1s", "--name=a/b", "--listen=8080", "--trusted-proxies=x", "--recycle-memory=x",
	} {
		cmd := newRun()
		cmd.SetArgs([]string{line, "--", "x"}) // without TARGET, so that nothing runs
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "--"), "=")
		if err := cmd.ParseFlags([]string{line}); err == nil {
			if err := checkParsed(cmd); err == nil {
				t.Errorf("run takes %s", line)
			}
		}
		app := ""
		for _, k := range config.Keys() {
			if k.Name == name && k.App {
				app = "a"
			}
		}
		if err := c.SetFlag(app, name, []string{value}); err == nil {
			t.Errorf("the key takes %s", line)
		}
	}
}

// checkParsed runs a parsed run of a file that names a program that is not
// there: what comes first is what the flags are refused for.
func checkParsed(cmd *cobra.Command) error {
	var f *failure
	err := cmd.RunE(cmd, []string{filepath.Join(os.TempDir(), "no", "such", "program")})
	if errors.As(err, &f) && f.code == exitUsage {
		return err
	}
	return nil
}

// TestConfigure: the command line goes before the file, arguments and name too.
func TestConfigure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heddle.toml")
	if err := os.WriteFile(file, []byte("name = 'n'\nloops = 5\n[app.a]\ntarget = '/x'\nargs = ['of', 'file']\nqueue = 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line              []string
		name, args, queue string
	}{
		{nil, "n", "[of file]", "7"},
		{[]string{"--queue", "8", "--", "given"}, "n", "[given]", "8"},
		{[]string{"--name", "other"}, "", "[of file]", "7"},
	} {
		cmd := newRun()
		o := runOptions{file: file}
		if err := cmd.ParseFlags(tt.line); err != nil {
			t.Fatal(err)
		}
		if err := o.configure(cmd, cmd.Flags().Args()); err != nil {
			t.Fatalf("%q: %v", tt.line, err)
		}
		if got := fmt.Sprint(o.args); o.target != "/x" || o.title != tt.name || got != tt.args || cmd.Flags().Lookup("queue").Value.String() != tt.queue || cmd.Flags().Lookup("loops").Value.String() != "5" {
			t.Errorf("%q: got %+v", tt.line, o)
		}
	}
}
