package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPlaceIsOnes: of many who want a name one has it, also in the moments in
// which it is given up.
func TestPlaceIsOnes(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
				p, err := takePlace("n", "")
				if err != nil {
					if exitCode(err) != exitRefused {
						t.Error(err)
					}
					continue
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the name", n)
				}
				taken.Add(1)
				if _, err := os.Stat(p.home); err != nil {
					t.Errorf("somebody else cleared it: %v", err)
				}
				holders.Add(-1)
				p.leave()
			}
		})
	}
	wg.Wait()
	if taken.Load() < 8 {
		t.Errorf("the name was given only %d times", taken.Load())
	}
	if left, _ := filepath.Glob(filepath.Join(stateDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestPlaceKept: while daemons live systemd-tmpfiles, which wants such a lock, stays
// away.
func TestPlaceKept(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var places []*place
	for _, name := range []string{"a", "b"} {
		p, err := takePlace(name, "")
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	f, err := os.Open(stateDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range places {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Errorf("a lock while %s lives: %v", p.name, err)
		}
		p.leave()
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("a lock when nobody lives: %v", err)
	}
}

func TestPlaceName(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(t.TempDir(), strings.Repeat("d", 60)))
	if _, err := takePlace("n", ""); err == nil || !strings.Contains(err.Error(), "unset XDG_RUNTIME_DIR") {
		t.Errorf("no such directory: got %v", err)
	}
	if err := os.Mkdir(os.Getenv("XDG_RUNTIME_DIR"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := takePlace(strings.Repeat("n", 40), ""); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long name: got %v, want it refused", err)
	}
}

// TestRunsPrograms compares with what the kernel says of each mount.
func TestRunsPrograms(t *testing.T) {
	b, err := os.ReadFile("/proc/self/mounts") // device, path, type, options, proc_pid_mounts(5)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool) // by path; of several mounts on one the last counts
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); !strings.Contains(f[1], `\`) {
			want[f[1]] = !strings.Contains(","+f[3]+",", ",noexec,")
		}
	}
	for path, want := range want {
		if fi, err := os.Stat(path); err != nil || !fi.IsDir() {
			continue
		}
		if got := runsPrograms(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}
