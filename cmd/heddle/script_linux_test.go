package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/heddle-go/heddle/session/ipc"

	"github.com/heddle-go/heddle/worker/engine"
)

// TestScripts plays testdata/*.txtar, with one loop or with three (scriptLoops). Beside
// testscript's own commands there are:
//
//	daemon NAME ARGS...      heddle run --name NAME ARGS, on a free port unless
//	                         ARGS say --listen; waits for "ready" and sets $URL
//	                         (the first one), $LAST, $LISTEN (all), $PID and, with
//	                         --locator, $LOCATOR
//	begin NAME ARGS...       heddle ARGS, without waiting; the three below are for
//	                         it, too; its standard output is in NAME.out
//	signal NAME SIG          sends it INT, TERM, HUP, QUIT, USR1 or KILL
//	ended NAME CODE          waits for its end; NAME.err has what it said
//	said NAME PATTERN        waits until it has said so
//	workers NAME STATE N     waits until so many workers of it are in that state
//	slay NAME INDEX          kills a worker of it with SIGKILL
//	online NAME INDEX N      waits until that worker is online after N restarts
//	pids NAME                remembers the workers' processes
//	gone                     waits until the remembered ones have ended
//	exits CODE ARGS...       runs heddle ARGS and wants that exit code
//	alone PROGRAM            starts it by hand; sets $ALONE to its URL
//	port                     sets $PORT to one that is taken until the end
//	certificate NAME [CA]    makes NAME.pem and NAME.key, signed by CA.pem or itself
//	mode PATH OCTAL [GROUP]  wants PATH to have that mode, and be that group's
//	standby NAME             sets $STANDBY to the id of a standby of it
//	goclient NAME            has a Go client on its socket say this and that
//	lineflood NAME           has many clients that speak lines ask its workers much at once
//	copyprogram NAME PATH    copies a program of PATH's
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	goEnv := goEnvironment(t)
	for _, loops := range scriptLoops {
		t.Run("loops="+loops, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:             "testdata",
				ContinueOnError: false,
				Condition: func(cond string) (bool, error) {
					if cond == "root" {
						return os.Geteuid() == 0, nil
					}
					return false, fmt.Errorf("condition %s is not known", cond)
				},
				Setup: func(env *testscript.Env) error {
					// Sockets' paths are short, and so must be what they begin with.
					dir, err := os.MkdirTemp("", "hd")
					if err != nil {
						return err
					}
					env.Defer(func() { os.RemoveAll(dir) })
					env.Vars = append(env.Vars, goEnv...)
					env.Vars = append(env.Vars, "XDG_RUNTIME_DIR="+dir, "STATE="+filepath.Join(dir, "heddle"), "REPO="+repo, "LOOPS="+loops)
					w := &world{state: filepath.Join(dir, "heddle"), daemons: make(map[string]*child)}
					env.Values[worldKey{}] = w
					env.Defer(w.end)
					return nil
				},
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"daemon": cmdDaemon,
					"begin":  cmdBegin,
					"signal": cmdSignal,
					"ended":  cmdEnded,
					"said":   cmdSaid,
					"slay":   cmdSlay,

					"workers": cmdWorkers,

					"online": cmdOnline,
					"pids":   cmdPids,
					"gone":   cmdGone,
					"exits":  cmdExits,
					"alone":  cmdAlone,
					"port":   cmdPort,
					"mode":   cmdMode,

					"certificate": cmdCertificate,

					"copyprogram": cmdCopyProgram,
					"standby":     cmdStandby,
					"goclient":    cmdGoClient,
					"lineflood":   cmdLineFlood,
				},
			})
		})
	}
}

// goEnvironment is what go build needs of ours in a script.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	var vars []string
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "GOSUMDB"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if v := strings.TrimSpace(string(out)); v != "" {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}

type worldKey struct{}

// A world is what one script has started.
type world struct {
	state   string
	daemons map[string]*child
	others  []*child
	pids    []process
	lns     []net.Listener
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// end kills what the script has left running.
func (w *world) end() {
	for _, c := range w.daemons {
		c.kill()
	}
	for _, c := range w.others {
		c.kill()
	}
	for _, ln := range w.lns {
		ln.Close()
	}
}

// A child is a process that a script has started.
type child struct {
	cmd  *exec.Cmd
	said output
	done chan struct{} // closed when it has been waited for
}

// output is a process's standard error, to be looked at meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &c.said
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		defer close(c.done)
		_ = cmd.Wait() // ProcessState has it
	}()
	return c, nil
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}

