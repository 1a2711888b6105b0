package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	lp, end, err := e.loopOf(l)
	if err != nil {
		return err
	}
	l.loop = lp
	shut, err := listenFor(e, l, path, os.Geteuid())
	if err != nil {
		end()
		return err
	}
	l.endpoint = "unix:" + path
	l.close = func() {
		shut()
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
