package worker

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endGroup sees to it that nothing outlives an engine that has gone without a
// word. An engine that lives kills the process group of each worker that has
// left; here nobody is left to do so but the worker itself. What the program
// has started in its group is killed now, and the program too if it has not
// ended after grace. A process that made a session of its own is not found.
//
// It does nothing unless this process leads its group, as the engine starts
// its workers.
func endGroup(grace time.Duration) {
	self := os.Getpid()
	if unix.Getpgrp() != self {
		return
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == self || groupOf(file) != self {
			continue
		}
		// A pidfd is of one process for ever: what is looked at is what is killed.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if groupOf(file) == self {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
	time.AfterFunc(grace, func() { _ = unix.Kill(0, unix.SIGKILL) })
}

// groupOf reads a process's group, field 5 of proc_pid_stat(5); 0 if it has
// ended. Fields are counted from the name's closing parenthesis.
func groupOf(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(string(f[2]))
	return n
}
