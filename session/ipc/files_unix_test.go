//go:build linux

package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// files gives n open files, each with its number as content.
func files(t testing.TB, n int) []*os.File {
	t.Helper()
	fs := make([]*os.File, n)
	for i := range fs {
		path := filepath.Join(t.TempDir(), fmt.Sprint("f", i))
		if err := os.WriteFile(path, fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		fs[i] = f
	}
	return fs
}

// readAt answers with the payload and what stands in each descriptor.
func readAt(_ context.Context, r *Request) error {
	said := bytes.NewBuffer(r.Payload)
	for _, f := range r.TakeFiles() {
		defer f.Close()
		var b [8]byte
		n, err := f.ReadAt(b[:], 0)
		if err != io.EOF {
			return err
		}
		fmt.Fprintf(said, " %s", b[:n])
	}
	if again := r.TakeFiles(); again != nil {
		return fmt.Errorf("taken twice: %v", again)
	}
	return r.Reply(said.Bytes())
}

func dial(t testing.TB, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path, DialOptions{Kind: "test", Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask is Request with descriptors.
func ask(ctx context.Context, c *Client, topic string, payload []byte, files []*os.File) (string, error) {
	var all []string
	for p, err := range c.StreamFiles(ctx, topic, payload, files) {
		if err != nil {
			return strings.Join(all, "|"), err
		}
		all = append(all, string(p))
	}
	return strings.Join(all, "|"), nil
}

func TestStreamFiles(t *testing.T) {
	s := NewServer(Options{})
	s.Handle("read", readAt)
	path := listen(t, s)
	c := dial(t, path)
	fs := files(t, MaxFiles+1)
	large := strings.Repeat("x", 300<<10)
	for _, tt := range []struct {
		payload string
		files   []*os.File
		want    string
	}{
		{"p", nil, "p"},
		{"p", []*os.File{}, "p"},
		{"p", fs[:1], "p 0"},
		{"", fs[1:3], " 1 2"},
		{large, fs[:2], large + " 0 1"},
		{"all", fs[:MaxFiles], "all 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"},
		{"same", []*os.File{fs[3], fs[3]}, "same 3 3"},
	} {
		if got, err := ask(t.Context(), c, "read", []byte(tt.payload), tt.files); got != tt.want || err != nil {
			t.Errorf("%.10q with %d: got %.100q, %v", tt.payload, len(tt.files), got, err)
		}
	}
	for _, f := range fs {
		if _, err := f.Stat(); err != nil {
			t.Errorf("the caller's file: %v", err)
		}
	}

	// What cannot be sent is the caller's error, and the connection lives.
	closed := files(t, 1)
	closed[0].Close()
	for name, tt := range map[string]struct {
		files []*os.File
		want  error
	}{
		"too many":  {fs, os.ErrInvalid},
		"closed":    {[]*os.File{fs[0], closed[0]}, os.ErrClosed},
		"nil":       {[]*os.File{nil}, os.ErrInvalid},
		"cancelled": {fs[:1], context.Canceled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if name == "cancelled" {
			cancel()
		}
		if _, err := ask(ctx, c, "read", nil, tt.files); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		cancel()
	}
	if got, err := ask(t.Context(), c, "read", []byte("p"), fs[:1]); got != "p 0" || err != nil {
		t.Errorf("afterwards: got %q, %v", got, err)
	}
	var e *session.Error
	if _, err := ask(t.Context(), c, "nobody's", []byte("p"), fs[:1]); !errors.As(err, &e) || e.Code != heddle.CodeNoHandler {
		t.Errorf("unknown topic: got %v", err)
	}
	_ = c.Close()
	if _, err := ask(t.Context(), c, "read", nil, fs[:1]); !errors.Is(err, session.ErrLost) {
		t.Errorf("closed client: got %v, want %v", err, session.ErrLost)
	}
}

// A server that does not agree to descriptors gets none.
func TestFilesNotAgreed(t *testing.T) {
	client, server := sessiontest.Pipe(t)
	newRaw(server)
	if _, err := server.Send(appendWelcome(nil, raws(needed)), nil); err != nil {
		t.Fatal(err)
	}
	c := newClient(DialOptions{})
	client.Start(c.attach(client, nil))
	if err := c.await(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), c, "x", nil, files(t, 1)); !errors.Is(err, session.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, session.ErrUnsupported)
	}
}

// A passed descriptor stays as it was: neither end makes it blocking.
func TestPassedStaysNonBlocking(t *testing.T) {
	s := NewServer(Options{})
	s.Handle("wait", func(ctx context.Context, r *Request) error {
		f := r.TakeFiles()[0]
		defer f.Close()
		_ = f.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 5)
		if _, err := io.ReadFull(f, b); err != nil {
			return err
		}
		return r.Reply(b)
	})
	path := listen(t, s)
	c := dial(t, path)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	got := make(chan string, 1)
	go func() { // ends with the answer
		p, err := ask(t.Context(), c, "wait", nil, []*os.File{r})
		if err != nil {
			p = err.Error()
		}
		got <- p
	}()
	time.Sleep(20 * time.Millisecond)
	_, _ = w.WriteString("hello")
	if p := <-got; p != "hello" {
		t.Errorf("got %q", p)
	}
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		flags, _, no := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if no != 0 || flags&syscall.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v: the pipe became blocking", flags, no)
		}
	})
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// settle waits until no more than want descriptors are open.
func settle(t testing.TB, want int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); descriptors(t) > want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors are open, want %d", descriptors(t), want)
		}
	}
}

