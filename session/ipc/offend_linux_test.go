package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// S12: data that are no message end that stream with a typed event, and nothing else.
func TestBadData(t *testing.T) {
	hub, path, c := open(t, HubOptions{})
	var book notebook
	hub.Default().Handle("t", book.handler)
	for i, bad := range []string{"\xc1", "null", "42", "\x95\x00", "\x95\xc0\xa1t\x00\x09\xa0", "\x95\xc0\xa1t\x11\x00\xa0",
		"\x95\xc0\xdb\xff\xff\xff\xff", "\x95\xc0\xa1t\x00\x01\xdb\x7f\xff\xff\xff", "\x95\xc0\xa1t\x01\x01\xa0", "{\"a\":1}\n"} {
		cl := meet(t, path, DialOptions{})
		s, err := cl.mux.Open(session.OpenOptions{Event: eventMessages + "_"})
		if err != nil {
			t.Fatal(err)
		}
		good := appendRecord(nil, &record{topic: []byte("t"), format: FormatBytes, payload: fmt.Append(nil, i)})
		if err := s.WriteChunk(append(good, bad...)); err != nil {
			t.Fatal(err)
		}
		var e *session.Error
		if _, err := s.Recv(); !errors.As(err, &e) || !e.Remote {
			t.Errorf("%q: got %v", bad, err)
		}
		ev := c.await(t, "the event", func(e Event) bool {
			var d *DataError
			return errors.As(e.Err, &d) && string(d.Data) == bad
		})
		if ev.Peer == nil || ev.Kind != Trouble {
			t.Errorf("%q: got %+v", bad, ev)
		}
		if l := book.all(); len(l) != i+1 {
			t.Errorf("%q: what came before was not handled: %q", bad, l)
		}
		// The same connection still carries messages.
		if _, err := cl.Peer().Ask(t.Context(), Message{Topic: "unknown"}); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("%q: afterwards: %v", bad, err)
		}
	}
}

// S20: a client that resets with unread data is an event, with the kernel's word and
// nothing besides, and the server lives.
func TestPeerReset(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			var c chronicle
			hub := NewHub(HubOptions{OnEvent: c.on})
			hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
			s := NewServer(Options{Hub: hub})
			addr := ""
			if network == "unix" {
				addr = listen(t, s)
			} else {
				if err := s.ListenTCP(newLoop(t), "127.0.0.1:0", false); err != nil {
					t.Fatal(err)
				}
				defer s.Close(t.Context())
				addr = s.Addr().String()
			}
			nc, err := net.Dial(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Write(appendOffer(nil, "raw", "", 0)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the peer", func() bool { return len(hub.Peers()) == 1 })
			p := hub.Peers()[0]
			post(t, p, Message{Topic: "t", Body: Bytes(make([]byte, 10_000))})
			raw, err := nc.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "unread data", func() bool {
				n := 0
				if err := raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
					t.Fatal(err)
				}
				return n > 10_000
			})
			nc.Close()
			e := c.await(t, "its going", func(e Event) bool { return e.Kind == PeerGone && e.Peer == p })
			if !errors.Is(e.Err, syscall.ECONNRESET) {
				t.Errorf("got %v, so it was no reset", e.Err)
			}
			if errs := c.troubles(); len(errs) > 0 {
				t.Errorf("troubles: %v", errs)
			}
			if r, err := meet(t, addr, DialOptions{TCP: network == "tcp"}).Peer().Ask(t.Context(), say("t", "")); err != nil {
				t.Errorf("afterwards: %v, %v", r, err)
			}
		})
	}
}

