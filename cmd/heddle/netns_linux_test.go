package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A netns is a network namespace. It goes with the last descriptor of it and the
// last process in it, and so do its links: nothing is left when a test is killed.
type netns struct{ file *os.File }

// do calls f in the namespace, on a thread of its own. The sockets that f makes, and
// the processes that it starts, are there; what f calls on other goroutines is not.
func (n netns) do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// path names the namespace to other processes.
func (n netns) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// ip runs commands of ip(8) in the namespace, a line each.
func (n netns) ip(lines ...string) error {
	return n.do(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, out)
		}
		return nil
	})
}

// newNetns makes one that has nothing but a loopback that is down.
func newNetns(t *testing.T) (n netns, err error) {
	t.Helper()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return n, err
	}
	defer here.Close()
	err = netns{here}.do(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err == nil {
		t.Cleanup(func() { n.file.Close() })
	}
	return n, err
}

// machines are n network namespaces in one network, each with the address
// 10.9.0.N, counted from 1. It skips the test where there can be none.
func machines(t *testing.T, n int) []netns {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip here (Debian: iproute2)")
	}
	all := make([]netns, n)
	for i := range all {
		var err error
		if all[i], err = newNetns(t); err != nil {
			t.Skipf("needs network namespaces: %v", err)
		}
	}
	bridge := all[n-1]
	lines := []string{"link add lan type bridge", "link set lan up", fmt.Sprintf("addr add 10.9.0.%d/24 dev lan", n)}
	for i := range n - 1 {
		lines = append(lines,
			fmt.Sprintf("link add port%d type veth peer name eth0 netns %s", i, all[i].path()),
			fmt.Sprintf("link set port%d master lan up", i))
	}
	if err := bridge.ip(lines...); err != nil {
		t.Skipf("needs links between network namespaces: %v", err)
	}
	for i, m := range all {
		lines := []string{"link set lo up"}
		if i < n-1 {
			lines = append(lines, fmt.Sprintf("addr add 10.9.0.%d/24 dev eth0", i+1), "link set eth0 up")
		}
		if err := m.ip(lines...); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
