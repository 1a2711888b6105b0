package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
)

// plain is what one would write in an afternoon: package net and encoding/json, a goroutine for each
// connection; server and clients in a process each.
type plain struct{ server, client *child.Child }

// The roles of this binary.
const (
	rolePlainServer = "plain-server"
	rolePlainClient = "plain-client"
	roleServer      = "server"
	roleWorkers     = "workers"
	roleClients     = "clients"
)

// message is one either way.
type message struct {
	Topic   string `json:"topic"`
	Message string `json:"message,omitempty"`
	Count   int    `json:"count,omitempty"`
}

// request is what the parent asks of a role; with no load, the time it has used.
type request struct{ Load *load }

type reply struct {
	CPU   time.Duration
	Tally tally
}

func startPlain(ctx context.Context, dir string, clients int) (system, error) {
	path := filepath.Join(dir, "plain")
	server, err := child.Start(ctx, rolePlainServer, path)
	if err != nil {
		return nil, err
	}
	p := &plain{server: server}
	if err = server.Ask(request{}, &reply{}); err == nil { // it listens
		if p.client, err = child.Start(ctx, rolePlainClient, path, fmt.Sprint(clients)); err == nil {
			err = p.client.Ask(request{}, &reply{}) // it is connected
		}
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *plain) run(l load) (tally, error) {
	var r reply
	err := p.client.Ask(request{Load: &l}, &r)
	return r.Tally, err
}

func (p *plain) cpu() (time.Duration, error) {
	total := time.Duration(0)
	for _, c := range []*child.Child{p.server, p.client} {
		var r reply
		if err := c.Ask(request{}, &r); err != nil {
			return 0, err
		}
		total += r.CPU
	}
	return total, nil
}

func (p *plain) stop() {
	for _, c := range []*child.Child{p.client, p.server} {
		if c != nil {
			c.Stop()
		}
	}
}

// servePlain is the server's process.
func servePlain(path string) error {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer ln.Close()
	go func() { // until the process ends
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // until the client leaves
				if err := countPlain(nc); err != nil {
					fmt.Fprintln(os.Stderr, "bench/messages: plain server:", err)
				}
			}()
		}
	}()
	return child.Serve(func(json.RawMessage) (any, error) { return reply{CPU: child.CPU()}, nil })
}

func countPlain(nc net.Conn) error {
	defer nc.Close()
	in, out := json.NewDecoder(nc), json.NewEncoder(nc)
	count := 0
	for {
		var m message
		err := in.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			switch m.Topic {
			case "one":
				count++
			case "ack":
				count++
				err = out.Encode(message{Topic: "ack", Count: len(m.Message)})
			case "end":
				err = out.Encode(message{Topic: "end", Count: count})
			}
		}
		if err != nil {
			return err
		}
	}
}

// askPlain is the clients' process.
func askPlain(path string, clients int) error {
	conns := make([]*plainConn, clients)
	for i := range conns {
		nc, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		defer nc.Close()
		conns[i] = &plainConn{json.NewDecoder(nc), json.NewEncoder(nc)}
	}
	return child.Serve(func(b json.RawMessage) (any, error) {
		var q request
		if err := json.Unmarshal(b, &q); err != nil || q.Load == nil {
			return reply{CPU: child.CPU()}, err
		}
		var sent, arrived atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, clients)
		until := time.Now().Add(q.Load.Duration)
		for i, c := range conns {
			wg.Go(func() { // until the load is over
				more := func() bool { return sent.Load() < int64(q.Load.Count) && time.Now().Before(until) }
				count, err := c.send(*q.Load, more, &sent)
				arrived.Add(int64(count))
				errs[i] = err
			})
		}
		wg.Wait()
		return reply{Tally: tally{Sent: int(sent.Load()), Arrived: int(arrived.Load())}}, errors.Join(errs...)
	})
}

type plainConn struct {
	in  *json.Decoder
	out *json.Encoder
}

// send returns how many messages the server has had from this connection.
func (c *plainConn) send(l load, more func() bool, sent *atomic.Int64) (int, error) {
	m := message{Topic: "one", Message: strings.Repeat("x", l.Size)}
	if l.Ack {
		m.Topic = "ack"
	}
	var got message
	for more() {
		sent.Add(1)
		if err := c.out.Encode(m); err != nil {
			return 0, err
		}
		if !l.Ack {
			continue
		}
		if err := c.in.Decode(&got); err != nil || got.Count != l.Size {
			return 0, fmt.Errorf("acknowledged %d bytes: %w", got.Count, err)
		}
	}
	if err := c.out.Encode(message{Topic: "end"}); err != nil {
		return 0, err
	}
	err := c.in.Decode(&got)
	return got.Count, err
}