// TestFilesLeak: whatever becomes of a request, nobody keeps its descriptors.
func TestFilesLeak(t *testing.T) {
	requests := 2000
	if testing.Short() {
		requests = 200
	}
	s := NewServer(Options{PayloadTimeout: 50 * time.Millisecond, MaxHandlers: 8})
	s.Handle("take", readAt)
	s.Handle("leave", func(_ context.Context, r *Request) error { return r.Reply(nil) })
	s.Handle("fail", func(context.Context, *Request) error { return errors.New("no flour") })
	s.Handle("panic", func(context.Context, *Request) error { panic("burnt") })
	s.Handle("hold", func(ctx context.Context, _ *Request) error { <-ctx.Done(); return nil })
	path := listen(t, s)
	c := dial(t, path)
	fs := files(t, 4)
	before := descriptors(t)

	for _, topic := range []string{"take", "leave", "fail", "panic", "nobody's", "hold"} {
		t.Run(topic, func(t *testing.T) {
			var failed atomic.Int64
			var wg sync.WaitGroup
			for range 16 { // twice what the server answers at once
				wg.Go(func() {
					for range requests / 16 {
						ctx, cancel := t.Context(), context.CancelFunc(func() {})
						if topic == "hold" {
							ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
						}
						if _, err := ask(ctx, c, topic, []byte("p"), fs); err != nil {
							failed.Add(1)
						}
						cancel()
					}
				})
			}
			wg.Wait()
			settle(t, before)
			t.Logf("%d requests, %d of them failed", requests, failed.Load())
		})
	}

	t.Run("client vanishes midway", func(t *testing.T) {
		b := descriptors(t)
		whole := requestFrames("hold", "p", len(fs))
		at := len(appendOffer(nil, "k", "n", 1)) + len(codec.AppendInvoke(nil, heddle.V1, 3, "hold", -1))
		for cut := 1; cut <= len(whole); cut++ {
			conn := dialRaw(t, path)
			// The descriptors go with the files message's first byte, or too early.
			with := min(at, cut-1)
			write(conn, whole[:with], nil)
			write(conn, whole[with:cut], fs)
			conn.Close()
		}
		settle(t, b)
		good(t, path)
		settle(t, b)
	})

	t.Run("payload never comes", func(t *testing.T) {
		b := descriptors(t)
		conn := dialRaw(t, path)
		defer conn.Close()
		offer := appendOffer(nil, "k", "n", 1)
		write(conn, offer, nil)
		for id := uint64(3); id < 13; id += 2 {
			write(conn, codec.AppendFiles(codec.AppendInvoke(nil, heddle.V1, id, "hold", -1), id, 4), fs)
		}
		settle(t, b+2) // both ends of the connection live
		good(t, path)
	})

	t.Run("too many", func(t *testing.T) {
		b := descriptors(t)
		conn := dialRaw(t, path)
		defer conn.Close()
		write(conn, codec.AppendInvoke(appendOffer(nil, "k", "n", 1), heddle.V1, 3, "take", -1), nil)
		for range 5 { // 20 before one payload
			write(conn, codec.AppendFiles(nil, 3, 4), fs)
		}
		expect(t, conn, "descriptors") // the session or the request refuses them, whoever is first
		settle(t, b+2)
		for range 100 { // and for a request that has ended
			write(conn, codec.AppendFiles(nil, 3, 4), fs)
		}
		settle(t, b+2)
		good(t, path)
	})

	t.Run("behind the payload", func(t *testing.T) {
		b := descriptors(t)
		conn := dialRaw(t, path)
		defer conn.Close()
		write(conn, codec.AppendChunk(codec.AppendInvoke(appendOffer(nil, "k", "n", 1), heddle.V1, 3, "hold", -1), heddle.V1, 3, nil), nil)
		for range 200 {
			write(conn, codec.AppendFiles(nil, 3, 4), fs)
		}
		settle(t, b+2)
		good(t, path)
	})

	t.Run("unannounced", func(t *testing.T) {
		b := descriptors(t)
		conn := dialRaw(t, path)
		defer conn.Close()
		offer := appendOffer(nil, "k", "n", 1)
		for i := range offer {
			if !write(conn, offer[i:i+1], fs) {
				break // more than may be unclaimed
			}
		}
		settle(t, b+2)
		good(t, path)
	})
}

