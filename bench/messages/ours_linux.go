package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// workers are what a relaying hub passes messages on to.
const workers = 8

// ours is package session/ipc: a server and its clients in a process each, with
// frames, with the JSON of socket-ipc, or with eight workers in a third process, to which
// the server passes each message on.
type ours struct{ children []*child.Child }

// The modes of the roles of this file.
const (
	modeFrames = "frames"
	modeJSON   = "json"
	modeRelay  = "relay"
)

func startOurs(mode string) func(context.Context, string, int) (system, error) {
	return func(ctx context.Context, dir string, clients int) (system, error) {
		path := filepath.Join(dir, mode)
		o := new(ours)
		start := func(role string, args ...string) error {
			c, err := child.Start(ctx, role, args...)
			if err != nil {
				return err
			}
			o.children = append(o.children, c)
			return c.Ask(request{}, &reply{}) // it listens, or is connected
		}
		err := start(roleServer, path, mode)
		if err == nil && mode == modeRelay {
			err = start(roleWorkers, path)
		}
		if err == nil {
			err = start(roleClients, path, mode, fmt.Sprint(clients))
		}
		if err != nil {
			o.stop()
			return nil, err
		}
		return o, nil
	}
}

func (o *ours) run(l load) (tally, error) {
	var r reply
	err := o.children[len(o.children)-1].Ask(request{Load: &l}, &r)
	return r.Tally, err
}

func (o *ours) cpu() (total time.Duration, err error) {
	for _, c := range o.children {
		var r reply
		if err := c.Ask(request{}, &r); err != nil {
			return 0, err
		}
		total += r.CPU
	}
	return total, nil
}

func (o *ours) stop() {
	for i := range o.children {
		o.children[len(o.children)-1-i].Stop()
	}
}

// running gives a loop that runs as long as the process.
func running() (*loop.Loop, error) {
	l, err := loop.New(loop.Options{})
	if err == nil {
		go l.Run() // until the process ends
	}
	return l, err
}

func serveOurs(path, mode string) error {
	l, err := running()
	if err != nil {
		return err
	}
	hub := ipc.NewHub(ipc.HubOptions{})
	o := ipc.Options{Hub: hub, MaxConns: 2000}
	d := hub.Default()
	var count atomic.Int64
	switch mode {
	case modeJSON:
		o.Framing = jsonwire.SocketIPC
		d.Handle("one", func(context.Context, *ipc.Received) error { count.Add(1); return nil })
		d.Handle("ack", func(ctx context.Context, r *ipc.Received) error {
			count.Add(1)
			var s string
			if err := r.Decode(&s); err != nil {
				return err
			}
			return r.Peer.Post(ctx, ipc.Message{Topic: "ack", Body: ipc.JSON(len(s))})
		})
		d.Handle("end", func(ctx context.Context, r *ipc.Received) error {
			return r.Peer.Post(ctx, ipc.Message{Topic: "end", Body: ipc.JSON(0)})
		})
		d.Handle("total", func(ctx context.Context, r *ipc.Received) error {
			return r.Peer.Post(ctx, ipc.Message{Topic: "total", Body: ipc.JSON(count.Load())})
		})
	case modeFrames:
		d.Handle("one", func(context.Context, *ipc.Received) error { count.Add(1); return nil })
		d.Handle("ack", func(_ context.Context, r *ipc.Received) error {
			count.Add(1)
			return r.Reply(ipc.JSON(len(r.Payload)))
		})
		d.Handle("end", func(context.Context, *ipc.Received) error { return nil })
		d.Handle("total", func(_ context.Context, r *ipc.Received) error { return r.Reply(ipc.JSON(count.Load())) })
	case modeRelay:
		relay(hub)
	}
	s := ipc.NewServer(o)
	if err := s.Listen(l, path); err != nil {
		return err
	}
	return child.Serve(func(json.RawMessage) (any, error) { return reply{CPU: child.CPU()}, nil })
}

// relay passes messages on to the workers in turn.
func relay(hub *ipc.Hub) {
	var all []*ipc.Peer // written before there are clients
	var turn atomic.Uint64
	d := hub.Default()
	next := func() *ipc.Peer { return all[turn.Add(1)%uint64(len(all))] }
	d.Handle("workers", func(_ context.Context, r *ipc.Received) error { // the workers are there
		all = hub.Peers()
		if len(all) != workers {
			return fmt.Errorf("%d workers", len(all))
		}
		return nil
	})
	d.Handle("one", func(ctx context.Context, r *ipc.Received) error {
		return next().Post(ctx, ipc.Message{Topic: "one", Body: ipc.Bytes(r.Payload)})
	})
	d.Handle("ack", func(ctx context.Context, r *ipc.Received) error {
		got, err := next().Ask(ctx, ipc.Message{Topic: "ack", Body: ipc.Bytes(r.Payload)})
		if err != nil {
			return err
		}
		return r.Reply(ipc.RawJSON(got.Payload))
	})
	d.Handle("end", func(context.Context, *ipc.Received) error { return nil })
	d.Handle("total", func(ctx context.Context, r *ipc.Received) error {
		total := 0
		for _, w := range all {
			got, err := w.Ask(ctx, ipc.Message{Topic: "total"})
			var n int
			if err = errors.Join(err, got.Decode(&n)); err != nil {
				return err
			}
			total += n
		}
		return r.Reply(ipc.JSON(total))
	})
}

