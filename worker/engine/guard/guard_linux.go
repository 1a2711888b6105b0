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
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long a program's file may be busy being written: a process that was forked
// meanwhile holds the descriptor until it has executed.
const (
	busyGrace = time.Second
	busyPause = 10 * time.Millisecond
)

// Pauses between two looks for children that are still there: some take long, or
// are in the kernel's hands, and each look goes through all of /proc.
const (
	leastPause = 2 * time.Millisecond
	mostPause  = 100 * time.Millisecond
)

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
	var err error
	for until := time.Now().Add(busyGrace); ; time.Sleep(busyPause) {
		err = syscall.Exec(path, argv, env)
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(until) {
			break
		}
	}
	why := err.Error()
	if errors.Is(err, syscall.ENOENT) {
		if _, serr := os.Stat(path); serr == nil {
			why = "the interpreter that its first line names, or its loader, does not exist"
		}
	}
	fmt.Fprintf(os.Stderr, "heddle: %s cannot be executed: %s\n", path, why)
	return ExitNoProgram
}

// A guardian has one program.
type guardian struct {
	leash *os.File

	mu sync.Mutex // held while children are waited for, or killed by number
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
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)

	to := []uintptr{0, 1, 2}
	for i := range files {
		to = append(to, uintptr(FirstFile+i))
	}
	for fd := Leash; fd < FirstFile+files; fd++ {
		unix.CloseOnExec(fd)
	}
	_ = unix.SetNonblock(Leash, true)
	g := &guardian{leash: os.NewFile(Leash, "leash")}
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
	g.say(Started, pid)
	go g.hold() // ends with the process
	debug.FreeOSMemory()

	var status unix.WaitStatus
	ended := false
	for {
		select {
		case <-passing: // the program has it, too
			continue
		case <-died:
		}
		for more := true; more; {
			var who int
			var ws unix.WaitStatus
			if who, ws, more = g.wait(); who == pid && !ended {
				ended, status = true, ws
				g.say(Ended, int(status))
				go g.killAll() // ends with the process
			}
			if who < 0 {
				return codeOf(status)
			}
		}
	}
}

// wait waits for one child that has died. who is -1 if there is no child at all.
func (g *guardian) wait() (who int, status unix.WaitStatus, more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	switch {
	case err == unix.EINTR:
		return 0, 0, true
	case err != nil: // ECHILD
		return -1, 0, false
	}
	return who, status, who > 0
}

// hold waits for the leash's end.
func (g *guardian) hold() {
	var b [1]byte
	for {
		n, err := g.leash.Read(b[:])
		if n == 0 && err != nil {
			break
		}
	}
	g.killAll()
}

// killAll kills the children, and theirs as they become ours, until there are
// none; then the process ends.
func (g *guardian) killAll() {
	var last []int
	pause := leastPause
	for {
		g.mu.Lock()
		pids := childrenOf(os.Getpid())
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it was not waited for: the number is its own
		}
		g.mu.Unlock()
		time.Sleep(pause)
		if pause = min(2*pause, mostPause); !slices.Equal(pids, last) {
			pause = leastPause // it goes on: those of the dead are next
		}
		last = pids
	}
}

// childrenOf lists the living.
func childrenOf(parent int) (pids []int) {
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
		if len(f) < 2 || f[0] == "Z" || f[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
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
