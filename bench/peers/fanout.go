package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// An audience is many clients of one stream of events.
type audience struct {
	all       []*listener
	counting  atomic.Bool
	delivered atomic.Int64 // events, while counting
	leaving   atomic.Bool
	done      sync.WaitGroup
}

// A listener is one client.
type listener struct {
	conn  net.Conn
	first chan struct{} // closed when an event has come, or none will

	// Its goroutine's, until audience.done.
	last    int64           // number of the last event
	took    []time.Duration // from the app's clock to ours, of events counted
	failure error           // that the stream ended, if not by us
}

// listenTimeout bounds how long it takes until everybody has an event.
const listenTimeout = 30 * time.Second

// fanOut has n clients listen and counts what comes within d.
func fanOut(ctx context.Context, s *stack.Stack, path string, n int, d time.Duration) (stack.Sample, error) {
	clients, err := listen(ctx, s, path, n)
	if err != nil {
		return stack.Sample{}, err
	}
	defer clients.leave()
	sample, err := s.Sample(func() (stack.Load, error) { return clients.count(ctx, d) })
	clients.leave()
	sample.P50, sample.P99, sample.Failed = clients.verdict()
	return sample, err
}

// listen connects n clients and waits until each has had an event.
func listen(ctx context.Context, s *stack.Stack, path string, n int) (*audience, error) {
	a := new(audience)
	deadline := time.After(listenTimeout)
	for range n {
		l := &listener{first: make(chan struct{})}
		conn, err := (&net.Dialer{Timeout: listenTimeout}).DialContext(ctx, "tcp", s.Addr())
		if err == nil {
			_, err = fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\n\r\n", s.Target(), path, s.Addr())
		}
		if err != nil {
			a.leave()
			return nil, err
		}
		l.conn = conn
		a.all = append(a.all, l)
		// Ends when the connection is closed, by leave at the latest.
		a.done.Go(func() {
			if err := a.read(l); !a.leaving.Load() {
				l.failure = err
			}
			select {
			case <-l.first:
			default:
				close(l.first)
			}
		})
	}
	for _, l := range a.all {
		select {
		case <-l.first:
		case <-deadline:
			a.leave()
			return nil, errors.New("not every client had an event in time")
		case <-ctx.Done():
			a.leave()
			return nil, ctx.Err()
		}
	}
	return a, nil
}

// read takes events until the connection ends. Numbers must follow each other.
func (a *audience) read(l *listener) error {
	resp, err := http.ReadResponse(bufio.NewReaderSize(l.conn, 1<<10), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 1<<10), 1<<10)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // after an event
		}
		number, sent, err := parseEvent(lines.Text())
		if err != nil {
			return err
		}
		switch {
		case l.last == 0:
			close(l.first)
		case number != l.last+1:
			return fmt.Errorf("event %d came after %d", number, l.last)
		}
		l.last = number
		if a.counting.Load() {
			a.delivered.Add(1)
			l.took = append(l.took, time.Duration(time.Now().UnixNano()-sent))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended")
}

// parseEvent reads "data: NUMBER NS".
func parseEvent(line string) (number, sent int64, err error) {
	text, ok := strings.CutPrefix(line, "data: ")
	n, ns, ok2 := strings.Cut(text, " ")
	if number, err = strconv.ParseInt(n, 10, 64); err == nil {
		sent, err = strconv.ParseInt(ns, 10, 64)
	}
	if !ok || !ok2 || err != nil {
		return 0, 0, fmt.Errorf("not an event: %q", line)
	}
	return number, sent, nil
}

// count counts events for d. A request of the load is one event at one client.
func (a *audience) count(ctx context.Context, d time.Duration) (stack.Load, error) {
	a.counting.Store(true)
	start := time.Now()
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	a.counting.Store(false)
	n := int(a.delivered.Load())
	return stack.Load{Requests: n, Rate: float64(n) / time.Since(start).Seconds()}, ctx.Err()
}

// verdict is, after leave, what the clients saw: how long events took, and how
// many clients lost their stream or an event.
func (a *audience) verdict() (p50, p99 time.Duration, failed int) {
	var took []time.Duration
	for _, l := range a.all {
		took = append(took, l.took...)
		if l.failure != nil {
			failed++
		}
	}
	return clock.Percentile(took, 0.5), clock.Percentile(took, 0.99), failed
}

// leave closes the connections and waits for the readers.
func (a *audience) leave() {
	a.leaving.Store(true)
	for _, l := range a.all {
		_ = l.conn.Close() // nothing is left to be written
	}
	a.done.Wait()
}
