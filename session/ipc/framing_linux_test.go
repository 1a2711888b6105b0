package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/internal/nodepeer"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

var systems = []nodepeer.System{nodepeer.SocketIPC, nodepeer.NodeIPC}

// asCame is a body with the same payload.
func asCame(r *Received) Body {
	if r.Format == FormatNone {
		return Body{}
	}
	return RawJSON(r.Payload)
}

// echoing has the hub do as nodepeer's servers.
func echoing(h *Hub) *Hub {
	h.Default().Handle("", func(ctx context.Context, r *Received) error {
		m := Message{Topic: r.Topic, Body: asCame(r)}
		if r.Topic == "shout" {
			_, err := h.Broadcast(m)
			return err
		}
		return r.Peer.Post(ctx, m)
	})
	return h
}

// serveFraming gives a server on path; stop ends it, with its connections.
func serveFraming(t testing.TB, path string, o Options) (stop func()) {
	t.Helper()
	s := NewServer(o)
	if err := s.Listen(newLoop(t.(*testing.T)), path); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func shortSocket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hi") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// The real clients of socket-ipc and node-ipc talk to our server.
func TestRealClients(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := shortSocket(t)
			var c chronicle
			serveFraming(t, path, Options{Hub: echoing(NewHub(HubOptions{OnEvent: c.on})), Framing: s.Framing})
			nodepeer.TalkToServer(t, s, path)
			for end := time.Now().Add(10 * time.Second); !gone(&c, 2); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("events: %+v", c.events)
				}
			}
			if errs := c.troubles(); len(errs) > 0 {
				t.Errorf("troubles: %v", errs)
			}
		})
	}
}

// gone says whether n peers have gone in order, each with an id of its own.
func gone(c *chronicle, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make(map[string]bool)
	for _, e := range c.events {
		if e.Kind == PeerGone && e.Err == nil && len(e.Peer.ID()) == 36 && e.Peer.Info().PID > 0 {
			ids[e.Peer.ID()] = true
		}
	}
	return len(ids) == n
}

func TestRealClientsReconnect(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := shortSocket(t)
			nodepeer.Reconnect(t, s, path, func() func() {
				return serveFraming(t, path, Options{Hub: echoing(NewHub(HubOptions{})), Framing: s.Framing})
			})
		})
	}
}

// A talker is a Connector as nodepeer's dialogues want it.
type talker struct {
	t    testing.TB
	c    *Connector
	came chan came
}

type came struct {
	topic string
	data  json.RawMessage
	err   error
}

// dialTalker returns once it is connected.
func dialTalker(t testing.TB, path string, f jsonwire.Framing) *talker {
	t.Helper()
	tk := &talker{t: t, came: make(chan came, 2000)}
	hub := NewHub(HubOptions{})
	hub.Default().Handle("", func(_ context.Context, r *Received) error {
		tk.came <- came{topic: r.Topic, data: slices.Clone(r.Payload)}
		return nil
	})
	up := make(chan struct{}, 10)
	c, err := Connect(path, ConnectorOptions{
		DialOptions: DialOptions{Hub: hub, Framing: f}, ReconnectMin: time.Millisecond, ReconnectMax: 20 * time.Millisecond,
		OnChange: func(c Change) {
			switch c.Kind {
			case Connected:
				up <- struct{}{}
			case Disconnected:
				tk.came <- came{err: fmt.Errorf("disconnected: %w", io.EOF)}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	tk.c = c
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-up:
	case <-time.After(20 * time.Second):
		t.Fatal("not connected")
	}
	return tk
}

func (tk *talker) Send(topic string, data json.RawMessage) error {
	return tk.c.Post(tk.t.Context(), Message{Topic: topic, Body: RawJSON(data)})
}

func (tk *talker) Receive() (string, json.RawMessage, error) {
	select {
	case m := <-tk.came:
		return m.topic, m.data, m.err
	case <-time.After(20 * time.Second):
		return "", nil, os.ErrDeadlineExceeded
	}
}

// Our client talks to the real servers of socket-ipc and node-ipc.
func TestRealServers(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			nodepeer.TalkToClient(t, s, shortSocket(t), func(path string) nodepeer.Client { return dialTalker(t, path, s.Framing) })
		})
	}
}