// requestFrames are a whole connection's bytes: greeting, event, a files message if
// any descriptors go with it, payload and end.
func requestFrames(topic, payload string, files int) []byte {
	b := codec.AppendInvoke(appendOffer(nil, "k", "n", 1), heddle.V1, 3, topic, -1)
	if files > 0 {
		b = codec.AppendFiles(b, 3, uint64(files))
	}
	return codec.AppendChoke(codec.AppendChunk(b, heddle.V1, 3, []byte(payload)), heddle.V1, 3)
}

func dialRaw(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// write sends p and the descriptors of files, and says whether the server took it.
func write(conn *net.UnixConn, p []byte, files []*os.File) bool {
	var rights []byte
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			panic(err)
		}
		var fds []int
		_ = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		rights = append(rights, syscall.UnixRights(fds...)...)
	}
	if len(p) == 0 {
		return true
	}
	n, _, err := conn.WriteMsgUnix(p, rights, nil)
	if err == nil && n < len(p) {
		_, err = conn.Write(p[n:])
	}
	return err == nil
}

// expect reads from conn until it has said want.
func expect(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got []byte
	b := make([]byte, 64<<10)
	for !bytes.Contains(got, []byte(want)) {
		n, err := conn.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("got %.500q, %v, want %q in it", got, err, want)
		}
	}
}

// good asks the server something on a connection of its own.
func good(t testing.TB, path string) {
	t.Helper()
	c, err := Dial(t.Context(), path, DialOptions{Kind: "test", Name: "good"})
	if err != nil {
		t.Fatalf("another client: %v", err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if p, err := c.Request(ctx, "echo", []byte("good")); string(p) != "good" || err != nil {
		t.Errorf("another client: got %q, %v", p, err)
	}
}
