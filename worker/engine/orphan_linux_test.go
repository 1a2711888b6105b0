package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envCling makes playEngine's workers clingers.
const envCling = "HEDDLE_TEST_CLING"

// playClinger is a real worker that has started somebody in its group and
// whose main does not return when serving has ended.
func playClinger() {
	if err := exec.Command("sleep", "300").Start(); err != nil {
		panic(err)
	}
	serveReal()
	time.Sleep(5 * time.Minute)
}

// engineProcess starts a process that plays the engine, and returns it with the
// pids of its two workers.
func engineProcess(t *testing.T, env ...string) (c *exec.Cmd, pids []int) {
	t.Helper()
	c = exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), envPlay+"=engine", "TMPDIR="+t.TempDir()), env...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); len(pids) < 2 && sc.Scan(); {
		pid, err := strconv.Atoi(sc.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		_ = c.Process.Kill()
		_ = c.Wait()
		t.Fatalf("workers %v, %s", pids, &stderr)
	}
	return c, pids
}

// Nothing that a worker started in its group outlives a killed engine, nor does
// a worker that would not end by itself.
func TestEngineKilledClingers(t *testing.T) {
	c, pids := engineProcess(t, envCling+"=1")
	for _, pid := range pids {
		until(t, "the worker has company", func() bool { return len(groupMembers(pid)) == 2 })
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	for _, pid := range pids {
		until(t, "the worker and its company are gone", func() bool { return len(groupMembers(pid)) == 0 })
	}
}

// A worker that was starting when its engine was killed ends with it, unless it
// ignores signals; Sweep ends that one, and what others have left behind. It
// touches no process whose number a note has by accident.
func TestSweep(t *testing.T) {
	for _, tt := range []struct {
		play  string
		below string // where in the directory that is swept the engine has its files
		left  int    // processes of a worker's group, when the engine is gone
	}{{"warms", "", 1}, {"sleep", "app", 1}, {"worker", "", 0}} {
		t.Run(tt.play, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			runtime := filepath.Join(dir, tt.below)
			c, pids := engineProcess(t, envRuntime+"="+runtime, envWorkers+"="+tt.play)
			if tt.play == "warms" {
				for _, pid := range pids {
					until(t, "the worker has company", func() bool { return len(groupMembers(pid)) == 2 })
				}
			}
			if tt.play == "sleep" {
				for _, pid := range pids {
					until(t, "it ignores SIGTERM", func() bool { return ignoresTerm(pid) })
				}
			}
			if notes, _ := filepath.Glob(filepath.Join(runtime, "*.pid")); len(notes) != 2 {
				t.Errorf("notes: %q", notes)
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			for _, pid := range pids {
				until(t, "the rest of the worker", func() bool { return len(groupMembers(pid)) == tt.left })
			}
			bystander := exec.Command("sleep", "60")
			bystander.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := bystander.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = bystander.Process.Kill()
				_ = bystander.Wait()
			}()
			for name, note := range map[string]string{"a": fmt.Sprintf("%d 1\n", bystander.Process.Pid), "b": "1 1\n", "c": "-1 1", "d": "", "e": fmt.Sprint(os.Getpid(), " 1")} {
				if err := os.WriteFile(filepath.Join(dir, name+".pid"), []byte(note), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if n := Sweep(dir); n != 2*tt.left {
				t.Errorf("killed %d, want %d", n, 2*tt.left)
			}
			for _, pid := range pids {
				until(t, "all of the worker is gone", func() bool { return len(groupMembers(pid)) == 0 })
			}
			if !alive(bystander.Process.Pid) {
				t.Error("a bystander was killed")
			}
		})
	}
}

// ignoresTerm says whether a process ignores SIGTERM: bit 14 of SigIgn, proc(5).
func ignoresTerm(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), "SigIgn:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err == nil && mask&(1<<(uint(syscall.SIGTERM)-1)) != 0
}

// What playEngine's workers play, and where it has its sockets.
const (
	envWorkers = "ENGINE_TEST_WORKERS"
	envRuntime = "ENGINE_TEST_RUNTIME"
	envUser    = "ENGINE_TEST_USER" // whom they run as, and what
	envProgram = "ENGINE_TEST_PROGRAM"
)

// playEngine is a daemon: an engine whose workers the test looks at after it
// was killed.
func playEngine() {
	play := "worker"
	if os.Getenv(envCling) != "" {
		play = "clinger"
	}
	if other := os.Getenv(envWorkers); other != "" {
		play = other
	}
	if err := os.Setenv(envPlay, play); err != nil {
		panic(err)
	}
	o := Options{Path: os.Args[0], Workers: 2, Loops: 2, RuntimeDir: os.Getenv(envRuntime)}
	if name := os.Getenv(envUser); name != "" {
		u, err := LookupUser(name, "")
		if err != nil {
			panic(err)
		}
		o.User, o.Path = u, os.Getenv(envProgram)
	}
	e, err := New(o)
	if err != nil {
		panic(err)
	}
	started := make(chan error, 1)
	go func() { started <- e.Start(context.Background()) }() // some never do
	if play == "worker" || play == "clinger" {
		if err := <-started; err != nil {
			panic(err)
		}
	}
	pids := 0
	for pids < 2 {
		time.Sleep(time.Millisecond)
		pids = 0
		for _, w := range e.Status().Workers {
			if w.Pid > 0 {
				pids++
			}
		}
	}
	time.Sleep(50 * time.Millisecond) // until signals are ignored that are to be
	for _, w := range e.Status().Workers {
		fmt.Println(w.Pid)
	}
	time.Sleep(time.Minute)
}
