package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/heddle-go/heddle/loop"
)

// maxPath is how long a unix socket's path may be, unix(7): 108 bytes with the
// zero at its end.
const maxPath = 107

// listen starts a loop and has workers dial it at RuntimeDir/NAME.wN.
func (osWorld) listen(e *Engine, l *lane) error {
	if l.index == 0 {
		if err := e.makeRuntimeDir(); err != nil {
			return err
		}
	}
	path := filepath.Join(e.opt.RuntimeDir, fmt.Sprintf("%s.w%d", e.opt.Name, l.index))
	if len(path) > maxPath {
		return fmt.Errorf("engine: socket path %s is %d bytes long, and %d is the most: choose a shorter runtime directory or name", path, len(path), maxPath)
	}
	lp, end, err := e.loopOf(l)
	if err != nil {
		return err
	}
	ln, err := lp.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		return newChannel(e, l, c, func() (int, int, error) {
			pid, uid, _, err := c.PeerCred()
			return pid, uid, err
		})
	}, loop.ListenOptions{Mode: 0o600})
	if err != nil {
		end()
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("engine: %s is in use by a running engine, which goes on undisturbed; choose another name or runtime directory: %w", path, err)
		}
		return fmt.Errorf("engine: listen: %w", err)
	}
	l.endpoint = "unix:" + path
	l.loop = lp
	l.close = func() {
		_ = ln.Close()
		end()
	}
	return nil
}

// loopOf is the loop of a lane, which runs, and what ends it: nothing, if it is
// somebody else's.
func (e *Engine) loopOf(l *lane) (lp *loop.Loop, end func(), err error) {
	if len(e.opt.On) > 0 {
		return e.opt.On[l.index], func() {}, nil
	}
	lp, err = loop.New(loop.Options{Logger: e.log})
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() { // ends when end closes the loop
		defer close(done)
		if err := lp.Run(); err != nil && !errors.Is(err, loop.ErrClosed) {
			e.log.Error("engine: loop ended", "loop", l.index, "err", err)
		}
	}()
	return lp, func() {
		_ = lp.Close()
		<-done
	}, nil
}
