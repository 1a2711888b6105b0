package guard

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pauses between two looks for children that are still there and were killed: some
// take long, or are in the kernel's hands.
const (
	leastPause = 2 * time.Millisecond
	mostPause  = 100 * time.Millisecond
)

// mostAtOnce is how many children are killed, or waited for, before the others'
// turn: a look at the first of very many must not take longer than they live.
const mostAtOnce = 512

// This runs on the main thread, which init has to itself and which lives as long
// as the process: the program's parent-death signal comes with the end of the
// thread that started it.
func init() {
	if len(os.Args) < 2 || os.Args[1] != Verb {
		return
	}
	args := os.Args[2:]
	switch {
	case len(args) > 4 && args[0] == Guard:
		n, err := strconv.Atoi(args[1])
		cred, ok := credential(args[2])
		if err == nil && n >= 0 && ok {
			os.Exit(guard(n, cred, args[3:]))
		}
	case len(args) > 2 && args[0] == Start:
		os.Exit(start(args[1], args[2:]))
	}
	fmt.Fprintf(os.Stderr, "heddle: %s is for heddle itself; nothing was started. Try: heddle run --http TARGET\n", Verb)
	os.Exit(2)
}

// start makes this process the program. It returns if it cannot.
func start(path string, argv []string) (code int) {
	env := os.Environ()
	if _, ok := os.LookupEnv("LISTEN_FDS"); ok {
		env = append(env, "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	}
	err := WhileBusy(func() error { return syscall.Exec(path, argv, env) })
	why := err.Error()
	if errors.Is(err, syscall.ENOENT) {
		if _, serr := os.Stat(path); serr == nil {
			why = "the interpreter that its first line names, or its loader, does not exist"
		}
	}
	fmt.Fprintf(os.Stderr, "heddle: %s cannot be executed: %s\n", path, why)
	return ExitNoProgram
}

// A guardian has one program. Its main goroutine alone waits for children and kills
// them, so that a number is always that of a child.
type guardian struct {
	leash *os.File
	died  chan os.Signal // SIGCHLD
	pid   int            // the program
	ended bool           // and that was said
	code  unix.WaitStatus
}

// credential reads UID,GID,GROUP...; "-" is none.
func credential(text string) (c *syscall.Credential, ok bool) {
	if text == "-" {
		return nil, true
	}
	var ids []uint32
	for s := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, false
		}
		ids = append(ids, uint32(n))
	}
	if len(ids) < 2 {
		return nil, false
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, true
}

func guard(files int, cred *syscall.Credential, command []string) (code int) {
	// What the Go runtime keeps of this process is most of what it costs.
	debug.SetGCPercent(20)
	_ = os.WriteFile("/proc/self/comm", []byte("heddle-guard"), 0) // "exe" otherwise
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "heddle: guardian: prctl: %v\n", err)
		return 1
	}
	// A handler and not SIG_IGN, which the program would inherit.
	passing := make(chan os.Signal, 1)
	signal.Notify(passing, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM)
	g := &guardian{died: make(chan os.Signal, 1)}
	signal.Notify(g.died, unix.SIGCHLD)

	to := []uintptr{0, 1, 2}
	for i := range files {
		to = append(to, uintptr(FirstFile+i))
	}
	for fd := Leash; fd < FirstFile+files; fd++ {
		unix.CloseOnExec(fd)
	}
	_ = unix.SetNonblock(Leash, true)
	g.leash = os.NewFile(Leash, "leash")
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{os.Args[0], Verb, Start}, command...), &syscall.ProcAttr{
		Env: os.Environ(), Files: to, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: cred},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "heddle: guardian: %v\n", err)
		return ExitNoProgram
	}
	for fd := FirstFile; fd < FirstFile+files; fd++ {
		_ = unix.Close(fd)
	}
	g.pid = pid
	g.say(Started, pid)
	gone := make(chan struct{})
	go g.hold(gone) // ends with the process
	debug.FreeOSMemory()

	for left := true; left && !g.ended; {
		select {
		case <-passing: // the program has it, too
		case <-gone:
			left = g.killAll()
		case <-g.died:
			_, left = g.reap()
		}
	}
	g.killAll()
	return codeOf(g.code)
}

// reap waits for children that have died, as many as are killed at once, and says
// when the program is one. left: there are others.
func (g *guardian) reap() (n int, left bool) {
	for n < mostAtOnce {
		var status unix.WaitStatus
		who, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil: // ECHILD
			return n, false
		case who == 0:
			return n, true
		case who == g.pid && !g.ended:
			g.ended, g.code = true, status
			g.say(Ended, int(status))
		}
		n++
	}
	poke(g.died) // there may be more
	return n, true
}

// hold waits for the leash's end.
func (g *guardian) hold(gone chan<- struct{}) {
	var b [1]byte
	for {
		n, err := g.leash.Read(b[:])
		if n == 0 && err != nil {
			break
		}
	}
	close(gone)
}

// killAll kills the children, and theirs as they become ours, until there are
// none.
//
// Some of them may run away: one forks and ends, and so does the next. Who has a
// signal pending cannot fork, so it takes one blow that finds the last of them
// alive. Hence no pause as long as there are others at each look, a look that costs
// next to nothing, and a thread that comes before theirs where that is allowed.
func (g *guardian) killAll() (left bool) {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // of this thread
	var last []int
	pause := leastPause
	for {
		n, left := g.reap()
		if !left {
			return false
		}
		pids := children()
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it was not waited for: the number is its own
		}
		if n > 0 || !slices.Equal(pids, last) {
			last, pause = pids, leastPause
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-g.died:
		case <-t.C:
			pause = min(2*pause, mostPause)
		}
		t.Stop()
	}
}

// children lists children of this process: some, if there are many, and at least
// one if any lives.
func children() (pids []int) {
	// The main thread has started the program, and whoever loses its parent becomes
	// a child of that thread: find_new_reaper in the kernel's exit.c.
	self := strconv.Itoa(os.Getpid())
	fd, err := unix.Open("/proc/self/task/"+self+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil { // a kernel without CONFIG_PROC_CHILDREN
		return childrenOf(self)
	}
	defer unix.Close(fd)
	var b [mostAtOnce * 8]byte // bytes: a number has seven digits at most, PID_MAX_LIMIT, and a space
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return childrenOf(self)
	}
	for f := range strings.FieldsSeq(string(b[:n])) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return childrenOf(self)
	}
	return pids
}

// childrenOf lists the living, from all processes there are.
func childrenOf(parent string) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // gone
		}
		// pid (name) state parent ..., proc_pid_stat(5); the name may hold anything
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) < 2 || f[0] == "Z" || f[1] != parent {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func poke(ch chan<- os.Signal) {
	select {
	case ch <- unix.SIGCHLD:
	default:
	}
}

func (g *guardian) say(what string, n int) {
	_, _ = fmt.Fprintf(g.leash, "%s %d\n", what, n) // an error: nobody is there, which hold sees
}

// codeOf is the exit code of a program's end, as shells have it; the engine takes
// the status from the leash.
func codeOf(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
