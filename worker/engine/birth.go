package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/heddle-go/heddle/session"
)

// start runs the process and lets handshakes in that came before it returned.
func (c *child) start() (process, error) {
	c.begun = time.Now()
	s, err := c.spec()
	var proc process
	if err == nil {
		proc, err = c.e.world.start(s)
	}
	c.mu.Lock()
	c.proc = proc
	c.over = err != nil
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, fn := range held {
		fn()
	}
	if err != nil {
		return nil, err
	}
	c.forget = c.e.note(c.id, proc.pid(), s.guard)
	c.e.stats.spawned.Add(1)
	c.logger().Debug("engine: worker started", "pid", proc.pid())
	if c.plain != nil {
		c.seek()
	}
	c.e.tellWorker(WorkerSpawned, c, nil)
	return proc, nil
}

// dirOf is where p's next worker starts. A directory of no name any more is
// inherited, since a worker is better than none.
func (e *Engine) dirOf(p *Program) string {
	if p.Dir != "" {
		return p.Dir
	}
	if fi, err := os.Stat(e.dir); err != nil || !fi.IsDir() {
		return ""
	}
	return e.dir
}

// spec is what the process is started with.
func (c *child) spec() (spec, error) {
	if c.plain != nil {
		return c.plainSpec()
	}
	if c.foreign {
		return c.foreignSpec(), nil
	}
	p := &c.g.program
	return spec{
		path:   p.Path,
		args:   append([]string{filepath.Base(p.Path)}, p.Args...),
		env:    environment(p, c.identity()),
		dir:    c.e.dirOf(p),
		user:   p.User,
		output: c.output,
	}, nil
}

func (c *child) identity() identity {
	return identity{c.e.opt.Name, c.g.endpoint(0), c.id, c.place(), c.e.wanted(), c.suspended, c.plain != nil, c.foreign, c.e.opt.Locator}
}

// output takes a line that the worker wrote.
func (c *child) output(s Stream, text string, more bool) {
	if s == Stderr || c.plain != nil { // other programs say where they listen, and why not, wherever they like
		c.tail.add(text)
	}
	if c.e.opt.Output != nil {
		index, pid := c.who()
		c.e.opt.Output(Line{Index: index, ID: c.id, Release: c.release(), Pid: pid, Stream: s, Text: text, More: more})
	}
}

// who is the child's index and the process that people know it by, or 0.
func (c *child) who() (index, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil {
		pid = c.proc.main()
	}
	return c.index, pid
}

// shown is the pid that people know the worker by, or 0.
func (c *child) shown() int {
	_, pid := c.who()
	return pid
}

// pid is the process's, which leads its group, or 0.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil {
		return 0
	}
	return c.proc.pid()
}

// started says whether the process's number is known. If not, fn is called
// once it is, or once it is known that there will be none.
func (c *child) started(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil || c.over {
		return true
	}
	c.held = append(c.held, fn)
	return false
}

// admit makes ch the child's channel on its lane, or says why not.
func (c *child) admit(ch *channel, number uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return fmt.Errorf("worker %d has ended", c.index)
	}
	if err := c.ownsLocked(ch.pid); err != nil {
		return err
	}
	c.vacateLocked()
	at := ch.lane.index
	if c.foreign {
		at = 0
	}
	switch {
	case ch.uid != c.g.gate.uid():
		return fmt.Errorf("user %d greets for worker %d, which runs as user %d", ch.uid, c.index, c.g.gate.uid())
	case c.peer != 0 && ch.pid != c.peer:
		return fmt.Errorf("pid %d greets for worker %d, whose other channels are of pid %d", ch.pid, c.index, c.peer)
	case c.foreign && ch.lane.index != c.seat:
		return fmt.Errorf("worker %d greets on the endpoint of channel %d, and was told of %d's", c.index, ch.lane.index, c.seat)
	case number != uint64(ch.lane.index):
		return fmt.Errorf("%w: channel %d of worker %d on the endpoint of channel %d", session.ErrProtocol, number, c.index, ch.lane.index)
	case c.channels[at] != nil:
		return fmt.Errorf("%w: channel %d of worker %d is there already: %w", session.ErrProtocol, number, c.index, errTwice)
	}
	c.peer = ch.pid
	c.channels[at] = ch
	c.facts.waits = true
	return nil
}

// hint keeps why a handshake was refused, for the error of a worker that never
// comes online.
func (c *child) hint(text string) {
	c.mu.Lock()
	c.hinted = text
	c.mu.Unlock()
}

// hinting is the last hint, "" without one.
func (c *child) hinting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hinted
}

// complete says whether every channel was admitted.
func (c *child) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		if ch == nil {
			return false
		}
	}
	return true
}
