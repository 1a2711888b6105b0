package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/session/ipc"
)

const (
	followWait   = 2 * time.Second // for a daemon's answers, before a run
	followMost   = 16              // daemons that are asked whether they serve the target
	followEvents = 5000            // notices that are kept
)

// A follower takes down what becomes of a daemon during a run.
type follower struct {
	client *ipc.Client
	stop   context.CancelFunc
	done   chan struct{} // closed when it has ended

	mu      sync.Mutex
	list    []notice // guarded by mu
	dropped uint64   // guarded by mu
}

// follow begins to follow the daemon that the flags name, or the one that serves the
// target; nil: there is none. Only one that was named and cannot be followed is an
// error. say is told each notice as a line.
func (t *benchTarget) follow(ctx context.Context, target *bench.Target, say func(string)) (*follower, error) {
	control := t.control
	named := control.name != "" || control.path != ""
	if t.isApp() && t.locator != "" && !named {
		return nil, nil // the locator's apps may be anybody's
	}
	if !named && !t.isApp() {
		name := serverOf(ctx, target)
		if name == "" {
			return nil, nil
		}
		control.name = name
	}
	f, err := control.follow(ctx, say)
	if err != nil && !named {
		return nil, nil // it has ended, or is of a version that tells nothing
	}
	return f, err
}

func (c *controlFlags) follow(ctx context.Context, say func(string)) (*follower, error) {
	dialing, cancel := context.WithTimeout(ctx, followWait)
	client, err := c.dial(dialing, "bench")
	late := dialing.Err() != nil && ctx.Err() == nil
	cancel()
	switch {
	case late:
		return nil, notFollowed(errNoFollow)
	case err != nil:
		return nil, err
	}
	f := &follower{client: client, done: make(chan struct{})}
	ctx, f.stop = context.WithCancel(context.WithoutCancel(ctx)) // Ctrl-C ends the run first
	begun := make(chan error, 1)
	go func() { // ends with stop, or with the daemon
		defer close(f.done)
		err := f.listen(ctx, begun, say)
		select {
		case begun <- err:
		default: // it had begun
		}
	}()
	select {
	case err = <-begun:
	case <-time.After(followWait):
		err = errNoFollow
	}
	if err != nil {
		f.end()
		return nil, notFollowed(err)
	}
	return f, nil
}

var errNoFollow = fmt.Errorf("the daemon did not answer within %v", followWait)

func notFollowed(err error) error {
	return &failure{code: exitUnreachable, err: fmt.Errorf("the daemon's deploys and crashes cannot be followed: %w", err), fine: "nothing was sent.", try: "try: heddle bench without --name and --control"}
}

// listen takes notices until ctx ends; it writes nil to begun with the first.
// Its error is why there are no more.
func (f *follower) listen(ctx context.Context, begun chan<- error, say func(string)) error {
	defer func() {
		if ctx.Err() == nil {
			f.add(notice{Time: time.Now(), Kind: "gone", Text: "the daemon tells no more: it has ended"})
		}
	}()
	for p, err := range f.client.Stream(ctx, topicNotices, nil) {
		var n notice
		if err == nil {
			err = json.Unmarshal(p, &n)
		}
		switch {
		case err != nil:
			return err
		case n.Kind == noticeListening:
			select {
			case begun <- nil:
			default: // it says so once
			}
			continue
		}
		if n.App != "" {
			n.Text = n.App + ": " + n.Text
		}
		f.add(n)
		say(n.Time.Local().Format("15:04:05.000") + " " + n.Kind + ": " + n.Text)
	}
	return io.ErrUnexpectedEOF // before the first, that is
}

func (f *follower) add(n notice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped += n.Missed
	if len(f.list) < followEvents {
		f.list = append(f.list, n)
	} else {
		f.dropped++
	}
}

// end ends it and waits until it has.
func (f *follower) end() {
	if f == nil {
		return
	}
	f.stop()
	f.client.Close()
	<-f.done
}

// mark ends it and puts what it has taken down into r.
func (f *follower) mark(r *bench.Result) {
	if f == nil {
		return
	}
	f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.list {
		r.AddMark(n.Time, n.Kind, n.Text)
	}
	r.MarksDropped += f.dropped
}

// serverOf is the name of the running daemon that serves the target; "": none does,
// or it is not known. All are asked at once, so that one that says nothing hides nobody.
func serverOf(ctx context.Context, target *bench.Target) string {
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	names, err := running(ctx)
	if err != nil {
		return ""
	}
	names = names[:min(len(names), followMost)]
	found := make(chan string, len(names))
	for _, name := range names {
		go func() { // ends with ctx, at the latest
			st, err := currentStatus(ctx, &controlFlags{name: name})
			if err != nil || !slices.ContainsFunc(st.Listen, func(listen string) bool { return listensFor(ctx, listen, target) }) {
				name = ""
			}
			found <- name
		}()
	}
	for range names {
		if name := <-found; name != "" {
			return name
		}
	}
	return ""
}

// listensFor says whether a front that listens there is what target means.
func listensFor(ctx context.Context, listen string, target *bench.Target) bool {
	u, err := url.Parse(listen)
	if err != nil {
		return false
	}
	if u.Scheme == "unix" || target.Network == "unix" {
		path := u.Opaque
		if path == "" {
			path = u.Path
		}
		given, err := filepath.Abs(target.Address)
		return err == nil && u.Scheme == "unix" && target.Network == "unix" && filepath.Clean(path) == given
	}
	host, port, err := net.SplitHostPort(target.Address)
	if err != nil || port != u.Port() {
		return false
	}
	if host == u.Hostname() {
		return true
	}
	bound := net.ParseIP(u.Hostname())
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil || bound == nil {
		return false
	}
	return slices.ContainsFunc(found, func(a net.IPAddr) bool {
		return bound.Equal(a.IP) || bound.IsUnspecified() && isLocalIP(a.IP)
	})
}

// isLocalIP says whether ip is an address of this machine.
func isLocalIP(ip net.IP) bool {
	if ip.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}
