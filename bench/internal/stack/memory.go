package stack

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
)

// Memory is the resident set size, in bytes, of a stack's processes. Pages that
// several of them share count for each.
type Memory struct {
	Daemon int64 // the process that was started
	Others int64 // the sum of its descendants, and of what serves behind it

	Each map[int]int64 // each of the others', by pid
}

// All is the memory of all the processes of the stack.
func (m Memory) All() int64 { return m.Daemon + m.Others }

// Memory reads VmHWM (proc_pid_status(5)) of every process of the stack: the
// highest since each began, or since ForgetPeaks.
func (s *Stack) Memory() (Memory, error) { return s.memory("VmHWM:") }

// Resident reads VmRSS (proc_pid_status(5)) of every process of the stack.
func (s *Stack) Resident() (Memory, error) { return s.memory("VmRSS:") }

func (s *Stack) memory(field string) (Memory, error) {
	procs, err := tree(s.cmd.Process.Pid)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{Each: make(map[int]int64)}
	for i, p := range procs {
		n, err := sizeOf(p.pid, field)
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
	for _, b := range s.behind {
		more, err := b.memory(field)
		if err != nil {
			return Memory{}, err
		}
		m.Others += more.All()
		m.Each[b.cmd.Process.Pid] = more.Daemon
		maps.Copy(m.Each, more.Each)
	}
	return m, nil
}

// ForgetPeaks sets the highest resident set size of every process of the stack
// to what it is now, where the kernel lets us: 5 to clear_refs (proc(5)).
func (s *Stack) ForgetPeaks() error {
	procs, err := tree(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, p := range procs {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid), []byte("5"), 0))
	}
	for _, b := range s.behind {
		err = errors.Join(err, b.ForgetPeaks())
	}
	return err
}

// sizeOf reads a line such as "VmHWM:  1234 kB".
func sizeOf(pid int, field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte(field))
	f := bytes.Fields(rest)
	if !ok || len(f) < 2 || string(f[1]) != "kB" {
		return 0, fmt.Errorf("stack: no %s in the status of %d", field, pid)
	}
	n, err := strconv.ParseInt(string(f[0]), 10, 64)
	return n << 10, err
}

// Descriptors is how many the process that was started has open.
func (s *Stack) Descriptors() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(entries), err
}
