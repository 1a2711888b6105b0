package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// options are those of both ends: the wire between Heddle ends.
func options() session.Options {
	return session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}}
}

func startLoop() (*loop.Loop, error) {
	l, err := loop.New(loop.Options{})
	if err == nil {
		go l.Run() // until the process ends
	}
	return l, err
}

func serveSessions(path string, accept func(s *session.Session) error) error {
	l, err := startLoop()
	if err != nil {
		return err
	}
	o := options()
	o.Accept = accept
	_, err = l.Listen("unix", path, func(c *loop.Conn) loop.Handler { return session.NewMux(c, o) }, loop.ListenOptions{})
	return err
}

func dialSessions(path string) (*session.Mux, error) {
	l, err := startLoop()
	if err != nil {
		return nil, err
	}
	o := options()
	o.Dialed = true
	made := make(chan *session.Mux, 1)
	if _, err := l.Dial("unix", path, func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, o)
		made <- m
		return m
	}, loop.DialOptions{}); err != nil {
		return nil, err
	}
	return <-made, nil
}

// The first way: callbacks on the loop, at both ends.

func serveLoop(path string) error {
	return serveSessions(path, func(s *session.Session) error { s.SetHandler(answerer{}); return nil })
}

// answerer takes the first chunk for the whole request.
type answerer struct{}

func (answerer) OnMessage(s *session.Session, m session.Message) {
	if m.Kind == session.Chunk {
		_ = s.Finish(m.Data) // an error means that the asker is gone
	}
}
func (answerer) OnWritable(*session.Session)       {}
func (answerer) OnEnd(s *session.Session, _ error) { s.Release() }

func dialLoop(path string) (loader, error) {
	m, err := dialSessions(path)
	if err != nil {
		return nil, err
	}
	return func(flight, size int, d time.Duration, took []time.Duration) ([]time.Duration, error) {
		a := &asker{m: m, took: took, now: time.Now(), done: make(chan struct{})}
		a.end = a.now.Add(d)
		err := m.Link().Do(func() {
			a.open = flight
			for i := range flight {
				(&call{asker: a, body: newBody(size, i)}).begin()
			}
		})
		if err != nil {
			return nil, err
		}
		<-a.done
		return a.took, a.err
	}, nil
}

// An asker keeps calls in flight until its time is over. Loop only until done.
type asker struct {
	m    *session.Mux
	now  time.Time
	end  time.Time
	open int // calls that begin anew whenever they end
	took []time.Duration
	err  error
	done chan struct{}
}

// A call is the handler of one session after the other.
type call struct {
	*asker
	body  []byte
	begun time.Time
	right bool // the reply has come and is the request
}

func (c *call) begin() {
	c.begun, c.right = c.now, false
	stamp(c.body)
	if _, err := c.m.Open(session.OpenOptions{Event: "echo", First: c.body, Last: true, Handler: c}); err != nil {
		c.leave(err)
	}
}

func (c *call) OnMessage(_ *session.Session, m session.Message) {
	if m.Kind == session.Chunk {
		c.right = !c.right && bytes.Equal(m.Data, c.body)
	}
}

func (c *call) OnWritable(*session.Session) {}

func (c *call) OnEnd(s *session.Session, err error) {
	s.Release()
	c.now = time.Now()
	c.took = append(c.took, c.now.Sub(c.begun))
	switch {
	case err != nil:
		c.leave(err)
	case !c.right:
		c.leave(errReply)
	case c.err != nil || !c.now.Before(c.end):
		c.leave(nil)
	default:
		c.begin()
	}
}

func (c *call) leave(err error) {
	if c.err == nil {
		c.err = err
	}
	if c.open--; c.open == 0 {
		close(c.done)
	}
}

// The second way: goroutines that block in Recv, at both ends. The answering
// one is new for each session.

func serveBlocking(path string) error {
	return serveSessions(path, func(s *session.Session) error {
		go func() { // ends with the session
			defer s.Discard()
			if m, err := s.Recv(); err == nil {
				_ = s.Finish(m.Data) // an error means that the asker is gone
			}
		}()
		return nil
	})
}

func dialBlocking(path string) (loader, error) {
	m, err := dialSessions(path)
	if err != nil {
		return nil, err
	}
	return blocking(func(request, buf []byte) ([]byte, error) {
		s, err := m.Open(session.OpenOptions{Event: "echo", First: request, Last: true})
		if err != nil {
			return nil, err
		}
		defer s.Discard()
		n := 0
		for n < len(buf) {
			k, err := s.Read(buf[n:])
			n += k
			if err == io.EOF {
				return buf[:n], nil
			}
			if err != nil {
				return nil, err
			}
		}
		return nil, fmt.Errorf("a reply is longer than %d bytes", len(buf))
	}), nil
}
