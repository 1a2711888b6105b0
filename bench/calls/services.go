package main

import (
	"context"
	"fmt"
	"io"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/session"
)

// Package service's calls of a service of plain dialect v1, from goroutines; the
// service answers on its loop.

const (
	sayValue = 0 // of session.Primitive
	sayWrite = 0 // of session.Streaming
)

var serviceMethods = []*session.Method{
	{ID: 0, Name: "value", Dispatch: session.Mute, Upstream: session.Primitive},
	{ID: 1, Name: "stream", Dispatch: session.Streaming, Upstream: session.Streaming},
}

func serveService(path string) error {
	l, err := startLoop()
	if err != nil {
		return err
	}
	o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true}}
	o.Methods = func(id uint64) *session.Method {
		if id < uint64(len(serviceMethods)) {
			return serviceMethods[id]
		}
		return nil
	}
	o.Accept = func(s *session.Session) error {
		s.SetHandler(callee{})
		if s.Method().Upstream == session.Primitive {
			_ = s.Say(sayValue, s.Args()) // an error means that the caller is gone
		}
		return nil
	}
	_, err = l.Listen("unix", path, func(c *loop.Conn) loop.Handler { return session.NewMux(c, o) }, loop.ListenOptions{})
	return err
}

// A callee says each write again.
type callee struct{}

func (callee) OnMessage(s *session.Session, m session.Message) { _ = s.Say(sayWrite, m.Data) }
func (callee) OnWritable(*session.Session)                     {}
func (callee) OnEnd(s *session.Session, _ error) {
	_ = s.Close() // nothing to do for a value
	s.Release()
}

func dialService(path string) (*service.Service, error) {
	s, err := service.New(service.Options{Name: "bench", Endpoints: []string{"unix:" + path}, Methods: serviceMethods})
	if err != nil {
		return nil, err
	}
	return s, s.Connect(context.Background())
}

func dialValue(path string) (loader, error) {
	s, err := dialService(path)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return blocking(func(request, _ []byte) ([]byte, error) {
		return service.Call[[]byte](ctx, s, "value", request)
	}), nil
}

// dialStream opens a stream for each call, with one write each way.
func dialStream(path string) (loader, error) {
	s, err := dialService(path)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return blocking(func(request, buf []byte) ([]byte, error) {
		st, err := s.Stream(ctx, "stream")
		if err != nil {
			return nil, err
		}
		defer st.Close()
		if err := st.SendRaw(request); err != nil {
			return nil, err
		}
		if err := st.CloseSend(); err != nil {
			return nil, err
		}
		p, err := st.RecvRaw()
		if err != nil {
			return nil, err
		}
		n := copy(buf, p)
		if _, err := st.RecvRaw(); err != io.EOF {
			return nil, fmt.Errorf("after the reply: %v", err)
		}
		return buf[:n], nil
	}), nil
}
