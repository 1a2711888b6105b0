package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

func (w osWorld) groupMemory(group int) (total int64, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // gone
		}
		// pid (name) state parent group ..., proc_pid_stat(5); the name may hold anything
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 3 || string(f[2]) != strconv.Itoa(group) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if n, err := w.memory(pid); err == nil {
			total += n
		}
	}
	return total, nil
}
