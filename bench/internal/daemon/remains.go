package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Vitals are what a process has of the machine.
type Vitals struct {
	Memory      int64 // bytes, resident
	Descriptors int
	Threads     int
}

// Vitals reads the daemon's.
func (d *Daemon) Vitals() (Vitals, error) {
	var v Vitals
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Pid()))
	if err != nil {
		return v, err
	}
	v.Descriptors = len(fds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Pid()))
	if err != nil {
		return v, err
	}
	for line := range strings.Lines(string(status)) {
		switch f := strings.Fields(line); {
		case len(f) >= 2 && f[0] == "VmRSS:":
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			v.Memory = kib << 10
		case len(f) >= 2 && f[0] == "Threads:":
			v.Threads, _ = strconv.Atoi(f[1])
		}
	}
	return v, nil
}

// Processes are the pids of those whose program is, or was, below dir.
func Processes(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// No link: it has ended meanwhile, or is none of ours.
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(exe, dir+string(filepath.Separator)) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Clean kills, by their pids, the processes whose program is below dir, which
// only the script's own are, and removes dir.
func Clean(dir string) error {
	pids, err := Processes(dir)
	for _, pid := range pids {
		if proc, perr := os.FindProcess(pid); perr == nil {
			_ = proc.Kill()
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Files are the paths of what daemons have in their directory below dir,
// directories left out.
func Files(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(runDir(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		if !e.IsDir() {
			rel, err := filepath.Rel(runDir(dir), path)
			if err != nil {
				return err
			}
			files = append(files, rel)
		}
		return nil
	})
	return files, err
}
