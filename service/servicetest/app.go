package servicetest

import (
	"fmt"
	"io"

	"github.com/heddle-go/heddle"
)

// App starts the service of an app (PROTOCOL.md 2.5, 3.5) that has these
// handlers, by event, and echo and fail besides. A handler gets the pieces from
// Call.Piece, in v0 the one piece that there is.
func (c *Cloud) App(name string, handlers map[string]func(*Call)) *Service {
	all := map[string]func(*Call){"echo": echo, "fail": fail}
	for event, h := range handlers {
		all[event] = h
	}
	enqueue := Method{ID: 0, Name: "enqueue", Params: Takes(Text).Or(Text), Dispatch: Streaming, Upstream: Streaming, Raw: true}
	if c.dialect == heddle.V0 {
		enqueue.Params, enqueue.Dispatch = Takes(Text, Text).Or(Text), nil
	}
	run := func(call *Call, event string) {
		if h := all[event]; h != nil {
			h(call)
			return
		}
		// As the Go framework's worker says it.
		category, code := int64(42), int64(200)
		if c.dialect == heddle.V0 {
			code = -100
		}
		_ = call.Error(category, code, fmt.Sprintf("There is no handler for an event %s", event))
	}
	enqueue.Serve = func(call *Call) { run(call, call.Text(0)) }
	c.mu.Lock()
	c.running[name] = run
	c.mu.Unlock()
	info := func(call *Call) {
		_ = call.Value(map[string]any{"name": name, "state": "running", "sessions": map[string]any{"pending": 0}})
	}
	methods := []Method{enqueue, {ID: 1, Name: "info", Upstream: Primitive, Serve: info}}
	if c.dialect == heddle.V1 {
		methods = append(methods, Method{ID: 2, Name: "control", Dispatch: StreamOf(Number), Upstream: Primitive, Serve: drainInput})
	}
	return c.Add(name, 1, methods...)
}

// Piece returns the next piece that the caller has sent, in v0 the data of an
// enqueue and then io.EOF. An error of the caller's is an error here.
func (c *Call) Piece() (string, error) {
	if c.Dialect() == heddle.V0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.blob {
			return "", io.EOF
		}
		c.blob = true
		return c.Text(1), nil
	}
	m, err := c.Recv()
	switch {
	case err != nil:
		return "", err
	case m.Name == "close":
		return "", io.EOF
	case m.Name == "error":
		return "", fmt.Errorf("servicetest: the caller's error %v", m.Args)
	}
	s, _ := m.Args[0].(string)
	return s, nil
}

// echo says each piece again.
func echo(call *Call) {
	for {
		p, err := call.Piece()
		if err == io.EOF {
			return
		}
		if err != nil || call.Write(p) != nil {
			call.Drop()
			return
		}
	}
}

// fail waits for a piece and says what a worker with a fault of its own would.
func fail(call *Call) {
	if _, err := call.Piece(); err == nil {
		_ = call.Error(42, 77, "boom")
	}
}

// drainInput takes whatever comes until its end.
func drainInput(call *Call) {
	for {
		if _, err := call.Recv(); err != nil {
			return
		}
	}
}
