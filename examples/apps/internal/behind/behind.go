// Package behind runs the programs of this module for their tests: alone, and
// behind `heddle run` as workers.
package behind

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of what a test waits for.
const (
	readyTime = 60 * time.Second // from the start of a process until it serves
	endTime   = 30 * time.Second // from SIGINT until it has ended
)

// A Build is where this test process has put its executables.
type build struct {
	once sync.Once
	dir  string
	err  error
}

var (
	mu     sync.Mutex
	dir    string // of the executables; removed by Main
	builds = map[string]*build{}
)

// Main is for TestMain: it runs the tests and removes what was built.
func Main(m *testing.M) int {
	code := m.Run()
	mu.Lock()
	defer mu.Unlock()
	if dir != "" {
		_ = os.RemoveAll(dir) // a temporary folder; what stays is the system's to clean
	}
	return code
}

// Build returns the executable of a package, made once: "heddle", or a folder of
// this module such as "webdav".
func Build(t testing.TB, name string) string {
	t.Helper()
	mu.Lock()
	if dir == "" {
		d, err := os.MkdirTemp("", "heddle-apps-*")
		if err != nil {
			mu.Unlock()
			t.Fatal(err)
		}
		dir = d
	}
	b := builds[name]
	if b == nil {
		b = &build{dir: dir}
		builds[name] = b
	}
	mu.Unlock()
	path := filepath.Join(b.dir, name)
	b.once.Do(func() {
		pkg := "github.com/heddle-go/heddle/examples/apps/" + name
		if name == "heddle" {
			pkg = "./cmd/heddle"
		}
		cmd := exec.Command("go", "build", "-o", path, pkg)
		if name == "heddle" { // with its own module's versions
			root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/heddle-go/heddle").Output()
			if err != nil {
				b.err = err
				return
			}
			cmd.Dir = strings.TrimSpace(string(root))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return path
}

// Heddle runs the program of a folder of this module as workers of `heddle run`
// and returns the URL where it serves; flags are heddle run's, args the
// program's. Both end with the test, in order, and everything they wrote is in
// the test's log if it fails.
func Heddle(t testing.TB, name string, flags []string, args ...string) (url string) {
	t.Helper()
	state := t.TempDir()
	line := append([]string{"run", "--listen", "127.0.0.1:0", "--name", name, "--control", filepath.Join(state, "c.sock")}, flags...)
	line = append(append(line, Build(t, name), "--"), args...)
	ready := make(chan string, 1)
	start(t, Build(t, "heddle"), line, func(text string) {
		if u, ok := strings.CutPrefix(text, "ready "); ok {
			select {
			case ready <- u:
			default:
			}
		}
	})
	select {
	case url = <-ready:
		return url
	case <-time.After(readyTime):
		t.Fatalf("heddle run %s was not ready within %v", name, readyTime)
	}
	return ""
}

// Alone runs the program of a folder of this module by itself, with "-addr
// HOST:PORT" before args, and returns its URL.
func Alone(t testing.TB, name string, args ...string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // for the program to take
	start(t, Build(t, name), append([]string{"-addr", addr}, args...), func(string) {})
	for end := time.Now().Add(readyTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return "http://" + addr
		}
	}
	t.Fatalf("%s did not serve within %v", name, readyTime)
	return ""
}

// start runs a process until the test ends, and gives each line of its standard
// error to said.
func start(t testing.TB, path string, args []string, said func(string)) {
	t.Helper()
	cmd := exec.Command(path, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan []string, 1)
	go func() { // ends when the process, and all that have its standard error, have
		var all []string
		for s := bufio.NewReader(stderr); ; {
			text, err := s.ReadString('\n')
			if text = strings.TrimSuffix(text, "\n"); text != "" {
				all = append(all, text)
				said(text)
			}
			if err != nil {
				read <- all
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // gone already: Wait says so
		late := time.AfterFunc(endTime, func() { _ = cmd.Process.Kill() })
		all := <-read
		err := cmd.Wait()
		if !late.Stop() {
			t.Errorf("%s did not end within %v of SIGINT", filepath.Base(path), endTime)
		}
		// A program alone may die of its SIGINT.
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && !(ok && status.Signaled() && status.Signal() == syscall.SIGINT) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		if t.Failed() {
			t.Logf("%s %s wrote:\n%s", filepath.Base(path), strings.Join(args, " "), strings.Join(all, "\n"))
		}
	})
}

// Need skips the test unless a program is installed; package is Debian's, which
// has it.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed (Debian: %s)", program, pkg)
	}
	return path
}

// Output runs a client for at most two minutes, in folder dir ("" is the present
// one), and returns what it wrote to either output. The client must succeed.
func Output(t testing.TB, dir string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
