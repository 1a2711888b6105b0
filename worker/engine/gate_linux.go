package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/loop"
)

// passable is the mode of directories on the way to a gate: others may pass.
const passable = 0o711

// gate makes the directory UserDir/UID-GID and in it an endpoint for each lane.
// The engine's own files are not there: what it notes and whom it dials must be out
// of reach.
func (osWorld) gate(e *Engine, u *User) (_ *gate, err error) {
	base := e.opt.UserDir
	if base == "" {
		if e.gates.own == "" {
			if e.gates.own, err = os.MkdirTemp("", "heddle-users-"); err != nil {
				return nil, fmt.Errorf("engine: directory for other users: %w", err)
			}
		}
		base = e.gates.own
	}
	if err := MakeUserDir(base); err != nil {
		return nil, err
	}
	g := &gate{user: u, dir: filepath.Join(base, fmt.Sprintf("%d-%d", u.UID, u.GID))}
	g.own = filepath.Join(g.dir, "own")
	var ends []func()
	g.close = func() {
		for _, end := range ends {
			end()
		}
		if err := RemoveUserDir(g.dir); err != nil {
			e.log.Warn("engine: of another user's workers something is left", "user", u.String(), "err", err)
		}
	}
	taken := false // the directory is ours, and not a running engine's
	defer func() {
		switch {
		case err != nil && taken:
			g.close()
		case err != nil:
			_ = os.Remove(g.dir) // if there is nothing in it
		}
	}()
	if err := MakeUserDir(g.dir); err != nil {
		return nil, err
	}
	for _, l := range e.lanes {
		path := filepath.Join(g.dir, fmt.Sprintf("%s.w%d", e.opt.Name, l.index))
		end, err := listenFor(e, l, path, u.UID)
		if err != nil {
			return nil, err
		}
		ends, taken = append(ends, end), true
		if err := os.Lchown(path, u.UID, u.GID); err != nil {
			return nil, fmt.Errorf("engine: socket for user %s: %w", u, err)
		}
		g.endpoints = append(g.endpoints, "unix:"+path)
	}
	if err := setAside(g); err != nil {
		return nil, fmt.Errorf("engine: directory for user %s: %w", u, err)
	}
	if err := errors.Join(os.Mkdir(g.own, 0o700), os.Lchown(g.own, u.UID, u.GID)); err != nil {
		return nil, fmt.Errorf("engine: directory for user %s: %w", u, err)
	}
	if err := removeAside(g); err != nil { // a predecessor's, which is in nobody's way
		e.log.Warn("engine: of another user's former workers something is left", "user", u.String(), "err", err)
	}
	return g, nil
}

// asides begins the names of directories that were a gate's own before.
const asides = "old-"

// setAside makes room for a gate's own directory. What its user has made there may
// take long to remove, or be too much.
func setAside(g *gate) error {
	err := os.Rename(g.own, filepath.Join(g.dir, asides+rand.Text()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeAside removes what was set aside.
func removeAside(g *gate) error {
	olds, err := filepath.Glob(filepath.Join(g.dir, asides+"*"))
	if err != nil {
		return err
	}
	for _, old := range olds {
		if err := RemoveUserDir(old); err != nil {
			return err // the others are for the next time
		}
	}
	return nil
}

// listenFor has the workers of one user dial a lane at path.
func listenFor(e *Engine, l *lane, path string, uid int) (end func(), err error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("engine: socket path %s is %d bytes long, and %d is the most: choose a shorter runtime directory or name", path, len(path), maxPath)
	}
	ln, err := l.loop.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		return newChannel(e, l, c, uid, func() (int, int, error) {
			pid, uid, _, err := c.PeerCred()
			return pid, uid, err
		})
	}, loop.ListenOptions{Mode: 0o600})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("engine: %s is in use by a running engine, which goes on undisturbed; choose another name or runtime directory: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: listen: %w", err)
	}
	return func() { _ = ln.Close() }, nil
}