// S18: a reader that is too slow for a broadcast is dropped, with an error, and the
// others get everything.
func TestBroadcastSlowReader(t *testing.T) {
	hub, path, c := open(t, HubOptions{})
	own, slow := NewHub(HubOptions{}), NewHub(HubOptions{})
	var n atomic.Int64
	own.Default().Handle("t", func(context.Context, *Received) error { n.Add(1); return nil })
	release := make(chan struct{})
	slow.Default().Handle("t", func(context.Context, *Received) error { <-release; return nil })
	defer close(release)
	good := meet(t, path, DialOptions{Hub: own, Name: "good"})
	meet(t, path, DialOptions{Hub: slow, Name: "slow"})
	eventually(t, "both", func() bool { return len(hub.Peers()) == 2 })
	m := Message{Topic: "t", Body: Bytes(make([]byte, 64<<10))}
	sent := 0
	for len(hub.Peers()) == 2 && sent < 1000 {
		if _, err := hub.Broadcast(m); err != nil {
			t.Fatal(err)
		}
		sent++
		for _, p := range hub.Peers() {
			if p.Info().Name == "good" { // this one keeps pace
				if err := p.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	e := c.await(t, "the drop", func(e Event) bool { return e.Kind == PeerGone })
	if e.Peer.Info().Name != "slow" || !errors.Is(e.Err, ErrSlow) {
		t.Errorf("got %s, %v", e.Peer.Info().Name, e.Err)
	}
	if held := sent * (64 << 10); held > 16<<20 {
		t.Errorf("%d bytes were kept for a client that reads nothing", held)
	}
	if _, err := hub.Peers()[0].Ask(t.Context(), m); err != nil {
		t.Error(err)
	}
	good.Close()
	if got := n.Load(); got != int64(sent)+1 {
		t.Errorf("%d of %d broadcasts", got, sent+1)
	}
}

// A flood of namespaces and topics that nobody knows leaves nothing behind.
func TestFloodOfNames(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	cl := meet(t, path, DialOptions{})
	p := cl.Peer()
	for i := range 2000 {
		eventually(t, "room for a stream", func() bool { // until the peer has refused others
			err := p.Post(t.Context(), Message{Namespace: fmt.Sprint("ns", i), Topic: "t"})
			if err != nil && !errors.Is(err, ErrQueueFull) {
				t.Fatal(err)
			}
			return err == nil
		})
		post(t, p, say(fmt.Sprint("topic", i), ""))
	}
	eventually(t, "the end of the streams", func() bool {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return len(p.outs) <= 1
	})
	if _, err := p.Ask(t.Context(), say("last", "")); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("got %v", err)
	}
	srv := hub.Peers()[0]
	srv.mu.RLock()
	ins := len(srv.ins)
	srv.mu.RUnlock()
	if ins != 1 || hub.running.Load() != 1 || cl.mux.Sessions() != 0 {
		t.Errorf("%d streams, %d goroutines, %d sessions", ins, hub.running.Load(), cl.mux.Sessions())
	}
}

// S23: a conversation cut at every byte is the same conversation.
func TestCutAtEveryByte(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	hub.Default().Handle("t", func(_ context.Context, r *Received) error { return r.Reply(Bytes(r.Payload)) })
	var wire []byte
	for i, text := range []string{"grün", "", "dritte"} {
		wire = appendRecord(wire, &record{seq: uint64(i + 1), topic: []byte("t"), format: FormatBytes, payload: []byte(text)})
	}
	talk := codec.AppendInvoke(nil, heddle.V1, 3, eventMessages+"_", -1)
	talk = append(talk, codec.AppendChunk(nil, heddle.V1, 3, wire[:20])...)
	talk = append(talk, codec.AppendChunk(nil, heddle.V1, 3, wire[20:])...)
	hello := appendOffer(nil, "raw", "", 0)
	var want []byte
	for i, text := range []string{"grün", "", "dritte"} {
		want = appendAck(want, &ackRecord{seq: uint64(i + 1), format: FormatBytes, data: []byte(text)})
	}
	for cut := range talk {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		d := codec.NewDecoder(heddle.V1, codec.Limits{})
		var buf, got []byte
		next := func() codec.Frame {
			for {
				f, n, err := d.Next(buf)
				if err == nil {
					buf = buf[n:]
					return f
				}
				p := make([]byte, 4096)
				n, err = c.Read(p)
				if err != nil {
					t.Fatal(err)
				}
				buf = append(buf, p[:n]...)
			}
		}
		c.Write(hello)
		next()
		c.Write(talk[:cut])
		time.Sleep(200 * time.Microsecond) // so that the pieces mostly arrive apart; either way is right
		c.Write(talk[cut:])
		for len(got) < len(want) {
			f := next()
			if f.Session != 3 || f.Type != heddle.MsgWrite {
				t.Fatalf("cut at %d: frame %+v", cut, f)
			}
			var chunk heddle.Chunk
			if err := codec.DecodeArgs(&chunk, f.Args, 1); err != nil {
				t.Fatal(err)
			}
			got = append(got, chunk.Data...)
		}
		if string(got) != string(want) {
			t.Fatalf("cut at %d: got %x, want %x", cut, got, want)
		}
		c.Close()
	}
}
