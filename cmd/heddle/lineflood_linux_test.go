package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/heddle-go/heddle/session/ipc"
)

// cmdLineFlood asks the workers of a daemon, by lines, more than it sends on at once, and
// finds that its own orders are answered all the same.
func cmdLineFlood(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	path, d := filepath.Join(w.state, args[0]+controlSuffix), w.daemons[args[0]]
	ts.Check(floodHanging(path, func() int { return strings.Count(d.said.String(), "] hangs {\"flood\"") }))
	ts.Check(floodReplies(path))
}

// A lineClient speaks lines.
type lineClient struct {
	net.Conn
	r *bufio.Reader
}

func dialLines(path string) (*lineClient, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &lineClient{c, bufio.NewReader(c)}, c.SetDeadline(time.Now().Add(patience))
}

func (c *lineClient) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(c, format+"\n", args...); err != nil {
		return "", err
	}
	return c.r.ReadString('\n')
}

// floodHanging has clients with requests that no worker answers: as many as may be, then
// more than the control socket has handlers. hanging is how many have reached the worker.
func floodHanging(path string, hanging func() int) error {
	const limit = "which is the limit"
	for i := range 5 {
		hung, err := dialLines(path)
		if err != nil {
			return err
		}
		defer hung.Close()
		for range lineTalks {
			if _, err := fmt.Fprintln(hung, `{"type":"send-app-req","id":"h","data":{"request":"hang","data":{"flood":1},"workers":"0"}}`); err != nil {
				return err
			}
		}
		if i == 0 {
			if !until(func() bool { return hanging() == lineTalks }) {
				return fmt.Errorf("%d hang, want %d", hanging(), lineTalks)
			}
			continue
		}
		for range lineTalks {
			if line, err := hung.r.ReadString('\n'); err != nil || !strings.Contains(line, limit) {
				return fmt.Errorf("client %d: got %q, %v; want the limit", i, line, err)
			}
		}
	}
	c, err := dialLines(path)
	if err != nil {
		return err
	}
	defer c.Close()
	if line, err := c.ask(`{"type":"send-app-msg","id":"m","data":{"message":"hi"}}`); err != nil || !strings.Contains(line, limit) {
		return fmt.Errorf("a message: got %q, %v; want the limit", line, err)
	}
	if line, err := c.ask(`{"type":"status","id":"s"}`); err != nil || !strings.Contains(line, `"done":true`) {
		return fmt.Errorf("status by lines: got %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fc, err := ipc.Dial(ctx, path, ipc.DialOptions{})
	if err != nil {
		return err
	}
	defer fc.Close()
	if p, err := fc.Request(ctx, topicStatus, nil); err != nil || len(p) == 0 {
		return fmt.Errorf("status: got %q, %v", p, err)
	}
	return nil
}

// floodReplies has clients that do not read use up the bytes of all, until they go.
func floodReplies(path string) error {
	const big = `{"type":"send-app-req","id":"b","data":{"request":"big","workers":"1"}}`
	var deaf []*lineClient
	for range lineBytes/(2<<20) - 1 {
		c, err := dialLines(path)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := fmt.Fprintln(c, big); err != nil {
			return err
		}
		deaf = append(deaf, c)
	}
	for _, c := range deaf {
		for { // the rest waits
			const begin = `{"type":"reply","requestId":"b","done":true`
			p, err := c.r.Peek(len(begin))
			if err != nil {
				return err
			}
			if string(p) == begin {
				break
			}
			if line, err := c.ask(big); err != nil || !strings.Contains(line, "limit of lines") { // of those that hung
				return fmt.Errorf("got %.200q, %v", line, err)
			}
		}
	}
	c, err := dialLines(path)
	if err != nil {
		return err
	}
	defer c.Close()
	if line, err := c.ask(big); err != nil || !strings.Contains(line, "bytes in all; try again") {
		return fmt.Errorf("beside %d that do not read: got %.200q, %v", len(deaf), line, err)
	}
	for _, c := range deaf {
		_ = c.Close()
	}
	var line string
	if !until(func() bool {
		line, err = c.ask(big)
		return err != nil || strings.Contains(line, `"done":true`)
	}) || err != nil {
		return fmt.Errorf("when they had gone: got %.200q, %v", line, err)
	}
	return nil
}
