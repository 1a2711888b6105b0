package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// runAll runs each top-level test in a process of its own.
func (c *copyOf) runAll(ctx context.Context, names []string, o *options) (*result, error) {
	r := &result{output: map[string]string{}}
	var mu sync.Mutex
	todo := make(chan string)
	var wg sync.WaitGroup
	for range o.jobs {
		wg.Go(func() { // ends when all names are taken
			for name := range todo {
				out, err := c.run(ctx, name, o.timeout)
				passed, failed, skipped := outcomes(out)
				if err != nil && len(failed) == 0 {
					failed = []string{name} // such as goroutines left behind, or a panic
				}
				mu.Lock()
				r.Passed += len(passed)
				r.Sub += subtests(passed)
				r.SubAll += subtests(passed) + subtests(failed)
				r.Skipped += skipped
				r.Total += len(passed) + len(failed)
				r.Failed = append(r.Failed, failed...)
				if len(failed) > 0 {
					r.output[name] = string(out)
				}
				mu.Unlock()
			}
		})
	}
	tell := progress(len(names))
	for i, name := range names {
		tell(i)
		todo <- name
	}
	close(todo)
	wg.Wait()
	tell(len(names))
	slices.Sort(r.Failed)
	return r, ctx.Err()
}

// progress tells on a terminal how far the run is.
func progress(n int) func(done int) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int) {}
	}
	return func(done int) {
		fmt.Fprintf(os.Stderr, "\r%d of %d", done, n)
		if done == n {
			fmt.Fprintln(os.Stderr)
		}
	}
}

// run runs one top-level test. The test program ends by itself at its time-out,
// and is ended a little later.
func (c *copyOf) run(ctx context.Context, name string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, "-test.v", "-test.run", "^"+name+"$", "-test.timeout", timeout.String())
	cmd.Dir = filepath.Join(c.root, "src", "net", "http")
	cmd.Env = append(os.Environ(), "GOROOT="+c.root)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.Bytes(), err
}

var (
	began = regexp.MustCompile(`(?m)^=== RUN +(\S+)`)
	ended = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)
)

// outcomes counts the tests of an output that have no subtests. One that began
// and did not end has failed.
func outcomes(out []byte) (passed, failed []string, skipped int) {
	state := map[string]string{}
	for _, m := range began.FindAllSubmatch(out, -1) {
		state[string(m[1])] = "FAIL"
	}
	for _, m := range ended.FindAllSubmatch(out, -1) {
		state[string(m[2])] = string(m[1])
	}
	for name, s := range state {
		if leaf := !hasSub(state, name); !leaf {
			continue
		}
		switch s {
		case "PASS":
			passed = append(passed, name)
		case "SKIP":
			skipped++
		default:
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	return passed, failed, skipped
}

// subtests is how many of names are of subtests.
func subtests(names []string) (n int) {
	for _, name := range names {
		if strings.Contains(name, "/") {
			n++
		}
	}
	return n
}

func hasSub(state map[string]string, name string) bool {
	for other := range state {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}
