package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
)

// blocking says whether the file description is in blocking mode.
func blocking(t *testing.T, f syscall.Conn) bool {
	t.Helper()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags uintptr
	if err := rc.Control(func(fd uintptr) { flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0) }); err != nil {
		t.Fatal(err)
	}
	return flags&syscall.O_NONBLOCK == 0
}

// C4: files, connections and listeners go both ways, with messages and with
// requests; the sender's copy is closed, the receiver owns his, and what nobody
// claims is closed and counted.
func TestDescriptorsBothWays(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	own := NewHub(HubOptions{})
	for _, h := range []*Hub{hub, own} {
		d := h.Default()
		d.Handle("greet", func(_ context.Context, r *Received) error {
			c, err := Conn(r.TakeFiles()[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c, "hello, %s", r.Payload)
			return errors.Join(err, c.Close())
		})
		d.Handle("accept", func(_ context.Context, r *Received) error {
			ln, err := Listener(r.TakeFiles()[0])
			if err != nil {
				return err
			}
			go func() { // ends with the one connection that comes
				c, err := ln.Accept()
				if err == nil {
					_, _ = io.WriteString(c, "accepted")
					c.Close()
				}
				ln.Close()
			}()
			return nil
		})
		d.Handle("ignore", func(context.Context, *Received) error { return nil })
		d.HandleRequest("read", func(_ context.Context, q *Question) error {
			for _, f := range q.TakeFiles() {
				b, err := io.ReadAll(f)
				if err := errors.Join(err, q.Reply(Bytes(b)), f.Close()); err != nil {
					return err
				}
			}
			return nil
		})
		d.HandleRequest("ignore", func(context.Context, *Question) error { return nil })
	}
	c := meet(t, path, DialOptions{Hub: own})
	eventually(t, "the peer", func() bool { return len(hub.Peers()) == 1 })
	before := descriptors(t)
	for i, p := range []*Peer{c.Peer(), hub.Peers()[0]} {
		to := []*Hub{hub, own}[i]
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		// An accepted TCP connection is answered by the other side.
		client, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Ask(t.Context(), Message{Topic: "greet", Body: Bytes([]byte("weaver")), Files: []any{conn}}); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(client); string(b) != "hello, weaver" {
			t.Errorf("got %q, %v", b, err)
		}
		client.Close()
		if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the sender's copy: %v", err)
		}
		// And a listener accepts there.
		if _, err := p.Ask(t.Context(), Message{Topic: "accept", Files: []any{ln}}); err != nil {
			t.Fatal(err)
		}
		if client, err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(client); string(b) != "accepted" {
			t.Errorf("got %q, %v", b, err)
		}
		client.Close()
		// Files of a request, in order.
		var files []any
		var want []string
		for j := range MaxFiles {
			name := filepath.Join(t.TempDir(), "f")
			want = append(want, fmt.Sprint("file ", j))
			if err := os.WriteFile(name, []byte(want[j]), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if got, err := gather(t, p, Query{Topic: "read", Files: files}); err != nil || strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := files[0].(*os.File).Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the asker's copy: %v", err)
		}
		// What nobody takes.
		unclaimed := to.Counters().Unclaimed
		for range 50 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if blocking(t, r) {
				t.Fatal("a new pipe is blocking")
			}
			post(t, p, Message{Topic: "ignore", Files: []any{w}})
			if blocking(t, r) {
				t.Error("sending has made the pipe blocking")
			}
			if _, err := io.ReadAll(r); err != nil { // ends when the last copy of w is closed
				t.Error(err)
			}
			r.Close()
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gather(t, p, Query{Topic: "ignore", Files: []any{r, w}}); err != nil {
			t.Error(err)
		}
		eventually(t, "the counting", func() bool { return to.Counters().Unclaimed == unclaimed+52 })
	}
	eventually(t, "the descriptors' closing", func() bool { return descriptors(t) == before })
}

// Descriptors without number are sent one batch after the other, never more than
// the receiver holds.
func TestManyDescriptors(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	var n atomic.Int64
	hub.Default().Handle("t", func(_ context.Context, r *Received) error { n.Add(int64(len(r.files))); return nil })
	c := meet(t, path, DialOptions{})
	before := descriptors(t)
	var last *Ack
	for range 30 {
		var files []any
		for range MaxFiles {
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		last = send(t, c.Peer(), Message{Topic: "t", Files: files})
		post(t, c.Peer(), say("t", "between"))
	}
	if _, err := last.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := n.Load(); n != 30*MaxFiles {
		t.Errorf("%d descriptors came, of %d", n, 30*MaxFiles)
	}
	eventually(t, "the descriptors' closing", func() bool { return descriptors(t) == before })
}

// C5, C6: for a peer that is not ready descriptors are refused, and the caller keeps
// them; asked to, they wait, and are then delivered, or closed with an error when the
// peer dies or takes too long.
func TestDescriptorsNotReady(t *testing.T) {
	h := NewHub(HubOptions{QueueAge: 300 * time.Millisecond})
	pair := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r, w
	}
	before := descriptors(t)
	p := newPeer(t, h, PeerInfo{Files: true, Waits: true})
	r, w := pair()
	if _, err := p.Send(t.Context(), Message{Topic: "t", Files: []any{w}}); err != ErrNotReady {
		t.Errorf("got %v", err)
	}
	if _, err := gather(t, p, Query{Topic: "t", Files: []any{w}}); !errors.Is(err, ErrNotReady) {
		t.Errorf("a request: got %v", err)
	}
	if _, err := w.WriteString("still mine"); err != nil {
		t.Error(err)
	}
	died := send(t, p, Message{Topic: "t", Files: []any{w}, QueueFiles: true})
	p.End(nil)
	if _, err := died.Wait(t.Context()); !errors.Is(err, ErrPeerDied) {
		t.Errorf("got %v", err)
	}
	if b, err := io.ReadAll(r); string(b) != "still mine" || err != nil { // ends, so all copies are closed
		t.Errorf("got %q, %v", b, err)
	}
	p = newPeer(t, h, PeerInfo{Files: true, Waits: true})
	r2, w2 := pair()
	old := send(t, p, Message{Topic: "t", Files: []any{w2}, QueueFiles: true})
	if _, err := old.Wait(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v", err)
	}
	if _, err := io.ReadAll(r2); err != nil {
		t.Error(err)
	}
	r3, w3 := pair()
	there := NewHub(HubOptions{})
	there.Default().Handle("t", func(_ context.Context, rc *Received) error {
		f := rc.TakeFiles()[0]
		_, err := f.WriteString("delivered")
		return errors.Join(err, f.Close())
	})
	kept := send(t, p, Message{Topic: "t", Files: []any{w3}, QueueFiles: true})
	plug(t, p, newPeer(t, there, PeerInfo{}))
	if err := p.SetReady(); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if b, _ := io.ReadAll(r3); string(b) != "delivered" {
		t.Errorf("got %q", b)
	}
	eventually(t, "the descriptors' closing", func() bool { return descriptors(t) == before+3 })
}

// C7: what is no descriptor, or closed, or too many, is an error from the send.
func TestDescriptorInvalid(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
	p := meet(t, path, DialOptions{}).Peer()
	closed, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	good, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	var many []any
	for range MaxFiles + 1 {
		many = append(many, good)
	}
	gone, other := net.Pipe() // no descriptor
	defer gone.Close()
	defer other.Close()
	before := descriptors(t)
	for i, tt := range []struct {
		files []any
		want  error
	}{{[]any{good, closed}, os.ErrClosed}, {[]any{(*os.File)(nil)}, os.ErrInvalid}, {[]any{gone}, os.ErrInvalid}, {[]any{42}, os.ErrInvalid}, {[]any{nil}, os.ErrInvalid}, {many, os.ErrInvalid}} {
		if _, err := p.Send(t.Context(), Message{Topic: "t", Files: tt.files}); !errors.Is(err, tt.want) {
			t.Errorf("%d: message: got %v, want %v", i, err, tt.want)
		}
		if _, err := p.Call(t.Context(), Query{Topic: "t", Files: tt.files}); !errors.Is(err, tt.want) {
			t.Errorf("%d: request: got %v, want %v", i, err, tt.want)
		}
	}
	if _, err := good.Stat(); err != nil {
		t.Errorf("the caller's file is closed: %v", err)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
	if _, err := p.Ask(t.Context(), say("t", "")); err != nil {
		t.Error(err)
	}
}

// A stream that carries more descriptors than it may, or fewer than it says, ends
// alone, and what came is closed.
func TestDescriptorsOffender(t *testing.T) {
	hub, path, c := open(t, HubOptions{})
	hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
	cl := meet(t, path, DialOptions{})
	before := descriptors(t)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, n := range []int{0, mostPassed + 1} {
		s, err := cl.mux.Open(session.OpenOptions{Event: eventMessages + "_"})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			files := make([]*os.File, MaxFiles)
			for i := range files {
				files[i] = null
			}
			if err := s.SendFiles(files); err != nil {
				break
			}
		}
		if n == 0 {
			if err := s.WriteChunk(appendRecord(nil, &record{topic: []byte("t"), files: 2})); err != nil {
				t.Fatal(err)
			}
		}
		var e *session.Error
		if _, err := s.Recv(); !errors.As(err, &e) || !e.Remote {
			t.Errorf("%d: got %v", n, err)
		}
		s.Discard()
	}
	c.await(t, "the event", func(e Event) bool { return errors.Is(e.Err, errUnclaimed) })
	eventually(t, "the descriptors' closing", func() bool { return descriptors(t) == before+1 })
	if _, err := cl.Peer().Ask(t.Context(), say("t", "")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
