package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// makeRuntimeDir prepares the directory of the sockets.
func (e *Engine) makeRuntimeDir() error {
	if e.opt.RuntimeDir != "" {
		return checkRuntimeDir(e.opt.RuntimeDir)
	}
	dir, err := os.MkdirTemp("", "heddle-") // mode 0700
	if err != nil {
		return fmt.Errorf("engine: runtime directory: %w", err)
	}
	e.opt.RuntimeDir, e.ownDir = dir, true
	return nil
}

// checkRuntimeDir makes dir if need be, and refuses one that others could have
// made for us or can look into.
func checkRuntimeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("engine: runtime directory: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("engine: runtime directory: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("engine: runtime directory %s is not a directory", dir)
	case !ok:
		return errors.New("engine: runtime directory: no owner known")
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("engine: runtime directory %s belongs to user %d, and this is user %d: %w", dir, st.Uid, os.Geteuid(), fs.ErrPermission)
	case fi.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("engine: runtime directory %s is open to others (mode %#o): chmod 700 it", dir, fi.Mode().Perm())
	}
	return nil
}
