//go:build unix

package nodepeer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-go/heddle/session/ipc/jsonwire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var systems = []System{SocketIPC, NodeIPC}

// wire is a connection that speaks a framing; both sides of the tests have it.
type wire struct {
	net.Conn
	f       jsonwire.Framing
	scanner *jsonwire.Scanner
	buf     []byte
	frame   []byte // was lent, so many bytes of buf
	taken   int
}

func newWire(nc net.Conn, f jsonwire.Framing) *wire {
	return &wire{Conn: nc, f: f, scanner: jsonwire.NewScanner(f, 0)}
}

func (w *wire) next(m *jsonwire.Message) error {
	w.buf, w.taken = slices.Delete(w.buf, 0, w.taken), 0
	for {
		frame, n, err := w.scanner.Next(w.buf)
		if err == nil {
			w.frame, w.taken = frame, n
			return w.f.Decode(frame, m)
		}
		if err != jsonwire.ErrShort {
			return err
		}
		w.buf = slices.Grow(w.buf, 4096)
		got, err := w.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+got]
		if got == 0 {
			return err
		}
	}
}

func (w *wire) send(m *jsonwire.Message) error {
	b, err := w.f.Append(nil, m)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// Send and Receive make it a Client.
func (w *wire) Send(topic string, data json.RawMessage) error {
	return w.send(&jsonwire.Message{Topic: []byte(topic), Data: data})
}

func (w *wire) Receive() (string, json.RawMessage, error) {
	var m jsonwire.Message
	if err := w.next(&m); err != nil {
		return "", nil, err
	}
	return string(m.Topic), bytes.Clone(m.Data), nil
}

// A server answers as System says, with what the real clients' odd frames are worth in refused.
type server struct {
	ln      net.Listener
	handle  func(s *server, w *wire, m *jsonwire.Message) error
	refused chan error

	mu    sync.Mutex
	conns map[*wire]bool
	wg    sync.WaitGroup
}

func serve(t testing.TB, path string, f jsonwire.Framing, handle func(*server, *wire, *jsonwire.Message) error) *server {
	t.Helper()
	_ = os.Remove(path)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ln: ln, handle: handle, refused: make(chan error, 10), conns: make(map[*wire]bool)}
	s.wg.Go(func() { // until the listener is closed
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			w := newWire(nc, f)
			s.mu.Lock()
			s.conns[w] = true
			s.mu.Unlock()
			s.wg.Go(func() { s.conn(w) }) // until the connection ends
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) conn(w *wire) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, w)
		s.mu.Unlock()
		_ = w.Close()
	}()
	for {
		var m jsonwire.Message
		err := w.next(&m)
		var bad *jsonwire.FrameError
		if errors.As(err, &bad) {
			s.refused <- fmt.Errorf("%v", err) // it borrows
			continue
		}
		if err != nil || s.handle(s, w, &m) != nil {
			return
		}
	}
}

func (s *server) stop() {
	_ = s.ln.Close()
	s.mu.Lock()
	for w := range s.conns {
		_ = w.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) each(f func(*wire) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.conns {
		err = errors.Join(err, f(w))
	}
	return err
}

func echo(s *server, w *wire, m *jsonwire.Message) error {
	if string(m.Topic) == "shout" {
		return s.each(func(w *wire) error { return w.send(m) })
	}
	return w.send(m)
}

func socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "np") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestRealClients(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := socket(t)
			serve(t, path, s.Framing, echo)
			TalkToServer(t, s, path)
		})
	}
}

func TestRealServers(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			TalkToClient(t, s, socket(t), func(path string) Client { return dial(t, path, s.Framing) })
		})
	}
}

func dial(t testing.TB, path string, f jsonwire.Framing) *wire {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return newWire(nc, f)
}

func TestRealClientsReconnect(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := socket(t)
			Reconnect(t, s, path, func() func() { return serve(t, path, s.Framing, echo).stop })
		})
	}
}

// redialer is a client that dials when it is asked to send and has no connection.
type redialer struct {
	path string
	f    jsonwire.Framing
	w    *wire
}

func (r *redialer) Send(topic string, data json.RawMessage) error {
	if r.w == nil {
		nc, err := net.Dial("unix", r.path)
		if err != nil {
			return err
		}
		r.w = newWire(nc, r.f)
	}
	return r.w.Send(topic, data)
}

func (r *redialer) Receive() (string, json.RawMessage, error) {
	topic, data, err := r.w.Receive()
	if err != nil {
		_ = r.w.Close()
		r.w = nil
	}
	return topic, data, err
}

// TestRealServersReturn: the one in the place of a killed one takes over the socket's file.
func TestRealServersReturn(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			var c *redialer
			ServerReturns(t, s, socket(t), func(path string) Client {
				c = &redialer{path: path, f: s.Framing}
				return c
			})
			_ = c.w.Close()
		})
	}
}

