package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// What a Node says of an app that is asked for.
var (
	// ErrNoApp: nothing is known of an app of that name, or with that profile.
	ErrNoApp = errors.New("host: no such app")

	// ErrRunning: it has been started before.
	ErrRunning = errors.New("host: the app is running")

	// ErrNotRunning: it has not been started.
	ErrNotRunning = errors.New("host: the app is not running")
)

// A Node starts and stops apps, and has its Cloud serve them by AddApp and RemoveApp.
// Its methods may wait, are called from any goroutine, several at a time, and answer
// in the errors above, or in any other's words.
type Node interface {
	StartApp(name, profile string) error
	PauseApp(name string) error

	// List are the apps that run.
	List() ([]string, error)

	// Info is any value that has msgpack; flags are the caller's, 0 without.
	Info(name string, flags int64) (any, error)
}

// appsOnly is the Node of a Cloud that was given none: it knows the apps of AddApp.
type appsOnly struct{ cloud *Cloud }

func (n appsOnly) StartApp(name, _ string) error {
	if n.cloud.app(name) != nil {
		return ErrRunning
	}
	return ErrNoApp
}

func (n appsOnly) PauseApp(name string) error {
	if n.cloud.app(name) != nil {
		return errors.New("only its owner stops it")
	}
	return ErrNotRunning
}

func (n appsOnly) List() ([]string, error) {
	n.cloud.mu.Lock()
	defer n.cloud.mu.Unlock()
	return slices.AppendSeq([]string{}, maps.Keys(n.cloud.apps)), nil
}

func (n appsOnly) Info(name string, _ int64) (any, error) {
	a := n.cloud.app(name)
	if a == nil {
		return nil, ErrNotRunning
	}
	return a.info()
}

type started struct {
	_       struct{} `msg:",tuple"`
	Name    string
	Profile string
}

type startedV0 struct {
	_        struct{}          `msg:",tuple"`
	Profiles map[string]string // by app
}

type asked struct {
	_     struct{} `msg:",tuple"`
	Name  string
	Flags int64
}

type enqueued struct {
	_     struct{} `msg:",tuple"`
	App   string
	Event string
	Tag   string
}

// mostApps is how many apps one call of v0 may name.
const mostApps = 1024

// nodeService are PROTOCOL 2.5 and 3.5.
func (c *Cloud) nodeService() Service {
	n := c.opt.Node
	if n == nil {
		n = appsOnly{c}
	}
	list := Slow(2, "list", 0, func(*Call, *None) (Results, error) {
		names, err := n.List()
		if err != nil {
			return nil, errnoError(syscall.EIO, err.Error())
		}
		slices.Sort(names)
		return Results{append([]string{}, names...)}, nil
	})
	return Service{
		Name: nameNode, Version: 1,
		V0: []Method{
			Slow(0, "start_app", 1, func(_ *Call, a *startedV0) (Results, error) {
				return each(slices.Sorted(maps.Keys(a.Profiles)), func(name string) (string, error) {
					return "the app has been started", n.StartApp(name, a.Profiles[name])
				})
			}),
			Slow(1, "pause_app", 1, func(_ *Call, a *words) (Results, error) {
				return each(a.List, func(name string) (string, error) { return "the app has been stopped", n.PauseApp(name) })
			}),
			list,
		},
		V1: []Method{
			Slow(0, "start_app", 2, func(_ *Call, a *started) (Results, error) {
				return nil, nodeError(n.StartApp(a.Name, a.Profile), a.Name)
			}),
			Slow(1, "pause_app", 1, func(_ *Call, a *word) (Results, error) { return nil, nodeError(n.PauseApp(a.Text), a.Text) }),
			list,
			Slow(3, "info", 1, func(_ *Call, a *asked) (Results, error) {
				info, err := n.Info(a.Name, a.Flags)
				if err != nil {
					return nil, nodeError(err, a.Name)
				}
				return Results{info}, nil
			}),
			Stream(4, "control", 1, session.Streaming, session.Primitive, func(call *Call, a *word) error {
				app := c.app(a.Text)
				if app == nil {
					return nodeError(ErrNotRunning, a.Text)
				}
				return c.control(call, app.Control)
			}),
			Stream(5, "enqueue", 2, session.Streaming, session.Streaming, func(call *Call, a *enqueued) error {
				app := c.app(a.App)
				if app == nil {
					return &Error{Category: heddle.CategoryNode, Code: codeNotRunning, Msg: fmt.Sprintf("application %s is not found", clipName(a.App))}
				}
				return newBridge(call, app, a.Event).begin(nil)
			}),
		},
	}
}

// each is v0's answer to a call that names several apps: a text for each.
func each(names []string, do func(name string) (string, error)) (Results, error) {
	if len(names) > mostApps {
		return nil, errnoError(syscall.E2BIG, "too many apps in one call")
	}
	all := make(map[string]string, len(names))
	for _, name := range names {
		done, err := do(name)
		switch {
		case err == nil:
			all[name] = done
		case errors.Is(err, ErrNoApp):
			all[name] = fmt.Sprintf("object '%s' has not been found in 'manifests'", clipName(name))
		case errors.Is(err, ErrRunning):
			all[name] = "app is already running"
		case errors.Is(err, ErrNotRunning):
			all[name] = "app is not running"
		default:
			all[name] = err.Error()
		}
	}
	return Results{all}, nil
}

// Codes of CategoryNode (PROTOCOL 3.8).
const (
	codeStarted    = 5
	codeNotRunning = 6
)

// nodeError is v1's word for what a Node has said.
func nodeError(err error, app string) error {
	app = clipName(app)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoApp):
		return errnoError(syscall.ENOENT, fmt.Sprintf("manifests/%s: No such file or directory", app))
	case errors.Is(err, ErrRunning):
		return &Error{Category: heddle.CategoryNode, Code: codeStarted, Msg: fmt.Sprintf("app '%s': application has already been started", app)}
	case errors.Is(err, ErrNotRunning):
		return errnoError(syscall.EINVAL, fmt.Sprintf("app '%s' is not running: Invalid argument", app))
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return errnoError(syscall.EPERM, fmt.Sprintf("app '%s': %s", app, err))
}
