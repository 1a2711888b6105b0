package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A pane is a shell in a tmux of its own.
type pane struct {
	t      *testing.T
	tmux   string
	socket string
}

// openPane starts a shell of that many columns and rows, with env.
func openPane(t *testing.T, cols, rows int, env ...string) *pane {
	t.Helper()
	tmux, err := exec.LookPath("tmux")
	if err != nil {
		t.Skip("no tmux here (Debian: tmux)")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	p := &pane{t, tmux, filepath.Join(shortDir(t), "tmux")}
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows)}
	for _, v := range append(env, "HISTFILE=") {
		args = append(args, "-e", v)
	}
	p.do(append(args, "env", "PS1=prompt> ", bash, "--norc", "--noprofile")...)
	t.Cleanup(func() { p.do("kill-server") })
	p.await(`prompt> $`)
	return p
}

func (p *pane) do(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(p.tmux, append([]string{"-S", p.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

func (p *pane) keys(keys ...string) { p.t.Helper(); p.do(append([]string{"send-keys"}, keys...)...) }

// shown is what stands on the screen, empty lines at its end left out.
func (p *pane) shown(flags ...string) string {
	p.t.Helper()
	return strings.TrimRight(p.do(append([]string{"capture-pane", "-p"}, flags...)...), "\n ")
}

func (p *pane) await(pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(`(?m)` + pattern)
	if !until(func() bool { return re.MatchString(p.shown()+" ") || re.MatchString(p.shown()) }) {
		p.t.Fatalf("%s is not shown:\n%s", pattern, p.shown())
	}
}

// state is the terminal's, as stty says it.
func (p *pane) state(file string) string {
	p.t.Helper()
	p.keys("clear; stty -g >"+file+"; echo sta''ted", "Enter")
	p.await(`^stated`)
	b, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// TestTop drives it on a terminal: it shows the workers, follows the terminal's
// size and the daemon's life, and gives the terminal back however it ends.
func TestTop(t *testing.T) {
	m := newManager(t)
	d := m.start("", nil, "run", "--name", "weaving", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	addr := strings.TrimPrefix(d.await(t, `^ready (\S+)`)[1], "http://")
	heddle := d.cmd.Args[4]
	p := openPane(t, 110, 24, "XDG_RUNTIME_DIR="+m.dir, "HEDDLE="+heddle)
	stty := filepath.Join(m.dir, "stty")
	before := p.state(stty)
	begin := func(prefix string) {
		t.Helper()
		p.keys("clear; "+prefix+" $HEDDLE top --interval 100ms & top=$!; fg; echo en''ded $?", "Enter")
		p.await(`^weaving r1, serving, up `)
	}
	given := func(how string) {
		t.Helper()
		p.await(`^ended 0`)
		if shown := p.shown(); strings.Contains(shown, "INDEX") {
			t.Errorf("%s: the shell's screen is not back:\n%s", how, shown)
		}
		if after := p.state(stty); after != before {
			t.Errorf("%s: the terminal was\n%s\nand is\n%s", how, before, after)
		}
		if got := p.do("display-message", "-p", "#{cursor_flag} #{alternate_on}"); got != "1 0\n" {
			t.Errorf("%s: cursor shown, alternate screen: %s", how, got)
		}
	}

	begin("")
	p.await(`^ *INDEX +ID +PID +STATE +SINCE +RELEASE +SESSIONS +REQ/S +CPU +MEMORY +RESTARTS`)
	p.await(`^ +0 +[0-9a-f]{8} +[0-9]+ +online +[0-9]+s +r1 +0 +0\.0 +[0-9]+% +[0-9.]+ MiB +0`)
	p.await(`^ +1 +[0-9a-f]{8} `)
	p.await(`^q quits`)
	if !strings.Contains(p.shown("-e"), "\x1b[1mweaving") {
		t.Errorf("no colours:\n%q", p.shown("-e"))
	}
	stop, asked := make(chan struct{}), make(chan error, 1)
	go func() { // ends with stop
		for {
			select {
			case <-stop:
				asked <- nil
				return
			default:
			}
			if _, err := body("tcp", addr); err != nil {
				asked <- err
				return
			}
		}
	}()
	p.await(`^[1-9][0-9]*\.[0-9] requests/s, [01] now, [1-9]`)
	p.await(`^ +[01] +[0-9a-f]{8} .* [1-9][0-9]*\.[0-9] +[0-9]+% `)
	close(stop)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	p.do("resize-window", "-x", "40", "-y", "6")
	p.await(`^… [0-9]+ lines more than the terminal has`)
	p.await(`^q quits`)
	for line := range strings.Lines(p.shown()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 40 {
			t.Errorf("a line of %d columns of 40: %q", n, line)
		}
	}
	p.do("resize-window", "-x", "110", "-y", "24")
	p.await(`RESTARTS`)
	p.keys("C-z") // the screen is the shell's meanwhile
	p.await(`Stopped`)
	p.keys("fg", "Enter")
	p.await(`^weaving r1, serving`)
	p.keys("q")
	if !until(func() bool { return strings.HasSuffix(p.shown(), "prompt>") }) {
		t.Errorf("q does not end it:\n%s", p.shown())
	}
	if after := p.state(stty); after != before {
		t.Errorf("after Ctrl-Z, fg and q: the terminal was\n%s\nand is\n%s", before, after)
	}

	begin("")
	p.keys("C-c")
	given("Ctrl-C")

	begin("NO_COLOR=1")
	if shown := p.shown("-e"); strings.Contains(shown, "\x1b[1m") || strings.Contains(shown, "\x1b[7m") {
		t.Errorf("colours in spite of NO_COLOR:\n%q", shown)
	}
	pid := topOf(t, m.dir)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	given("SIGTERM")

	begin("")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, d)
	p.await(`^no answer: `)
	again := m.start("", nil, "run", "--name", "weaving", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	again.await(t, `^ready `)
	p.await(fmt.Sprintf(`^weaving r1, serving, up [0-9]+s, pid %d,`, again.cmd.Process.Pid))
	if strings.Contains(p.shown(), "no answer") {
		t.Errorf("there is an answer again:\n%s", p.shown())
	}
	p.keys("q")
	given("q")
	dismiss(t, again)
}

// topOf is the process of heddle top whose runtime directory is dir.
func topOf(t *testing.T, dir string) (pid int) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		args, _ := os.ReadFile(p + "/cmdline") // it may end meanwhile
		env, _ := os.ReadFile(p + "/environ")
		if strings.Contains(string(args), "\x00top\x00") && strings.Contains("\x00"+string(env), "\x00XDG_RUNTIME_DIR="+dir+"\x00") {
			if pid != 0 {
				t.Fatalf("%d and %s both are", pid, p)
			}
			pid, _ = strconv.Atoi(filepath.Base(p))
		}
	}
	if pid == 0 {
		t.Fatal("there is none")
	}
	return pid
}
