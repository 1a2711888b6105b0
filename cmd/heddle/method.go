package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/session"
)

const verbCall = "call"

// mostLine is how long a line of standard input may be, in bytes, that --send reads.
const mostLine = 16 << 20

// mostHeld is how many bytes of answers may wait to be printed.
const mostHeld = 64 << 20

// oldLocator are the methods of a locator of dialect v0 (PROTOCOL 2.3).
var oldLocator = []*session.Method{
	{ID: 0, Name: "resolve", Upstream: session.Streaming},
	{ID: 1, Name: "synchronize", Upstream: session.Streaming},
	{ID: 2, Name: "reports", Upstream: session.Streaming},
	{ID: 3, Name: "refresh", Upstream: session.Streaming},
}

// A methodCall is what call was given.
type methodCall struct {
	control controlFlags
	locator string // "": the daemon's, or the usual one
	dialect string
	timeout time.Duration
	sends   []string
	list    bool
	asJSON  bool
	raw     bool
	unpack  bool
	hold    bool

	service, method string
	args            []any

	answered bool          // something has come
	unasked  *failure      // why no daemon's locator was asked, but the usual one; nil: one was, or --locator says whom
	lost     chan struct{} // has an element once the connection to the service has ended
}

func newCall() *cobra.Command {
	c := new(methodCall)
	cmd := &cobra.Command{
		Use:   "call [flags] SERVICE METHOD [JSON...]",
		Short: "Call a method of a service that a locator knows",
		Long: `Call calls any method of any service of a cloud, Heddle's (heddle run --locator) or one
of Cocaine's, and prints what it answers as JSON, a line for each message, as they come.
The services of Heddle's are in docs/cloud.md; --list says which methods a service has.

Each argument is a JSON value, or text if it is none. {"base64":"..."} stands for bytes,
{"msgpack":VALUE} for the bytes of that value's msgpack, which HTTP events want. Bytes
that are no text are printed as {"base64":"..."} likewise; --raw writes them as they are.
What an app answers to HTTP is msgpack, too: --unpack shows what is in it.

Methods that take a stream get a message for each --send, in this order; --send - reads
them from standard input, a JSON value a line. Then our side is closed. What lasts as
long as its connection, such as a publication, wants --hold.

The locator is that of --locator, else that of the running daemon (--name, --control),
else 127.0.0.1:10053.

Exit codes: 0 ok, 1 the service answered with an error, or there is no such service, 2 the
command line makes no sense, or the service has no such method, 4 nobody answers there, 6
nothing came for --timeout.`,
		Example: `  heddle call storage write photos cat '{"base64":"/9j/4AAQ"}' '["pet","cat"]'
  heddle call storage find photos '["cat"]'
  heddle call logging verbosity
  heddle call shop --list
  heddle call shop enqueue http --send '{"msgpack":["GET","/","1.1",[],""]}' --unpack
  heddle call locator connect me --locator 10.0.0.7:10053 --timeout 0s
  heddle call locator publish till '[["10.0.0.8",7000]]' --hold`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.take(args); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return c.run(ctx, cmd)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&c.locator, "locator", "", "locator to ask: host:port or unix:/path, several with commas (default: the daemon's, else 127.0.0.1:10053)")
	fs.StringVar(&c.dialect, "dialect", "", "speak v0 or v1 (default: what the locator speaks, v1 first)")
	completeFlag(cmd, "dialect", cobra.FixedCompletions([]string{"v0", "v1"}, cobra.ShellCompDirectiveNoFileComp))
	fs.DurationVar(&c.timeout, "timeout", service.DefaultTimeout, "how long nothing may come; 0s: no limit")
	fs.StringArrayVar(&c.sends, "send", nil, "say this JSON value after the call, if the method takes a stream; - reads lines from standard input")
	fs.BoolVar(&c.list, "list", false, "list the service's methods, with what either side may say")
	fs.BoolVar(&c.hold, "hold", false, "keep the connection when the answer has come, until Ctrl-C")
	fs.BoolVar(&c.asJSON, "json", false, `print {"message","args"} for each message, {"error"} for an error`)
	fs.BoolVar(&c.raw, "raw", false, "write bytes as they are, and nothing between messages")
	fs.BoolVar(&c.unpack, "unpack", false, "show what is in bytes that are msgpack")
	fs.StringVar(&c.control.name, "name", "", "name of the daemon whose locator is asked (default: the only one that runs)")
	fs.StringVar(&c.control.path, "control", "", "its control socket (default: by its name)")
	completeFlag(cmd, "name", completeDaemons)
	cmd.ValidArgsFunction = completeCall(c)
	return cmd
}

