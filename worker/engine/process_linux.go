package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/worker/engine/guard"
)

// osWorld is the real one.
type osWorld struct{ starter *starter }

func newWorld() world { return osWorld{newStarter()} }

func (w osWorld) close() { w.starter.stop() }

func (osWorld) group(pid int) (int, error) { return unix.Getpgid(pid) }

// descends asks each process for its parent. A guardian is the parent of those of
// its own whose parents have died.
func (osWorld) descends(pid, from int) bool {
	const deepest = 1 << 10 // whoever is deeper does not
	for range deepest {
		f := statOf(pid)
		if len(f) < 2 {
			return false
		}
		parent, err := strconv.Atoi(f[1])
		if err != nil || parent <= 1 {
			return false
		}
		if parent == from {
			return true
		}
		pid = parent
	}
	return false
}

// osProcess is a process of this machine.
type osProcess struct {
	p      *os.Process
	gone   chan struct{} // closed when it has exited
	pipes  [2]*os.File
	read   sync.WaitGroup // of the pipes' readers
	silent chan struct{}  // closed when both are done
	leash  *leash         // of its guardian; nil without

	mu     sync.Mutex
	reaped bool // its number may mean somebody else now
}

func (osWorld) memory(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b)) // size resident shared …, in pages: proc_pid_statm(5)
	if len(f) < 2 {
		return 0, fmt.Errorf("engine: /proc/%d/statm: %q", pid, b)
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// start runs s in a process group of its own, with standard input from
// /dev/null and both outputs through pipes.
func (w osWorld) start(s spec) (process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var ours, theirs [2]*os.File
	defer func() {
		closeFiles(theirs[:])
		closeFiles(s.files)
	}()
	for i := range ours {
		if ours[i], theirs[i], err = os.Pipe(); err != nil {
			closeFiles(ours[:])
			return nil, err
		}
		if s.user.Foreign() { // or it could not open /dev/stdout
			if err := theirs[i].Chown(s.user.UID, s.user.GID); err != nil {
				closeFiles(ours[:])
				return nil, err
			}
		}
	}
	path, args, files := s.path, s.args, []*os.File{null, theirs[0], theirs[1]}
	sys := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM, Credential: credential(s.user)}
	var held *leash
	if s.guard {
		var end *os.File
		if held, end, err = newLeash(); err != nil {
			closeFiles(ours[:])
			return nil, err
		}
		defer end.Close()
		path, args = held.command(s)
		files = append(files, end)
		sys.Credential = nil            // the guardian is ours, and sees to it
		sys.Pdeathsig = syscall.SIGCONT // it sees that we have died by its leash, unless it is stopped
	}
	files = append(files, s.files...)
	var p *os.Process
	err = guard.WhileBusy(func() (err error) {
		p, err = children.start(func() (*os.Process, error) {
			return w.starter.start(func() (*os.Process, error) {
				return os.StartProcess(path, args, &os.ProcAttr{
					Dir:   s.dir,
					Env:   s.env,
					Files: files,
					Sys:   sys,
				})
			})
		})
		return err
	})
	if err != nil {
		closeFiles(ours[:])
		held.close()
		return nil, err
	}
	held.follow(s.over)
	o := &osProcess{p: p, leash: held, gone: make(chan struct{}), silent: make(chan struct{}), pipes: ours}
	for i, stream := range [2]Stream{Stdout, Stderr} {
		o.read.Add(1)
		go o.readPipe(i, stream, s.output) // ends at the pipe's end, at the latest drainPipes after the death
	}
	go o.watch() // ends when the process has exited
	return o, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (o *osProcess) readPipe(i int, stream Stream, output func(Stream, string, bool)) {
	defer o.read.Done()
	readLines(o.pipes[i], func(text string, more bool) { output(stream, text, more) })
	_ = o.pipes[i].Close()
}

// watch closes gone when the process has exited, and leaves it to be reaped.
func (o *osProcess) watch() {
	defer close(o.gone)
	if err := waitPidfd(o.p.Pid); err == nil {
		return
	}
	// No pidfd (an old kernel, a sandbox, no descriptor left): wait on a thread.
	for {
		err := unix.Waitid(unix.P_PID, o.p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // exited, or ECHILD: somebody else reaped it, which is as final
		}
	}
}

// waitPidfd waits in the runtime's poller until pid, our child that was not
// reaped, has exited.
func waitPidfd(pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return err // the runtime cannot poll it
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if err != nil && err != unix.EINTR {
			failed = os.NewSyscallError("poll", err)
			return true
		}
		return n > 0
	})
	return errors.Join(err, failed)
}

func (o *osProcess) pid() int                 { return o.p.Pid }
func (o *osProcess) exited() <-chan struct{}  { return o.gone }
func (o *osProcess) drained() <-chan struct{} { return o.silent }
func (o *osProcess) terminate() error         { return o.signal(unix.SIGTERM) }

// kill has a guardian do it, who finds those that have left the group, and sees to
// it that it is done.
func (o *osProcess) kill() error {
	if o.leash == nil || !o.leash.pull() {
		return o.signal(unix.SIGKILL)
	}
	time.AfterFunc(guardGrace, func() { _ = o.signal(unix.SIGKILL) }) // nothing once it was reaped
	return nil
}

// main is what the guardian says it is.
func (o *osProcess) main() int {
	if pid := o.leash.started(); pid != 0 {
		return pid
	}
	return o.p.Pid
}

func (o *osProcess) named() <-chan struct{} {
	if o.leash == nil {
		return alreadyNamed
	}
	return o.leash.named
}

var alreadyNamed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// signal signals the group. Its number is the leader's, which is ours until it
// was reaped.
func (o *osProcess) signal(sig unix.Signal) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reaped {
		return nil
	}
	if err := unix.Kill(-o.p.Pid, sig); err != nil && err != unix.ESRCH {
		return fmt.Errorf("engine: signal %s to group %d: %w", unix.SignalName(sig), o.p.Pid, err)
	}
	return nil
}

// dump signals one process, which a pidfd keeps from being taken for another.
func (o *osProcess) dump(pid int) error {
	if pid == 0 {
		pid = o.p.Pid
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reaped {
		return nil
	}
	if group, err := unix.Getpgid(pid); err != nil || group != o.p.Pid {
		return fmt.Errorf("engine: process %d is not of group %d any more", pid, o.p.Pid)
	}
	return os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(fd, unix.SIGQUIT, nil, 0))
}

func (o *osProcess) reap() exit {
	until := time.Now().Add(drainPipes)
	_ = o.signal(unix.SIGKILL) // what is left of the group: the leader is dead but not waited for
	o.mu.Lock()
	o.reaped = true
	o.mu.Unlock()
	state, err := o.p.Wait()
	children.forget(o.p.Pid)
	for _, f := range o.pipes {
		_ = f.SetReadDeadline(until)
	}
	ended, told := o.leash.status()
	o.leash.close()
	go func() { // ends at the deadline just set
		o.read.Wait()
		close(o.silent)
	}()
	if err != nil {
		return exit{code: -1, signal: "a signal that is not known: " + err.Error()}
	}
	ws, ok := state.Sys().(syscall.WaitStatus)
	if told {
		ws, ok = ended, true
	}
	if ok && ws.Signaled() {
		return exit{code: -1, signal: unix.SignalName(ws.Signal())}
	}
	return exit{code: ws.ExitStatus()}
}
