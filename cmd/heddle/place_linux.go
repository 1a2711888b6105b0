package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/worker/engine"
)

// A place is what a daemon of one name owns in the state directory:
//
//	NAME.sock   its control socket, unless --control says another path
//	NAME.lock   held while it lives; the kernel lets go of it whatever happens
//	NAME.d/     sockets that workers dial, and releases: r1/PROGRAM, r1.json
//
// and, only if workers run as other users, a directory of users below /tmp: nobody
// but us can enter the state directory.
//
// Whoever holds the lock may remove what a predecessor of that name left behind
// when it was killed.
type place struct {
	name    string
	control string // the control socket
	home    string // NAME.d
	release string // where releases are; home, unless programs cannot be run from there

	lockPath string
	lock     *os.File

	mu   sync.Mutex
	kept map[string]*os.File // directories that are locked against systemd-tmpfiles, by path
}

// errHeld reports a lock that a living daemon holds.
var errHeld = errors.New("held by another daemon")

// takePlace makes the place of the daemon called name, empty.
func takePlace(name, control string) (*place, error) {
	base := stateDir()
	if err := makeStateDir(base); err != nil {
		return nil, err
	}
	p := &place{name: name, control: control, home: filepath.Join(base, name+".d"), lockPath: filepath.Join(base, name+".lock")}
	if p.control == "" {
		p.control = socketPath(name)
	}
	// The engine's sockets are NAME.d/NAME.wN.
	if n := len(filepath.Join(p.home, name)) + len(".w999"); max(n, len(p.control)) > maxSocketPath {
		return nil, usage("run", "the name %s is too long: sockets' paths in %s would exceed the %d bytes that they may have", name, base, maxSocketPath)
	}
	var err error
	if p.lock, err = lockFile(p.lockPath); err != nil {
		if errors.Is(err, errHeld) {
			return nil, taken(name, p.lockPath)
		}
		return nil, fmt.Errorf("lock of the name %s: %w", name, err)
	}
	if err := p.clear(); err != nil {
		p.leave()
		return nil, fmt.Errorf("what an earlier daemon named %s left behind cannot be removed: %w", name, err)
	}
	if err := p.furnish(); err != nil {
		p.leave()
		return nil, err
	}
	p.keep(base)
	p.keep(filepath.Dir(p.release))
	return p, nil
}

// keep has systemd-tmpfiles leave what is below dir alone while we live. It removes
// what nobody has used for days below /tmp, such as a release's program, but
// nothing below a directory that is locked (tmpfiles.d(5), Age). Daemons share the
// lock.
func (p *place) keep(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept[dir] != nil {
		return
	}
	f, err := os.Open(dir)
	if err != nil {
		return // it is as before
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil { // it is being cleaned just now, or cannot be locked
		_ = f.Close()
		return
	}
	if p.kept == nil {
		p.kept = make(map[string]*os.File)
	}
	p.kept[dir] = f
}

// taken is the failure of a second daemon of one name.
func taken(name, lockPath string) error {
	who := ""
	if b, err := os.ReadFile(lockPath); err == nil && len(b) > 0 {
		who = fmt.Sprintf(" (pid %s)", strings.TrimSpace(string(b)))
	}
	return &failure{
		code: exitRefused,
		err:  fmt.Errorf("a daemon named %s is running already%s", name, who),
		fine: "it goes on serving; nothing else was started.",
		try:  fmt.Sprintf("try: heddle status --name %s, or heddle run with another --name", name),
	}
}

// lockFile takes the lock at path and writes our pid into it.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if err == syscall.EWOULDBLOCK {
				return nil, errHeld
			}
			return nil, os.NewSyscallError("flock", err)
		}
		// Its last holder may have removed it between our open and our lock.
		ours, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Lstat(path); err != nil || !os.SameFile(ours, there) {
			f.Close()
			continue
		}
		if err := errors.Join(f.Truncate(0), writePid(f)); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
}

func writePid(w io.Writer) error {
	_, err := fmt.Fprintln(w, os.Getpid())
	return err
}

// fallback is the directory of releases where home's file system runs no
// programs. It is this home's own: a daemon of the same name may keep its state
// under another directory.
func (p *place) fallback() string {
	sum := sha256.Sum256([]byte(p.home))
	return filepath.Join(fmt.Sprintf("/tmp/heddle-%d", os.Getuid()), fmt.Sprintf("%s-%x.d", p.name, sum[:6]))
}

// clear ends what is left of a killed predecessor's workers and removes the
// directories, whoever made them.
func (p *place) clear() error {
	engine.Sweep(p.home)
	err := os.RemoveAll(p.home)
	if fallback := p.fallback(); fallback != p.home && checkStateDir(filepath.Dir(fallback)) == nil {
		err = errors.Join(err, os.RemoveAll(fallback))
	}
	if base := filepath.Dir(p.users()); isOurs(base) {
		err = errors.Join(err, engine.RemoveUserDir(p.users()))
	}
	return err
}

// users is the directory of what workers of other users have to reach. It need not
// exist.
func (p *place) users() string {
	sum := sha256.Sum256([]byte(p.home))
	return filepath.Join(fmt.Sprintf("/tmp/heddle-%d-users", os.Getuid()), fmt.Sprintf("%s-%x.d", p.name, sum[:6]))
}

// openUsers makes it.
func (p *place) openUsers() error {
	dir := p.users()
	err := engine.MakeUserDir(filepath.Dir(dir))
	if err == nil {
		err = engine.MakeUserDir(dir)
	}
	if err != nil {
		return &failure{code: exitError, err: err, try: "try: look who made it (ls -ld " + filepath.Dir(dir) + "), and remove it"}
	}
	if !runsPrograms(dir) {
		return &failure{
			code: exitError,
			err:  fmt.Errorf("no place for programs that other users run: %s is mounted noexec", dir),
			try:  "try: mount /tmp without noexec; or run the daemon itself as that user",
		}
	}
	p.keep(filepath.Dir(dir))
	return nil
}

// isOurs says whether dir is a directory of our user's, and no link.
func isOurs(dir string) bool {
	fi, err := os.Lstat(dir)
	if err != nil || !fi.IsDir() {
		return false
	}
	uid, known := ownerOf(fi)
	return known && uid == os.Getuid()
}

// furnish makes the directories.
func (p *place) furnish() error {
	if err := os.Mkdir(p.home, 0o700); err != nil {
		return err
	}
	p.release = p.home
	if runsPrograms(p.home) {
		return nil
	}
	p.release = p.fallback()
	if err := makeStateDir(filepath.Dir(p.release)); err != nil {
		return err
	}
	if err := os.Mkdir(p.release, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if !runsPrograms(p.release) {
		return &failure{
			code: exitError,
			err:  fmt.Errorf("no place for the program's private copy: %s and %s are mounted noexec", p.home, p.release),
			fine: "nothing was started.",
			try:  "try: point XDG_RUNTIME_DIR to a directory (mode 0700) on a file system that runs programs",
		}
	}
	return nil
}

// stNoexec is statfs(2)'s ST_NOEXEC, which x/sys does not name.
const stNoexec = 0x8

// runsPrograms says whether dir's file system is mounted without noexec.
func runsPrograms(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) != nil || st.Flags&stNoexec == 0
}

// leave removes everything and lets go of the name.
func (p *place) leave() {
	_ = p.clear() // what cannot be removed the next daemon of this name tries again
	_ = os.Remove(p.lockPath)
	_ = p.lock.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.kept {
		_ = f.Close()
	}
	p.kept = nil
}