func TestRealServersReturn(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			nodepeer.ServerReturns(t, s, shortSocket(t), func(path string) nodepeer.Client { return dialTalker(t, path, s.Framing) })
		})
	}
}

// A foreigner is a bare connection that speaks a framing.
type foreigner struct {
	net.Conn
	t   testing.TB
	f   jsonwire.Framing
	buf []byte
}

func newForeigner(t testing.TB, path string, f jsonwire.Framing) *foreigner {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &foreigner{Conn: nc, t: t, f: f}
}

func (fr *foreigner) say(topic, data string) {
	fr.t.Helper()
	b, err := fr.f.Append(nil, &jsonwire.Message{Topic: []byte(topic), Data: []byte(data)})
	if err != nil {
		fr.t.Fatal(err)
	}
	fr.raw(string(b))
}

func (fr *foreigner) raw(s string) {
	fr.t.Helper()
	if _, err := io.WriteString(fr, s); err != nil {
		fr.t.Fatal(err)
	}
}

// frame reads the next frame, without its end; io.EOF at the end.
func (fr *foreigner) frame() (string, error) {
	for {
		if frame, rest, ok := strings.Cut(string(fr.buf), fr.f.End()); ok {
			fr.buf = []byte(rest)
			return frame, nil
		}
		b := make([]byte, 64<<10)
		n, err := fr.Read(b)
		fr.buf = append(fr.buf, b[:n]...)
		if n == 0 && err != nil {
			return string(fr.buf), err
		}
	}
}

func (fr *foreigner) want(frame string) {
	fr.t.Helper()
	if got, err := fr.frame(); got != frame || err != nil {
		fr.t.Fatalf("got %.200q, %v; want %.200q", got, err, frame)
	}
}

var socketIPC, nodeIPC = jsonwire.SocketIPC, jsonwire.NodeIPC

