package engine

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProcessorTime(t *testing.T) {
	for _, tt := range []struct {
		stat string
		want time.Duration
		ok   bool
	}{
		{"7 (app) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 9 9 20 0 1 0 5", 2 * time.Second, true},
		{"7 (a) S 1) (b) R 1 7 7 0 -1 4194560 100 0 0 0 3 4 9 9 20 0 1 0 5", 70 * time.Millisecond, true},
		{"7 (app) S 1 7 7 0 -1 4194560 100 0 0 0 150", 0, false},
		{"7 (app) S 1 7 7 0 -1 4194560 100 0 0 0 -1 50", 0, false},
		{"", 0, false},
		{"no stat", 0, false},
	} {
		got, err := processorTime([]byte(tt.stat))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %v, %v, want %v", tt.stat, got, err, tt.want)
		}
	}
}

// TestMeasure compares with what the kernel says of this process elsewhere.
func TestMeasure(t *testing.T) {
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); { // use some
	}
	workers := []WorkerStatus{{Pid: os.Getpid()}, {}, {Pid: 1 << 30, Memory: 5, CPU: 5}}
	Measure(workers)
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	used := time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
	if got := workers[0].CPU; got <= 0 || got > used+0.1 || got < used-0.5 {
		t.Errorf("CPU: got %v s, getrusage says %v s", got, used)
	}
	if got, most := workers[0].Memory, ru.Maxrss<<10; got < 1<<20 || got > most+most/4 {
		t.Errorf("memory: got %d bytes, at most it had %d", got, most)
	}
	for _, w := range workers[1:] {
		if w.Memory != 0 || w.CPU != 0 {
			t.Errorf("no such process: got %+v", w)
		}
	}
}
