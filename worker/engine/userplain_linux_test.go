package engine

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUserPlain: plain programs of another user, at each address.
func TestUserPlain(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	for _, play := range []string{"plain-listen", "plain-port", "plain-socket"} {
		t.Run(play, func(t *testing.T) {
			e, err := startPlain(t, play, Options{Path: program, User: u, Dir: "/"})
			if err != nil {
				t.Fatal(err)
			}
			pid := e.Status().Workers[0].Pid
			if got, want := getPlain(t, e), fmt.Sprintf("%s %d /x", play, pid); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if uid, _, groups := ids(t, strconv.Itoa(pid)); !strings.HasPrefix(uid, strconv.Itoa(u.UID)+" ") || !strings.Contains(groups, "12345") {
				t.Errorf("it runs as %s, groups %s", uid, groups)
			}
			e.Close()
			gonePids(t, []int{pid})
		})
	}
	t.Run("READY=1", func(t *testing.T) {
		if _, err := exec.LookPath("python3"); err != nil {
			t.Skip("no python3")
		}
		script := `python3 -c 'import os,socket; socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM).sendto(b"READY=1",os.environ["NOTIFY_SOCKET"])'; sleep 60`
		_, err := startPlain(t, "", Options{Path: "/bin/sh", Args: []string{"-c", script}, User: u, Dir: "/", StartTimeout: 2 * time.Second})
		if err == nil || !strings.Contains(err.Error(), "and yet it said READY=1") {
			t.Errorf("got %v", err)
		}
	})
}

// TestUserPlainLink: a program that leads us to a socket which its user could not
// reach is not believed, and nobody connects to that socket.
func TestUserPlainLink(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", secret)
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int64
	srv := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("root's server was asked for %s", r.URL) }),
		ConnState: func(net.Conn, http.ConnState) { conns.Add(1) },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	defer func() {
		srv.Close()
		<-done
	}()
	_, err = startPlain(t, "plain-link", Options{Path: program, User: u, Dir: "/", Env: []string{"LINK=" + secret}, StartTimeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "HEDDLE_SOCKET: ") || !strings.Contains(err.Error(), "another user's socket: what is there is no socket, or a link") {
		t.Errorf("got %v", err)
	}
	// As a hard link, where those are not protected (proc_sys_fs(5)).
	if c, err := dialDoor(t.Context(), "unix", secret, u); !errors.Is(err, errOwner) {
		t.Errorf("connected: %v, %v", c, err)
	}
	theirs := filepath.Join(dir, "theirs") // the user's file, and root listens
	other, err := net.Listen("unix", theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.Chown(theirs, u.UID, u.GID); err != nil {
		t.Fatal(err)
	}
	if c, err := dialDoor(t.Context(), "unix", theirs, u); !errors.Is(err, errOwner) || !strings.Contains(err.Error(), "0 listens there") {
		t.Errorf("connected: %v, %v", c, err)
	}
	if n := conns.Load(); n > 0 {
		t.Errorf("root's server saw %d changes of connections", n)
	}
}

// TestUserPlainInTheWay: what a program puts where sockets of the next ones would be
// keeps none of them from its start.
func TestUserPlainInTheWay(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	e, err := startPlain(t, "plain-way", Options{Path: program, User: u, Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Restart(t.Context(), Selector{}, nil); err != nil {
			t.Error(err)
		}
		if got := getPlain(t, e); !strings.HasPrefix(got, "plain-way ") {
			t.Errorf("got %q", got)
		}
	}
}

// TestUserPlainFamily: what a plain program of another user has started ends with
// it, and with the engine.
func TestUserPlainFamily(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, u.UID, u.GID); err != nil {
		t.Fatal(err)
	}
	for i, end := range []func(e *Engine, main int){
		func(e *Engine, _ int) { _ = e.Shutdown(t.Context()) },
		func(e *Engine, _ int) { e.Close() },
		func(_ *Engine, main int) { _ = unix.Kill(main, unix.SIGKILL) },
	} {
		file := filepath.Join(dir, strconv.Itoa(i))
		e, err := startPlain(t, "plain-port", Options{Path: "/bin/sh", Args: []string{"-c", family}, User: u, Dir: "/", Env: []string{"PIDS=" + file, "SELF=" + program}, KillDelay: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		pids := readPids(t, file, 6)
		main := e.Status().Workers[0].Pid
		if uid, _, _ := ids(t, strconv.Itoa(main)); !strings.HasPrefix(uid, strconv.Itoa(u.UID)+" ") {
			t.Errorf("it runs as %s", uid)
		}
		end(e, main)
		gonePids(t, pids)
		e.Close()
	}
}