// take reads the command line.
func (c *methodCall) take(args []string) error {
	switch {
	case c.dialect != "" && c.dialect != "v0" && c.dialect != "v1":
		return usage(verbCall, "--dialect %q: want v0 or v1", c.dialect)
	case c.timeout < 0:
		return usage(verbCall, "--timeout %v: want a duration such as 30s, or 0s for no limit", c.timeout)
	case c.raw && c.asJSON:
		return usage(verbCall, "--raw and --json are two ways to print; give one of them")
	case c.list && c.hold:
		return usage(verbCall, "--list calls nothing that --hold could keep")
	case c.list && len(args) != 1:
		return usage(verbCall, "call --list takes a SERVICE; got %q", args)
	case !c.list && len(args) < 2:
		return usage(verbCall, "call takes a SERVICE and a METHOD, and JSON values; got %q", args)
	}
	if c.locator != "" {
		if err := config.CheckCloud(c.locator); err != nil {
			return usage(verbCall, "--locator %s", err)
		}
		if c.control.name != "" || c.control.path != "" {
			return usage(verbCall, "--locator and --name or --control both say whom to ask; give one")
		}
	}
	for _, s := range c.sends {
		if s == "-" {
			continue
		}
		if _, err := jsonArgument(s); err != nil {
			return usage(verbCall, "--send %.64q: %s", s, err)
		}
	}
	c.service = args[0]
	if c.list {
		return nil
	}
	c.method = args[1]
	for _, s := range args[2:] {
		v, err := jsonArgument(s)
		if err != nil {
			return usage(verbCall, "%.64q: %s", s, err)
		}
		c.args = append(c.args, v)
	}
	return nil
}

// locators are those to ask.
func (c *methodCall) locators(ctx context.Context) ([]string, error) {
	if c.locator != "" {
		return strings.Split(c.locator, ","), nil
	}
	named := c.control.name != "" || c.control.path != ""
	raw, err := askStatus(ctx, &c.control)
	var st statusReply
	if err == nil {
		err = json.Unmarshal(raw, &st)
	}
	switch {
	case err == nil && st.Cloud != nil:
		return []string{nearLocator(st.Cloud.Locator)}, nil
	case named && err != nil:
		return nil, err
	case err == nil:
		none := &failure{code: exitUnreachable, err: fmt.Errorf("the daemon %s has no locator", st.Name), try: "try: heddle run --locator " + host.DefaultLocator + ", when it is started anew"}
		if named {
			return nil, none
		}
		c.unasked = none
	default:
		if errors.As(err, &c.unasked) {
			f := *c.unasked
			f.try = "try: heddle run --locator " + host.DefaultLocator + " TARGET, or heddle locator"
			if f.code == exitUsage { // several run
				f.try = "try: --name, to say whose locator is meant; or --locator"
			}
			c.unasked = &f
		}
	}
	return []string{host.DefaultLocator}, nil // no daemon, several, or none with a locator
}

// again is a command to try that asks the same locator.
func (c *methodCall) again(words string) string {
	cmd := "try: heddle call " + words
	switch {
	case c.locator != "":
		cmd += " --locator " + quoted(c.locator)
	case c.control.name != "":
		cmd += " --name " + quoted(c.control.name)
	case c.control.path != "":
		cmd += " --control " + quoted(c.control.path)
	}
	return cmd
}

// listing is the command that lists the service's methods.
func (c *methodCall) listing() string {
	words := quoted(c.service) + " --list"
	if c.dialect != "" {
		words += " --dialect " + c.dialect
	}
	return c.again(words)
}

