package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An engine that is killed cannot end its workers. Those that serve notice and
// leave; those that are starting get a signal from the kernel when their parent is
// gone; what is left even so, a worker that is stuck, or what one has started, is
// ended by Sweep: for each process that an engine starts in a RuntimeDir that it
// was given, a file there says which it is.
//
//	NAME.UUID.pid: process number, blank, its start time (field 22 of proc_pid_stat(5));
//	               of a guardian, blank and "guardian" besides
//
// A guardian ends by itself when its engine is gone, after all that it guards, also
// beyond its group: it gets guardGrace for that, and its group is killed only then.

const (
	remainsSuffix = ".pid"
	ofGuardian    = "guardian"

	sweepPause = 5 * time.Millisecond // between two looks for a guardian
)

// note writes the file of a process that was started, and returns what removes it.
func (e *Engine) note(id string, pid int, guarded bool) (forget func()) {
	if e.ownDir || e.opt.world != nil {
		return func() {} // nobody would find it
	}
	path := filepath.Join(e.opt.RuntimeDir, e.opt.Name+"."+id+remainsSuffix)
	started, ok := startOf(pid)
	if !ok {
		return func() {}
	}
	text := fmt.Sprintf("%d %s", pid, started)
	if guarded {
		text += " " + ofGuardian
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		e.log.Warn("engine: a worker's process cannot be noted; if this process is killed, it may be left", "pid", pid, "err", err)
		return func() {}
	}
	return func() { _ = os.Remove(path) } // whoever finds it finds no process
}

// Sweep kills the process groups of workers whose engines were killed, by what
// they noted in dir and the directories below it, which no engine may be using. It
// returns how many processes it killed. A process that made a session of its own is
// found only by a guardian.
func Sweep(dir string) (killed int) {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, remainsSuffix) {
			files = append(files, path)
		}
		return nil // what cannot be read has no notes of ours
	})
	patience := time.Now().Add(guardGrace) // for all together
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		number, rest, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		started, kind, _ := strings.Cut(rest, " ")
		pid, err := strconv.Atoi(number)
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		// While a group has members its number is given to no new process. So a
		// process of that number is the leader, or there is no such group any more.
		if now, there := startOf(pid); there && now != started {
			continue
		}
		for kind == ofGuardian && inGroup(pid, pid) && time.Now().Before(patience) {
			time.Sleep(sweepPause)
		}
		killed += killGroup(pid)
		_ = os.Remove(file)
	}
	return killed
}

// killGroup kills the members of a process group of our user, one by one.
func killGroup(group int) (killed int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || !inGroup(pid, group) {
			continue
		}
		// A pidfd is of one process for ever: what is looked at is what is killed.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if inGroup(pid, group) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
			killed++
		}
		_ = unix.Close(fd)
	}
	return killed
}

// inGroup says whether a process that has not ended is in a group.
func inGroup(pid, group int) bool {
	f := statOf(pid)
	return len(f) > 2 && f[0] != "Z" && f[2] == strconv.Itoa(group)
}

// startOf is when a process was started, in the kernel's clock ticks.
func startOf(pid int) (ticks string, ok bool) {
	f := statOf(pid)
	if len(f) < 20 {
		return "", false
	}
	return f[19], true
}