func workOurs(ctx context.Context, path string) error {
	l, err := running()
	if err != nil {
		return err
	}
	var last *ipc.Client
	for range workers {
		count := 0 // of one peer, whose messages come one after the other
		hub := ipc.NewHub(ipc.HubOptions{})
		d := hub.Default()
		d.Handle("one", func(context.Context, *ipc.Received) error { count++; return nil })
		d.Handle("ack", func(_ context.Context, r *ipc.Received) error {
			count++
			return r.Reply(ipc.JSON(len(r.Payload)))
		})
		d.Handle("total", func(_ context.Context, r *ipc.Received) error { return r.Reply(ipc.JSON(count)) })
		if last, err = ipc.Dial(ctx, path, ipc.DialOptions{Loop: l, Hub: hub, Kind: "worker"}); err != nil {
			return err
		}
	}
	if _, err := last.Peer().Ask(ctx, ipc.Message{Topic: "workers"}); err != nil {
		return err
	}
	return child.Serve(func(json.RawMessage) (any, error) { return reply{CPU: child.CPU()}, nil })
}

// A sender is one client.
type sender interface {
	send(ctx context.Context, topic string, b ipc.Body) error
	ask(ctx context.Context, topic string, b ipc.Body) (int, error)
	body(text string) ipc.Body
}

func askOurs(ctx context.Context, path, mode string, clients int) error {
	l, err := running()
	if err != nil {
		return err
	}
	all := make([]sender, clients)
	hub := ipc.NewHub(ipc.HubOptions{})
	for i := range all {
		if mode == modeJSON {
			all[i], err = dialJSON(ctx, l, path)
		} else {
			var c *ipc.Client
			if c, err = ipc.Dial(ctx, path, ipc.DialOptions{Loop: l, Hub: hub, Kind: "client"}); err == nil {
				all[i] = framesSender{c.Peer()}
			}
		}
		if err != nil {
			return err
		}
	}
	return child.Serve(func(b json.RawMessage) (any, error) {
		var q request
		if err := json.Unmarshal(b, &q); err != nil || q.Load == nil {
			return reply{CPU: child.CPU()}, err
		}
		var sent atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, clients)
		until := time.Now().Add(q.Load.Duration)
		more := func() bool { return sent.Load() < int64(q.Load.Count) && time.Now().Before(until) }
		for i, c := range all {
			wg.Go(func() { errs[i] = sendAll(ctx, c, *q.Load, more, &sent) }) // until the load is over
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		n, err := all[0].ask(ctx, "total", all[0].body(""))
		return reply{Tally: tally{Sent: int(sent.Load()), Arrived: n}}, err
	})
}

func sendAll(ctx context.Context, c sender, l load, more func() bool, sent *atomic.Int64) error {
	body := c.body(strings.Repeat("x", l.Size))
	for more() {
		sent.Add(1)
		if !l.Ack {
			if err := c.send(ctx, "one", body); err != nil {
				return err
			}
		} else if n, err := c.ask(ctx, "ack", body); err != nil || n != l.Size {
			return fmt.Errorf("acknowledged %d bytes: %w", n, err)
		}
	}
	_, err := c.ask(ctx, "end", c.body("")) // it comes behind the others
	return err
}

type framesSender struct{ p *ipc.Peer }

func (s framesSender) body(text string) ipc.Body { return ipc.Bytes([]byte(text)) }

func (s framesSender) send(ctx context.Context, topic string, b ipc.Body) error {
	return s.p.Post(ctx, ipc.Message{Topic: topic, Body: b})
}

func (s framesSender) ask(ctx context.Context, topic string, b ipc.Body) (n int, err error) {
	r, err := s.p.Ask(ctx, ipc.Message{Topic: topic, Body: b})
	if err != nil || r.Format != ipc.FormatJSON {
		return 0, err
	}
	return n, r.Decode(&n)
}

// jsonSender has replies come as messages of the same topic.
type jsonSender struct {
	p    *ipc.Peer
	came chan int
}

func dialJSON(ctx context.Context, l *loop.Loop, path string) (*jsonSender, error) {
	s := &jsonSender{came: make(chan int, 1)}
	hub := ipc.NewHub(ipc.HubOptions{})
	hub.Default().Handle("", func(_ context.Context, r *ipc.Received) error {
		n, err := strconv.Atoi(string(r.Payload))
		s.came <- n
		return err
	})
	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Loop: l, Hub: hub, Framing: jsonwire.SocketIPC})
	if err != nil {
		return nil, err
	}
	s.p = c.Peer()
	return s, nil
}

func (s *jsonSender) body(text string) ipc.Body { return ipc.JSON(text) } // encoded for each message, as the others' is

func (s *jsonSender) send(ctx context.Context, topic string, b ipc.Body) error {
	return s.p.Post(ctx, ipc.Message{Topic: topic, Body: b})
}

func (s *jsonSender) ask(ctx context.Context, topic string, b ipc.Body) (int, error) {
	if err := s.send(ctx, topic, b); err != nil {
		return 0, err
	}
	select {
	case n := <-s.came:
		return n, nil
	case <-s.p.Done():
		return 0, s.p.Err()
	}
}
