package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// silence is how long past an order's own time-out the daemon may be silent.
const silence = 30 * time.Second

// withdrawTimeout is how long the daemon may take to say whether a deploy could
// still be withdrawn.
const withdrawTimeout = 5 * time.Second

// A call is one order and what is shown of it.
type call struct {
	verb    string
	control controlFlags
	asJSON  bool

	order order
	files []*os.File

	progress func(event) string  // the terminal's last line; "": as it was
	done     func(result) string // what a person reads in the end

	// The order ends with its command, unless it has switched; else it goes on.
	withdraws bool

	// The command's goroutine only.
	release  string // as the daemon named it
	switched bool
	draining int  // as last told
	ended    bool // the daemon has said how
}

func (c *call) add(cmd *cobra.Command) {
	if wholesale[cmd.Name()] {
		c.control.addWhole(cmd)
	} else {
		c.control.add(cmd)
	}
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print the result as JSON")
}

// run gives the order and shows how it ends.
func (c *call) run(cmd *cobra.Command) error {
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	res, err := c.do(ctx, stop, statusLine{cmd.ErrOrStderr(), isTerminal(os.Stderr)})
	if errors.Is(err, errLeft) {
		err = nil
	}
	out := cmd.OutOrStdout()
	switch {
	case res != nil && c.asJSON:
		if werr := json.NewEncoder(out).Encode(res.of(c.verb)); err == nil {
			err = werr
		}
	case err == nil && res != nil:
		_, err = fmt.Fprintln(out, c.done(*res))
	case res != nil && len(res.Changes) > 0: // what was done all the same
		_, _ = fmt.Fprintln(out, c.done(*res))
	}
	return c.control.hinted(err)
}

// errLeft is the cause of a command that leaves after the switch.
var errLeft = errors.New("left")

// do talks with the daemon until the end. The result may be there with an
// error, too.
func (c *call) do(ctx context.Context, stop context.CancelCauseFunc, line statusLine) (*result, error) {
	c.order.Pid, c.order.App = os.Getpid(), c.control.app
	payload, err := json.Marshal(c.order)
	if err != nil {
		return nil, err
	}
	if d := c.order.Timeout; d > 0 {
		t := time.AfterFunc(d+silence, func() { stop(errSilent) })
		defer t.Stop()
	}
	client, err := c.control.dial(ctx, c.verb)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(sigs)
	events := make(chan heard)
	read := make(chan struct{})
	go func() { // ends with the stream, which ends with ctx
		defer close(read)
		for p, err := range client.StreamFiles(ctx, c.verb, payload, c.files) {
			select {
			case events <- heard{p, err}:
			case <-ctx.Done():
				return
			}
		}
		select {
		case events <- heard{nil, io.ErrUnexpectedEOF}:
		case <-ctx.Done():
		}
	}()
	defer func() {
		stop(nil)
		<-read
		line.set("")
	}()
	asked := false // to be withdrawn
	for {
		select {
		case h := <-events:
			if h.err != nil {
				return nil, c.broken(h.err)
			}
			var e event
			if err := json.Unmarshal(h.p, &e); err != nil {
				return nil, fmt.Errorf("the daemon's answer is not the JSON of an event: %w", err)
			}
			switch c.ended = e.Event == eventDone || e.Event == eventFailed; e.Event {
			case eventDone:
				return e.Result, nil
			case eventFailed:
				return e.Result, e.Failure.failure()
			}
			c.note(e)
			if c.switched && asked {
				return c.leave(line)
			}
			if s := c.progress(e); s != "" {
				line.set(s)
			}
		case s := <-sigs:
			if c.switched {
				return c.leave(line)
			}
			if !asked && c.withdraws && c.release != "" {
				asked = true
				line.set("withdrawing " + c.release)
				go c.withdraw(ctx, client) // ends with its time-out, at the latest
				continue
			}
			return nil, c.interrupted(s)
		case <-ctx.Done():
			return nil, c.broken(context.Cause(ctx))
		}
	}
}

// A heard is one reply, or the stream's end.
type heard struct {
	p   []byte
	err error
}

// note keeps what an interruption must know.
func (c *call) note(e event) {
	switch e.Event {
	case eventAccepted:
		c.release = e.Release
	case eventSwitched:
		c.switched = true
	case eventDraining:
		c.draining = e.Done
	}
}

// withdraw asks the daemon to end our deploy. What came of it the stream says.
func (c *call) withdraw(ctx context.Context, client *ipc.Client) {
	ctx, cancel := context.WithTimeout(ctx, withdrawTimeout)
	defer cancel()
	payload, err := json.Marshal(order{Pid: os.Getpid(), App: c.control.app, Release: c.release})
	if err == nil {
		_, _ = client.Request(ctx, topicWithdraw, payload)
	}
}

// leave ends the command after the switch.
func (c *call) leave(line statusLine) (*result, error) {
	line.set("")
	return &result{Release: c.release, State: releaseServing, Draining: c.draining}, errLeft
}

// interrupted is what a person reads who pressed Ctrl-C.
func (c *call) interrupted(s os.Signal) error {
	if c.withdraws {
		return &failure{code: exitError, err: fmt.Errorf("interrupted (%v); the %s is withdrawn", s, c.verb), fine: "what served before serves on.", try: "try: heddle releases, to be sure"}
	}
	return &failure{code: exitError, err: fmt.Errorf("interrupted (%v); the daemon goes on with the %s", s, c.verb), try: "try: heddle status"}
}

var errSilent = errors.New("the daemon is silent")

// broken is what a person reads when the daemon's answers end early.
func (c *call) broken(err error) error {
	var se *session.Error
	switch {
	case errors.Is(err, errSilent):
		return &failure{code: exitTimeout, err: fmt.Errorf("the daemon has not said within %v what became of the %s", c.order.Timeout+silence, c.verb), try: "try: heddle releases; heddle status"}
	case errors.Is(err, session.ErrLost), errors.Is(err, io.ErrUnexpectedEOF):
		return &failure{code: exitUnreachable, err: fmt.Errorf("the daemon ended before it said what became of the %s", c.verb), try: "try: heddle status"}
	case errors.Is(err, ipc.ErrTooLarge):
		return &failure{code: exitUsage, err: fmt.Errorf("the program's arguments are too long: at most %d bytes in all", ipc.MaxMessage), fine: "nothing was changed."}
	case errors.As(err, &se) && se.Category == heddle.CategoryFramework && se.Code == heddle.CodeNoHandler:
		return &failure{code: exitError, err: fmt.Errorf("the daemon does not know %s: it runs another heddle", c.verb), fine: "nothing was changed.", try: "try: heddle version; and heddle run anew with this one"}
	}
	return fmt.Errorf("%s: %w", c.verb, err)
}

// A statusLine is a terminal's last line; off a terminal it is nothing.
type statusLine struct {
	w    io.Writer
	term bool
}

// set shows s in place of what was there.
func (l statusLine) set(s string) {
	if l.term {
		fmt.Fprint(l.w, clearLine+s)
	}
}

// noun is n and what there are n of.
func noun(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
