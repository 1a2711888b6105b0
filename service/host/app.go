package host

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// An Opener opens sessions on an app's workers. The worker engine is one.
type Opener interface {
	// OpenOn opens a session on a channel of loop i of Options.Loops, where it is
	// called, for the Handler in o. It does not wait: if nobody is free it returns
	// neither session nor error, and calls later on the loop, once, when somebody is
	// or the request has waited long enough; unless cancel was called on the loop
	// before, and said true.
	//
	// Clients' connections are dealt to all loops, so that there have to be workers
	// on each. An error with a method RetryAfter() time.Duration says that everybody is
	// too busy just now.
	OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (s *session.Session, cancel func() bool, err error)
}

// An App is a program whose workers clients call by enqueue.
type App struct {
	Name   string
	Opener Opener

	// HTTP is the event as which workers get HTTP requests; "": none. A client of
	// dialect v0 is answered as a v0 worker would answer him, whose body's pieces are
	// msgpack each (PROTOCOL 4).
	HTTP string

	// Serves says whether there are workers on loop i; nil: on every one. Clients of the
	// app's service get connections on loops that have some.
	Serves func(i int) bool

	// Free says whether somebody on loop i can take a call now; if nobody can, Open finds
	// a worker on whatever loop, or waits for one. Both nil: whoever is on a loop has all.
	Free func(i int) bool
	Open func(ctx context.Context, o session.OpenOptions) (*session.Session, error)

	// Info is what the app's info answers, any value that has msgpack; nil: the name
	// and that it is running. It may wait.
	Info func() (any, error)

	// Control sets how many workers there are, 0 as many as there were meant to be; nil:
	// nobody may. It may wait.
	Control func(workers int64) error
}

// AddApp serves an app under its name. ErrTaken: there is a service of that name.
func (c *Cloud) AddApp(a App) error {
	if a.Opener == nil {
		return errors.New("host: app without an Opener")
	}
	p := &a
	c.mu.Lock()
	_, taken := c.apps[a.Name]
	if !taken {
		c.apps[a.Name] = p
	}
	c.mu.Unlock()
	if taken {
		return fmt.Errorf("%w: %q", ErrTaken, a.Name)
	}
	if err := c.add(c.appService(p), false); err != nil {
		c.forget(p)
		return err
	}
	return nil
}

// RemoveApp ends an app's service and its calls. There need be none of that name.
func (c *Cloud) RemoveApp(name string) {
	if a := c.app(name); a != nil {
		c.forget(a)
		c.Remove(name)
	}
}

func (c *Cloud) forget(a *App) {
	c.mu.Lock()
	if c.apps[a.Name] == a {
		delete(c.apps, a.Name)
	}
	c.mu.Unlock()
}

// app is the one of that name; nil for none.
func (c *Cloud) app(name string) *App {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apps[name]
}

// A task is the arguments of enqueue. Tags name workers in real runtimes; ours have no
// names that clients know.
type task struct {
	_     struct{} `msg:",tuple"`
	Event string
	Tag   string
}

type taskV0 struct {
	_     struct{} `msg:",tuple"`
	Event string
	Data  heddle.Raw // borrowed of the call
	Tag   string
}

// appService are PROTOCOL 2.5 and 3.5.
func (c *Cloud) appService(a *App) Service {
	info := func(*Call, *None) (Results, error) {
		v, err := a.info()
		return Results{v}, err
	}
	return Service{
		Name: a.Name, Version: 1, serves: a.Serves,
		V0: []Method{
			Stream(0, "enqueue", 2, session.Mute, session.Streaming, func(call *Call, t *taskV0) error {
				return newBridge(call, a, t.Event).begin(t.Data)
			}),
			Slow(1, "info", 0, info),
		},
		V1: []Method{
			Stream(0, "enqueue", 1, session.Streaming, session.Streaming, func(call *Call, t *task) error {
				return newBridge(call, a, t.Event).begin(nil)
			}),
			Slow(1, "info", 0, info),
			Stream(2, "control", 0, session.Streaming, session.Primitive, func(call *Call, _ *None) error {
				return c.control(call, a.Control)
			}),
		},
	}
}

func (a *App) info() (any, error) {
	if a.Info == nil {
		return map[string]any{"name": a.Name, "state": "running"}, nil
	}
	v, err := a.Info()
	if err != nil {
		return nil, errnoError(syscall.EIO, err.Error())
	}
	return v, nil
}

// openError is what a caller is told when no session could be opened for him.
func openError(err error) error {
	var busy interface{ RetryAfter() time.Duration }
	switch {
	case errors.As(err, &busy), errors.Is(err, session.ErrTooMany):
		return &Error{Category: heddle.CategoryOverseer, Code: heddle.CodeQueueFull, Msg: "the queue is full", CodeV0: heddle.CodeV0Resource}
	case errors.Is(err, session.ErrTooLarge):
		return &Error{Category: heddle.CategoryGeneric, Code: int64(syscall.EMSGSIZE), Msg: "the request is too large for the app's workers", CodeV0: heddle.CodeV0Resource}
	}
	return &Error{Category: heddle.CategoryGeneric, Code: int64(syscall.EPIPE), Msg: "the application has been stopped: Broken pipe", CodeV0: heddle.CodeV0Resource, MsgV0: "the engine is not active"}
}

// endError is what a caller is told when a worker's side has ended with err: the
// worker's own word, or that there is no worker any more.
func endError(d heddle.Dialect, err error) error {
	var e *session.Error
	if !errors.As(err, &e) || !e.Remote {
		return &Error{Category: heddle.CategoryAsio, Code: int64(syscall.ECANCELED), Msg: "slave has been discarded", CodeV0: heddle.CodeV0Resource, MsgV0: "slave has unexpectedly disconnected"}
	}
	if d == heddle.V1 && e.Category == 0 { // a worker of dialect v0 has no categories
		category, code := fromV0(e.Code)
		return &session.Error{Category: category, Code: code, Msg: e.Msg}
	}
	return &session.Error{Category: e.Category, Code: e.Code, Msg: e.Msg}
}

// fromV0 is v1's word for a code of v0 (PROTOCOL 2.1, 3.8).
func fromV0(code int64) (category, inV1 int64) {
	switch code {
	case heddle.CodeV0Invocation:
		return heddle.CategoryFramework, heddle.CodeException
	case heddle.CodeV0NoHandler, codeV0NoHandlerNode:
		return heddle.CategoryFramework, heddle.CodeNoHandler
	case heddle.CodeV0Resource:
		return heddle.CategoryNode, heddle.CodeNodeResource
	case heddle.CodeV0Timeout:
		return heddle.CategoryNode, heddle.CodeNodeTimeout
	case heddle.CodeV0Deadline:
		return heddle.CategoryNode, heddle.CodeNodeDeadline
	}
	return heddle.CategoryFramework, code
}

// codeV0NoHandlerNode is how workers of the Node framework say it (PROTOCOL 2.1).
const codeV0NoHandlerNode = 410
