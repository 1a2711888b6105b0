package stack

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Memory is the highest resident set size, in bytes, of a stack's processes
// since each began.
type Memory struct {
	Daemon int64 // the process that was started
	Others int64 // the sum of its descendants

	Each map[int]int64 // each descendant's, by pid
}

// Memory reads VmHWM (proc_pid_status(5)) of every process of the stack.
func (s *Stack) Memory() (Memory, error) {
	procs, err := tree(s.cmd.Process.Pid)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{Each: make(map[int]int64)}
	for i, p := range procs {
		n, err := peak(p.pid)
		if err != nil {
			return Memory{}, err
		}
		if i == 0 {
			m.Daemon = n
		} else {
			m.Others += n
			m.Each[p.pid] = n
		}
	}
	return m, nil
}

func peak(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	f := bytes.Fields(rest)
	if !ok || len(f) < 2 || string(f[1]) != "kB" {
		return 0, fmt.Errorf("stack: no VmHWM in the status of %d", pid)
	}
	n, err := strconv.ParseInt(string(f[0]), 10, 64)
	return n << 10, err
}
