package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The traps of starting, accepting, dialling and ending.

// tryDescriptors connects when there is no descriptor left.
func tryDescriptors(t *trial) (outcome, error) {
	conns := make(chan conn, 2)
	_, _, err := t.one(callbacks{open: func(c conn) { conns <- c }}) // it serves
	if err != nil {
		return outcome{}, err
	}
	<-conns
	peer, err := t.dialLater()
	if err != nil {
		return outcome{}, err
	}
	free, err := peer.exhaust()
	if err != nil {
		return outcome{}, err
	}
	if err := peer.connect(); err != nil {
		return outcome{}, err
	}
	select {
	case err := <-t.side.ended():
		free()
		return outcomef(true, "stopped serving; Run returned %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	free()
	if _, err := await(conns); err != nil {
		return outcomef(true, "went on, but the connection that waited was never served")
	}
	return outcomef(false, "rested; the connection that waited was served when there were some")
}

// tryPanic has a callback of one connection panic and asks another one.
func tryPanic(t *trial) (outcome, error) {
	err := t.serve(callbacks{bytes: func(c conn, p []byte) int {
		if string(p) == "boom" {
			panic("as asked")
		}
		_ = c.send(p)
		return len(p)
	}})
	if err != nil {
		return outcome{}, err
	}
	first, err := t.dial()
	if err != nil {
		return outcome{}, err
	}
	second, err := t.dial()
	if err != nil {
		return outcome{}, err
	}
	fmt.Fprint(first, "boom")
	if _, err := readAll(first); err != io.EOF {
		return outcome{}, err
	}
	fmt.Fprint(second, "ping")
	_ = second.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(second, make([]byte, 4)); err != nil {
		return outcomef(true, "the loop was dead")
	}
	return outcomef(false, "that connection was closed, the other served")
}

// tryTimer wants a function to run on the loop in 20 ms.
func tryTimer(t *trial) (outcome, error) {
	_, c, err := t.one(callbacks{})
	if err != nil {
		return outcome{}, err
	}
	fired := make(chan struct{})
	if err := on(c, func() { err = c.after(20*time.Millisecond, func() { close(fired) }) }); err != nil {
		return outcome{}, err
	}
	if err != nil {
		return outcomef(true, "refused: %v", err)
	}
	if _, err := await(fired); err != nil {
		return outcomef(true, "never fired")
	}
	return outcomef(false, "fired")
}

// tryDialInside dials from a callback.
func tryDialInside(t *trial) (outcome, error) {
	ln, err := net.Listen("unix", t.path())
	if err != nil {
		return outcome{}, err
	}
	defer ln.Close()
	result := make(chan error, 1)
	go func() { result <- t.side.dialInside(t.path(), func(fn func()) { fn() }) }() // the process may end first
	err, late := await(result)
	if late != nil {
		return outcomef(true, "still waiting after %v", patience)
	}
	return outcome{"connected", false}, err
}

// tryEarly dials as soon as it is said that all has started.
func tryEarly(t *trial) (outcome, error) {
	ln, err := net.Listen("unix", t.path())
	if err != nil {
		return outcome{}, err
	}
	defer ln.Close()
	if err := t.side.early(t.path()); err != nil {
		return outcomef(true, "refused: %v", err)
	}
	return outcomef(false, "connected")
}

// tryDirectory listens where there is a directory with a file in it.
func tryDirectory(t *trial) (outcome, error) {
	file := filepath.Join(t.path(), "sub", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return outcome{}, err
	}
	if err := os.WriteFile(file, []byte("dear"), 0o644); err != nil {
		return outcome{}, err
	}
	err := t.serve(callbacks{})
	if _, gone := os.Stat(file); gone != nil {
		return outcomef(true, "the tree is gone")
	}
	if err == nil {
		return outcome{}, errors.New("it listens, and the directory is still there")
	}
	return outcomef(false, "refused")
}

// tryLive listens where somebody else does.
func tryLive(t *trial) (outcome, error) {
	ln, err := net.Listen("unix", t.path())
	if err != nil {
		return outcome{}, err
	}
	defer ln.Close()
	if err := t.serve(callbacks{}); err == nil {
		return outcomef(true, "taken, without a word")
	}
	nc, err := t.dial()
	if err != nil {
		return outcome{}, err
	}
	nc.Close()
	return outcomef(false, "refused")
}

// tryURL listens on a path with a '#' in it.
func tryURL(t *trial) (outcome, error) {
	if err := t.side.serve("unix", filepath.Join(t.dir, "a#b"), callbacks{}); err != nil {
		return outcome{}, err
	}
	entries, err := os.ReadDir(t.dir)
	if err != nil || len(entries) != 1 {
		return outcome{}, fmt.Errorf("%d entries, %v", len(entries), err)
	}
	name := entries[0].Name()
	return outcomef(name != "a#b", "%q became %q", "a#b", name)
}

// tryAbstract listens on a name that belongs to no file.
func tryAbstract(t *trial) (outcome, error) {
	if err := os.Chdir(t.dir); err != nil {
		return outcome{}, err
	}
	name := fmt.Sprint("@heddle-trap-", os.Getpid())
	if err := t.side.serve("unix", name, callbacks{}); err != nil {
		return outcome{}, err
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		return outcome{}, err
	}
	if len(entries) > 0 {
		return outcomef(true, "a file in the working directory")
	}
	nc, err := net.Dial("unix", name)
	if err != nil {
		return outcome{}, err
	}
	nc.Close()
	return outcomef(false, "abstract")
}

// tryPorts listens with two loops on any one port.
func tryPorts(t *trial) (outcome, error) {
	ports, err := t.side.serveLoops(2)
	if err != nil || len(ports) == 0 {
		return outcome{}, fmt.Errorf("%d ports, %v", len(ports), err)
	}
	return outcomef(len(ports) > 1, "%d port(s)", len(ports))
}

// tryStop stops a side that has one connection.
func tryStop(t *trial) (outcome, error) {
	if _, _, err := t.one(callbacks{}); err != nil {
		return outcome{}, err
	}
	start := time.Now()
	t.side.stop()
	took := time.Since(start)
	if took >= 400*time.Millisecond {
		return outcomef(true, "%v", took.Round(100*time.Millisecond))
	}
	return outcomef(false, "less than 0.4 s")
}
