package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	dice "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// doors makes the n-th process's addresses, in the runtime directory.
//
// Another user's program must reach the two paths that it is told of, and only
// these: it may write where its own socket is to be, so what is there is asked who
// listens. The socket of descriptor 3 is dialled by us alone.
func (osWorld) doors(e *Engine, n uint64, at *gate, heard func(*doors, string)) (_ *doors, err error) {
	base := filepath.Join(e.opt.RuntimeDir, "h"+strconv.FormatUint(n, 10))
	d := &doors{socket: base + ".s", notify: base + ".n", ready: make(chan struct{})}
	given := base + ".l"
	var owner *User
	if at != nil {
		owner = at.user
		d.notify = filepath.Join(at.dir, filepath.Base(d.notify))
		if d.socket, err = freshName(at.own, n); err != nil {
			return nil, err
		}
	}
	for _, path := range []string{given, d.notify, d.socket} {
		if len(path) > maxPath {
			return nil, fmt.Errorf("engine: socket path %s is %d bytes long, and %d is the most: choose a shorter runtime directory", path, len(path), maxPath)
		}
	}
	var port int
	var words *net.UnixConn
	var reading sync.WaitGroup
	d.close = func() {
		if d.listener != nil {
			_ = d.listener.Close()
		}
		if words != nil {
			_ = words.Close()
		}
		reading.Wait()
		ports.give(port)
		for _, path := range []string{given, d.socket, d.notify} {
			_ = os.Remove(path)
		}
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	ours := []string{given, d.notify}
	if at == nil {
		ours = append(ours, d.socket)
	}
	for _, path := range ours {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: given})
	if err != nil {
		return nil, fmt.Errorf("engine: listen: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	d.listener, err = ln.File()
	_ = ln.Close()
	if err != nil {
		return nil, fmt.Errorf("engine: listen: %w", err)
	}
	if words, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: d.notify}); err != nil {
		return nil, fmt.Errorf("engine: NOTIFY_SOCKET: %w", err)
	}
	if owner != nil {
		if err := errors.Join(os.Chmod(d.notify, 0o600), os.Lchown(d.notify, owner.UID, owner.GID)); err != nil {
			return nil, fmt.Errorf("engine: NOTIFY_SOCKET: %w", err)
		}
	}
	reading.Go(func() { // ends when the socket is closed
		b := make([]byte, 4<<10)
		for {
			n, err := words.Read(b) // descriptors that come along are closed by the kernel
			if err != nil {
				return
			}
			heard(d, string(b[:n]))
		}
	})
	if port, err = ports.take(); err != nil {
		return nil, err
	}
	d.port = strconv.Itoa(port)
	told := "PORT=" + d.port
	d.list = []*door{
		{told: "LISTEN_FDS (descriptor 3)", network: "unix", address: given},
		{told: told + " on 127.0.0.1", network: "tcp", address: "127.0.0.1:" + d.port},
		{told: "HEDDLE_SOCKET", network: "unix", address: d.socket, owner: owner},
	}
	if hasSix() {
		d.list = append(d.list, &door{told: told + " on ::1", network: "tcp", address: "[::1]:" + d.port})
	}
	return d, nil
}

// freshName is a path for the n-th process's own socket in another user's directory,
// which that user's processes could not foresee: they could have put something there
// that cannot be removed.
func freshName(dir string, n uint64) (string, error) {
	for range 10 {
		path := filepath.Join(dir, fmt.Sprintf("h%d%s.s", n, strings.ToLower(rand.Text()[:6])))
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("engine: no name for a socket is free in %s, or it cannot be read", dir)
}

func (osWorld) knock(ctx context.Context, d *door, path string) error {
	conn, err := dialDoor(ctx, d.network, d.address, d.owner)
	if err != nil {
		return err
	}
	return knockOn(ctx, conn, path)
}

// hasSix says whether this machine has ::1.
var hasSix = sync.OnceValue(func() bool {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
})

// ports are those that plain programs of this process were told of. A port is
// free only until somebody takes it, so these are none that the kernel gives to
// who asks for any (ip(7), ip_local_port_range), and no two processes of ours are
// told of the same.
var ports = portTable{taken: make(map[int]io.Closer)}

type portTable struct {
	mu    sync.Mutex
	taken map[int]io.Closer // each with what shows other engines of this machine that it is
}

const (
	leastPort  = 15000
	portTrials = 1000
)

// take finds a port that is free on 127.0.0.1 and ::1.
func (t *portTable) take() (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, to := portRange()
	for range portTrials {
		port := from + dice.IntN(to-from)
		if t.reserve(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("engine: no TCP port from %d to %d is free for a worker's PORT", from, to-1)
}

// reserve takes a port if it is free. Between that and the program's own bind another
// engine could find the same: a socket of a name in the abstract space keeps it off,
// and is gone with the process whatever ends that. Needs t.mu.
func (t *portTable) reserve(port int) bool {
	if t.taken[port] != nil {
		return false
	}
	mark, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: fmt.Sprintf("@heddle/port/%d", port)})
	if err != nil {
		return false
	}
	if !isFree(port) {
		_ = mark.Close()
		return false
	}
	t.taken[port] = mark
	return true
}

func (t *portTable) give(port int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mark := t.taken[port]; mark != nil {
		_ = mark.Close()
	}
	delete(t.taken, port)
}

// portRange is where ports are looked for: below those that the kernel gives, or
// above.
func portRange() (from, to int) {
	low, high := 32768, 60999
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if f := strings.Fields(string(b)); len(f) == 2 {
			l, lerr := strconv.Atoi(f[0])
			h, herr := strconv.Atoi(f[1])
			if lerr == nil && herr == nil {
				low, high = l, h
			}
		}
	}
	switch {
	case low-leastPort >= portTrials:
		return leastPort, low
	case 65535-high >= portTrials:
		return high + 1, 65536
	}
	return leastPort, 65536
}

func isFree(port int) bool {
	hosts := []string{"127.0.0.1"}
	if hasSix() {
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = ln.Close()
	}
	return true
}
