package session_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// recorder notes what a channel's callbacks say.
type recorder struct {
	lost   error // what OnLost was told, before OnSocketError
	mu     sync.Mutex
	events []string
	seen   chan string
}

func newRecorder() *recorder { return &recorder{seen: make(chan string, 100)} }

func (r *recorder) note(s string) {
	r.mu.Lock()
	r.events = append(r.events, s)
	r.mu.Unlock()
	r.seen <- s
}

func (r *recorder) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-r.seen:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("heard nothing, want %q", want)
	}
}

func (r *recorder) callbacks() session.Callbacks {
	return session.Callbacks{
		OnConnect:     func() { r.note("connect") },
		OnSocketError: func(no syscall.Errno) { r.note("socket error " + no.Error()) },
		OnLost:        func(err error) { r.lost = errors.Join(r.lost, err) },
		OnHeartbeat:   func() { r.note("heartbeat") },
		OnHandshake:   func(uuid []byte) { r.note("handshake " + string(uuid)) },
		OnTerminate:   func(code int64, reason []byte) { r.note("terminate " + string(reason)) },
		OnInvoke:      func(sid uint64, event []byte) { r.note("invoke " + string(event)) },
		OnChunk:       func(sid uint64, p []byte) { r.note("chunk " + string(p)) },
		OnChoke:       func(sid uint64) { r.note("choke") },
		OnError:       func(sid uint64, code int64, msg []byte) { r.note("error " + string(msg)) },
	}
}

// The low-level face: every message of both dialects is told when it is whole
// and not before, byte by byte, and the first error exactly once.
func TestChannelTellsWholeMessages(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(d.String()+"/"+network, func(t *testing.T) {
				addr := "127.0.0.1:0"
				if network == "unix" {
					addr = filepath.Join(t.TempDir(), "s")
				}
				ln, err := net.Listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				r := newRecorder()
				ch, err := session.Dial(startLoop(t), network, ln.Addr().String(), r.callbacks(), session.ChannelOptions{Dialect: d})
				if err != nil {
					t.Fatal(err)
				}
				nc, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				r.expect(t, "connect")
				sid := uint64(2)
				for _, m := range []struct {
					frame []byte
					want  string
				}{
					{codec.AppendHeartbeat(nil, d), "heartbeat"},
					{codec.AppendInvoke(nil, d, sid, "http", -1), "invoke http"},
					{codec.AppendChunk(nil, d, sid, []byte("data")), "chunk data"},
					{codec.AppendError(nil, d, sid, 42, 1, "oops"), "error oops"},
					{codec.AppendChoke(nil, d, sid), "choke"},
					{codec.AppendTerminate(nil, d, 1, "bye"), "terminate bye"},
				} {
					last := len(m.frame) - 1
					for i := range m.frame {
						if i == last && len(r.seen) > 0 {
							t.Fatalf("heard %q before it was whole", <-r.seen)
						}
						if _, err := nc.Write(m.frame[i : i+1]); err != nil {
							t.Fatal(err)
						}
					}
					r.expect(t, m.want)
				}

				// Any message to any session, from this goroutine.
				out := codec.AppendChunk(nil, d, 77, []byte("any"))
				if err := ch.Send(77, out); err != nil {
					t.Fatal(err)
				}
				expectBytes(t, line{}, nc, out)
				if err := ch.Send(78, out); err == nil {
					t.Error("a frame of another session was sent")
				}
				if err := ch.Send(77, out[:4]); err == nil {
					t.Error("half a frame was sent")
				}

				nc.Close()
				r.expect(t, "socket error "+syscall.ESHUTDOWN.Error())
				<-ch.Gone()
				if len(r.seen) > 0 {
					t.Errorf("heard %q after the end", <-r.seen)
				}
			})
		}
	}
}

func TestChannelReportsTheFirstErrorOnce(t *testing.T) {
	l := startLoop(t)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		network, addr string
		want          syscall.Errno
	}{
		"nobody listens (unix)": {"unix", filepath.Join(dir, "absent"), syscall.ENOENT},
		"nobody listens (tcp)":  {"tcp", deadPort(t), syscall.ECONNREFUSED},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			ch, err := session.Dial(l, c.network, c.addr, r.callbacks(), session.ChannelOptions{Dialect: heddle.V1})
			if err != nil {
				t.Fatal(err)
			}
			r.expect(t, "socket error "+c.want.Error())
			<-ch.Gone()
			if len(r.seen) > 0 {
				t.Errorf("heard %q besides", <-r.seen)
			}
			if !strings.HasPrefix(fmt.Sprint(r.lost), "dial "+c.network) || strings.Contains(r.lost.Error(), "\n") || !errors.Is(r.lost, c.want) {
				t.Errorf("was lost by %v", r.lost)
			}
		})
	}
}

