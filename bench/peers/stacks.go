package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A kind is one way to put the app before clients.
type kind struct {
	key   string // for -stacks
	name  string
	needs string // a program that must be there
	start func(context.Context, place) (*stack.Stack, error)

	// frail says that failed requests are the peer's own, to be counted and no
	// reason to fail: net/http/fcgi is frozen, and does not tell a handler that
	// its client has gone.
	frail bool

	http2 bool // speaks it in clear, beside HTTP/1.1. nginx 1.22 does not

	// whole is a heddle before workers of Cocaine's, which get requests with a body
	// whole: by net/http, by design. Nobody can tell them that a client has gone, so
	// streams without an end would go on.
	whole bool

	// own says that the process that was started is the one before clients, whose own
	// CPU is told, too: heddle's. nginx's is that of its workers.
	own bool
}

// bare is what the others are held against.
const bare = "bare"

var kinds = []kind{
	{key: bare, name: "net/http alone", start: startBare, http2: true},
	{key: "heddle1", name: "heddle, 1 worker", start: heddle(1), http2: true, own: true},
	{key: "heddle2", name: "heddle, 2 workers", start: heddle(2), http2: true, own: true},
	{key: "v1", name: "heddle --dialect v1, 1 worker", start: heddle(1, "--dialect", "v1"), http2: true, whole: true, own: true},
	{key: "v0", name: "heddle --dialect v0, 1 worker", start: heddle(1, "--dialect", "v0"), http2: true, whole: true, own: true},
	{key: "http1", name: "heddle --http, 1 worker", start: startHTTP, http2: true, own: true},
	{key: "proxy", name: "heddle proxy, heddle, 1 worker", start: startProxy, http2: true, whole: true, own: true},
	{key: "nginx", name: "nginx, net/http", needs: "nginx", start: startNginx},
	{key: "haproxy", name: "haproxy, net/http", needs: "haproxy", start: startHAProxy, http2: true},
	{key: "fcgi", name: "nginx, net/http/fcgi", needs: "nginx", start: startFastCGI, frail: true},
	{key: "reverseproxy", name: "httputil.ReverseProxy, net/http", start: startReverseProxy, http2: true},
}

// A place is where a stack is started and with what.
type place struct {
	built   string // directory of the programs
	dir     string // the stack's own directory, removed by the caller
	threads int    // nginx's worker processes and haproxy's threads
	fastCGI bool
}

func startBare(ctx context.Context, p place) (*stack.Stack, error) {
	addr, err := stack.FreeAddr()
	if err != nil {
		return nil, err
	}
	return stack.Start(ctx, "net/http", "http://"+addr+"/", filepath.Join(p.built, "app"), "-listen", addr)
}

func heddle(workers int, flags ...string) func(context.Context, place) (*stack.Stack, error) {
	return func(ctx context.Context, p place) (*stack.Stack, error) {
		return stack.Heddle(ctx, p.built, "app", workers, flags...)
	}
}

// startHTTP has the app serve plain HTTP behind heddle.
func startHTTP(ctx context.Context, p place) (*stack.Stack, error) {
	return stack.HeddleHTTP(ctx, p.built, "app", 1, "-listen", "unix:{socket}")
}

// startProxy has three processes: proxy, daemon and worker.
func startProxy(ctx context.Context, p place) (*stack.Stack, error) {
	return stack.HeddleProxy(ctx, p.built, "app", filepath.Join(p.dir, "storage"))
}

func startReverseProxy(ctx context.Context, p place) (*stack.Stack, error) {
	app, err := p.app(ctx)
	if err != nil {
		return nil, err
	}
	addr, err := stack.FreeAddr()
	if err != nil {
		app.Stop()
		return nil, err
	}
	return before(app)(stack.Start(ctx, "reverseproxy", "http://"+addr+"/", filepath.Join(p.built, "reverseproxy"), "-listen", addr, "-to", p.socket()))
}

// startBefore starts the app on a unix socket and, before it, a program with a
// configuration file.
func startBefore(ctx context.Context, p place, file string, config *template.Template, command func(config string) []string) (*stack.Stack, error) {
	app, err := p.app(ctx)
	if err != nil {
		return nil, err
	}
	start := func() (*stack.Stack, error) {
		addr, err := stack.FreeAddr()
		if err != nil {
			return nil, err
		}
		var text strings.Builder
		err = config.Execute(&text, map[string]any{
			"Addr": addr, "Socket": p.socket(), "Threads": p.threads, "FastCGI": p.fastCGI, "Files": files, "Conns": files/2 - 1000, "Root": os.Geteuid() == 0,
		})
		if err != nil {
			return nil, err
		}
		path := filepath.Join(p.dir, file)
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			return nil, err
		}
		args := command(path)
		program, err := onPath(args[0])
		if err != nil {
			return nil, err
		}
		return stack.Start(ctx, args[0], "http://"+addr+"/", program, args[1:]...)
	}
	return before(app)(start())
}

func (p place) socket() string { return filepath.Join(p.dir, "app.sock") }

// app starts the program on the place's unix socket.
func (p place) app(ctx context.Context) (*stack.Stack, error) {
	flag, value := "-listen", "unix:"+p.socket()
	if p.fastCGI {
		flag, value = "-fcgi", p.socket()
	}
	return stack.Start(ctx, "app", "unix:"+p.socket(), filepath.Join(p.built, "app"), flag, value)
}

// before puts a stack that was just started before app, or stops app.
func before(app *stack.Stack) func(*stack.Stack, error) (*stack.Stack, error) {
	return func(s *stack.Stack, err error) (*stack.Stack, error) {
		if err != nil {
			app.Stop()
			return nil, err
		}
		s.Before(app)
		return s, nil
	}
}

// choose returns the elements of all that a comma list names, in all's order;
// all of them if it is empty.
func choose[T any](list string, all []T, key func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := make(map[string]bool)
	for _, k := range strings.Split(list, ",") {
		wanted[strings.TrimSpace(k)] = true
	}
	var chosen []T
	var known []string
	for _, e := range all {
		known = append(known, key(e))
		if wanted[key(e)] {
			chosen = append(chosen, e)
			delete(wanted, key(e))
		}
	}
	for k := range wanted {
		return nil, fmt.Errorf("%q is none of %s", k, strings.Join(known, ", "))
	}
	return chosen, nil
}