// MakeUserDir makes a directory fit to be a UserDir, or on the way to one: others
// may pass it. It refuses one that is not this user's own, or in which others could
// have put something.
func MakeUserDir(dir string) error {
	if err := os.MkdirAll(dir, passable); err != nil {
		return fmt.Errorf("engine: directory for other users: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("engine: directory for other users: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir() || !ok:
		return fmt.Errorf("engine: %s is not a directory", dir)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("engine: directory %s belongs to user %d, and this is user %d: %w", dir, st.Uid, os.Geteuid(), fs.ErrPermission)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("engine: directory %s can be written by others (mode %#o): chmod 711 it", dir, fi.Mode().Perm())
	}
	if err := os.Chmod(dir, passable); err != nil { // whatever the umask was
		return fmt.Errorf("engine: directory for other users: %w", err)
	}
	return nil
}

// credential is u as the kernel takes it; nil for this process's own user.
func credential(u *User) *syscall.Credential {
	if !u.Foreign() {
		return nil
	}
	c := &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
	for _, n := range u.Groups {
		c.Groups = append(c.Groups, uint32(n))
	}
	return c
}

// errOwner reports a socket at a plain program's path that is not the user's, or
// that somebody else listens on: whoever may write there could have linked to any,
// also one that only root can reach.
var errOwner = errors.New("another user's socket")

// dialDoor connects to a door. Of one in another user's directory the owner is asked
// before: who listens at a socket that systemd keeps would be started by a
// connection alone.
func dialDoor(ctx context.Context, network, address string, owner *User) (net.Conn, error) {
	if owner == nil || network != "unix" {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: &net.UnixAddr{Net: network, Name: address}, Err: err}
	}
	at, err := unix.Open(address, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(os.NewSyscallError("open", err))
	}
	defer unix.Close(at)
	var st unix.Stat_t
	switch err := unix.Fstat(at, &st); {
	case err != nil:
		return fail(os.NewSyscallError("fstat", err))
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fail(fmt.Errorf("%w: what is there is no socket, or a link to one", errOwner))
	case int(st.Uid) != owner.UID:
		return fail(fmt.Errorf("%w: of %d, and not %d", errOwner, st.Uid, owner.UID))
	}
	// What was looked at, whatever has that name by now.
	c, err := new(net.Dialer).DialContext(ctx, network, "/proc/self/fd/"+strconv.Itoa(at))
	if err != nil {
		return nil, err
	}
	if err := checkListener(c.(*net.UnixConn), owner.UID); err != nil {
		_ = c.Close()
		return fail(err)
	}
	return c, nil
}

// checkListener fails unless it was a process of that user that began to listen
// where c is connected to: unix(7), SO_PEERCRED.
func checkListener(c *net.UnixConn, uid int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	switch err := errors.Join(err, failed); {
	case err != nil:
		return err
	case int(cred.Uid) != uid:
		return fmt.Errorf("%w: %d listens there, and not %d", errOwner, cred.Uid, uid)
	}
	return nil
}

// barrier is the first directory on the way to path that u may not pass, or the
// file itself if u may not execute it; "" if modes keep nobody out.
func barrier(u *User, path string) string {
	may := func(path string) bool {
		fi, err := os.Stat(path)
		if err != nil {
			return true // that is another error
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		mode := fi.Mode().Perm()
		switch {
		case !ok || u.UID == 0:
			return true
		case int(st.Uid) == u.UID:
			return mode&0o100 != 0
		}
		for _, n := range append([]int{u.GID}, u.Groups...) {
			if int(st.Gid) == n {
				return mode&0o010 != 0
			}
		}
		return mode&0o001 != 0
	}
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(filepath.Clean(path), "/"), "/") {
		if !may(at) {
			return at
		}
		at = filepath.Join(at, part)
	}
	if !may(at) {
		return at
	}
	return ""
}

// words is a credential as a guardian takes it; "-" for none.
func words(u *User) string {
	if !u.Foreign() {
		return "-"
	}
	parts := []string{strconv.Itoa(u.UID), strconv.Itoa(u.GID)}
	for _, n := range u.Groups {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
