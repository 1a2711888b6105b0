package engine

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// userHZ is how many ticks a second has in /proc, time(7); the kernel's own
// clock may be another.
const userHZ = 100

// Measure fills in the memory and processor time of workers, where /proc tells.
func Measure(workers []WorkerStatus) {
	for i := range workers {
		w := &workers[i]
		w.Memory, w.CPU = 0, 0
		if w.Pid <= 0 {
			continue
		}
		n, cpu, err := MeasureProcess(w.Pid)
		if err == nil {
			w.Memory, w.CPU = n, cpu.Seconds()
		}
	}
}

// MeasureProcess returns the bytes that a process has resident, and its time on
// processors, those of its children left out.
func MeasureProcess(pid int) (memory int64, cpu time.Duration, err error) {
	if memory, err = (osWorld{}).memory(pid); err != nil {
		return 0, 0, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	cpu, err = processorTime(b)
	return memory, cpu, err
}

// processorTime reads utime and stime, fields 14 and 15 of proc_pid_stat(5).
func processorTime(stat []byte) (time.Duration, error) {
	f := statFields(stat) // from the third on
	if len(f) < 13 {
		return 0, fmt.Errorf("engine: %q is no stat of a process", stat)
	}
	var ticks uint64
	for _, s := range f[11:13] {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("engine: %q is no stat of a process", stat)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}
