package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/service/servicetest"
)

// kindsOfTargets are all that a run can ask.
var kindsOfTargets = []string{"HTTP/1.1", "TLS", "HTTP/2", "sessions"}

// at is a target of that kind at an address.
func at(t *testing.T, kind, addr string) Options {
	t.Helper()
	scheme := map[bool]string{true: "https://"}[kind == "TLS"]
	target, err := ParseTarget(scheme + addr)
	if err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "HTTP/2":
		target.HTTP = HTTP2
	case "sessions":
		target = AppTarget(addr, "app", "echo")
	}
	return Options{Target: target, TLS: TLS{Insecure: true}}
}

// good starts a real server of that kind, whose handler has flood say more and more.
func good(t *testing.T, kind string, flood func(io.Writer)) Options {
	t.Helper()
	if kind == "sessions" {
		cloud := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
		cloud.App("app", map[string]func(*servicetest.Call){"flood": func(c *servicetest.Call) { flood(pieces{c}) }})
		return at(t, kind, cloud.Endpoint())
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/flood" {
			flood(w)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	if kind == "TLS" {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return at(t, kind, srv.Listener.Addr().String())
}

// pieces are a session's answer.
type pieces struct{ c *servicetest.Call }

// Write lets some time pass: the cloud keeps what it has to send in memory.
func (p pieces) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(b), p.c.Write(string(b))
}

// inTime runs o, which may take no longer than it says.
func inTime(t *testing.T, o Options) *Result {
	t.Helper()
	begun := time.Now()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if c := &r.Counts; c.Requests != c.Answered+c.Late+c.Lost+c.Unfinished {
		t.Errorf("the sums are wrong: %+v", c)
	}
	if took := time.Since(begun); took > o.Duration+2*o.Timeout+slack/2 {
		t.Errorf("it took %v", took)
	}
	return r
}

// TestBadTargets: whoever is asked, that he cannot be, resets or says nothing is
// counted by its kind, and nothing hangs.
func TestBadTargets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	_ = ln.Close()
	resets := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, tt := range []struct {
		name string
		addr func() string
		want map[string][]string // by kind of target; "": of all others
	}{
		{"refused", func() string { return nobody }, map[string][]string{"": {"refused"}}},
		{"no address", func() string { return "no..such:1" }, map[string][]string{"": {"resolve"}}},
		{"reset", func() string { return serve(t, "tcp", "127.0.0.1:0", resets) }, map[string][]string{"": {"reset", "closed"}, "TLS": {"TLS: closed", "reset"}}},
		{"silent", func() string { return serve(t, "tcp", "127.0.0.1:0", silent) }, map[string][]string{"": {"timeout"}, "TLS": {"connect timeout"}, "sessions": {"connect timeout"}}},
	} {
		for _, kind := range kindsOfTargets {
			t.Run(tt.name+" "+kind, func(t *testing.T) {
				t.Parallel()
				o := at(t, kind, tt.addr())
				o.Conns, o.Duration, o.Timeout = 3, 300*time.Millisecond, time.Second
				r := inTime(t, o)
				want := tt.want[kind]
				if want == nil {
					want = tt.want[""]
				}
				n := uint64(0)
				for _, kind := range want {
					n += r.Kinds[kind]
				}
				if n == 0 || n != r.Errors || r.Answered != 0 {
					t.Errorf("got %+v, want %v", r.Counts, want)
				}
			})
		}
	}
	// The app's service itself, which a locator that is fine names.
	for name, fn := range map[string]func(net.Conn){"reset": resets, "timeout": silent} {
		t.Run(name+" app", func(t *testing.T) {
			t.Parallel()
			cloud := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
			host, port, _ := net.SplitHostPort(serve(t, "tcp", "127.0.0.1:0", fn))
			var e servicetest.Endpoint
			e.Host = host
			_, _ = fmt.Sscan(port, &e.Port)
			cloud.App("app", nil).Announce(&servicetest.Announcement{Endpoints: []servicetest.Endpoint{e}})
			o := at(t, "sessions", cloud.Endpoint())
			o.Conns, o.Duration, o.Timeout = 3, 300*time.Millisecond, time.Second
			if r := inTime(t, o); r.Answered != 0 || r.Kinds[name] == 0 || r.Errors != r.Kinds[name]+r.Kinds["closed"] {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
}

// TestEndless: memory stays bounded whatever is sent, and the run ends.
func TestEndless(t *testing.T) {
	const most = 64 << 20 // bytes
	for _, kind := range kindsOfTargets {
		t.Run(kind, func(t *testing.T) {
			var said atomic.Int64
			o := good(t, kind, func(w io.Writer) {
				for p := make([]byte, 64<<10); ; said.Add(int64(len(p))) {
					if _, err := w.Write(p); err != nil {
						return
					}
				}
			})
			if o.Requests = []Request{{Path: "/flood"}}; kind == "sessions" {
				o.Requests = []Request{{Event: "flood"}}
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			before, peak := m.HeapAlloc, uint64(0)
			o.Conns, o.Duration, o.Timeout, o.Interval = 2, 300*time.Millisecond, 500*time.Millisecond, 20*time.Millisecond
			o.OnInterval = func(Interval) {
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
			r := inTime(t, o)
			if r.Lost != r.Requests || r.Lost < 2 || r.Kinds["timeout"] != r.Lost {
				t.Errorf("got %+v", r.Counts)
			}
			if peak > before+most || said.Load() < 1<<20 {
				t.Errorf("%d bytes of memory at most, %d before; %d bytes were sent", peak, before, said.Load())
			}
		})
	}
}

// TestStreamTooLong: a stream of HTTP/2 whose body is longer than promised, or shorter,
// is no answer.
func TestStreamTooLong(t *testing.T) {
	for name, data := range map[string]string{"longer": "okay", "shorter": "o"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := at(t, "HTTP/2", serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) { streams(c, data) }))
			o.Conns, o.Count, o.Duration, o.Timeout = 1, 20, time.Minute, 20*time.Second
			r := inTime(t, o)
			if r.Lost != 20 || r.Errors != 20 || r.Kinds["malformed"]+r.Kinds["truncated"] != 20 {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
}

// streams answers each request of a connection of HTTP/2 with a body that is said to
// have two bytes (RFC 9113, 4.1; RFC 7541, 6).
func streams(c net.Conn, data string) {
	frame := func(kind, flags byte, id []byte, p string) {
		_, _ = c.Write(append(append([]byte{0, 0, byte(len(p)), kind, flags}, id...), p...))
	}
	frame(4, 0, make([]byte, 4), "") // settings
	head := make([]byte, 9)
	if _, err := io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return
		}
		if head[3] == 1 { // headers
			id := bytes.Clone(head[5:9])
			frame(1, 4, id, "\x88\x0f\x0d\x012") // :status 200, content-length 2
			frame(0, 1, id, data)
		}
	}
}

// An address is whom to ask, for another process.
type address struct {
	Target Target
	TLS    TLS
}

const envChild = "HEDDLE_BENCH_TEST"

// again runs the test that calls it in a process of its own, which is told what.
func again(t *testing.T, what any, attr *syscall.SysProcAttr) {
	t.Helper()
	p, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), envChild+"="+string(p))
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	switch {
	case attr != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC)):
		t.Skipf("needs a network namespace: %v", err)
	case err != nil || !strings.Contains(string(out), "PASS"):
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOutOfDescriptors: a generator that may open no more sockets says so, and goes on
// with those it has.
func TestOutOfDescriptors(t *testing.T) {
	told := make(map[string]address)
	if p := os.Getenv(envChild); p == "" {
		for _, kind := range kindsOfTargets {
			o := good(t, kind, nil)
			told[kind] = address{o.Target, o.TLS}
		}
		again(t, told, nil)
		return
	} else if err := json.Unmarshal([]byte(p), &told); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	for kind, a := range told {
		r := inTime(t, Options{Target: a.Target, TLS: a.TLS, Conns: 60, Count: 500, Duration: 10 * time.Second, Timeout: time.Second})
		if r.Answered != 500 || r.Lost != 0 || r.Kinds["no descriptors"] < 20 || r.Errors != r.Kinds["no descriptors"] {
			t.Errorf("%s: got %+v", kind, r.Counts)
		}
	}
}

// TestOutOfPorts: so does one that has no port left.
func TestOutOfPorts(t *testing.T) {
	if os.Getenv(envChild) == "" {
		attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER}
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		again(t, true, attr)
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	told := make(map[string]Options)
	for _, kind := range kindsOfTargets { // whose ports are of the usual range
		told[kind] = good(t, kind, nil)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("20000 20009"), 0); err != nil {
		t.Fatal(err)
	}
	for kind, o := range told {
		o.Conns, o.Count, o.Duration, o.Timeout = 30, 500, 10*time.Second, time.Second
		r := inTime(t, o)
		if r.Answered != 500 || r.Lost != 0 || r.Kinds["no ports"] < 15 || r.Errors != r.Kinds["no ports"] {
			t.Errorf("%s: got %+v", kind, r.Counts)
		}
	}
}

// TestLargePipeline: as many of the largest requests as may be outstanding wait in
// order, whoever is asked.
func TestLargePipeline(t *testing.T) {
	for _, kind := range []string{"HTTP/1.1", "HTTP/2", "sessions"} {
		t.Run(kind, func(t *testing.T) {
			o := good(t, kind, nil)
			o.Requests = []Request{{Method: "POST", Body: strings.Repeat("x", 3<<20)}}
			if kind == "sessions" {
				o.Requests = []Request{{Body: strings.Repeat("x", 3<<20)}}
			}
			o.Conns, o.Pipeline, o.Count, o.Duration, o.Timeout = 1, 12, 24, time.Minute, 30*time.Second
			if r := inTime(t, o); r.Answered != 24 || r.Errors != 0 {
				t.Errorf("got %+v", r.Counts)
			}
		})
	}
}