// run makes the call and prints what comes of it.
func (c *methodCall) run(ctx context.Context, cmd *cobra.Command) error {
	at, err := c.locators(ctx)
	if err != nil {
		return err
	}
	o := service.ClientOptions{Locators: at, Timeout: cmp.Or(c.timeout, -1)}
	switch c.dialect {
	case "v0":
		o.Dialect = service.DialectV0
	case "v1":
		o.Dialect = service.DialectV1
	}
	client, err := service.NewClient(o)
	if err != nil {
		return usage(verbCall, "%s", err)
	}
	defer client.Close()
	c.lost = make(chan struct{}, 1)
	so := service.Options{Name: c.service, Timeout: cmp.Or(c.timeout, -1), Buffer: mostHeld, OnClose: func(error) {
		select {
		case c.lost <- struct{}{}:
		default:
		}
	}}
	if c.service == "locator" && c.dialect == "v0" { // which does not know itself
		so.Endpoints, so.Dialect, so.Methods = at, service.DialectV0, oldLocator
	}
	s, err := client.NewService(so)
	if err != nil {
		return usage(verbCall, "%s", err)
	}
	defer s.Close()
	methods, err := s.Methods(ctx)
	if err != nil {
		return c.failed(cmd, at, err, false)
	}
	out := &methodPrinter{w: cmd.OutOrStdout(), methodCall: c}
	if c.list {
		return out.list(s, methods)
	}
	m := methodNamed(methods, c.method)
	if m == nil {
		return c.noMethod(methods)
	}
	d, _ := s.Dialect()
	if err := c.unsendable(m, d); err != nil {
		return err
	}
	if len(so.Methods) > 0 && m != oldLocator[0] { // a locator for both dialects knows that of a client by his first call, if that is resolve
		if _, err := s.Call(ctx, "resolve", "logging"); errors.Is(err, service.ErrDisconnected) || errors.Is(err, service.ErrTimeout) {
			return c.failed(cmd, at, err, false)
		}
	}
	if err := c.talk(ctx, s, m, out, cmd.InOrStdin()); err != nil {
		return c.failed(cmd, at, err, true)
	}
	return nil
}

// held keeps the connection until it is enough, or has ended.
func (c *methodCall) held(ctx context.Context) error {
	if !c.hold {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-c.lost:
		return &failure{code: exitError, err: fmt.Errorf("%s: the service has ended the connection that was held", c.what()), fine: "the call was answered before.", try: "try: again"}
	}
}

