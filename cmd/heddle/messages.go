package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

// maxPayload is how many bytes of JSON a message or a request may have.
const maxPayload = 1 << 20

// A talking is what send-msg and send-req have in common: something that is said to
// workers.
type talking struct {
	verb     string
	control  controlFlags
	selector string // --workers
	ns       string // --ns
	asJSON   bool

	topic string
	body  ipc.Body
}

func (t *talking) add(cmd *cobra.Command) {
	t.control.add(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&t.selector, "workers", "w", "", "to these workers only (default: all active ones)")
	fs.StringVar(&t.ns, "ns", ipc.DefaultNamespace, "the namespace whose handlers it is for")
	fs.BoolVar(&t.asJSON, "json", false, "print JSON, one object a line")
	completeFlag(cmd, "workers", completeSelector(&t.control))
}

// read takes the command line's arguments; stdin is read for "-".
func (t *talking) read(args []string, stdin io.Reader) error {
	what := "MESSAGE"
	if t.verb == verbSendReq {
		what = "REQUEST"
	}
	if len(args) < 1 || len(args) > 2 {
		return usage(t.verb, "%s takes a %s and perhaps a JSON object; got %q", t.verb, what, args)
	}
	if t.topic = args[0]; t.topic == "" || len(t.topic) > ipc.MaxName {
		return usage(t.verb, "%s: want a name of 1 to %d bytes, not %.64q", what, ipc.MaxName, t.topic)
	}
	if _, err := ipc.NewHub(ipc.HubOptions{}).Namespace(t.ns); err != nil {
		return usage(t.verb, "--ns %.64q: cannot be a namespace: want 1 to %d bytes, and not heddle, which is reserved", t.ns, ipc.MaxName)
	}
	if strings.Contains(t.control.app, "/") { // behind it would be the selector
		return usage(t.verb, "no app can be named %.64q", t.control.app)
	}
	if _, err := engine.ParseSelector(t.selector); err != nil {
		return usage(t.verb, "--workers: %s", err)
	}
	if len(t.selector) > ipc.MaxSelector-maxAppName {
		return usage(t.verb, "--workers: a selector of %d bytes", len(t.selector))
	}
	if len(args) == 1 {
		return nil
	}
	p := []byte(args[1])
	if args[1] == "-" {
		var err error
		if p, err = io.ReadAll(io.LimitReader(stdin, maxPayload+1)); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	switch p = bytes.TrimSpace(p); {
	case len(p) > maxPayload:
		return usage(t.verb, "the JSON object has more than %d bytes", maxPayload)
	case !json.Valid(p):
		return usage(t.verb, "%.64q is not JSON; want an object such as '{\"key\":1}', or - to read one", p)
	case p[0] != '{':
		return usage(t.verb, "%.64q is JSON, but no object; want one such as '{\"key\":1}'", p)
	}
	t.body = ipc.RawJSON(p)
	return nil
}

// maxAppName is about what an app's name takes of a selector's length.
const maxAppName = 128

// to is whom it is for, as the daemon's hub reads it.
func (t *talking) to() string {
	if t.control.app != "" {
		return t.control.app + "/" + t.selector
	}
	return t.selector
}

// run dials the daemon and has f talk, until it is done or interrupted.
func (t *talking) run(ctx context.Context, f func(ctx context.Context, daemon *ipc.Peer) error) error {
	client, err := t.control.dial(ctx, t.verb)
	if err != nil {
		return err
	}
	defer client.Close() // what was canceled is told before
	listen, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = f(listen, client.Peer())
	if err != nil && listen.Err() != nil && ctx.Err() == nil {
		return &failure{code: exitError, err: errors.New("interrupted"), fine: "workers that had not answered were told."}
	}
	return t.broken(err)
}

// broken is what a person reads of an error of the whole.
func (t *talking) broken(err error) error {
	var (
		f      *failure
		remote *ipc.RemoteError
	)
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case errors.As(err, &remote):
		switch {
		case errors.Is(remote, ipc.ErrSelector):
			return usage(t.verb, "%s", remote.Msg)
		case errors.Is(remote, ipc.ErrUnknownTopic), errors.Is(remote, ipc.ErrUnknownNamespace):
			return &failure{code: exitError, err: errors.New("the daemon sends nothing on to workers: it runs another heddle"), try: "try: heddle version; and heddle run anew with this one"}
		case remote.Category == heddle.CategoryOverseer:
			return &failure{code: exitRefused, err: errors.New(remote.Msg), try: "try: again when heddle status says serving"}
		}
		return fmt.Errorf("%s: %s", t.verb, remote.Msg)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{code: exitTimeout, err: errors.New("the daemon did not answer in time"), try: "try: heddle status"}
	case errors.Is(err, ipc.ErrPeerDied):
		return &failure{code: exitUnreachable, err: errors.New("the daemon ended before all was said"), try: "try: heddle status"}
	}
	return fmt.Errorf("%s: %w", t.verb, err)
}

// nobody is told when no worker was chosen.
func (t *talking) nobody() error {
	f := &failure{code: exitRefused, err: errors.New("no worker is active; nobody got it"), try: "try: heddle status"}
	if t.selector != "" {
		f.err = fmt.Errorf("no worker is %s; nobody got it", t.selector)
	}
	return f
}

// A said is what came of one worker, and the shape of --json.
type said struct {
	Index   int             `json:"index"` // -1: it has none
	ID      string          `json:"id"`
	Pid     int             `json:"pid"`
	Release string          `json:"release"`
	Data    json.RawMessage `json:"data,omitempty"`
	Base64  []byte          `json:"base64,omitempty"` // in place of data: bytes that are no text
	Error   *saidError      `json:"error,omitempty"`
}

// A saidError is why a worker failed.
type saidError struct {
	Category int64  `json:"category"`
	Code     int64  `json:"code"`
	Text     string `json:"text"`
	Timeout  bool   `json:"timeout,omitempty"`
}

func saidBy(m *ipc.Member) said {
	return said{Index: m.Index, ID: m.ID, Pid: m.Pid, Release: m.Release}
}

// failed notes why; err is the worker's, or the daemon's about it.
func (s *said) failed(err error) {
	e := &saidError{Text: err.Error(), Timeout: errors.Is(err, os.ErrDeadlineExceeded)}
	var remote *ipc.RemoteError
	if errors.As(err, &remote) {
		e.Category, e.Code, e.Text = remote.Category, remote.Code, remote.Msg
	}
	switch {
	case e.Timeout:
		e.Text = "no answer in time"
	case errors.Is(err, ipc.ErrPeerDied):
		why := e.Text[strings.LastIndex(e.Text, "\": ")+1:] // behind what it was, which everybody knows here
		e.Text = "gone before it had answered: " + strings.TrimLeft(why, ": ")
	}
	s.Error = e
}

// print writes one line: of what failed to talk, unless everything is JSON.
func (s *said) print(out, talk io.Writer, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(out, "%s\n", marshal(s))
		return err
	}
	who := fmt.Sprintf("[%s %.8s %d]", indexOf(s.Index), s.ID, s.Pid)
	var err error
	switch {
	case s.Error != nil:
		_, err = fmt.Fprintf(talk, "%s failed: %s\n", who, plainText(s.Error.Text))
	case s.Base64 != nil:
		_, err = fmt.Fprintf(out, "%s base64:%s\n", who, base64.StdEncoding.EncodeToString(s.Base64))
	case s.Data == nil:
		_, err = fmt.Fprintf(out, "%s\n", who)
	default:
		_, err = fmt.Fprintf(out, "%s %s\n", who, plainJSON(s.Data))
	}
	return err
}
