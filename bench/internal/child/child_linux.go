// Package child lets a benchmark run parts of itself in processes of their own
// and ask them things. Both sides are the same binary: main calls [Role] first,
// and where that names one, serves it.
//
//	if role := child.Role(); role != "" {
//		child.Serve(answer)	// in the child, until the parent leaves
//	}
//	c, err := child.Start(ctx, "server", ...)	// in the parent
//	err = c.Ask(request, &reply)
//
// Requests and replies are JSON, one of each on its own line of the child's
// standard input and output.
package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

const roleVariable = "HEDDLE_BENCH_ROLE"

// Role is what this process was started as, empty for the parent.
func Role() string { return os.Getenv(roleVariable) }

// A Child is a process that runs a role of this binary.
type Child struct {
	Name string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// Start runs this binary as role, with args behind its name. The child is killed
// when ctx ends; the caller stops it before.
func Start(ctx context.Context, role string, args ...string) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Child{Name: role, cmd: cmd, in: in, out: json.NewDecoder(out)}, nil
}

// message is a reply on its way.
type message struct {
	Reply json.RawMessage
	Error string
}

// Ask sends request, waits for the answer and decodes it into reply. It fails
// with the child's error, or when the child has left or was killed.
func (c *Child) Ask(request, reply any) error {
	if err := json.NewEncoder(c.in).Encode(request); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	var m message
	if err := c.out.Decode(&m); err != nil {
		return fmt.Errorf("%s has left: %w", c.Name, err)
	}
	if m.Error != "" {
		return fmt.Errorf("%s: %s", c.Name, m.Error)
	}
	return json.Unmarshal(m.Reply, reply)
}

// Stop ends the child and waits for it: its standard input ends, and if that is
// not enough within two seconds, it is killed.
func (c *Child) Stop() {
	_ = c.in.Close()
	kill := time.AfterFunc(2*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait()
	kill.Stop()
}

// Pid is the child's.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Serve answers the parent's requests one after the other, until there are no
// more: the parent is done or has died.
func Serve(answer func(request json.RawMessage) (any, error)) error {
	requests, replies := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var request json.RawMessage
		if err := requests.Decode(&request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var m message
		reply, err := answer(request)
		if err == nil {
			m.Reply, err = json.Marshal(reply)
		}
		if err != nil {
			m = message{Error: err.Error()}
		}
		if err := replies.Encode(m); err != nil {
			return err
		}
	}
}

// CPU is the user and system time that this process has used, getrusage(2).
func CPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("child: getrusage: %v", err)) // it knows no other failure than a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
