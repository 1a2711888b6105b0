package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
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

// tryStarve has goroutines send on one connection, and asks on another.
func tryStarve(t *trial) (outcome, error) {
	conns := make(chan conn, 2)
	err := t.serve(callbacks{
		open:  func(c conn) { conns <- c },
		bytes: func(c conn, p []byte) int { _ = c.send(p); return len(p) },
	})
	if err != nil {
		return outcome{}, err
	}
	var peers [2]net.Conn
	for i := range peers {
		if peers[i], err = t.dial(); err != nil {
			return outcome{}, err
		}
	}
	sink, err := await(conns)
	if err != nil {
		return outcome{}, err
	}
	go io.Copy(io.Discard, peers[0]) // until the process ends
	frame := make([]byte, 140)
	var running sync.WaitGroup
	for range 4 {
		running.Add(1)
		go func() { // until the process ends
			running.Done()
			for {
				sink.sendSoon(frame)
			}
		}()
	}
	running.Wait()
	time.Sleep(50 * time.Millisecond)
	worst, asked := time.Duration(0), 0
	for start := time.Now(); time.Since(start) < starveTime && worst < starved; asked++ {
		sent := time.Now()
		_ = peers[1].SetDeadline(sent.Add(starveTime))
		fmt.Fprint(peers[1], "ping")
		_, err := io.ReadFull(peers[1], make([]byte, 4))
		worst = max(worst, time.Since(sent))
		if err != nil {
			break // it took longer than worst says
		}
	}
	if worst >= starved {
		return outcomef(true, "no answer for %v", worst.Round(100*time.Millisecond))
	}
	return outcomef(false, "the slowest answer took %v", worst.Round(100*time.Microsecond))
}

const (
	starved    = 250 * time.Millisecond // without an answer
	starveTime = 3 * time.Second
)
