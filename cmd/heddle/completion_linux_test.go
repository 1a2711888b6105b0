package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBashCompletion loads the script in a real bash on a terminal and presses
// Tab.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	d, _ := onPtyIn(t, dir, "run", "--name", "weaving", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	d.await(t, `ready `)
	cmd := exec.Command(bash, "--norc", "--noprofile", "-i")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "PATH="+filepath.Dir(heddle)+":"+os.Getenv("PATH"), "TERM=dumb", "PS1=> ", "HISTFILE=", "INPUTRC=/dev/null")
	b, master := startOnPty(t, cmd)
	typed := func(keys, want string) {
		t.Helper()
		before := len(b.said.String())
		if _, err := master.WriteString(keys); err != nil {
			t.Fatal(err)
		}
		if !until(func() bool { return strings.Contains(b.said.String()[before:], want) }) {
			t.Errorf("%q: want %q, got %q", keys, want, b.said.String()[before:])
		}
		if _, err := master.WriteString("\x15"); err != nil { // kills the line, readline's unix-line-discard
			t.Fatal(err)
		}
	}
	typed("bind 'set bell-style none'; source <(heddle completion bash); echo loa''ded\n", "loaded\r\n")
	typed("heddle rollb\t#", "heddle rollback #")
	typed("heddle status --na\t#", "heddle status --name #")
	typed("heddle status --name we\t#", "heddle status --name weaving #")
	typed("heddle --he\t#", "heddle --help #")
	typed("heddle restart 0\t#", "heddle restart 0")
	typed("heddle completion f\t#", "heddle completion fish #")
	typed("exit\n", "exit")
	<-b.done
	dismiss(t, d)
}

// dismiss stops a daemon that is a child on a terminal, and wants it to end well.
func dismiss(t *testing.T, d *child) {
	t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended(t, d)
}

// TestCompletions: what is offered, in every shell: they ask the same hidden
// verb.
func TestCompletions(t *testing.T) {
	m := newManager(t)
	d := m.start("", nil, "run", "--name", "weaving", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	d.await(t, `^ready `)
	ended(t, m.start("", nil, "deploy", "app"))
	offered := func(args ...string) (words []string) {
		t.Helper()
		cmd := exec.Command(d.cmd.Args[4], append([]string{"__complete"}, args...)...)
		cmd.Env = append(slices.Clone(d.cmd.Env), "NOTIFY_SOCKET=")
		began := time.Now()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		if d := time.Since(began); d > patience/2 {
			t.Errorf("%q took %v", args, d)
		}
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, word)
		}
		return words
	}
	const noFiles, ordered, files, dirs = ":4", ":36", ":0", ":16"
	for _, tt := range []struct {
		args, want []string
	}{
		{[]string{"roll"}, []string{"rollback", noFiles}},
		{[]string{"status", "--name", ""}, []string{"weaving", noFiles}},
		{[]string{"deploy", "--name", ""}, []string{"weaving", noFiles}},
		{[]string{"status", "--app", ""}, []string{"weaving", ordered}},
		{[]string{"config", "check", ""}, []string{files}},
		{[]string{"rollback", ""}, []string{"r1", ordered}},
		{[]string{"rollback", "--name", "weaving", ""}, []string{"r1", ordered}},
		{[]string{"rollback", "r1", ""}, []string{noFiles}},
		{[]string{"rollback", "--name", "nobody", ""}, []string{ordered}},
		{[]string{"run", ""}, []string{files}},
		{[]string{"deploy", ""}, []string{files}},
		{[]string{"status", ""}, []string{noFiles}},
		{[]string{"scale", ""}, []string{noFiles}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", noFiles}},
		{[]string{"man", ""}, []string{dirs}},
		{[]string{"bench", ""}, []string{"compare", "report", noFiles}},
		{[]string{"bench", "--name", ""}, []string{"weaving", noFiles}},
		{[]string{"bench", "--html", ""}, []string{files}},
		{[]string{"bench", "report", ""}, []string{files}},
		{[]string{"bench", "compare", "a", ""}, []string{files}},
	} {
		if got := offered(tt.args...); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
	for _, args := range [][]string{{"restart", ""}, {"send-req", "stats", "-w", ""}, {"send-msg", "--workers", ""}, {"logs", "-w", ""}} {
		got := offered(args...)
		if len(got) != 5 || got[0] != "0" || got[2] != "1" || len(got[1]) != 8 || got[4] != ordered {
			t.Errorf("%q: got %q, want two workers, each by index and id", args, got)
		}
	}
	dismiss(t, d)
	if got := offered("restart", ""); !slices.Equal(got, []string{ordered}) {
		t.Errorf("without a daemon: got %q", got)
	}
}
