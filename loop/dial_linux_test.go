package loop

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// outcome dials and returns what OnClose was told, nil if it opened.
func outcome(t *testing.T, l *Loop, network, addr string, o DialOptions) error {
	t.Helper()
	ch := make(chan error, 2)
	h := &handler{close: func(err error) { ch <- err }}
	h.open = func() { ch <- nil; h.c.Abort(nil) }
	if _, err := l.Dial(network, addr, h.make, o); err != nil {
		t.Fatal(err)
	}
	return await(t, ch)
}

func TestDialErrors(t *testing.T) {
	l := runLoop(t, Options{})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	dead := testAddr(t, "unix")
	ul, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	ul.(*net.UnixListener).SetUnlinkOnClose(false)
	ul.Close()
	for _, tt := range []struct {
		network, addr string
		want          error
	}{
		{"tcp", nobody, syscall.ECONNREFUSED},
		{"unix", dead, syscall.ECONNREFUSED},
		{"unix", filepath.Join(filepath.Dir(dead), "none"), syscall.ENOENT},
		{"unix", "@nobody-listens-here", syscall.ECONNREFUSED},
	} {
		err := outcome(t, l, tt.network, tt.addr, DialOptions{})
		var op *net.OpError
		if !errors.Is(err, tt.want) || !errors.As(err, &op) || op.Op != "dial" {
			t.Errorf("%s %s: got %v, want %v", tt.network, tt.addr, err, tt.want)
		}
	}
	for _, tt := range [][2]string{{"udp", nobody}, {"tcp", "127.0.0.1"}, {"tcp6", nobody}} {
		if _, err := l.Dial(tt[0], tt[1], (&handler{}).make, DialOptions{}); err == nil {
			t.Errorf("Dial(%s, %s) began", tt[0], tt[1])
		}
	}
}

func TestDialName(t *testing.T) {
	l := runLoop(t, Options{})
	ln := listen(t, l, "tcp", func(c *Conn) Handler { return &handler{eof: func() { c.Close(nil) }} }, ListenOptions{})
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, host := range []string{"localhost", ""} {
		if err := outcome(t, l, "tcp", net.JoinHostPort(host, port), DialOptions{}); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	if err := outcome(t, l, "tcp", "no-such-host.invalid:1", DialOptions{}); err == nil {
		t.Error("no-such-host.invalid answers")
	}
}

// fullBacklog returns the path of a listener that has no room for one connection more.
func fullBacklog(t *testing.T) (path string) {
	path, _ = fullBacklogFD(t)
	return path
}

func fullBacklogFD(t *testing.T) (path string, fd int) {
	t.Helper()
	path = testAddr(t, "unix")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Listen(fd, 0)
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	return path, fd
}

func TestDialFullBacklog(t *testing.T) {
	l := runLoop(t, Options{})
	path, fd := fullBacklogFD(t)
	err := outcome(t, l, "unix", path, DialOptions{Timeout: 30 * time.Millisecond})
	var ne net.Error
	if !errors.Is(err, ErrTimeout) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("got %v", err)
	}
	// With room in time it connects.
	opened := make(chan struct{})
	h := &handler{open: func() { close(opened) }}
	if _, err := l.Dial("unix", path, h.make, DialOptions{}); err != nil {
		t.Fatal(err)
	}
	onLoop(t, l, func() {})
	for range 2 {
		nfd, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(nfd)
	}
	await(t, opened)
}

func TestSendBeforeOpen(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		l := runLoop(t, Options{})
		got := make(chan string, 1)
		ln := listen(t, l, network, func(c *Conn) Handler {
			var b []byte
			return &handler{
				bytes: func(p []byte) (int, error) { b = append(b, p...); return len(p), nil },
				eof:   func() { got <- string(b); c.Close(nil) },
			}
		}, ListenOptions{})
		closed := make(chan error, 1)
		c := dialLoop(t, l, ln, &handler{close: func(err error) { closed <- err }})
		c.Send([]byte("hello "), []byte("world"))
		c.Close(errTest)
		if s := await(t, got); s != "hello world" {
			t.Errorf("got %q", s)
		}
		if err := await(t, closed); err != errTest {
			t.Error(err)
		}
	})
}

func TestDialThenAbort(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 2)
	h := &handler{close: func(err error) { closed <- err }, open: func() { t.Error("opened") }}
	ln := listen(t, l, "tcp", func(c *Conn) Handler { return &handler{eof: func() { c.Close(nil) }} }, ListenOptions{})
	onLoop(t, l, func() {
		c, err := l.Dial("tcp", ln.Addr().String(), h.make, DialOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		c.Abort(errTest)
	})
	if err := await(t, closed); err != errTest {
		t.Error(err)
	}
}

// An end ordered while the loop is handling an event comes before the task that begins
// the dial: that event's end looks at orders, not at tasks.
func TestDialThenEndWithinOneEvent(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			how  string
			end  func(c *Conn)
			want error
		}{
			{"Abort", func(c *Conn) { c.Abort(errTest) }, errTest},
			{"Close", func(c *Conn) { c.Close(errTest) }, errTest},
			{"Close in order", func(c *Conn) { c.Close(nil) }, nil},
			{"overflow", func(c *Conn) { c.SetLimit(1); c.Send([]byte("too much"), nil) }, ErrOverflow},
		} {
			t.Run(tt.how, func(t *testing.T) {
				l := runLoop(t, Options{})
				ln := listen(t, l, network, (&handler{}).make, ListenOptions{})
				closed := make(chan error, 2)
				h := &handler{close: func(err error) { closed <- err }, open: func() { t.Error("opened") }}
				inside, release := make(chan struct{}), make(chan struct{})
				onLoop(t, l, func() { l.After(0, func() { close(inside); <-release }) })
				await(t, inside)
				tt.end(dialLoop(t, l, ln, h))
				close(release)
				if err := await(t, closed); err != tt.want {
					t.Errorf("closed with %v, want %v", err, tt.want)
				}
				onLoop(t, l, func() {})
				if len(closed) > 0 || l.Stats().Panics > 0 {
					t.Errorf("OnClose %d times more, %d panics", len(closed), l.Stats().Panics)
				}
			})
		}
	})
}

func TestPeerCred(t *testing.T) {
	l := runLoop(t, Options{})
	type cred struct {
		pid, uid, gid int
		err           error
	}
	creds := make(chan cred, 1)
	h := &handler{}
	h.open = func() {
		pid, uid, gid, err := h.c.PeerCred()
		creds <- cred{pid, uid, gid, err}
	}
	acceptOne(t, l, "unix", h)
	want := cred{syscall.Getpid(), syscall.Getuid(), syscall.Getgid(), nil}
	if got := await(t, creds); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	acceptOne(t, l, "tcp", h)
	if got := await(t, creds); got.err == nil {
		t.Errorf("over TCP: %+v", got)
	}
}

func TestAddresses(t *testing.T) {
	l := runLoop(t, Options{})
	ln, err := l.Listen("tcp", ":0", func(c *Conn) Handler {
		return &handler{open: func() {
			c.Send([]byte(c.LocalAddr().String()+" "+c.RemoteAddr().String()), nil)
			c.Close(nil)
		}}
	}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	nc, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p, err := io.ReadAll(nc)
	local, _, _ := net.SplitHostPort(string(p[:max(0, len(p)-len(nc.LocalAddr().String())-1)]))
	if want := nc.RemoteAddr().String() + " " + nc.LocalAddr().String(); err != nil || net.ParseIP(local).To4() == nil || len(p) < len(want) {
		t.Errorf("got %q, %v; want like %q", p, err, want)
	}
}
