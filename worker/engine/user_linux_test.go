package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is a user who is not root, for tests that root runs.
func nobody(t *testing.T) *User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run workers as another user")
	}
	u, err := LookupUser("nobody", "")
	if err != nil {
		t.Fatal(err)
	}
	u.Groups = append(u.Groups, 12345)
	return u
}

// openProgram is a copy of this program where every user can run it.
func openProgram(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "program")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = errors.Join(os.WriteFile(path, b, 0o700), os.Chmod(path, 0o755), os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ids are a process's numbers, proc_pid_status(5).
func ids(t *testing.T, pid string) (uid, gid, groups string) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		switch f := strings.Fields(line); f[0] {
		case "Uid:":
			uid = strings.Join(f[1:], " ")
		case "Gid:":
			gid = strings.Join(f[1:], " ")
		case "Groups:":
			groups = strings.Join(f[1:], " ")
		}
	}
	return uid, gid, groups
}

// playReach tries to connect to each of its arguments.
func playReach() {
	for _, path := range os.Args[1:] {
		c, err := net.Dial("unix", path)
		if err != nil {
			var no syscall.Errno
			errors.As(err, &no)
			fmt.Println(unix.ErrnoName(no))
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1))
		fmt.Println("connected,", err)
	}
}

// reach is what comes of connecting to these paths as a user.
func reach(t *testing.T, program string, u *User, paths ...string) []string {
	t.Helper()
	c := exec.Command(program, paths...)
	c.Env, c.Dir = []string{envPlay + "=reach"}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(u)}
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestUserSessions: workers of another user, on one loop and on three: who they are, what
// they are told, and that whatever ends workers ends them.
func TestUserSessions(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/0")
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			e := newReal(t, "good", Options{Path: program, User: u, Workers: 2, Loops: loops, Dir: "/"})
			start(t, e)
			pid, err := ask(t, e, "pid")
			if err != nil {
				t.Fatal(err)
			}
			id, group := strconv.Itoa(u.UID), strconv.Itoa(u.GID)
			uid, gid, groups := ids(t, pid)
			if want := strings.Repeat(id+" ", 3) + id; uid != want {
				t.Errorf("uid %s, want %s", uid, want)
			}
			if want := strings.Repeat(group+" ", 3) + group; gid != want {
				t.Errorf("gid %s, want %s", gid, want)
			}
			if got := strings.Fields(groups); !slices.Contains(got, "12345") || len(got) != len(u.Groups) {
				t.Errorf("groups %s, want %v", groups, u.Groups)
			}
			for k, want := range map[string]string{"HOME": u.Home, "USER": "nobody", "LOGNAME": "nobody", "XDG_RUNTIME_DIR": ""} {
				if got, err := ask(t, e, "env "+k); got != want || err != nil {
					t.Errorf("%s=%q, %v, want %q", k, got, err, want)
				}
			}
			var st unix.Stat_t
			if err := unix.Stat("/proc/"+pid+"/fd/1", &st); err != nil || int(st.Uid) != u.UID {
				t.Errorf("standard output is of %d, %v: /dev/stdout could not be opened", st.Uid, err)
			}

			// A new one takes the place of one that dies.
			n, _ := strconv.Atoi(pid)
			if err := unix.Kill(n, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, "another is online", func() bool {
				for _, w := range e.Status().Workers {
					if w.Pid == n || w.Pid == 0 || w.State != "online" {
						return false
					}
				}
				return true
			})
			dir := filepath.Dir(filepath.Dir(strings.TrimPrefix(e.serving().endpoint(0), "unix:")))
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", dir, err)
			}
		})
	}
}

