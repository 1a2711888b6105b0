package engine

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chainLinks and chainPause bound playChain: two seconds and the time that the
// forks take, and as many numbers of processes.
const (
	chainLinks = 2000
	chainPause = int64(time.Millisecond)
)

// playChain is a plain program with a process in a session of its own that forks
// and ends, and so on. The last one says so in the file CHAIN.
func playChain() {
	end, err := unix.Open(os.Getenv("CHAIN"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	runAway(end)
	_ = unix.Close(end)
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

// runAway returns in the parent alone. The others have one thread and no Go
// runtime to speak of: they do nothing but system calls.
//
//go:norace
//go:nosplit
func runAway(end int) {
	if pid, _, _ := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); pid != 0 {
		return
	}
	syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	pause := unix.Timespec{Nsec: chainPause}
	for range chainLinks {
		if pid, _, _ := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); pid != 0 {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
	}
	word := [1]byte{'!'}
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(end), uintptr(unsafe.Pointer(&word)), 1)
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}

// startChain starts such a program, and returns the end of the fifo that those of
// the chain have open.
func startChain(t *testing.T, u *User, path string) (*Engine, *os.File) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if u != nil {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(fifo, u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	e, err := startPlain(t, "plain-chain", Options{Path: path, User: u, Dir: "/", Env: []string{"CHAIN=" + fifo}, KillDelay: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return e, r
}

// TestChain: processes that fork and end in turn, in a session of their own, do not
// outlive their program, or the engine.
func TestChain(t *testing.T) {
	program := ""
	var u *User
	if os.Geteuid() == 0 {
		u, program = nobody(t), openProgram(t)
	}
	for name, end := range map[string]func(e *Engine, main int){
		"engine":  func(e *Engine, _ int) { e.Close() },
		"program": func(_ *Engine, main int) { _ = unix.Kill(main, unix.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			e, chain := startChain(t, u, program)
			end(e, e.Status().Workers[0].Pid)
			begun := time.Now()
			if err := chain.SetReadDeadline(begun.Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			switch n, err := chain.Read(b); {
			case n > 0:
				t.Error("they came to their own end")
			case fmt.Sprint(err) != "EOF":
				t.Error(err)
			}
			t.Logf("they lived for %v", time.Since(begun))
			e.Close()
		})
	}
}
