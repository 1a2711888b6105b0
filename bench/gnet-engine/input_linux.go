package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The traps on the way in.

// tryPause has a peer send to a connection that wants no more.
func tryPause(t *trial) (outcome, error) {
	nc, c, err := t.one(callbacks{open: func(c conn) { c.hold() }})
	if err != nil {
		return outcome{}, err
	}
	const offered = 64 << 20 // bytes
	sent, piece := 0, make([]byte, 1<<20)
	for sent < offered && err == nil {
		_ = nc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		var n int
		n, err = nc.Write(piece)
		sent += n
	}
	time.Sleep(100 * time.Millisecond)
	held := 0
	if err := on(c, func() { held = c.held() }); err != nil {
		return outcome{}, err
	}
	return outcomef(held > offered/4, "the peer could send %s, of which %s were read", mib(sent), mib(held))
}

const lastWordsRounds = 20

// tryLastWords has the peer say its last and leave while the loop is about to
// send it something.
func tryLastWords(t *trial) (outcome, error) { return lastWords(t, nil) }

// tryLastWordsPending does while output waits for room.
func tryLastWordsPending(t *trial) (outcome, error) { return lastWords(t, make([]byte, 640<<10)) }

func lastWords(t *trial, pending []byte) (outcome, error) {
	got := make(map[conn]string) // loop only
	conns, closed := make(chan conn, 1), make(chan string, 1)
	err := t.serve(callbacks{
		open: func(c conn) {
			if pending != nil {
				_ = c.send(pending)
			}
			conns <- c
		},
		bytes: func(c conn, p []byte) int { got[c] += string(p); return len(p) },
		close: func(c conn, _ error) { closed <- got[c] },
	})
	if err != nil {
		return outcome{}, err
	}
	lost := 0
	for range lastWordsRounds {
		nc, err := t.dial()
		if err != nil {
			return outcome{}, err
		}
		c, err := await(conns)
		if err != nil {
			return outcome{}, err
		}
		busy, left := make(chan struct{}), make(chan struct{})
		c.do(func() { // the loop is busy while the peer speaks and leaves
			close(busy)
			<-left
			if pending == nil {
				_ = c.send([]byte("heartbeat"))
			}
		})
		if _, err := await(busy); err != nil {
			return outcome{}, err
		}
		fmt.Fprint(nc, "last words")
		nc.Close()
		close(left)
		words, err := await(closed)
		if err != nil {
			return outcome{}, err
		}
		if words != "last words" {
			lost++
		}
	}
	return outcomef(lost > 0, "%d of %d last messages lost", lost, lastWordsRounds)
}

// tryPassed sends a pipe's end along, and looks whether it can be written to.
func tryPassed(t *trial) (outcome, error) {
	nc, _, err := t.one(callbacks{bytes: func(c conn, p []byte) int {
		if f, err := c.takeFile(); err == nil {
			fmt.Fprint(f, "through it")
			f.Close()
		}
		return len(p)
	}})
	if err != nil {
		return outcome{}, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return outcome{}, err
	}
	if _, _, err := nc.WriteMsgUnix([]byte("x"), unix.UnixRights(int(w.Fd())), nil); err != nil {
		return outcome{}, err
	}
	w.Close()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	p, err := io.ReadAll(r)
	switch {
	case err != nil:
		return outcome{}, err
	case len(p) == 0:
		return outcomef(true, "closed before anybody had it")
	}
	return outcomef(false, "taken and used")
}

// tryGrowing sends one long message to a handler that leaves it until it is
// whole.
func tryGrowing(t *trial) (outcome, error) {
	const size = 16 << 20 // bytes
	whole := make(chan struct{})
	nc, _, err := t.one(callbacks{bytes: func(_ conn, p []byte) int {
		if len(p) < size {
			return 0
		}
		close(whole)
		return len(p)
	}})
	if err != nil {
		return outcome{}, err
	}
	message := make([]byte, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := nc.Write(message); err != nil {
		return outcome{}, err
	}
	select {
	case <-whole:
	case <-time.After(5 * patience):
		return outcome{}, errLate
	}
	runtime.ReadMemStats(&after)
	n := int(after.TotalAlloc - before.TotalAlloc)
	return outcomef(n > 8*size, "%s allocated for one message of %s", mib(n), mib(size))
}

// tryStarve has a task queue itself again and again, as senders do that have
// more to send, and counts how often it runs before input that was there first is
// read.
func tryStarve(t *trial) (outcome, error) {
	const links = 100_000
	ran := 0 // loop only
	before := make(chan int, 1)
	nc, c, err := t.one(callbacks{bytes: func(_ conn, p []byte) int { before <- ran; return len(p) }})
	if err != nil {
		return outcome{}, err
	}
	busy, there := make(chan struct{}), make(chan struct{})
	var link func()
	link = func() {
		if ran++; ran < links {
			c.do(link)
		}
	}
	c.do(func() {
		close(busy)
		<-there
		link()
	})
	if _, err := await(busy); err != nil {
		return outcome{}, err
	}
	fmt.Fprint(nc, "ping")
	close(there)
	n, err := await(before)
	if n == links {
		return outcome{fmt.Sprintf("all %d tasks before the input", links), true}, err
	}
	return outcome{fmt.Sprintf("%d of %d tasks before the input", n, links), n > links/10}, err
}
