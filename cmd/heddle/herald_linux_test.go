package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A manager stands in systemd's place.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	dir  string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir := shortDir(t)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{t, c, dir}
}

// start starts heddle as systemd would, with env and files as descriptors from
// 3 on.
func (m *manager) start(env string, files []*os.File, args ...string) *child {
	m.t.Helper()
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", env + ` exec "$@"`, "sh", heddle}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+m.dir, "NOTIFY_SOCKET="+filepath.Join(m.dir, "notify"))
	cmd.ExtraFiles = files
	c, err := start(cmd)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.kill)
	return c
}

// heard is the next message within d, or "".
func (m *manager) heard(d time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

// await skips messages until one matches, and fails when one that must not come
// does.
func (m *manager) await(pattern, never string) {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		got := m.heard(patience)
		if re.MatchString(got) {
			return
		}
		if never != "" && regexp.MustCompile(never).MatchString(got) {
			m.t.Fatalf("got %q before %s", got, pattern)
		}
	}
	m.t.Fatalf("%s was not said", pattern)
}

func ended(t *testing.T, c *child) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("it does not end; it said:\n%s", c.said.String())
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d; it said:\n%s", code, c.said.String())
	}
}

// TestNotifySocket: what a daemon tells systemd, in its order; a daemon that is
// stopped feeds no watchdog; and workers are given none of it.
func TestNotifySocket(t *testing.T) {
	m := newManager(t)
	const every = 100 * time.Millisecond
	c := m.start("WATCHDOG_PID=$$ WATCHDOG_USEC=200000", nil, "run", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	m.await(`^STATUS=starting workers$`, `READY|WATCHDOG`)
	m.await(`^READY=1\nSTATUS=r1 serves, 2/2 workers$`, `WATCHDOG|STOPPING`)
	url := c.await(t, `^ready (http://\S+)`)[1]
	if resp, err := http.Get(url); err != nil { // it serves when it says so
		t.Error(err)
	} else {
		resp.Body.Close()
	}
	for range 3 {
		m.await(`^WATCHDOG=1$`, `STOPPING`)
	}
	pid := c.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for m.heard(every) != "" { // what was under way
	}
	if got := m.heard(5 * every); got != "" {
		t.Errorf("stopped, it says %q", got)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.await(`^WATCHDOG=1$`, "")

	st, err := (&world{state: filepath.Join(m.dir, "heddle")}).ask("app")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range st.Workers {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for v := range strings.SplitSeq(string(env), "\x00") {
			if strings.HasPrefix(v, "NOTIFY_SOCKET") || strings.HasPrefix(v, "WATCHDOG_") {
				t.Errorf("a worker has %s", v)
			}
		}
	}

	d := m.start("", nil, "deploy", "--suspended", "app")
	ended(t, d)
	m.await(`^STATUS=r2 stands suspended, 2/2 workers; requests wait$`, `READY|STOPPING`)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(`^STOPPING=1\nSTATUS=draining, for at most 30s\nEXTEND_TIMEOUT_USEC=45000000$`, `READY`)
	ended(t, c)
	for got := m.heard(every); got != ""; got = m.heard(every) {
		if got != "WATCHDOG=1" {
			t.Errorf("after STOPPING it says %q", got)
		}
	}
}

// TestNotifyOthersWatchdog: WATCHDOG_PID names somebody else.
func TestNotifyOthersWatchdog(t *testing.T) {
	m := newManager(t)
	c := m.start("WATCHDOG_PID=1 WATCHDOG_USEC=20000", nil, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	m.await(`^READY=1\n`, `WATCHDOG`)
	if got := m.heard(300 * time.Millisecond); got != "" {
		t.Errorf("got %q", got)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(`^STOPPING=1\n`, `WATCHDOG`)
	ended(t, c)
}

// TestNotifyApps: of several apps, each is told of; and the file's fd:NAME is a
// socket that was passed.
func TestNotifyApps(t *testing.T) {
	m := newManager(t)
	front := listenOn(t, "tcp", "127.0.0.1:0")
	files := listening(t, front)
	file := filepath.Join(m.dir, "apps.toml")
	const apps = "name = 'all'\nlisten = ['fd:http']\n[app.shop]\ntarget = 'app'\nworkers = 2\npaths = ['/shop']\n[app.blog]\ntarget = 'app'\nworkers = 1\npaths = ['/']\n"
	if err := os.WriteFile(file, []byte(apps), 0o600); err != nil {
		t.Fatal(err)
	}
	const env = "WATCHDOG_PID=$$ WATCHDOG_USEC=200000 LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=other:http"
	other := listening(t, listenOn(t, "tcp", "127.0.0.1:0"))
	c := m.start(env, append(other, files...), "run", "--config", file)
	m.await(`^READY=1\nSTATUS=shop r1 serves, 2/2 workers; blog r1 serves, 1/1 workers$`, `WATCHDOG|STOPPING`)
	m.await(`^WATCHDOG=1$`, `STOPPING`)
	if urls := c.await(t, `^ready (.+)$`)[1]; urls != "http://"+front.Addr().String() {
		t.Errorf("ready %s, want the socket that the file names, alone", urls)
	}
	ended(t, m.start("", nil, "suspend", "--app", "blog"))
	m.await(`^STATUS=shop r1 serves, 2/2 workers; blog r1 stands suspended, 1/1 workers; requests wait$`, `READY|STOPPING`)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(`^STOPPING=1\n`, `READY`)
	ended(t, c)
}

// TestNotifyReload: the hook says what sd_notify(3) wants to hear of a reload.
func TestNotifyReload(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", filepath.Join(m.dir, "notify"))
	h := newHerald(slog.New(slog.DiscardHandler))
	defer h.close()
	if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Error("the variable is still there")
	}
	done := h.reloads()
	m.await(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`, ".")
	done("r1 serves")
	m.await(`^READY=1\nSTATUS=r1 serves$`, ".")
}

// listening returns listeners as their files.
func listening(t *testing.T, lns ...net.Listener) (files []*os.File) {
	t.Helper()
	for _, ln := range lns {
		f, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close(); ln.Close() })
		files = append(files, f)
	}
	return files
}

func listenOn(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return ln
}

// body asks at an address for / and returns what comes.
func body(network, addr string) (string, error) {
	c, err := net.Dial(network, addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // of an open connection
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestInheritedSockets: systemd's sockets are served, on loops, and outlive the
// daemon: who connects between two daemons waits for the next one.
func TestInheritedSockets(t *testing.T) {
	m := newManager(t)
	path := filepath.Join(m.dir, "front")
	tcp, local := listenOn(t, "tcp", "127.0.0.1:0"), listenOn(t, "unix", path)
	files := listening(t, tcp, local)
	const env = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:local"
	asked := make(chan string, 1)
	ask := func() {
		got, err := body("tcp", tcp.Addr().String())
		asked <- fmt.Sprint(got, err)
	}
	go ask() // ends with the answer: it waits for the first daemon
	for round, args := range [][]string{nil, {"--listen", "fd:4", "--listen", "fd:http", "--listen", "127.0.0.1:0"}} {
		c := m.start(env, files, append(append([]string{"run", "--workers", "1"}, args...), "app")...)
		if got := <-asked; got != "hello from app\n<nil>" {
			t.Errorf("round %d: who connected before got %q; the daemon said:\n%s", round, got, c.said.String())
		}
		urls := c.await(t, `^ready (.+)$`)[1]
		for _, want := range []string{"http://" + tcp.Addr().String(), "unix:" + path} {
			if !strings.Contains(urls, want) {
				t.Errorf("round %d: ready %s, want %s in it", round, urls, want)
			}
		}
		if got, err := body("unix", path); got != "hello from app\n" || err != nil {
			t.Errorf("round %d: unix: got %q, %v", round, got, err)
		}
		st, err := (&world{state: filepath.Join(m.dir, "heddle")}).ask("app")
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Front.HandedOver) > 0 || st.Front.Requests != 2 {
			t.Errorf("round %d: not answered on the loops: %+v", round, st.Front)
		}
		for _, w := range st.Workers {
			fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, fd := range fds {
				if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:") && sameSocket(t, to, files) {
					t.Errorf("round %d: a worker has the front's socket as %s", round, fd)
				}
			}
		}
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ended(t, c)
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("round %d: the inherited path is gone: %v", round, err)
		}
		if round == 0 {
			go ask() // ends with the answer, of the next daemon
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// sameSocket says whether a link socket:[INODE] of /proc is one of files.
func sameSocket(t *testing.T, link string, files []*os.File) bool {
	t.Helper()
	for _, f := range files {
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if link == "socket:["+strconv.FormatUint(fi.Sys().(*syscall.Stat_t).Ino, 10)+"]" {
			return true
		}
	}
	return false
}

// TestInheritedSocketsRefused: what cannot be meant.
func TestInheritedSocketsRefused(t *testing.T) {
	m := newManager(t)
	files := listening(t, listenOn(t, "tcp", "127.0.0.1:0"))
	const env = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http"
	for _, tt := range []struct {
		listen, said string
		code         int
	}{
		{"fd:https", `cannot listen on fd:https: no socket of that name or number was passed; there are: fd:http \(3\)\nnothing was started\.\ntry: FileDescriptorName=https`, exitError},
		{"fd:0", `no socket of that name or number was passed`, exitError},
		{"fd:3,fd:http", `--listen fd:http: that socket is listened on already`, exitUsage},
	} {
		args := []string{"run", "--workers", "1"}
		for l := range strings.SplitSeq(tt.listen, ",") {
			args = append(args, "--listen", l)
		}
		c := m.start(env, files, append(args, "app")...)
		<-c.done
		if code := c.cmd.ProcessState.ExitCode(); code != tt.code || !regexp.MustCompile(tt.said).MatchString(c.said.String()) {
			t.Errorf("%s: exit code %d, want %d; it said:\n%s", tt.listen, code, tt.code, c.said.String())
		}
	}
	// One that nobody names is told of.
	c := m.start(env, files, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	c.await(t, `sockets were passed that no --listen names; who connects there waits in vain" sockets="fd:http \(3\)"`)
	c.await(t, `^ready `)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, c)
}

// TestSocketActivate is systemd's own word on how sockets are passed.
func TestSocketActivate(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("no systemd-socket-activate here (Debian: systemd)")
	}
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t)
	path := filepath.Join(m.dir, "front")
	// It execs heddle when somebody connects.
	cmd := exec.Command(activate, "-E", "XDG_RUNTIME_DIR="+m.dir, "-E", "PATH="+os.Getenv("PATH"), "--fdname=web", "-l", path, heddle, "run", "--workers", "1", "--listen", "fd:web", "app")
	c, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	var got string
	if !until(func() bool { got, err = body("unix", path); return err == nil }) || got != "hello from app\n" {
		t.Fatalf("got %q, %v; it said:\n%s", got, err, c.said.String())
	}
	c.await(t, `^ready unix:`)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, c)
}

// TestNotifyLate: a manager whose queue is full when the daemon is ready hears it
// when there is room.
func TestNotifyLate(t *testing.T) {
	m := newManager(t)
	fill, err := net.DialUnix("unixgram", nil, m.conn.LocalAddr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for err == nil {
		_ = fill.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = fill.Write([]byte("X=1"))
	}
	c := m.start("", nil, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	c.await(t, `^ready (http://\S+)`)
	c.await(t, `service manager.*timeout`)
	m.await(`^READY=1\nSTATUS=r1 serves, 1/1 workers$`, "")
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(`^STOPPING=1`, "")
	ended(t, c)
}
