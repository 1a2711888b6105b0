package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// heads asks for heads for d, on conns connections at once, one request at a
// time on each.
func heads(ctx context.Context, s *stack.Stack, conns int, d time.Duration) (stack.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var (
		wg   sync.WaitGroup
		took = make([][]time.Duration, conns)
		errs = make([]error, conns)
	)
	start := time.Now()
	for i := range conns {
		wg.Go(func() { took[i], errs[i] = askHeads(ctx, s.Addr(), s.Target()) })
	}
	wg.Wait()
	elapsed := time.Since(start)
	var load stack.Load
	var all []time.Duration
	for i := range conns {
		all = append(all, took[i]...)
		if errs[i] != nil {
			load.Broken++
		}
	}
	load.Requests, load.Rate = len(all), float64(len(all))/elapsed.Seconds()
	load.P50, load.P99 = clock.Percentile(all, 0.5), clock.Percentile(all, 0.99)
	if load.Requests == 0 {
		return load, errors.Join(errs...)
	}
	return load, nil
}

// askHeads ends without an error when ctx does.
func askHeads(ctx context.Context, addr, target string) ([]time.Duration, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	var took []time.Duration
	request := fmt.Appendf(nil, "HEAD %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, addr)
	buf := make([]byte, 4<<10)
	for ctx.Err() == nil {
		start := time.Now()
		if _, err := c.Write(request); err != nil {
			return took, err
		}
		answer := buf[:0]
		for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
			n, err := c.Read(buf[len(answer):])
			if answer = buf[:len(answer)+n]; err != nil {
				return took, err
			}
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) || bytes.Count(answer, []byte("\r\n\r\n")) != 1 {
			return took, fmt.Errorf("not a head alone: %q", answer)
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