// TestUserDirTaken: an engine that finds another one's sockets in its UserDir leaves
// them, and what that one's workers have there, alone.
func TestUserDirTaken(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	shared, err := os.MkdirTemp("", "hu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(shared) })
	o := Options{Path: program, User: u, Workers: 1, Loops: 1, Dir: "/", UserDir: shared}
	e := newReal(t, "good", o)
	start(t, e)
	mark := filepath.Join(shared, fmt.Sprintf("%d-%d", u.UID, u.GID), "own", "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := newReal(t, "good", o)
	if err := second.Start(t.Context()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the second engine: %v", err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, e, "pid"); err != nil {
		t.Error(err)
	}
	if err := e.Restart(t.Context(), Selector{}, nil); err != nil {
		t.Errorf("no worker of the first can connect any more: %v", err)
	}
}

// TestUserReach: where the workers of one user connect, no other's processes do,
// nor do they where ours do. A user who opens its socket to all gains nothing.
func TestUserReach(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	var log output
	e := newReal(t, "good", Options{Path: program, User: u, Dir: "/", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	start(t, e)
	ours, theirs := strings.TrimPrefix(e.lanes[0].endpoint, "unix:"), strings.TrimPrefix(e.serving().endpoint(0), "unix:")
	daemon := &User{UID: 1, GID: u.GID}
	if got := reach(t, program, u, ours); !slices.Equal(got, []string{"EACCES"}) {
		t.Errorf("the user, where ours connect: %q", got)
	}
	if got := reach(t, program, daemon, ours, theirs); !slices.Equal(got, []string{"EACCES", "EACCES"}) {
		t.Errorf("another one: %q", got)
	}
	if err := os.Chmod(theirs, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := reach(t, program, daemon, theirs); !slices.Equal(got, []string{"connected, EOF"}) {
		t.Errorf("another one, let in by the user: %q", got)
	}
	if want := fmt.Sprintf("user 1, and this is for user %d", u.UID); !strings.Contains(log.String(), want) {
		t.Errorf("no %q in %s", want, log.String())
	}
	if _, err := os.ReadDir(filepath.Dir(theirs)); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Dir(theirs)); err != nil || fi.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

// TestUserOfAnother: a process of one user cannot be the worker of another, even
// if it is of the worker's group.
func TestUserOfAnother(t *testing.T) {
	e := newReal(t, "good", Options{})
	start(t, e)
	c := e.living()[0]
	ch := &channel{e: e, lane: e.lanes[0], uid: os.Geteuid() + 1, pid: c.pid()}
	if err := c.admit(ch, 0); err == nil || !strings.Contains(err.Error(), "greets for worker 0, which runs as user") {
		t.Errorf("got %v", err)
	}
}

// TestUserDeploy: a release has a user of its own; while both have workers each
// has its sockets.
func TestUserDeploy(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	e := newReal(t, "good", Options{Path: program, Dir: "/", Loops: 2})
	start(t, e)
	for _, want := range []*User{u, {UID: 1, GID: 1}, nil, u} {
		drained, err := e.Deploy(t.Context(), Program{Path: program, Dir: "/", Release: "2", User: want, Env: []string{envPlay + "=good"}}, DeployOptions{})
		if err != nil {
			t.Fatal(err)
		}
		<-drained
		pid, err := ask(t, e, "pid")
		if err != nil {
			t.Fatal(err)
		}
		id := 0
		if want != nil {
			id = want.UID
		}
		if uid, _, _ := ids(t, pid); !strings.HasPrefix(uid, strconv.Itoa(id)+" ") {
			t.Errorf("it runs as %s, want %v", uid, want)
		}
	}
	if n := len(e.gates.all); n != 2 {
		t.Errorf("%d gates", n)
	}
}

// TestUserCannot: what a person reads when a program is out of its user's reach.
func TestUserCannot(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(closed, "program")
	if err := os.Link(program, hidden); err != nil {
		if b, err := os.ReadFile(program); err != nil || os.WriteFile(hidden, b, 0o755) != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ path, dir, want string }{
		{program, closed, "may not pass "},
		{hidden, "/", "may not pass "},
	} {
		e := newReal(t, "good", Options{Path: tt.path, Dir: tt.dir, User: u})
		err := e.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "could not be started: user nobody "+tt.want) {
			t.Errorf("got %v", err)
		}
	}
}

// TestUserSweep: Sweep ends another user's workers, too.
func TestUserSweep(t *testing.T) {
	u, program := nobody(t), openProgram(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	for _, d := range []string{tmp, filepath.Dir(tmp)} { // workers have to get there
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	c, pids := engineProcess(t, envRuntime+"="+dir, envWorkers+"=sleep", envUser+"="+u.Name, envProgram+"="+program, "TMPDIR="+tmp)
	for _, pid := range pids {
		until(t, "it ignores SIGTERM", func() bool { return ignoresTerm(pid) })
		if uid, _, _ := ids(t, strconv.Itoa(pid)); !strings.HasPrefix(uid, strconv.Itoa(u.UID)+" ") {
			t.Errorf("it runs as %s", uid)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if n := Sweep(dir); n != 2 {
		t.Errorf("killed %d", n)
	}
	for _, pid := range pids {
		until(t, "it is gone", func() bool { return len(groupMembers(pid)) == 0 })
	}
}

func TestLookupUser(t *testing.T) {
	for _, tt := range []struct{ user, group, want string }{
		{"root", "", "root 0 0"},
		{"0", "", "root 0 0"},
		{"4000000000", "7", "4000000000 4000000000 7"},
		{"root", "12345678", "root 0 12345678"},
		{"", "root", ""},
		{"4000000000", "", "user 4000000000 has no name on this machine, and so no group; give it one"},
		{"nosuchuser", "", `there is no user "nosuchuser" on this machine`},
		{"root", "nosuchgroup", `there is no group "nosuchgroup" on this machine`},
		{"4294967295", "0", `there is no user "4294967295" on this machine`},
		{"root", "-1", `there is no group "-1" on this machine`},
	} {
		u, err := LookupUser(tt.user, tt.group)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(u, u.UID, u.GID)
			got = strings.Join(strings.Fields(strings.Replace(got, u.String(), u.String()+" ", 1)), " ")
		}
		if tt.user == "" {
			tt.want = strings.Join(strings.Fields(fmt.Sprint(u.String()+" ", u.UID, " ", 0)), " ")
		}
		if got != tt.want {
			t.Errorf("%q %q: got %s, want %s", tt.user, tt.group, got, tt.want)
		}
	}
	var none *User
	base := []string{"HOME=/x", "A=b"}
	if got := none.Environ(base); !slices.Equal(got, base) {
		t.Errorf("got %v", got)
	}
	if err := none.Check(); err != nil {
		t.Error(err)
	}
	other := &User{UID: os.Geteuid() + 1, GID: 1}
	if err := other.Check(); (os.Geteuid() == 0) != (err == nil) || err != nil && !errors.Is(err, ErrNotRoot) {
		t.Errorf("got %v", err)
	}
	if err := (&User{UID: -1}).Check(); err == nil {
		t.Error("user -1 is one")
	}
}

// output is a log that is looked at meanwhile.
type output struct {
	lock sync.Mutex
	b    bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.b.String()
}
