package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
