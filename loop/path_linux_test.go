package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestUnixPathIsTakenOverOnlyFromTheDead(t *testing.T) {
	l := runLoop(t, Options{})
	none := func(c *Conn) Handler { return (&handler{}).make(c) }
	dir := filepath.Dir(testAddr(t, "unix"))
	inUse := func(path string) {
		t.Helper()
		ln, err := l.Listen("unix", path, none, ListenOptions{})
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: %v, want EADDRINUSE", path, err)
		}
		if err == nil {
			ln.Close()
		}
	}

	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	inUse(file)
	if p, _ := os.ReadFile(file); string(p) != "precious" {
		t.Errorf("file now holds %q", p)
	}
	sub := filepath.Join(dir, "sub")
	os.MkdirAll(filepath.Join(sub, "deep"), 0o700)
	inUse(sub)
	if _, err := os.Stat(filepath.Join(sub, "deep")); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, "link")
	os.Symlink(file, link)
	inUse(link)

	live := filepath.Join(dir, "live")
	other, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	inUse(live)
	inUse(fullBacklog(t)) // answers nobody now, but is not dead

	other.(*net.UnixListener).SetUnlinkOnClose(false)
	other.Close() // now it is dead
	ln, err := l.Listen("unix", live, none, ListenOptions{})
	if err != nil {
		t.Fatalf("dead socket: %v", err)
	}
	inUse(live)

	// A later server's file is not ours to remove.
	os.Remove(live)
	later, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	ln.Close()
	if _, err := os.Stat(live); err != nil {
		t.Errorf("our Close removed the later server's socket: %v", err)
	}

	mine := filepath.Join(dir, "mine")
	ln, err = l.Listen("unix", mine, none, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := os.Lstat(mine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("our own path after Close: %v", err)
	}
}

// However many want a path at once, also that of a dead one, one has it at a time, and
// nobody removes another's.
func TestListenUnixIsOnes(t *testing.T) {
	checkFDs(t)
	path := testAddr(t, "unix")
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
				ln, err := ListenUnix(path, 0)
				if err != nil {
					if !errors.Is(err, syscall.EADDRINUSE) {
						t.Error(err)
					}
					continue
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the path", n)
				}
				taken.Add(1)
				if fi, err := os.Lstat(path); err != nil || fi.Mode() != os.ModeSocket|0o600 {
					t.Errorf("the path: %v, %v", fi, err)
				}
				holders.Add(-1)
				if taken.Load()%2 == 0 {
					ln.(*unixListener).Listener.Close() // dies, and leaves its file
				} else {
					ln.Close()
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() < 8 {
		t.Errorf("the path was given only %d times", taken.Load())
	}
}

func TestListenUnix(t *testing.T) {
	checkFDs(t)
	path := testAddr(t, "unix")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path, 0); !errors.Is(err, ErrNotSocket) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a file: %v", err)
	}
	os.Remove(path)
	for _, name := range []string{path, fmt.Sprintf("@heddle-listen-unix-%d", os.Getpid())} {
		ln, err := ListenUnix(name, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ListenUnix(name, 0o666); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second: %v", err)
		}
		nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil || ln.Addr().String() != name {
			t.Fatalf("%v: %v", ln.Addr(), err)
		}
		if c, err := ln.Accept(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		nc.Close()
		if fi, err := os.Stat(path); name == path && (err != nil || fi.Mode().Perm() != 0o666) {
			t.Errorf("mode: %v, %v", fi, err)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the path after Close: %v", err)
		}
	}
	ln, err := ListenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Rename(path, path+".moved")
	os.WriteFile(path, nil, 0o600)
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("Close removed another's file: %v", err)
	}
	for _, bad := range []string{"", "@", filepath.Dir(path), "/tmp/" + strings.Repeat("x", 103)} {
		if _, err := ListenUnix(bad, 0); err == nil {
			t.Errorf("%q was listened on", bad)
		}
	}
}

func TestUnixPathMode(t *testing.T) {
	l := runLoop(t, Options{})
	for _, mode := range []os.FileMode{0, 0o600, 0o660, 0o666, 0o777} {
		path := testAddr(t, "unix")
		_, err := l.Listen("unix", path, func(c *Conn) Handler { return &handler{} }, ListenOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		want := mode
		if want == 0 {
			want = 0o600
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("mode %v: %v, %v", mode, fi.Mode(), err)
		}
	}
}

func TestUnixPathTooLong(t *testing.T) {
	l := runLoop(t, Options{})
	none := func(c *Conn) Handler { return &handler{} }
	for _, addr := range []string{"/tmp/" + strings.Repeat("x", 103), "@" + strings.Repeat("x", 107), "", "@", "a\x00b"} {
		if _, err := l.Listen("unix", addr, none, ListenOptions{}); err == nil {
			t.Errorf("Listen on %d bytes worked", len(addr))
		}
		if _, err := l.Dial("unix", addr, none, DialOptions{}); err == nil {
			t.Errorf("Dial to %d bytes worked", len(addr))
		}
	}
	dir := filepath.Dir(testAddr(t, "unix"))
	longest := filepath.Join(dir, strings.Repeat("x", maxUnixPath-len(dir)-1))
	ln, err := l.Listen("unix", longest, none, ListenOptions{})
	if err != nil {
		t.Fatalf("%d bytes: %v", len(longest), err)
	}
	dialNet(t, ln)
}

func TestAbstractName(t *testing.T) {
	l := runLoop(t, Options{})
	name := fmt.Sprintf("@heddle-loop-test-%d", os.Getpid())
	got := make(chan string, 1)
	ln, err := l.Listen("unix", name, func(c *Conn) Handler {
		return &handler{bytes: func(p []byte) (int, error) { got <- string(p); return len(p), nil }}
	}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ln.Addr().String() != name {
		t.Errorf("Addr %v", ln.Addr())
	}
	if _, err := l.Listen("unix", name, nil, ListenOptions{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second Listen: %v", err)
	}
	c := dialLoop(t, l, ln, &handler{})
	c.Send([]byte("hello"), nil)
	if s := await(t, got); s != "hello" {
		t.Errorf("got %q", s)
	}
	if _, err := os.Lstat(name); err == nil {
		t.Error("there is a file now")
	}
}