// S12: what is no message is an event with its bytes and the client's id, and the
// connection goes on; without an end to be seen, it ends.
func TestFramingBadData(t *testing.T) {
	for _, f := range []jsonwire.Framing{socketIPC, nodeIPC} {
		t.Run(f.String(), func(t *testing.T) {
			path := shortSocket(t)
			var c chronicle
			hub := echoing(NewHub(HubOptions{OnEvent: c.on}))
			serveFraming(t, path, Options{Hub: hub, Framing: f, MaxFrame: 1000})
			a, b := newForeigner(t, path, f), newForeigner(t, path, f)
			b.say("echo", "0")
			echo := func(fr *foreigner, n int) {
				t.Helper()
				frame, err := f.AppendValue(nil, "echo", n)
				if err != nil {
					t.Fatal(err)
				}
				fr.raw(string(frame))
				fr.want(strings.TrimSuffix(string(frame), f.End()))
			}
			b.want(strings.TrimSuffix(string(must(f.AppendValue(nil, "echo", 0))), f.End()))
			bad := []string{"", "{", "null", "42", `"x"`, "[]", "{}", "\xff", `{"topic":null,"type":null}`, strings.Repeat("[", 900)}
			for i, frame := range bad {
				a.raw(frame + f.End())
				echo(a, i)
			}
			errs := c.troubles()
			if len(errs) != len(bad) {
				t.Fatalf("%d troubles, want %d: %v", len(errs), len(bad), errs)
			}
			id := ""
			for i, err := range errs {
				var de *DataError
				if !errors.As(err, &de) || string(de.Data) != bad[i][:min(len(bad[i]), 256)] || id != "" && de.Peer != id {
					t.Errorf("%q: got %v", bad[i], err)
					continue
				}
				id = de.Peer
			}
			if p, err := hub.Peer(id); err != nil || p.Info().PID != os.Getpid() || p.Info().Kind != f.String() {
				t.Errorf("the client with the bad data: %v, %v", p, err)
			}
			if n := hub.Counters().BadData; n != uint64(len(bad)) {
				t.Errorf("%d are counted", n)
			}
			a.raw(strings.Repeat("x", 1002))
			if got, err := a.frame(); err != io.EOF {
				t.Errorf("after an endless frame: %q, %v", got, err)
			}
			echo(b, 1)
			if err := hub.Peers()[0].Post(t.Context(), Message{Topic: "t", Body: JSON(strings.Repeat("x", 1000))}); !errors.Is(err, ErrTooLarge) {
				t.Errorf("a frame too long: %v", err)
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// What these framings do not have is refused before a byte is sent, and handlers
// that fail or panic end nothing (S19).
func TestFramingWithoutAcks(t *testing.T) {
	path := shortSocket(t)
	var c chronicle
	hub := echoing(NewHub(HubOptions{OnEvent: c.on}))
	hub.Default().Handle("panic", func(context.Context, *Received) error { panic("burnt") })
	hub.Default().Handle("fail", func(_ context.Context, r *Received) error {
		if r.Asks() {
			t.Error("somebody waits for an acknowledgement")
		}
		return errors.Join(r.Reply(JSON(1)), errors.New("failed"))
	})
	serveFraming(t, path, Options{Hub: hub, Framing: socketIPC})
	own := NewHub(HubOptions{})
	got := make(chan string, 10)
	own.Default().Handle("", func(_ context.Context, r *Received) error { got <- r.Topic; return nil })
	cl, err := Dial(t.Context(), path, DialOptions{Hub: own, Framing: socketIPC})
	if err != nil {
		t.Fatal(err)
	}
	p := cl.Peer()
	for _, tt := range []struct {
		what string
		m    Message
		want error
	}{
		{"bytes", say("t", "x"), ErrNotJSON}, {"a value", Message{Body: Value(1)}, ErrNotJSON},
		{"a namespace", Message{Namespace: "n"}, ErrUnknownNamespace}, {"a bad namespace", Message{Namespace: "heddle"}, ErrName},
		{"a descriptor", Message{Files: []any{os.Stdin}}, ErrNoAcks}, {"5 MiB", Message{Body: JSON(strings.Repeat("x", 5<<20))}, ErrTooLarge},
		{"a topic that is no text", Message{Topic: "\xff"}, nil},
	} {
		if err := p.Post(t.Context(), tt.m); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v", tt.what, err)
		}
	}
	if _, err := p.Ask(t.Context(), Message{}); !errors.Is(err, ErrNoAcks) {
		t.Errorf("got %v", err)
	}
	if _, err := p.Call(t.Context(), Query{}); !errors.Is(err, ErrNoAcks) {
		t.Errorf("got %v", err)
	}
	if _, err := cl.Request(t.Context(), "status", nil); !errors.Is(err, ErrNoAcks) {
		t.Errorf("got %v", err)
	}
	for _, topic := range []string{"panic", "fail", "end"} {
		post(t, p, Message{Topic: topic})
	}
	for _, topic := range []string{"panic", "fail", "end"} { // the generic handler comes first
		if s := <-got; s != topic {
			t.Errorf("got %s, want %s", s, topic)
		}
	}
	if errs := c.troubles(); len(errs) != 2 || !strings.Contains(errs[0].Error(), "burnt") || !strings.Contains(errs[1].Error(), "failed") {
		t.Errorf("troubles: %v", errs)
	}
	if err := errors.Join(cl.Close(), cl.Close()); err != nil {
		t.Error(err)
	}
	if err := p.Post(t.Context(), Message{}); !errors.Is(err, ErrPeerDied) {
		t.Errorf("after Close: %v", err)
	}
	if err := NewServer(Options{Framing: socketIPC}).Listen(nil, "s"); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("without a hub: %v", err)
	}
	if _, err := Dial(t.Context(), path, DialOptions{Framing: 77}); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("an unknown framing: %v", err)
	}
}

// S18: who does not read is dropped, with ErrSlow, and the others are not held up.
func TestFramingSlowReader(t *testing.T) {
	path := shortSocket(t)
	var c chronicle
	hub := NewHub(HubOptions{OnEvent: c.on, QueueBytes: 64 << 10})
	hub.Default().Handle("", func(context.Context, *Received) error { return nil })
	serveFraming(t, path, Options{Hub: hub, Framing: socketIPC})
	slow, quick := newForeigner(t, path, socketIPC), newForeigner(t, path, socketIPC)
	for len(hub.Peers()) < 2 {
		time.Sleep(time.Millisecond)
	}
	for n := 0; len(hub.Peers()) == 2; n++ {
		if _, err := hub.Broadcast(Message{Topic: "all", Body: JSON(strings.Repeat("x", 10_000))}); err != nil || n > 1000 {
			t.Fatalf("%d: %v", n, err)
		}
		if _, err := quick.frame(); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	last := c.events[len(c.events)-1]
	c.mu.Unlock()
	if last.Kind != PeerGone || !errors.Is(last.Err, ErrSlow) || hub.Counters().DroppedFor != 1 {
		t.Errorf("got %+v", last)
	}
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Errorf("the slow one: %v", err)
	}
}

// Back-pressure both ways: a sender waits for one that does not read, and a slow
// handler holds its sender up; nothing is lost, and order is kept.
func TestFramingBackPressure(t *testing.T) {
	path := shortSocket(t)
	hub := NewHub(HubOptions{QueueBytes: 32 << 10})
	var book notebook
	begin := make(chan struct{})
	hub.Default().Handle("", func(_ context.Context, r *Received) error {
		<-begin
		var s string
		err := r.Decode(&s)
		book.note("%.4s", s)
		return err
	})
	serveFraming(t, path, Options{Hub: hub, Framing: nodeIPC})
	cl, err := Dial(t.Context(), path, DialOptions{Hub: NewHub(HubOptions{QueueBytes: 32 << 10}), Framing: nodeIPC})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var want []string
	message := func(i int) Message { return Message{Topic: "t", Body: JSON(fmt.Sprintf("%04d%01000d", i, 0))} }
	full := 0
	for full == 0 {
		m := message(len(want))
		m.NoWait = true
		switch err := cl.Peer().Post(t.Context(), m); {
		case errors.Is(err, ErrQueueFull):
			full = len(want)
		case err != nil || len(want) > 5000:
			t.Fatalf("after %d messages: %v", len(want), err)
		default:
			want = append(want, fmt.Sprintf("%04d", len(want)))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for err == nil {
		if err = cl.Peer().Post(ctx, message(len(want))); err == nil {
			want = append(want, fmt.Sprintf("%04d", len(want)))
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a full connection: %v", err)
	}
	close(begin)
	for range 2000 {
		post(t, cl.Peer(), message(len(want)))
		want = append(want, fmt.Sprintf("%04d", len(want)))
	}
	for end := time.Now().Add(20 * time.Second); len(book.all()) < len(want) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	book.want(t, want...)
}

// S20: a reset, also with data that nobody read, is PeerGone and nothing else. What
// was sent before is handled.
func TestFramingReset(t *testing.T) {
	path := shortSocket(t)
	var c chronicle
	var log journal
	hub := echoing(NewHub(HubOptions{OnEvent: c.on}))
	serveFraming(t, path, Options{Hub: hub, Framing: socketIPC, Logger: log.logger()})
	for i := range 50 {
		fr := newForeigner(t, path, socketIPC)
		for range i % 5 {
			fr.say("echo", "1")
		}
		if i%2 == 0 {
			fr.raw("{") // and half a frame
		}
		_ = fr.Close()
	}
	left := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range c.events {
			if e.Kind == PeerGone {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(10 * time.Second); left() < 50 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	good := newForeigner(t, path, socketIPC)
	good.say("echo", "2")
	good.want(`{"topic":"echo","message":2}`)
	if n := left(); n != 50 || len(hub.Peers()) != 1 {
		t.Errorf("%d have gone, %d are there", n, len(hub.Peers()))
	}
	if s := log.String(); s != "" {
		t.Errorf("log: %s", s)
	}
}

// S23: a message may arrive byte by byte, with characters cut in two.
func TestFramingCutAtEveryByte(t *testing.T) {
	for _, f := range []jsonwire.Framing{socketIPC, nodeIPC} {
		path := shortSocket(t)
		serveFraming(t, path, Options{Hub: echoing(NewHub(HubOptions{})), Framing: f})
		fr := newForeigner(t, path, f)
		frame := string(must(f.AppendValue(nil, "é", "é😀\x00\f")))
		for i := range len(frame) {
			fr.raw(frame[i : i+1])
		}
		fr.want(strings.TrimSuffix(frame, f.End()))
		for i := range len(frame) {
			fr.raw(frame[:i])
			fr.raw(frame[i:])
			fr.want(strings.TrimSuffix(frame, f.End()))
		}
	}
}
