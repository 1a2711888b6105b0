package stack

import "syscall"

// Lineage gives a process a group of its own, so that a Ctrl-C at the terminal
// reaches the benchmark alone, which ends its stacks in order, and has the
// kernel end it should the benchmark die without doing so. The latter goes by
// the thread that starts the process (prctl(2), PR_SET_PDEATHSIG).
func Lineage() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// raiseFiles raises what processes started from now on may open: the limit
// itself where the hard one allows it or we may raise that too.
func raiseFiles(n uint64) (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	want := syscall.Rlimit{Cur: n, Max: max(n, limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want) == nil {
		return n, nil
	}
	want = syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
	return limit.Max, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want)
}
