package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An edited is a program of a module of its own, under run --watch.
type edited struct {
	t    *testing.T
	dir  string
	c    *child
	addr string
}

// editing starts a program that answers with its word.
func editing(t *testing.T, args ...string) *edited {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	e := &edited{t: t, dir: t.TempDir()}
	e.write("go.mod", "module example.com/words\n\ngo 1.26\n\nrequire github.com/heddle-go/heddle v0.0.0\n\nreplace github.com/heddle-go/heddle => "+repo+"\n")
	e.write("go.sum", string(sums))
	e.write("main.go", `package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, word) })))
}
`)
	e.write("word.go", wordFile("w0"))
	build := exec.Command("go", "build", "-mod=mod", "-o", os.DevNull, ".") // completes go.mod
	build.Dir = e.dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(heddle, append([]string{"run", "--watch", "--workers", "1", "--name", "words", "--listen", "127.0.0.1:0"}, append(args, ".")...)...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+shortDir(t))
	if e.c, err = start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.c.kill)
	e.addr = strings.TrimPrefix(e.c.await(t, `^ready (\S+)`)[1], "http://")
	e.c.await(t, `^watching \.: `)
	return e
}

func wordFile(word string) string { return fmt.Sprintf("package main\n\nconst word = %q\n", word) }

func (e *edited) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
}

// count is how often pattern was said.
func (e *edited) count(pattern string) int {
	return len(regexp.MustCompile("(?m)"+pattern).FindAllString(e.c.said.String(), -1))
}

// TestWatchHolds: who asks during a build is answered by what was built; and
// nobody is refused anything, whatever is saved.
func TestWatchHolds(t *testing.T) {
	e := editing(t)
	stop, asked := make(chan struct{}), make(chan error, 1)
	go func() { // ends with stop
		for {
			select {
			case <-stop:
				asked <- nil
				return
			default:
			}
			if got, err := body("tcp", e.addr); err != nil || !strings.HasPrefix(got, "w") {
				asked <- fmt.Errorf("got %q, %w", got, err)
				return
			}
		}
	}()
	for i := range 3 {
		want := fmt.Sprintf("w%d", i+1)
		e.write("word.go", wordFile(want))
		if !until(func() bool { return e.count(`msg="a suspend is done"`) > i }) {
			t.Fatalf("requests are not held; it said:\n%s", e.c.said.String())
		}
		if got, err := body("tcp", e.addr); got != want || err != nil {
			t.Errorf("during the build: got %q, %v, want %q", got, err, want)
		}
		if !until(func() bool { return e.count(`^r[0-9]+ serves, `) > i }) {
			t.Fatalf("it does not serve; it said:\n%s", e.c.said.String())
		}
	}
	close(stop)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	dismiss(t, e.c)
}

// TestWatchSupersedes: of many changes the last one is served, those before it
// may be left out; requests held on their account are answered all the same.
func TestWatchSupersedes(t *testing.T) {
	e := editing(t)
	var last string
	for i := range 12 {
		last = fmt.Sprintf("w%d", i+100)
		e.write("word.go", wordFile(last))
		if i == 7 {
			e.write("word.go", "package main }")
		}
		time.Sleep(time.Duration(i*37%211) * time.Millisecond)
	}
	if !until(func() bool { got, err := body("tcp", e.addr); return err == nil && got == last }) {
		t.Errorf("%s is not served; it said:\n%s", last, e.c.said.String())
	}
	if !until(func() bool {
		return strings.HasSuffix(e.c.said.String(), "after the change\n") || e.count(`the old release.s workers have left`) > 0
	}) {
		t.Errorf("it said:\n%s", e.c.said.String())
	}
	dismiss(t, e.c)
	if n := e.count(`panicked|level=ERROR`); n > 0 {
		t.Errorf("it said:\n%s", e.c.said.String())
	}
}

// TestWatchWithdraws: a change while a release is being started withdraws that
// one, and who has waited is answered by the next.
func TestWatchWithdraws(t *testing.T) {
	e := editing(t)
	e.write("slow.go", "package main\n\nimport \"time\"\n\nfunc init() { time.Sleep(time.Minute) }\n")
	e.c.await(t, `msg="deploy: program copied" release=r2`)
	answered := make(chan string, 1)
	go func() { // ends with the answer
		got, err := body("tcp", e.addr)
		answered <- fmt.Sprint(got, err)
	}()
	e.write("word.go", wordFile("w1"))
	if err := os.Remove(filepath.Join(e.dir, "slow.go")); err != nil {
		t.Fatal(err)
	}
	e.c.await(t, `^r3 serves, `)
	if got := <-answered; got != "w1<nil>" {
		t.Errorf("who waited got %q; the daemon said:\n%s", got, e.c.said.String())
	}
	e.c.await(t, `msg="deploy failed; nothing has changed" release=r2`)
	dismiss(t, e.c)
}

// TestWatchStopped: TERM during a build; who waits for it is answered by what
// serves, and the daemon ends well.
func TestWatchStopped(t *testing.T) {
	e := editing(t)
	e.write("word.go", wordFile("w1"))
	if !until(func() bool { return e.count(`msg="a suspend is done"`) > 0 }) {
		t.Fatalf("requests are not held; it said:\n%s", e.c.said.String())
	}
	answered := make(chan string, 1)
	go func() { // ends with the answer
		got, err := body("tcp", e.addr)
		answered <- fmt.Sprint(got, err)
	}()
	time.Sleep(50 * time.Millisecond) // it has been taken
	began := time.Now()
	if err := e.c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != "w0<nil>" && got != "w1<nil>" {
		t.Errorf("who waited got %q; the daemon said:\n%s", got, e.c.said.String())
	}
	ended(t, e.c)
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %v to stop", d)
	}
}

// TestWatchOnTerminal: the last line says how far it is, and is gone then.
func TestWatchOnTerminal(t *testing.T) {
	e := editing(t)
	dismiss(t, e.c)
	cmd := exec.Command(e.c.cmd.Path, e.c.cmd.Args[1:]...)
	cmd.Dir, cmd.Env = e.dir, append(e.c.cmd.Env, "NO_COLOR=1")
	c, _ := startOnPty(t, cmd)
	c.await(t, `^watching \.: `)
	e.write("word.go", wordFile("w1"))
	c.await(t, `building \.`)
	c.await(t, `starting r2: 0/1`)
	c.await(t, `r2 serves, [0-9.]+m?s after the change\r\n`)
	e.write("word.go", "package main }")
	c.await(t, `r2 still serves\. waiting for the next change\r\n`)
	dismiss(t, c)
}