// until asks cond until it is true or patience ends.
func until(cond func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return false
}

// command makes a command in the script's directory and environment.
func scriptCommand(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir) // as a shell does
	for _, v := range []string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "GOSUMDB"} {
		if val := ts.Getenv(v); val != "" {
			cmd.Env = append(cmd.Env, v+"="+val)
		}
	}
	return cmd
}

var (
	readyLine   = regexp.MustCompile(`(?m)^ready (.+)$`)
	locatorLine = regexp.MustCompile(`(?m)^locator (.+)$`)
)

func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	name := args[0]
	line := []string{"run", "--name", name, "--loops", ts.Getenv("LOOPS")}
	configured := slices.Contains(args, "--config")
	if !configured && !slices.Contains(args, "--workers") {
		line = append(line, "--workers", "2")
	}
	if !configured && !slices.Contains(args, "--listen") {
		line = append(line, "--listen", "127.0.0.1:0")
	}
	c, err := start(scriptCommand(ts, "heddle", append(line, args[1:]...)...))
	ts.Check(err)
	w.daemons[name] = c
	ended := false
	ok := until(func() bool {
		select {
		case <-c.done:
			ended = true
			return true
		default:
			return readyLine.MatchString(c.said.String())
		}
	})
	if ended || !ok {
		ts.Fatalf("daemon %s did not get ready; it said:\n%s", name, c.said.String())
	}
	urls := readyLine.FindStringSubmatch(c.said.String())[1]
	first, _, _ := strings.Cut(urls, " ")
	ts.Setenv("URL", first)
	ts.Setenv("LOCAL", strings.Replace(first, "127.0.0.1", "localhost", 1))
	ts.Setenv("LISTEN", urls)
	ts.Setenv("LAST", urls[strings.LastIndexByte(urls, ' ')+1:])
	ts.Setenv("PID", strconv.Itoa(c.cmd.Process.Pid))
	if m := locatorLine.FindStringSubmatch(c.said.String()); m != nil {
		ts.Setenv("LOCATOR", m[1])
	}
}

func cmdBegin(ts *testscript.TestScript, neg bool, args []string) {
	cmd := scriptCommand(ts, "heddle", args[1:]...)
	out, err := os.Create(ts.MkAbs(args[0] + ".out"))
	ts.Check(err)
	defer out.Close()
	cmd.Stdout = out
	c, err := start(cmd)
	ts.Check(err)
	worldOf(ts).daemons[args[0]] = c
}

func cmdWorkers(ts *testscript.TestScript, neg bool, args []string) {
	var last statusReply
	ok := until(func() bool {
		st, err := worldOf(ts).ask(args[0])
		ts.Check(err)
		last = st
		n := 0
		for _, w := range st.Workers {
			if w.State == args[1] {
				n++
			}
		}
		return strconv.Itoa(n) == args[2]
	})
	if !ok {
		ts.Fatalf("there are not %s workers %s: %+v", args[2], args[1], last)
	}
}

func daemonOf(ts *testscript.TestScript, name string) *child {
	c := worldOf(ts).daemons[name]
	if c == nil {
		ts.Fatalf("no daemon %s", name)
	}
	return c
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	sig := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}[args[1]]
	ts.Check(daemonOf(ts, args[0]).cmd.Process.Signal(sig))
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	c := daemonOf(ts, args[0])
	select {
	case <-c.done:
	case <-time.After(patience):
		ts.Fatalf("daemon %s does not end; it said:\n%s", args[0], c.said.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), []byte(c.said.String()), 0o600))
	if got := strconv.Itoa(c.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("daemon %s: exit code %s, want %s; it said:\n%s", args[0], got, args[1], c.said.String())
	}
}

func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	c := daemonOf(ts, args[0])
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if neg {
		if re.MatchString(c.said.String()) {
			ts.Fatalf("daemon %s said %s:\n%s", args[0], args[1], c.said.String())
		}
		return
	}
	if !until(func() bool { return re.MatchString(c.said.String()) }) {
		ts.Fatalf("daemon %s did not say %s; it said:\n%s", args[0], args[1], c.said.String())
	}
}

