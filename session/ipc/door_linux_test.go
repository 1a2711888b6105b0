package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// await returns the first event for which f holds.
func (c *chronicle) await(t testing.TB, what string, f func(Event) bool) Event {
	t.Helper()
	var found Event
	eventually(t, what, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range c.events {
			if f(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// eventually waits until f holds, at most ten seconds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for begun := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// open gives a server with a hub on a socket of its own.
func open(t *testing.T, o HubOptions) (hub *Hub, path string, c *chronicle) {
	t.Helper()
	c = new(chronicle)
	o.OnEvent = c.on
	hub = NewHub(o)
	path = listen(t, NewServer(Options{Hub: hub}))
	return hub, path, c
}

// meet gives a client of the server at path.
func meet(t *testing.T, path string, o DialOptions) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// S1, S5, S6, S13: to one, to all, and back; ids are uuids of the server's, kind
// and name the client's word, the pid the kernel's; an unknown id is a typed error,
// and a client's going an event with its id.
func TestOneAllAndBack(t *testing.T) {
	hub, path, c := open(t, HubOptions{})
	hub.Default().Handle("who", func(_ context.Context, r *Received) error {
		i := r.Peer.Info()
		return r.Reply(Bytes(fmt.Appendf(nil, "%s %s %d", i.Kind, i.Name, i.PID)))
	})
	var books [3]notebook
	var clients [3]*Client
	for i := range clients {
		h := NewHub(HubOptions{})
		h.Default().Handle("", books[i].handler)
		clients[i] = meet(t, path, DialOptions{Hub: h, Kind: "test", Name: fmt.Sprint("n", i)})
		r, err := clients[i].Peer().Ask(t.Context(), say("who", ""))
		if want := fmt.Sprintf("test n%d %d", i, os.Getpid()); err != nil || string(r.Payload) != want {
			t.Errorf("got %q, %v, want %q", r.Payload, err, want)
		}
		if pid := clients[i].Peer().Info().PID; pid != os.Getpid() {
			t.Errorf("the server's pid: got %d", pid)
		}
	}
	peers := hub.Peers()
	if len(peers) != 3 {
		t.Fatalf("%d peers", len(peers))
	}
	var first *Peer
	for _, p := range peers {
		c.await(t, "the client's coming", func(e Event) bool { return e.Kind == PeerConnected && e.Peer == p })
		id, err := uuid.Parse(p.ID())
		if err != nil || id.Version() != 4 {
			t.Errorf("id %q: %v", p.ID(), err)
		}
		if p.Info().Name == "n0" {
			first = p
		}
	}
	if p, err := hub.Peer(first.ID()); err != nil || p != first {
		t.Errorf("got %v, %v", p, err)
	}
	if err := hub.PostTo(t.Context(), first.ID(), say("t", "one")); err != nil {
		t.Error(err)
	}
	if err := first.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := hub.Broadcast(say("t", "all")); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for i := range books {
		eventually(t, "the broadcast", func() bool { l := books[i].all(); return len(l) > 0 && l[len(l)-1] == "all" })
	}
	books[0].want(t, "one", "all")
	books[1].want(t, "all")

	id := first.ID()
	clients[0].Close()
	e := c.await(t, "the client's going", func(e Event) bool { return e.Kind == PeerGone })
	if e.Peer.ID() != id || e.Err != nil {
		t.Errorf("got %s, %v, want %s", e.Peer.ID(), e.Err, id)
	}
	var unknown *UnknownPeerError
	if _, err := hub.Peer(id); !errors.As(err, &unknown) || unknown.ID != id {
		t.Errorf("a client that left: got %v", err)
	}
	if err := hub.PostTo(t.Context(), id, say("late", "")); !errors.As(err, &unknown) || unknown.Topic != "late" {
		t.Errorf("a message to it: got %v", err)
	}
	if _, err := hub.Peer("forged"); !errors.As(err, &unknown) {
		t.Errorf("a forged id: got %v", err)
	}
}

// Words of ours as topic, namespace or event of an app are the app's, and the
// daemon's own topics are out of the app's reach and it of theirs.
func TestNoClash(t *testing.T) {
	hub := NewHub(HubOptions{})
	s := NewServer(Options{Hub: hub})
	s.Handle("status", func(_ context.Context, r *Request) error { return r.Reply([]byte("the daemon's")) })
	path := listen(t, s)
	c := meet(t, path, DialOptions{})
	words := []string{"resume", "drain", "terminate", "online", "error", "connect", "close", "status", "message", "none", "\x00m", "\x00"}
	for _, w := range words {
		answer := func(_ context.Context, r *Received) error { return r.Reply(Bytes([]byte("the app's " + r.Topic))) }
		hub.Default().Handle(w, answer)
		if !strings.Contains(w, "\x00") {
			space(t, hub, w).Handle(w, answer)
		}
	}
	for _, w := range words {
		for _, ns := range []string{"", w} {
			if strings.Contains(ns, "\x00") {
				continue
			}
			if r, err := c.Peer().Ask(t.Context(), Message{Namespace: ns, Topic: w}); err != nil || string(r.Payload) != "the app's "+w {
				t.Errorf("%q in %q: got %q, %v", w, ns, r.Payload, err)
			}
		}
	}
	if p, err := c.Request(t.Context(), "status", nil); err != nil || string(p) != "the daemon's" {
		t.Errorf("got %q, %v", p, err)
	}
	for _, event := range []string{"\x00status", "\x00", "\x00q", "\x00m"} {
		if _, err := c.Request(t.Context(), event, nil); err == nil {
			t.Errorf("event %q was answered", event)
		}
	}
}

// S7, S9, S22: a second Listen, one after Close, and bad paths are errors.
func TestListenErrors(t *testing.T) {
	l := newLoop(t)
	s := NewServer(Options{})
	dir := t.TempDir()
	for _, path := range []string{"", "8080", filepath.Join(dir, strings.Repeat("x", 120)), filepath.Join(dir, "no", "s")} {
		if err := s.Listen(l, path); err == nil {
			t.Errorf("%.40q: no error", path)
		}
	}
	good := filepath.Join(dir, "s")
	if err := s.Listen(l, good); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(l, filepath.Join(dir, "t")); !errors.Is(err, ErrListening) {
		t.Errorf("again: got %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Listen(l, good); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
	if _, err := os.Stat(good); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// S10, S11: a socket that nobody answers on is reclaimed; one that is served, and a
// file that is no socket, are left alone.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	l := newLoop(t)
	s := NewServer(Options{})
	if err := s.Listen(l, path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("served: got %v", err)
	}
	ln.Close()
	if err := s.Listen(l, path); err != nil {
		t.Errorf("stale: got %v", err)
	}
	defer s.Close(t.Context())
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := NewServer(Options{}).Listen(l, file); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a file: got %v", err)
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file now: %q, %v", b, err)
	}
}

// TCP: loopback only unless told otherwise, and no descriptors.
func TestTCP(t *testing.T) {
	hub := NewHub(HubOptions{})
	hub.Default().Handle("echo", func(_ context.Context, r *Received) error { return r.Reply(Bytes(r.Payload)) })
	s := NewServer(Options{Hub: hub})
	l := newLoop(t)
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.com:0", "nonsense"} {
		if err := s.ListenTCP(l, addr, false); err == nil {
			t.Errorf("%s: no error", addr)
		}
	}
	if err := s.ListenTCP(l, "0.0.0.0:0", false); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if err := s.ListenTCP(l, "127.0.0.1:0", false); err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	c := meet(t, s.Addr().String(), DialOptions{TCP: true})
	if r, err := c.Peer().Ask(t.Context(), say("echo", "x")); err != nil || string(r.Payload) != "x" {
		t.Errorf("got %q, %v", r.Payload, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, p := range []*Peer{c.Peer(), hub.Peers()[0]} {
		if err := p.Post(t.Context(), Message{Topic: "echo", Files: []any{r}}); !errors.Is(err, session.ErrUnsupported) {
			t.Errorf("a descriptor: got %v", err)
		}
		if p.Info().PID != 0 {
			t.Errorf("a pid over TCP: %d", p.Info().PID)
		}
	}
}

// S8: Close tells the clients, and returns when they have gone or the bound has
// passed; what was sent before arrives.
func TestServerClose(t *testing.T) {
	hub := NewHub(HubOptions{})
	s := NewServer(Options{Hub: hub})
	path := filepath.Join(t.TempDir(), "s")
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	own := NewHub(HubOptions{})
	var book notebook
	own.Default().Handle("t", book.handler)
	c := meet(t, path, DialOptions{Hub: own})
	// One that is connected and does nothing at all, not even greet.
	idle, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	eventually(t, "the peer", func() bool { return len(hub.Peers()) == 1 })
	for range 100 {
		post(t, hub.Peers()[0], say("t", "x"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := errors.Join(hub.Close(ctx), s.Close(ctx), ctx.Err()); err != nil {
		t.Error(err)
	}
	<-c.Done()
	eventually(t, "the last message", func() bool { return len(book.all()) == 100 })
	if _, err := hub.NewPeer(PeerInfo{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed hub: got %v", err)
	}
}

// S8, S17: a client that reads nothing keeps Close until its bound, and no longer; a
// second Close does nothing, and who sends afterwards is told.
func TestServerCloseBound(t *testing.T) {
	hub := NewHub(HubOptions{})
	s := NewServer(Options{Hub: hub})
	path := filepath.Join(t.TempDir(), "s")
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	own := NewHub(HubOptions{})
	release := make(chan struct{})
	own.Default().Handle("t", func(context.Context, *Received) error { <-release; return nil })
	deaf := meet(t, path, DialOptions{Hub: own})
	eventually(t, "the peer", func() bool { return len(hub.Peers()) == 1 })
	p := hub.Peers()[0]
	var err error
	for err == nil { // until its window and the queue are full
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = p.Post(ctx, Message{Topic: "t", Body: Bytes(make([]byte, 64<<10))})
		cancel()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := errors.Join(hub.Close(ctx), s.Close(ctx)); err != nil {
		t.Error(err)
	}
	if ctx.Err() == nil {
		t.Error("it did not wait for the client")
	}
	<-deaf.Done()
	if err := errors.Join(hub.Close(t.Context()), s.Close(t.Context())); err != nil {
		t.Errorf("again: %v", err)
	}
	if n := len(hub.Peers()); n != 0 {
		t.Errorf("%d peers left", n)
	}
	if err := p.Post(t.Context(), say("t", "")); !errors.Is(err, ErrPeerDied) {
		t.Errorf("to a client of a closed server: %v", err)
	}
	close(release)
	deaf.Close()
	if err := deaf.Peer().Post(t.Context(), say("t", "")); !errors.Is(err, ErrPeerDied) && !errors.Is(err, ErrClosed) {
		t.Errorf("by a closed client: %v", err)
	}
	unused := NewServer(Options{})
	if err := unused.Close(t.Context()); err != nil { // it never listened
		t.Error(err)
	}
}

// A client's Close delivers what it has posted.
func TestClientCloseFlushes(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	var book notebook
	hub.Default().Handle("t", book.handler)
	c := meet(t, path, DialOptions{})
	for range 5000 {
		post(t, c.Peer(), say("t", strings.Repeat("x", 500)))
	}
	c.Close()
	eventually(t, "all messages", func() bool { return len(book.all()) == 5000 })
}

// Examples of a server that comes and goes are in example_test.go; here is what the
// Connector does on a real socket.
func TestConnectorOnSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	changes := make(chan Change, 100)
	c, err := Connect(path, ConnectorOptions{Retry: 10 * time.Millisecond, ReconnectMin: time.Millisecond, ReconnectMax: 20 * time.Millisecond, OnChange: func(ch Change) { changes <- ch }})
	if err != nil {
		t.Fatal(err)
	}
	await := func(k ChangeKind) Change {
		for {
			select {
			case ch := <-changes:
				if ch.Kind == k {
					return ch
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no change of kind %d", k)
			}
		}
	}
	if ch := await(Failed); !errors.Is(ch.Err, ErrUnreachable) {
		t.Errorf("got %v", ch.Err)
	}
	for round := range 3 {
		hub := NewHub(HubOptions{})
		hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
		s := NewServer(Options{Hub: hub})
		l, err := loop.New(loop.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- l.Run() }() // ends when the loop is closed
		if err := s.Listen(l, path); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			await(Connected)
		} else {
			await(Reconnected)
		}
		a, err := c.Send(t.Context(), say("t", "x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := errors.Join(hub.Close(t.Context()), s.Close(t.Context()), l.Close()); err != nil {
			t.Error(err)
		}
		<-ended
		await(Disconnected)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	await(Closed)
}

// One that never gets through tries until it is closed, and says so last.
func TestConnectorNeverUp(t *testing.T) {
	var all []Change // on the connector's goroutine, until Close has returned
	enough := make(chan struct{})
	c, err := Connect(filepath.Join(t.TempDir(), "s"), ConnectorOptions{Retry: time.Millisecond, OnChange: func(ch Change) {
		if all = append(all, ch); len(all) == 3 {
			close(enough)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-time.After(10 * time.Second):
		t.Error("it has not tried three times")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for i, ch := range all {
		if last := i == len(all)-1; last != (ch.Kind == Closed) || !last && (ch.Kind != Failed || !errors.Is(ch.Err, ErrUnreachable)) {
			t.Errorf("change %d of %d: %+v", i, len(all), ch)
		}
	}
	if _, err := c.Peer(); err != ErrClosed {
		t.Errorf("afterwards: %v", err)
	}
}