// deadPort is an address on which nobody listens any more.
func deadPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestChannelMalformedFrameIsEBADMSG(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRecorder()
	if _, err := session.Dial(startLoop(t), "tcp", ln.Addr().String(), r.callbacks(), session.ChannelOptions{Dialect: heddle.V1}); err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r.expect(t, "connect")
	nc.Write([]byte{0x93, 0xc0, 0xc0, 0xc0})
	r.expect(t, "socket error "+syscall.EBADMSG.Error())
}

// After Close the descriptor is gone and nothing is called.
func TestChannelCloseIsTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRecorder()
	ch, err := session.Dial(startLoop(t), "tcp", ln.Addr().String(), r.callbacks(), session.ChannelOptions{Dialect: heddle.V1})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r.expect(t, "connect")
	ch.Close()
	ch.Close()
	nc.Write(codec.AppendHeartbeat(nil, heddle.V1))
	<-ch.Gone()
	if err := ch.Send(2, codec.AppendChoke(nil, heddle.V1, 2)); err == nil {
		t.Error("a closed channel sent")
	}
	if len(r.seen) > 0 {
		t.Errorf("heard %q after Close", <-r.seen)
	}
}

// Any type, any session, any goroutine: what is sent arrives whole, each sender's
// frames in their order.
func TestChannelSendsFromAnyGoroutine(t *testing.T) {
	const senders, each = 8, 50
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ch, err := session.Dial(startLoop(t), "unix", ln.Addr().String(), session.Callbacks{}, session.ChannelOptions{Dialect: d})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		frames := func(sid uint64, i int) []byte { // one of each type in turn
			switch i % 4 {
			case 0:
				return codec.AppendInvoke(nil, d, sid, "x", -1)
			case 1:
				return codec.AppendChunk(nil, d, sid, make([]byte, i*100))
			case 2:
				return codec.AppendError(nil, d, sid, 42, int64(i), "no")
			}
			return codec.AppendChoke(nil, d, sid)
		}
		var wg sync.WaitGroup
		for k := range uint64(senders) {
			wg.Go(func() {
				for i := range each {
					if err := ch.Send(k+2, frames(k+2, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		dec := codec.NewDecoder(d, codec.Limits{})
		next := make(map[uint64]int)
		var in []byte
		for got := 0; got < senders*each; {
			f, n, err := dec.Next(in)
			if err == codec.ErrShort {
				buf := make([]byte, 64<<10)
				k, err := nc.Read(buf)
				if err != nil {
					t.Fatalf("after %d frames: %v", got, err)
				}
				in = append(in, buf[:k]...)
				continue
			}
			if err != nil {
				t.Fatalf("frame %d: %v", got, err)
			}
			if want := frames(f.Session, next[f.Session]); string(in[:n]) != string(want) {
				t.Fatalf("session %d, frame %d: got % x, want % x", f.Session, next[f.Session], in[:min(n, 40)], want[:min(len(want), 40)])
			}
			next[f.Session]++
			in = in[n:]
			got++
		}
		wg.Wait()
		ch.Close()
		<-ch.Gone()
	}
}

// Each way in which an established channel can end has an errno of its own, told once.
func TestChannelErrnos(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		for name, c := range map[string]struct {
			end  func(nc net.Conn)
			want syscall.Errno
		}{
			"end of file":        {func(nc net.Conn) { nc.Close() }, syscall.ESHUTDOWN},
			"half-closed":        {func(nc net.Conn) { nc.(interface{ CloseWrite() error }).CloseWrite() }, syscall.ESHUTDOWN},
			"end within a frame": {func(nc net.Conn) { nc.Write([]byte{0x93, 1}); nc.Close() }, syscall.ESHUTDOWN},
			"no frame":           {func(nc net.Conn) { nc.Write([]byte("GET / HTTP/1.1\r\n")) }, syscall.EBADMSG},
			"too large":          {func(nc net.Conn) { nc.Write([]byte{0x93, 2, 0, 0x91, 0xdb, 0xff, 0xff, 0xff, 0xff}) }, syscall.EBADMSG},
			"not in the table":   {func(nc net.Conn) { nc.Write([]byte{0x93, 9, 2, 0x90}) }, syscall.EBADMSG},
			"reset": {func(nc net.Conn) {
				if tcp, ok := nc.(*net.TCPConn); ok {
					tcp.SetLinger(0)
				}
				nc.Close()
			}, map[string]syscall.Errno{"tcp": syscall.ECONNRESET, "unix": syscall.ESHUTDOWN}[network]},
		} {
			t.Run(network+"/"+name, func(t *testing.T) {
				addr := "127.0.0.1:0"
				if network == "unix" {
					addr = filepath.Join(t.TempDir(), "s")
				}
				ln, err := net.Listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				r := newRecorder()
				ch, err := session.Dial(startLoop(t), network, ln.Addr().String(), r.callbacks(), session.ChannelOptions{Dialect: heddle.V1})
				if err != nil {
					t.Fatal(err)
				}
				nc, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				r.expect(t, "connect")
				c.end(nc)
				r.expect(t, "socket error "+c.want.Error())
				<-ch.Gone()
				if len(r.seen) > 0 {
					t.Errorf("heard %q besides", <-r.seen)
				}
			})
		}
	}
}
