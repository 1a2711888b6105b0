package engine

import (
	"path/filepath"
	"strconv"
)

func (w osWorld) groupMemory(group int) (total int64, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		f := statOf(pid) // state, parent, group, …
		if len(f) < 3 || f[2] != strconv.Itoa(group) {
			continue
		}
		if n, err := w.memory(pid); err == nil {
			total += n
		}
	}
	return total, nil
}