func methodNamed(methods []*session.Method, name string) *session.Method {
	for _, m := range methods {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// talk makes the call.
func (c *methodCall) talk(ctx context.Context, s *service.Service, m *session.Method, out *methodPrinter, in io.Reader) error {
	st, err := s.Stream(ctx, c.method, c.args...)
	if err != nil {
		return err
	}
	defer st.Close()
	out.dialect, _ = s.Dialect()
	said := make(chan error, 1)
	go func() { said <- c.say(st, m, in) }() // ends with the stream, but for one that waits for standard input, which ends with the process
	for {
		msg, err := st.Next()
		switch {
		case err == io.EOF: // itself: a lost connection has it as its cause
			if m.Upstream != nil && m.Upstream.Empty() { // there is no answer to wait for: what we say has to leave
				if err := <-said; err != nil {
					return err
				}
				return s.Shutdown(ctx)
			}
			select {
			case err = <-said: // what could not be said is why nothing came
			default:
				err = nil
			}
			if err == nil {
				err = c.held(ctx)
			}
			return err
		case err != nil:
			return err
		}
		c.answered = true
		if err := out.message(msg); err != nil {
			return err
		}
	}
}

// say says what --send has, and closes our side if it can be.
func (c *methodCall) say(st *service.Stream, m *session.Method, in io.Reader) error {
	for _, text := range c.sends {
		if text != "-" {
			v, err := jsonArgument(text)
			if err == nil {
				err = st.Send(v)
			}
			if err != nil {
				return err
			}
			continue
		}
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, mostLine)
		for lines.Scan() {
			v, err := jsonArgument(lines.Text())
			if err == nil {
				err = st.Send(v)
			}
			if err != nil {
				return err
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	if m.Dispatch != nil {
		if _, ok := m.Dispatch.Named("close"); ok {
			_ = st.CloseSend() // an error: the call has ended
		}
	}
	return nil
}

// unsendable refuses what --send would say to a method that hears nothing.
func (c *methodCall) unsendable(m *session.Method, d heddle.Dialect) error {
	if len(c.sends) == 0 {
		return nil
	}
	f := &failure{code: exitUsage, fine: "nothing was called.", try: c.listing()}
	if d == heddle.V0 {
		f.err = errors.New("--send: dialect v0 has no stream toward a service; an app's value goes behind the event, as an argument")
		f.try = c.again(quoted(c.service) + " enqueue EVENT VALUE --dialect v0")
		return f
	}
	if m.Dispatch == nil {
		return nil
	}
	if _, ok := m.Dispatch.Named("write"); ok {
		return nil
	}
	f.err = fmt.Errorf("--send: %s takes no stream", printable(c.what()))
	return f
}

// odd is the first of what was to be said that is neither text nor bytes; "": none.
func (c *methodCall) odd() string {
	for _, text := range c.sends {
		v, err := jsonArgument(text)
		if _, ok := rawOf(v); text != "-" && err == nil && !ok {
			return text
		}
	}
	return ""
}

// noMethod is the failure of a method that the service does not have.
func (c *methodCall) noMethod(methods []*session.Method) error {
	var names []string
	for _, m := range methods {
		if !isControl(m.ID) {
			names = append(names, m.Name)
		}
	}
	f := &failure{code: exitUsage, err: fmt.Errorf("%s has no method %s; it has %s", printable(c.service), printable(c.method), strings.Join(names, ", ")), fine: "nothing was called.", try: c.listing()}
	if near := config.Nearest(c.method, names); near != "" {
		f.try = "did you mean " + near + "? " + f.try
	}
	return f
}

// failed is what a person reads of a call that failed; called: there was a connection.
func (c *methodCall) failed(cmd *cobra.Command, at []string, err error, called bool) error {
	var e *service.Error
	var f *failure
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, service.ErrNotAvailable) && (!called || c.service != "locator"):
		c.tell(cmd, err)
		f := &failure{code: exitError, err: fmt.Errorf("the locator at %s knows no service %s", strings.Join(at, ", "), printable(c.service)), try: c.again("locator reports --dialect v0") + ", which names those of its own but the locator"}
		if c.unasked != nil {
			f.fine, f.try = c.unasked.err.Error()+".", c.unasked.try
		}
		return f
	case errors.As(err, &e):
		c.tell(cmd, err)
		return &failure{code: exitError, err: fmt.Errorf("%s %s: %s (%s)", c.service, c.method, plainText(e.Msg), codeOf(e))}
	case errors.Is(err, service.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{code: exitTimeout, err: fmt.Errorf("%s: nothing came for %v", c.what(), c.timeout), try: "try: a longer --timeout; 0s: no limit"}
	case errors.Is(err, context.Canceled):
		return &failure{code: exitError, err: errors.New("interrupted")}
	case errors.Is(err, service.ErrNoMessage):
		return usage(verbCall, "%s takes no such message: %s", c.what(), err)
	case errors.Is(err, service.ErrDisconnected) && called && c.odd() != "":
		return &failure{code: exitError, err: fmt.Errorf("%s: the service ended the connection; it was sent %.64q, and an app's write takes text or bytes alone", c.what(), c.odd()), try: `try: --send '{"msgpack":VALUE}', which are the bytes of a value`}
	case errors.Is(err, service.ErrDisconnected) && c.answered:
		return &failure{code: exitError, err: fmt.Errorf("%s: the connection ended before the answer did", c.what()), try: "try: again"}
	case errors.Is(err, service.ErrDisconnected) && called:
		return &failure{code: exitError, err: fmt.Errorf("%s: the service ended the connection; in dialect v1 it does so if arguments are too few, or of a wrong kind", c.what()), try: c.listing()}
	case errors.Is(err, service.ErrDisconnected):
		why := strings.TrimPrefix(err.Error(), "service "+c.service+": ")
		f := &failure{code: exitUnreachable, err: fmt.Errorf("%s cannot be reached: %s", c.what(), plainText(why)), fine: "nothing was called.", try: "try: heddle locator, which serves one"}
		switch {
		case c.locator != "":
			f.try = "try: another --locator; or none, which asks the daemon's"
		case c.unasked != nil:
			f.fine, f.try = "nothing was called; "+c.unasked.err.Error()+".", c.unasked.try
		}
		return f
	}
	return fmt.Errorf("%s: %w", c.what(), err)
}

// tell prints what a service or a locator has answered in place of a result, with --json.
func (c *methodCall) tell(cmd *cobra.Command, err error) {
	var e *service.Error
	if c.asJSON && errors.As(err, &e) {
		_ = json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"error": saidError{Category: e.Category, Code: e.Code, Text: e.Msg}})
	}
}

func (c *methodCall) what() string { return strings.TrimSpace(c.service + " " + c.method) }

// codeOf are the numbers of an error.
func codeOf(e *service.Error) string {
	if e.Category == 0 {
		return fmt.Sprintf("code %d", e.Code)
	}
	return fmt.Sprintf("category %d, code %d", e.Category, e.Code)
}
