package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipes returns n pipes' read ends; what is written names them.
func pipes(t *testing.T, n int) (readers []*os.File) {
	t.Helper()
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "pipe %d", i)
		w.Close()
		readers = append(readers, r)
		t.Cleanup(func() { r.Close() })
	}
	return readers
}

func TestFilesPass(t *testing.T) {
	l := runLoop(t, Options{})
	// The receiver takes as many as each frame says: frames are one byte, the count.
	type arrival struct {
		files []*os.File
		err   error
	}
	arrived := make(chan arrival, 100)
	ln := listen(t, l, "unix", func(c *Conn) Handler {
		h := &handler{c: c}
		h.bytes = func(p []byte) (int, error) {
			for _, n := range p {
				if n > 0 {
					files, err := c.TakeFiles(int(n))
					arrived <- arrival{files, err}
				}
			}
			return len(p), nil
		}
		return h
	}, ListenOptions{})
	opened := make(chan struct{})
	ch := &handler{open: func() { close(opened) }}
	c := dialLoop(t, l, ln, ch)
	readers := pipes(t, 20)
	// Some before the connection is there, and plain bytes around.
	c.Send([]byte{0, 0, 0}, nil)
	if err := c.SendFiles([]byte{2}, readers[:2]); err != nil {
		t.Fatal(err)
	}
	c.Send([]byte{0}, nil)
	if err := c.SendFiles([]byte{1}, readers[2:3]); err != nil {
		t.Fatal(err)
	}
	await(t, opened)
	if err := c.SendFiles([]byte{16, 0, 0}, readers[3:19]); err != nil {
		t.Fatal(err)
	}
	c.Send([]byte{0}, nil)
	if err := c.SendFiles([]byte{1}, readers[19:]); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 20; {
		a := await(t, arrived)
		if a.err != nil {
			t.Fatal(a.err)
		}
		for _, f := range a.files {
			f.SetReadDeadline(time.Now().Add(patience)) // works: it is non-blocking
			p, err := io.ReadAll(f)
			f.Close()
			if want := fmt.Sprintf("pipe %d", i); string(p) != want || err != nil {
				t.Errorf("got %q, %v; want %q", p, err, want)
			}
			i++
		}
	}
	onLoop(t, l, func() {
		if _, err := c.TakeFiles(1); !errors.Is(err, ErrFiles) {
			t.Errorf("TakeFiles of none: %v", err)
		}
	})
	for _, bad := range [][]*os.File{nil, make([]*os.File, 17)} {
		if err := c.SendFiles([]byte{1}, bad); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%d files: %v", len(bad), err)
		}
	}
	c.Close(nil)
}

func TestSentFileStaysNonblocking(t *testing.T) {
	l := runLoop(t, Options{})
	c, nc := acceptOne(t, l, "unix", &handler{})
	r := pipes(t, 1)[0]
	if err := c.SendFiles([]byte("f"), []*os.File{r}); err != nil {
		t.Fatal(err)
	}
	uc := nc.(*net.UnixConn)
	oob := make([]byte, 100)
	_, n, _, _, err := uc.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		t.Fatal(err)
	}
	msgs, _ := unix.ParseSocketControlMessage(oob[:n])
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%v, %v", fds, err)
	}
	defer unix.Close(fds[0])
	if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("the passed pipe became blocking")
	}
}

// sendRights sends one byte with n descriptors of /dev/null.
func sendRights(t *testing.T, nc net.Conn, n int) {
	t.Helper()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fds := make([]int, n)
	for i := range fds {
		fds[i] = int(f.Fd())
	}
	if _, _, err := nc.(*net.UnixConn).WriteMsgUnix([]byte("x"), unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
}

func TestUnclaimedFilesAreClosed(t *testing.T) {
	l := runLoop(t, Options{}) // counts descriptors at the end
	closed := make(chan error, 1)
	seen := make(chan struct{}, 10)
	h := &handler{close: func(err error) { closed <- err }}
	h.bytes = func(p []byte) (int, error) { seen <- struct{}{}; return len(p), nil }
	_, nc := acceptOne(t, l, "unix", h)
	sendRights(t, nc, 64)
	await(t, seen)
	sendRights(t, nc, 1)
	if err := await(t, closed); !errors.Is(err, ErrFiles) {
		t.Error(err)
	}
	// Those behind the end of a connection that closes in order.
	_, nc = acceptOne(t, l, "unix", h)
	sendRights(t, nc, 3)
	await(t, seen)
	h.c.Close(nil)
	nc.Close()
	await(t, closed)
}

func TestTooFewDescriptorsToReceive(t *testing.T) {
	l := runLoop(t, Options{})
	closed := make(chan error, 1)
	c, nc := acceptOne(t, l, "unix", &handler{close: func(err error) { closed <- err }})
	_ = c
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var old unix.Rlimit
	unix.Getrlimit(unix.RLIMIT_NOFILE, &old)
	rights := unix.UnixRights(int(f.Fd()), int(f.Fd()))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	nc.(*net.UnixConn).WriteMsgUnix([]byte("x"), rights, nil)
	if err := await(t, closed); !errors.Is(err, ErrFiles) { // MSG_CTRUNC
		t.Error(err)
	}
}

type refuseHandler struct {
	handler
	refused chan string
}

func (h *refuseHandler) OnRefuse(frame []byte, err error) { h.refused <- string(frame) }

func TestRefusedFilesFailThatFrameOnly(t *testing.T) {
	l := runLoop(t, Options{})
	h := &refuseHandler{refused: make(chan string, 1)}
	opened := make(chan *Conn, 1)
	h.open = func() { opened <- h.c }
	ln := listen(t, l, "unix", func(c *Conn) Handler { h.c = c; return h }, ListenOptions{})
	nc := dialNet(t, ln)
	c := await(t, opened)
	r := pipes(t, 1)
	onLoop(t, l, func() {
		c.Send([]byte("before "), nil)
		c.SendFiles([]byte("files "), r)
		c.Send([]byte("after"), nil)
		// Break the descriptor while it waits, so that sendmsg says EBADF.
		c.mu.Lock()
		s := c.out.data.head.next
		unix.Close(s.files[0])
		s.files[0] = 1 << 20
		c.mu.Unlock()
	})
	if s := await(t, h.refused); s != "files " {
		t.Errorf("refused %q", s)
	}
	end, _ := c.Send(nil, nil)
	c.Close(nil)
	if p, err := io.ReadAll(nc); string(p) != "before after" || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
	if c.Written() != end {
		t.Errorf("Written %d, want %d", c.Written(), end)
	}
}