// ask gives the daemon's status.
func (w *world) ask(name string) (st statusReply, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := ipc.Dial(ctx, filepath.Join(w.state, name+controlSuffix), ipc.DialOptions{Kind: "test"})
	if err != nil {
		return st, err
	}
	defer c.Close()
	raw, err := c.Request(ctx, topicStatus, nil)
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(raw, &st)
}

func cmdSlay(ts *testscript.TestScript, neg bool, args []string) {
	st, err := worldOf(ts).ask(args[0])
	ts.Check(err)
	for _, w := range st.Workers {
		if strconv.Itoa(w.Index) == args[1] && (w.State == "online" || w.State == "suspended") {
			ts.Check(syscall.Kill(w.Pid, syscall.SIGKILL))
			return
		}
	}
	ts.Fatalf("no worker %s online: %+v", args[1], st)
}

func cmdOnline(ts *testscript.TestScript, neg bool, args []string) {
	var last statusReply
	ok := until(func() bool {
		st, err := worldOf(ts).ask(args[0])
		ts.Check(err)
		last = st
		for _, w := range st.Workers {
			if strconv.Itoa(w.Index) == args[1] && w.State == "online" && strconv.Itoa(w.Restarts) == args[2] {
				return true
			}
		}
		return false
	})
	if !ok {
		ts.Fatalf("worker %s is not online after %s restarts: %+v", args[1], args[2], last)
	}
}

// A process is one that may have ended, and its number been given to another.
type process struct {
	pid   int
	start string // field 22 of /proc/PID/stat, proc_pid_stat(5)
}

func processOf(pid int) (p process, alive bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return process{pid, fields[19]}, fields[0] != "Z"
}

func cmdPids(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	st, err := w.ask(args[0])
	ts.Check(err)
	var workers []engine.WorkerStatus
	if st.AppStatus != nil {
		workers = st.Workers
	}
	for _, a := range st.Apps {
		workers = append(workers, a.Workers...)
	}
	for _, wk := range workers {
		p, alive := processOf(wk.Pid)
		if !alive {
			ts.Fatalf("worker %d (pid %d) is not running", wk.Index, wk.Pid)
		}
		w.pids = append(w.pids, p)
	}
	if len(w.pids) == 0 {
		ts.Fatalf("no workers: %+v", st)
	}
}

func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	for _, p := range worldOf(ts).pids {
		if !until(func() bool { now, alive := processOf(p.pid); return !alive || now != p }) {
			ts.Fatalf("process %d is still running", p.pid)
		}
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("heddle", args[1:]...); err != nil {
		var ee *exec.ExitError
		if !errors.As(err, &ee) {
			ts.Fatalf("heddle %q: %v", args[1:], err)
		}
		got = ee.ExitCode()
	}
	if got != want {
		ts.Fatalf("heddle %q: exit code %d, want %d", args[1:], got, want)
	}
}

func cmdAlone(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	addr := ln.Addr().String()
	ln.Close()
	program := args[0]
	if strings.HasPrefix(program, "./") {
		program = ts.MkAbs(program)
	}
	c, err := start(scriptCommand(ts, program, "-addr", addr))
	ts.Check(err)
	w := worldOf(ts)
	w.others = append(w.others, c)
	if !until(func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}) {
		ts.Fatalf("%s does not serve alone: %s", args[0], c.said.String())
	}
	ts.Setenv("ALONE", "http://"+addr)
}

func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	w := worldOf(ts)
	w.lns = append(w.lns, ln)
	ts.Setenv("PORT", strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
}

func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	fi, err := os.Stat(args[0])
	ts.Check(err)
	if got := fmt.Sprintf("%04o", fi.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
	if len(args) < 3 {
		return
	}
	u, err := engine.LookupUser("", args[2])
	ts.Check(err)
	if gid := int(fi.Sys().(*syscall.Stat_t).Gid); gid != u.GID {
		ts.Fatalf("%s is of group %d, want %s", args[0], gid, args[2])
	}
}

func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: args[0]},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: len(args) == 1, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	parent, signer := template, any(key)
	if len(args) == 2 {
		ca, err := tls.LoadX509KeyPair(ts.MkAbs(args[1]+".pem"), ts.MkAbs(args[1]+".key"))
		ts.Check(err)
		parent, err = x509.ParseCertificate(ca.Certificate[0])
		ts.Check(err)
		signer = ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	ts.Check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

func cmdCopyProgram(ts *testscript.TestScript, neg bool, args []string) {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	b, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o755))
}
