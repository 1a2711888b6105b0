package main

import (
	"fmt"
	"io"
	"time"
)

// The traps on the way out.

// large is more than a socket takes. bytes
const large = 8 << 20

// tryDrain sends to a peer that reads nothing, and waits to be told that all
// was sent.
func tryDrain(t *trial) (outcome, error) {
	told := make(chan int, 10)
	nc, c, err := t.one(callbacks{open: func(c conn) {
		c.sendTold(make([]byte, large), func() { told <- c.queued() })
	}})
	if err != nil {
		return outcome{}, err
	}
	select {
	case left := <-told:
		return outcomef(left > 0, "told that all was sent with %s still waiting", mib(left))
	case <-time.After(300 * time.Millisecond):
	}
	queued := 0
	if err := on(c, func() { queued = c.queued() }); err != nil {
		return outcome{}, err
	}
	if _, err := io.ReadFull(nc, make([]byte, large)); err != nil {
		return outcome{}, err
	}
	left, err := await(told)
	return outcome{fmt.Sprintf("silent with %s waiting, told once the peer had read them", mib(queued)), left > 0}, err
}

// tryClose sends and closes.
func tryClose(t *trial) (outcome, error) {
	nc, _, err := t.one(callbacks{open: func(c conn) {
		_ = c.send(make([]byte, large))
		c.close()
	}})
	if err != nil {
		return outcome{}, err
	}
	time.Sleep(100 * time.Millisecond)
	got, _ := readAll(nc)
	return outcomef(got < large, "%s of %s arrived", mib(got), mib(large))
}

// tryHalfClose has the peer ask, half-close and then read.
func tryHalfClose(t *trial) (outcome, error) {
	nc, _, err := t.one(callbacks{bytes: func(c conn, p []byte) int {
		_ = c.send(make([]byte, large))
		return len(p)
	}})
	if err != nil {
		return outcome{}, err
	}
	fmt.Fprint(nc, "question")
	_ = nc.CloseWrite()
	time.Sleep(100 * time.Millisecond)
	got, _ := readAll(nc)
	return outcomef(got < large, "%s of %s arrived", mib(got), mib(large))
}

// tryLimit sends on and on to a peer that reads nothing.
func tryLimit(t *trial) (outcome, error) {
	_, c, err := t.one(callbacks{})
	if err != nil {
		return outcome{}, err
	}
	const offered = 64 << 20 // bytes
	var refused error
	queued, most, piece := 0, 0, make([]byte, 1<<20)
	err = on(c, func() {
		for n := 0; n < offered && refused == nil; n += len(piece) {
			refused = c.send(piece)
			queued = c.queued()
			most = max(most, queued)
		}
	})
	if refused == nil {
		return outcome{fmt.Sprintf("%s wait", mib(queued)), true}, err
	}
	return outcome{fmt.Sprintf("refused with %s waiting: %v", mib(most), refused), false}, err
}

// tryFlush uses the way for what comes from an io.Reader.
func tryFlush(t *trial) (outcome, error) {
	nc, c, err := t.one(callbacks{})
	if err != nil {
		return outcome{}, err
	}
	if err := on(c, func() { c.sendRead(make([]byte, large)) }); err != nil {
		return outcome{}, err
	}
	time.Sleep(100 * time.Millisecond)
	got, _ := readAll(nc)
	if got < large {
		return outcomef(true, "%s of %s arrived, then nothing for a second", mib(got), mib(large))
	}
	return outcomef(false, "%s of %s arrived", mib(got), mib(large))
}

// tryStale writes to a connection that has ended when another has its
// descriptor's number.
func tryStale(t *trial) (outcome, error) {
	conns, closed := make(chan conn, 2), make(chan error, 2)
	err := t.serve(callbacks{
		open:  func(c conn) { conns <- c },
		close: func(_ conn, err error) { closed <- err },
	})
	if err != nil {
		return outcome{}, err
	}
	first, err := t.dial()
	if err != nil {
		return outcome{}, err
	}
	a, err := await(conns)
	if err != nil {
		return outcome{}, err
	}
	// Both numbers are taken before the first one is free again, so that the second
	// connection's end here cannot get it.
	second, err := t.dialLater()
	if err != nil {
		return outcome{}, err
	}
	first.CloseRead()
	first.CloseWrite() // its number stays taken
	if _, err := await(closed); err != nil {
		return outcome{}, err
	}
	time.Sleep(20 * time.Millisecond) // close(2) comes after the callback
	if err := second.connect(); err != nil {
		return outcome{}, err
	}
	b, err := await(conns)
	if err != nil {
		return outcome{}, err
	}
	var refused error
	if err := on(b, func() { refused = a.send([]byte("for A")) }); err != nil {
		return outcome{}, err
	}
	if p := second.read(); p != "" {
		return outcomef(true, "B got %q", p)
	}
	return outcomef(false, "refused: %v", refused)
}

// tryAddress asks a connection that has ended who it was.
func tryAddress(t *trial) (outcome, error) {
	closed := make(chan struct{})
	nc, c, err := t.one(callbacks{close: func(conn, error) { close(closed) }})
	if err != nil {
		return outcome{}, err
	}
	nc.Close()
	if _, err := await(closed); err != nil {
		return outcome{}, err
	}
	time.Sleep(20 * time.Millisecond)
	if addr := c.remote(); addr != nil {
		return outcomef(false, "kept")
	}
	return outcomef(true, "nil")
}

// tryKept changes a slice after it was given away.
func tryKept(t *trial) (outcome, error) {
	nc, _, err := t.one(callbacks{open: func(c conn) {
		p := []byte("meant")
		c.sendKept(p)
		copy(p, "other")
	}})
	if err != nil {
		return outcome{}, err
	}
	p := make([]byte, 5)
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(nc, p); err != nil {
		return outcome{}, err
	}
	return outcomef(string(p) != "meant", "%q arrived", p)
}

// tryAltered looks at what was given to a write that was cut short.
func tryAltered(t *trial) (outcome, error) {
	_, c, err := t.one(callbacks{})
	if err != nil {
		return outcome{}, err
	}
	pieces := [][]byte{make([]byte, large), []byte("end")}
	if err := on(c, func() { err = c.sendPair(pieces) }); err != nil {
		return outcome{}, err
	}
	if n := len(pieces[0]); n != large {
		return outcome{fmt.Sprintf("%s became %s", mib(large), mib(n)), true}, err
	}
	return outcome{"as they were", false}, err
}

// tryInside looks whether a write can make a callback before it returns.
func tryInside(t *trial) (outcome, error) {
	writing, inside := false, false // loop only
	closed := make(chan struct{})
	nc, c, err := t.one(callbacks{close: func(conn, error) { inside = writing; close(closed) }})
	if err != nil {
		return outcome{}, err
	}
	busy, left := make(chan struct{}), make(chan struct{})
	c.do(func() {
		close(busy)
		<-left
		writing = true
		_ = c.send([]byte("x"))
		writing = false
	})
	if _, err := await(busy); err != nil {
		return outcome{}, err
	}
	nc.Close()
	close(left)
	if _, err := await(closed); err != nil {
		return outcome{}, err
	}
	if inside {
		return outcomef(true, "called before the write returned")
	}
	return outcomef(false, "called later")
}
