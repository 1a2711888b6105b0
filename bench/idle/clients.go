package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	perAddress  = 20000 // connections from one address; Linux has 28,232 ports for them
	mostClients = 200 * perAddress
	dialers     = 32 // at work at once
)

// source is the address that the client numbered i comes from: 127.0.0.2 and
// on.
func source(i int) net.IP { return net.IPv4(127, 0, 0, byte(2+i/perAddress)) }

// connect opens n connections, and returns those it has opened in any case. If
// it is to ask, each has had an answer.
func connect(ctx context.Context, addr string, n int, ask bool) ([]net.Conn, error) {
	clients := make([]net.Conn, n)
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n && errs[d] == nil; i += dialers {
				clients[i], errs[d] = client(ctx, addr, source(i), ask)
			}
		})
	}
	wg.Wait()
	return clients, errors.Join(errs...)
}

// client may return both a connection and an error.
func client(ctx context.Context, addr string, from net.IP, ask bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: from}, KeepAlive: -1}
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !ask {
		return c, nil
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return c, err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
		return c, err
	}
	answer := make([]byte, 0, 1<<10)
	for !bytes.HasSuffix(answer, []byte("\r\n\r\nHello, heddle\n")) {
		n, err := c.Read(answer[len(answer):cap(answer)])
		if answer = answer[:len(answer)+n]; err != nil {
			return c, fmt.Errorf("after %q: %w", answer, err)
		}
		if len(answer) == cap(answer) {
			return c, fmt.Errorf("not the answer: %q", answer)
		}
	}
	return c, nil
}

// closeAll resets the connections, so that no port waits for its old client.
func closeAll(clients []net.Conn) {
	for _, c := range clients {
		if c == nil {
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // else it only takes longer
		}
		_ = c.Close() // nothing was left to be written
	}
}
