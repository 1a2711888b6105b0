package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
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

// playEngine is a daemon: an engine whose workers the test looks at after it
// was killed.
func playEngine() {
	play := "worker"
	if os.Getenv(envCling) != "" {
		play = "clinger"
	}
	if err := os.Setenv(envPlay, play); err != nil {
		panic(err)
	}
	e, err := New(Options{Path: os.Args[0], Workers: 2, Loops: 2})
	if err != nil {
		panic(err)
	}
	if err := e.Start(context.Background()); err != nil {
		panic(err)
	}
	for _, w := range e.Status().Workers {
		fmt.Println(w.Pid)
	}
	time.Sleep(time.Minute)
}
