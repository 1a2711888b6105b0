package nodepeer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// What is read of a peer at most: of one event, and of its standard error.
const (
	maxEvent  = 16 << 20 // bytes
	maxStderr = 64 << 10 // bytes, the first ones
)

// stopDelay is how long a peer may take to leave before it is killed.
const stopDelay = 5 * time.Second

// A Command tells a script what to do. Which it knows is at its top.
type Command struct {
	Do    string          `json:"do"`
	Topic string          `json:"topic,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	To    string          `json:"to,omitempty"`    // a client's id
	Count int             `json:"count,omitempty"` // how often
}

// An Event is what a script tells.
type Event struct {
	Event string          `json:"event"`
	Topic string          `json:"topic"`
	Data  json.RawMessage `json:"data"`
	ID    string          `json:"id"` // a client's
	Error string          `json:"error"`
}

func (e Event) String() string {
	return fmt.Sprintf("%s %q %.100s %s %s", e.Event, e.Topic, e.Data, e.ID, e.Error)
}

// A Peer is a node process that runs a script. Its methods are for one goroutine.
type Peer struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr limited
	cancel context.CancelFunc
	once   sync.Once
	err    error // of the process, once it was waited for
}

// Start runs script, the text of a program, on node, with say and commands of testdata/lib.js before it. modules
// is where it finds packages, as Install returns it; may be empty. The peer is killed when ctx ends; the caller
// stops it before.
func Start(ctx context.Context, modules, script string, args ...string) (*Peer, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Peer{cancel: cancel, cmd: exec.CommandContext(ctx, node, append([]string{"-e", lib + script, "--"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "NODE_OPTIONS=")
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second
	p.in, err = p.cmd.StdinPipe()
	var out io.ReadCloser
	if err == nil {
		out, err = p.cmd.StdoutPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, maxEvent)
	return p, nil
}

// Do sends a command. It does not wait for what comes of it.
func (p *Peer) Do(c Command) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = p.in.Write(append(b, '\n'))
	return err
}

// Next returns the next event. When the peer has left it fails, with what it wrote to standard error.
func (p *Peer) Next() (Event, error) {
	var e Event
	if p.out.Scan() {
		err := json.Unmarshal(p.out.Bytes(), &e)
		if err != nil {
			err = fmt.Errorf("nodepeer: %w: %.200q", err, p.out.Bytes())
		}
		return e, err
	}
	if err := p.out.Err(); err != nil {
		return e, err
	}
	if err := p.Stop(); err != nil {
		return e, err
	}
	return e, io.EOF
}

// Stop ends the peer and waits for it: its input ends, and if that is not enough within five seconds it is
// killed. The error is that of the process, with what it wrote to standard error; nil when it left in order.
func (p *Peer) Stop() error {
	p.once.Do(func() {
		_ = p.in.Close()
		kill := time.AfterFunc(stopDelay, p.cancel)
		for p.out.Scan() { // what it still says; Wait closes the pipe
		}
		p.err = p.cmd.Wait()
		kill.Stop()
		p.cancel()
		if p.err != nil {
			p.err = fmt.Errorf("nodepeer: %w\n%s", p.err, p.stderr.String())
		}
	})
	return p.err
}

// Kill ends the peer at once.
func (p *Peer) Kill() error {
	p.cancel()
	return p.Stop()
}

// Pid is the process's.
func (p *Peer) Pid() int { return p.cmd.Process.Pid }

// ExitCode is the process's after Stop; -1 when a signal ended it.
func (p *Peer) ExitCode() int {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// limited keeps the first bytes.
type limited struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p[:min(len(p), maxStderr-l.b.Len())])
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
