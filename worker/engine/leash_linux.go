package engine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/worker/engine/guard"
)

// guardGrace is how long a guardian may take to kill what it guards, before its
// group is killed.
const guardGrace = time.Second

// A leash is our end of a guardian's. The methods do nothing on a nil one.
type leash struct {
	end  *os.File
	done chan struct{} // closed when the guardian has gone

	named chan struct{} // closed when the program's process is known, or never will be

	mu     sync.Mutex
	pid    int
	ended  bool
	ending syscall.WaitStatus
}

// newLeash returns both ends.
func newLeash() (l *leash, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	_ = unix.SetNonblock(fds[0], true) // for the runtime's poller
	return &leash{end: os.NewFile(uintptr(fds[0]), "leash"), done: make(chan struct{}), named: make(chan struct{})}, os.NewFile(uintptr(fds[1]), "leash"), nil
}

// command is what a guardian of s is started with.
func (l *leash) command(s spec) (path string, args []string) {
	// This very program, whatever stands at its path by now.
	return "/proc/self/exe", append([]string{"heddle", guard.Verb, guard.Guard, strconv.Itoa(len(s.files)), words(s.user), s.path}, s.args...)
}

// follow begins to read what the guardian says. over is called when that is that
// the program has ended.
func (l *leash) follow(over func()) {
	if l == nil {
		return
	}
	go func() { // ends with the guardian
		defer close(l.done)
		name := sync.OnceFunc(func() { close(l.named) })
		defer name()
		for lines := bufio.NewScanner(l.end); lines.Scan(); {
			var what string
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "%s %d", &what, &n); err != nil {
				continue
			}
			l.mu.Lock()
			switch what {
			case guard.Started:
				l.pid = n
			case guard.Ended:
				l.ended, l.ending = true, syscall.WaitStatus(n)
			}
			l.mu.Unlock()
			name()
			if what == guard.Ended && over != nil {
				over()
			}
		}
	}()
}

// started is the program's process, 0 while that is not known.
func (l *leash) started() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pid
}

// status is how the program ended, if the guardian, who has ended, has told.
func (l *leash) status() (ws syscall.WaitStatus, told bool) {
	if l == nil {
		return 0, false
	}
	wait(l.done, drainPipes)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending, l.ended
}

// pull has the guardian kill what it guards. False: it cannot be told.
func (l *leash) pull() bool {
	raw, err := l.end.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, failed) == nil
}

// close lets go.
func (l *leash) close() {
	if l != nil {
		_ = l.end.Close()
	}
}
