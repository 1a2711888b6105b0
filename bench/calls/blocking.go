package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// errReply reports a reply that is not its request.
var errReply = errors.New("a reply is not what was sent")

// A caller makes one call and waits for its reply, which it may put into buf.
type caller func(request, buf []byte) (reply []byte, err error)

// blocking is the loader of what is called from goroutines, one for each call in
// flight.
func blocking(call caller) loader {
	return func(flight, size int, d time.Duration, took []time.Duration) ([]time.Duration, error) {
		end := time.Now().Add(d)
		each := make([][]time.Duration, flight)
		errs := make([]error, flight)
		var wg sync.WaitGroup
		for i := range flight {
			share := cap(took) / flight
			mine := took[i*share : i*share : (i+1)*share]
			wg.Go(func() { // ends after the call that ends after d, or that fails
				body, buf := newBody(size, i), make([]byte, size+8)
				for now := time.Now(); now.Before(end) && errs[i] == nil; {
					stamp(body)
					reply, err := call(body, buf)
					if err == nil && !bytes.Equal(reply, body) {
						err = errReply
					}
					errs[i] = err
					then := now
					now = time.Now()
					mine = append(mine, now.Sub(then))
				}
				each[i] = mine
			})
		}
		wg.Wait()
		var all []time.Duration
		for _, t := range each {
			all = append(all, t...)
		}
		return all, errors.Join(errs...)
	}
}

// Bodies are of so many bytes.
const (
	leastBody = 8 // room for a stamp
	longest   = 1 << 20
)

// newBody returns size bytes, other ones for each number.
func newBody(size, number int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i*7 + number)
	}
	return body
}

// stamp makes the body differ from the one before, at both of its ends, so that
// the reply of an earlier call or half a reply is noticed.
func stamp(body []byte) {
	n := binary.NativeEndian.Uint64(body) + 1
	binary.NativeEndian.PutUint64(body, n)
	binary.NativeEndian.PutUint64(body[len(body)-8:], n)
}
