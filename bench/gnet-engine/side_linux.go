package main

import (
	"errors"
	"net"
	"os"
	"time"
)

// A side is an event loop under trial: gnet's stock engine or our loop. One
// process starts one of them once, with one goroutine for its connections.
type side interface {
	// serve accepts connections, at a unix path or a TCP address, and returns once
	// they can be made.
	serve(network, addr string, cb callbacks) error

	// serveLoops does with so many loops, at any one TCP port, and returns the
	// ports.
	serveLoops(loops int) ([]int, error)

	// early dials path as soon as the side says that it has started.
	early(path string) error

	// dialInside dials path from within a callback, which at is made in, and
	// waits there if the side's way of dialling does.
	dialInside(path string, at func(fn func())) error

	ended() <-chan error // the loop's goroutine has returned
	stop()               // in order; waits
}

// callbacks are what a trial does on the loop. Nil ones do nothing; bytes
// then takes all.
type callbacks struct {
	open  func(c conn)
	bytes func(c conn, p []byte) int // returns how much it takes; the rest comes again
	close func(c conn, err error)
}

// A conn is one connection. Loop only, but for sendSoon and do.
type conn interface {
	send(p []byte) error
	sendPair(pieces [][]byte) error // with one system call
	sendKept(p []byte)              // the way that needs no copy, if there is one
	sendRead(p []byte)              // the way for what comes from an io.Reader, if there is one
	sendTold(p []byte, told func()) // told when the side says that all was sent
	sendSoon(p []byte)              // any goroutine; waits while much is outstanding
	queued() int                    // bytes not yet sent
	hold()                          // takes no more input, by whatever means there are
	held() int                      // bytes taken from the socket all the same
	takeFile() (*os.File, error)    // that came with the input
	after(d time.Duration, fn func()) error
	remote() net.Addr
	close()
	do(fn func()) // runs fn on the loop soon; any goroutine
}

// errNone reports that a side has no way to do it.
var errNone = errors.New("there is no way")

// mostOutstanding is how much sendSoon lets wait.
const (
	mostFrames = 10_000  // where only those can be counted
	mostBytes  = 1 << 20 // where bytes can
)