// TestCutFrames: the real servers take frames that arrive byte by byte. Two and a half in one write are where they
// differ: node-ipc holds the first two back until a read ends in the end of a frame.
func TestCutFrames(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := socket(t)
			s.Server(t, path)
			w := dial(t, path, s.Framing)
			frame, err := s.Framing.AppendValue(nil, "echo", "é😀")
			if err != nil {
				t.Fatal(err)
			}
			for i := range frame {
				if _, err := w.Write(frame[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
			receive(t, w, "echo", `"é😀"`)

			half := len(frame) / 2
			if _, err := w.Write(slices.Concat(frame, frame, frame[:half])); err != nil {
				t.Fatal(err)
			}
			if s == SocketIPC {
				receive(t, w, "echo", `"é😀"`)
				receive(t, w, "echo", `"é😀"`)
			}
			if _, err := w.Write(frame[half:]); err != nil {
				t.Fatal(err)
			}
			receive(t, w, "echo", `"é😀"`)
			if s == NodeIPC {
				receive(t, w, "echo", `"é😀"`)
				receive(t, w, "echo", `"é😀"`)
			}
		})
	}
}

// TestShapeless: what the real clients send without a topic is refused, and the connection lives.
func TestShapeless(t *testing.T) {
	for _, s := range systems {
		t.Run(s.Name, func(t *testing.T) {
			path := socket(t)
			server := serve(t, path, s.Framing, echo)
			c := peerClient{s.Client(t, path)}
			Await(t, c.p, "connect")
			if err := c.p.Do(Command{Do: "shapeless"}); err != nil {
				t.Fatal(err)
			}
			send(t, c, "echo", "1")
			receive(t, c, "echo", "1")
			select {
			case err := <-server.refused:
				if !strings.Contains(err.Error(), "no message: ") {
					t.Error(err)
				}
			default:
				t.Error("nothing was refused")
			}
		})
	}
}

// TestWhatKillsThem records what the real ones make of frames that are no messages, and that we never send.
func TestWhatKillsThem(t *testing.T) {
	for _, row := range []struct {
		s     System
		frame string
		dies  bool
	}{
		{SocketIPC, "", true}, {SocketIPC, "{", true}, {SocketIPC, "null", true}, {SocketIPC, "42", false}, {SocketIPC, "{}", false},
		{NodeIPC, "", false}, {NodeIPC, "{", false}, {NodeIPC, "null", false}, {NodeIPC, "42", false}, {NodeIPC, "{}", false},
	} {
		t.Run(row.s.Name+" "+row.frame, func(t *testing.T) {
			path := socket(t)
			server := row.s.Server(t, path)
			w := dial(t, path, row.s.Framing)
			send(t, w, "echo", "1")
			receive(t, w, "echo", "1")
			if _, err := io.WriteString(w, row.frame+row.s.Framing.End()); err != nil {
				t.Fatal(err)
			}
			err := w.Send("after", json.RawMessage("1"))
			for err == nil {
				var topic string
				if topic, _, err = w.Receive(); topic == "after" {
					break
				}
				var bad *jsonwire.FrameError // it may send back what it made of ours
				if errors.As(err, &bad) {
					err = nil
				}
			}
			stopErr := server.Stop()
			if (err != nil) != row.dies || (server.ExitCode() != 0) != row.dies {
				t.Errorf("connection: %v; server: %v", err, stopErr)
			}
		})
	}
}

// nodesockd answers as TalkNodesockd says.
func nodesockd(_ *server, w *wire, m *jsonwire.Message) error {
	var q struct {
		Message, Request, Workers string
		Data                      json.RawMessage
	}
	reply := &jsonwire.Message{Topic: []byte("reply"), RequestID: m.ID, Done: true}
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &q); err != nil {
			return err
		}
	}
	var parts []string
	switch {
	case q.Workers == "2-1":
		reply.Errors, reply.Done = []byte(`["2-1: reversed"]`), false
		return w.send(reply)
	case string(m.Topic) == "status":
		reply.Data = []byte(`{"pid":1,"version":"x","startTs":1,"workers":[{"id":"a","pid":10,"idx":0,"state":"online","stateTs":1},{"id":"b","pid":11,"idx":1,"state":"suspended","stateTs":1}]}`)
	case string(m.Topic) == "send-app-req":
		for i, id := range []string{"a", "b"} {
			switch {
			case q.Workers != "" && q.Workers != fmt.Sprint(i):
			case q.Request == "echo":
				parts = append(parts, fmt.Sprintf(`{"id":%q,"pid":%d,"data":%s}`, id, 10+i, q.Data))
			default:
				parts = append(parts, fmt.Sprintf(`{"id":%q,"pid":%d,"errors":[%q]}`, id, 10+i, q.Request))
			}
		}
		reply.Data = []byte("[" + strings.Join(parts, ",") + "]")
	}
	return w.send(reply)
}

func TestNodesockdStandIn(t *testing.T) {
	path := socket(t)
	serve(t, path, jsonwire.Lines, nodesockd)
	TalkNodesockd(t, path, false)
}

func TestNodesockd(t *testing.T) {
	path := socket(t)
	serve(t, path, jsonwire.Lines, nodesockd)
	TalkNodesockd(t, path, true)
}
