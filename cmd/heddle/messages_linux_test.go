package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// cmdStandby sets $STANDBY to the short id of a daemon's standby.
func cmdStandby(ts *testscript.TestScript, neg bool, args []string) {
	var last statusReply
	if !until(func() bool {
		st, err := worldOf(ts).ask(args[0])
		ts.Check(err)
		last = st
		for _, w := range st.Workers {
			if w.Standby && w.State == "suspended" {
				ts.Setenv("STANDBY", w.ID[:8])
				return true
			}
		}
		return false
	}) {
		ts.Fatalf("there is no standby: %+v", last)
	}
}

// cmdGoClient is a tool of somebody's own, in Go, on the control socket of a daemon of
// two workers.
func cmdGoClient(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(goClient(ctx, filepath.Join(worldOf(ts).state, args[0]+controlSuffix)))
}

func goClient(ctx context.Context, path string) error {
	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Hub: ipc.NewHub(ipc.HubOptions{}), Kind: "tool", Name: "mine"})
	if err != nil {
		return err
	}
	defer c.Close()
	daemon := c.Peer()

	// Neither the daemon's topics nor the app's are found in place of the other's.
	if _, err := daemon.Ask(ctx, ipc.Message{Topic: topicStatus}); !errors.Is(err, ipc.ErrUnknownTopic) {
		return fmt.Errorf("the topic status of the daemon's hub: got %v, want unknown topic", err)
	}
	if _, err := daemon.Call(ctx, ipc.Query{Topic: topicStop}); !errors.Is(err, ipc.ErrUnknownTopic) {
		return fmt.Errorf("a request stop to the daemon's hub: got %v, want unknown topic", err)
	}
	var se *session.Error
	if _, err := c.Request(ctx, "who", nil); !errors.As(err, &se) || se.Code != heddle.CodeNoHandler {
		return fmt.Errorf("the app's topic on the control socket: got %v, want no handler", err)
	}

	// Whom it is for.
	d, err := daemon.SendTo(ctx, "", ipc.Message{Topic: "hi", Body: ipc.Value(map[string]int{"a": 1})})
	if err != nil || d.Chosen != 2 || d.Sent != 2 {
		return fmt.Errorf("to all: got %+v, %v", d, err)
	}
	for _, to := range []string{"5-1", "x", "other/0", "other/", "/0x", "d/d/0"} {
		if _, err := daemon.SendTo(ctx, to, ipc.Message{Topic: "hi"}); !errors.Is(err, ipc.ErrSelector) {
			return fmt.Errorf("to %q: got %v, want ErrSelector", to, err)
		}
		for _, err := range daemon.RequestTo(ctx, to, ipc.Query{Topic: "who"}) {
			if !errors.Is(err, ipc.ErrSelector) {
				return fmt.Errorf("a request to %q: got %v, want ErrSelector", to, err)
			}
		}
	}
	kinds := []ipc.AnswerKind{}
	for a, err := range daemon.RequestTo(ctx, "d/1", ipc.Query{Topic: "who"}) {
		if err != nil {
			return err
		}
		kinds = append(kinds, a.Kind)
		if a.Kind != ipc.AnswerChosen && (a.From.Kind != ipc.KindWorker || a.From.Index != 1 || a.From.Pid <= 0 || a.From.Release != "r1") {
			return fmt.Errorf("an answer of %+v", a.From)
		}
	}
	if fmt.Sprint(kinds) != fmt.Sprint([]ipc.AnswerKind{ipc.AnswerChosen, ipc.AnswerReply, ipc.AnswerEnd}) {
		return fmt.Errorf("got answers of kinds %v", kinds)
	}

	return passFile(ctx, daemon)
}

// passFile has one worker write into a pipe; descriptors for two are refused.
func passFile(ctx context.Context, daemon *ipc.Peer) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	for _, err := range daemon.RequestTo(ctx, "", ipc.Query{Topic: "write", Files: []any{dup(w)}}) {
		if !errors.Is(err, ipc.ErrSelector) {
			return fmt.Errorf("a descriptor for two: got %v, want ErrSelector", err)
		}
	}
	for a, err := range daemon.RequestTo(ctx, "0", ipc.Query{Topic: "write", Files: []any{w}}) {
		if err = errors.Join(err, a.Err); err != nil {
			return fmt.Errorf("a descriptor for one: %w", err)
		}
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if line != "written by 0\n" {
		return fmt.Errorf("through the pipe came %q, %v", line, err)
	}
	return nil
}

// dup is another descriptor of the same pipe.
func dup(f *os.File) *os.File {
	g, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	return g
}
