package stack

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// ticksPerSecond is the unit of the times in /proc/PID/stat: USER_HZ, 100 on
// every Linux architecture that Go runs on (proc(5), sysconf(3)).
const ticksPerSecond = 100

type process struct {
	pid, parent int
	state       byte
	start       uint64 // ticks after boot
	ticks       uint64 // user and system time, with that of reaped children
}

// tree returns root and all its living descendants.
func tree(root int) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := readProc(pid); err == nil { // it may have ended meanwhile
			children[p.parent] = append(children[p.parent], p)
		}
	}
	first, err := readProc(root)
	if err != nil {
		return nil, err
	}
	found := []process{first}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found, nil
}

func readProc(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(b)
}

// parseStat reads a line of /proc/PID/stat, proc_pid_stat(5). The name, field
// 2, is in parentheses and may itself hold any byte, so fields are counted
// from the last closing one.
func parseStat(b []byte) (process, error) {
	bad := fmt.Errorf("stack: not a line of /proc/PID/stat: %q", b)
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return process{}, bad
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b[:open])))
	if err != nil {
		return process{}, bad
	}
	fields := bytes.Fields(b[end+1:]) // fields[0] is field 3
	if len(fields) < 20 {
		return process{}, bad
	}
	p := process{pid: pid, state: fields[0][0]}
	if p.parent, err = strconv.Atoi(string(fields[1])); err != nil {
		return process{}, bad
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime: fields 14 to 17
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return process{}, bad
		}
		p.ticks += n
	}
	if p.start, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil { // field 22
		return process{}, bad
	}
	return p, nil
}
