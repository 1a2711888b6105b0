package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a directory with room for size bytes, of which more can be given;
// or /dev/full, where that cannot be had.
func smallDisk(t *testing.T, size string) (file string, grow func(size string)) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Logf("no disk of our own (%v): /dev/full it is", err)
		return "/dev/full", nil
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "out"), func(size string) {
		if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

// cpuOf is the processor time that a process has taken.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:])) // proc_pid_stat(5): from field 3 on
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

// latencies asks until stop says so and returns how long each answer took, sorted.
func latencies(t *testing.T, url string, stop func(n int) bool) (all []time.Duration) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for !stop(len(all)) {
		begun := time.Now()
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		all = append(all, time.Since(begun))
		time.Sleep(time.Millisecond)
	}
	slices.Sort(all)
	return all
}

var droppedIn = regexp.MustCompile(`^heddle: ([0-9]+) lines dropped: standard error was not read in time$`)

// numberIn is the number of a whole line of the flood.
func numberIn(line string) (int, bool) {
	_, rest, _ := strings.Cut(line, " r1] flood ")
	number, ok := strings.CutSuffix(rest, " of a program that has a lot to say")
	i, err := strconv.Atoi(number)
	return i, ok && err == nil
}

// TestFlood: a worker writes 100,000 lines a second, nobody reads the daemon's
// standard error, and the disk is full. No request waits for that, and of every
// line it is known whether it was kept.
func TestFlood(t *testing.T) {
	sent := 300_000
	if testing.Short() {
		sent = 100_000
	}
	file, grow := smallDisk(t, "256k")
	dir := shortDir(t)
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(dir, "c.sock")
	access := filepath.Join(dir, "access")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(heddle, "run", "--workers", "2", "--listen", "127.0.0.1:0", "--control", control, "--log-stdout", file, "--access-log", access, "--access-log-format", "json", "app")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		_ = cmd.Wait() // ProcessState has it
	}()
	defer func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
		<-ended
	}()
	var m []string
	said := bufio.NewReaderSize(r, 16) // so that it takes no more than it has to
	for m == nil {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		m = readyLine.FindStringSubmatch(strings.TrimSpace(line))
	}
	url := m[1]

	status := func() statusReply {
		out, err := exec.Command(heddle, "status", "--json", "--control", control).Output()
		if err != nil {
			t.Fatal(err)
		}
		var st statusReply
		if err := json.Unmarshal(out, &st); err != nil || st.AppStatus == nil {
			t.Fatalf("%v in %s", err, out)
		}
		return st
	}
	before := latencies(t, url, func(n int) bool { return n == 500 })
	base := status().Output.Stdout.Lines
	cpu := cpuOf(t, cmd.Process.Pid)
	latencies(t, fmt.Sprintf("%s/flood?n=%d", url, sent), func(n int) bool { return n == 1 })
	begun := time.Now()
	came := func() int64 { return status().Output.Stdout.Lines - base }
	asked := time.Now()
	during := latencies(t, url, func(int) bool {
		if time.Since(begun) > patience {
			t.Fatalf("%d of %d lines have come", came(), sent)
		}
		if time.Since(asked) < 300*time.Millisecond {
			return false
		}
		asked = time.Now()
		return came() == int64(sent)+1 // the last word besides
	})
	took := time.Since(begun)
	cpu = cpuOf(t, cmd.Process.Pid) - cpu
	at := func(all []time.Duration, p int) time.Duration { return all[(len(all)-1)*p/100] }
	t.Logf("%d lines in %v (%.0f/s), %d requests meanwhile; latency p50 %v p99 %v max %v, before %v %v %v; the daemon's CPU for lines and requests: %v, %v per line",
		sent, took.Round(time.Millisecond), float64(sent)/took.Seconds(), len(during), at(during, 50), at(during, 99), at(during, 100), at(before, 50), at(before, 99), at(before, 100), cpu, cpu/time.Duration(sent))
	if at(during, 100) > 3*time.Second || at(during, 50) > 10*at(before, 50)+50*time.Millisecond {
		t.Errorf("requests waited: p50 %v, at most %v; before %v and %v", at(during, 50), at(during, 100), at(before, 50), at(before, 100))
	}

	// The file: written, dropped or waiting.
	st := status()
	total := st.Output.Stdout.Lines
	out := st.Output.Files[0]
	if out.Dropped == 0 || out.Waiting == 0 || out.Written+out.Dropped >= total {
		t.Errorf("with a full disk: %+v of %d lines", out, total)
	}
	if grow == nil {
		if out.Written != 0 {
			t.Errorf("on /dev/full: %+v", out)
		}
	} else {
		grow("64m")
		if !until(func() bool { out = status().Output.Files[0]; return out.Waiting == 0 }) {
			t.Fatalf("with room again: %+v", out)
		}
		kept, last := int64(0), -1
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			kept++
			if i, ok := numberIn(strings.TrimSuffix(line, "\n")); ok {
				if i <= last {
					t.Fatalf("line %d comes behind %d", i, last)
				}
				last = i
			} else if !strings.Contains(line, "] app says up") && !strings.Contains(line, "] flooded in") {
				t.Errorf("in the file: %q", line)
			}
		}
		if kept != out.Written || out.Written+out.Dropped != total {
			t.Errorf("the file has %d lines; %+v of %d", kept, out, total)
		}
	}

	// The access log has every request, and nothing was dropped.
	requests := int64(len(before) + len(during) + 1)
	if !until(func() bool { return status().Access.Written == requests }) {
		t.Errorf("the access log: %+v, want %d", status().Access, requests)
	}
	if b, err := os.ReadFile(access); err != nil || int64(bytes.Count(b, []byte(`"status":200,`))) != requests {
		t.Errorf("the access log has %d lines, want %d; %v", bytes.Count(b, []byte("\n")), requests, err)
	}

	// Standard error, now that somebody reads.
	terminal := status().Dropped
	read := make(chan []byte)
	go func() { // ends with the daemon
		b, _ := io.ReadAll(said)
		read <- b
	}()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	kept, told, last, others := 0, 0, -1, 0
	b := <-read
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if i, ok := numberIn(line); ok {
			if i <= last {
				t.Fatalf("line %d comes behind %d", i, last)
			}
			last = i
			kept++
		} else if m := droppedIn.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			told += n
		} else {
			others++
		}
	}
	// Beside the flood a few lines of the daemon's own may be among them.
	if told == 0 || told < terminal || told > terminal+10 || kept+told < sent || kept+told > sent+10 {
		t.Errorf("of %d lines standard error got %d and dropped %d (status: %d); %d others", sent, kept, told, terminal, others)
	}
	t.Logf("standard error: %d kept, %d dropped; the file: %+v", kept, told, out)
}
