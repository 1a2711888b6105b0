//go:build linux

package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A victim is a server that bad input is sent to, and what it had open before.
type victim struct {
	path                    string
	log                     *journal
	ended                   atomic.Int64 // handlers of the topic "hold" whose context has ended
	goroutines, descriptors int
}

// newVictim gives a server with short time-outs and the topics echo, hold (until
// its context ends) and flood (replies without end).
func newVictim(t *testing.T, o Options) *victim {
	t.Helper()
	v := &victim{log: new(journal)}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 300 * time.Millisecond
	}
	o.PayloadTimeout, o.ReplyTimeout, o.Logger = 300*time.Millisecond, 300*time.Millisecond, v.log.logger()
	s := NewServer(o)
	s.Handle("hold", func(ctx context.Context, r *Request) error {
		_ = r.Reply([]byte("held"))
		<-ctx.Done()
		v.ended.Add(1)
		return nil
	})
	s.Handle("flood", func(_ context.Context, r *Request) error {
		for {
			if err := r.Reply(make([]byte, 32<<10)); err != nil {
				return err
			}
		}
	})
	v.path = listen(t, s)
	good(t, v.path)
	v.goroutines, v.descriptors = strings.Count(goroutines(), "goroutine "), descriptors(t)
	return v
}

// unharmed asks the server a good question on another connection, and waits until
// nothing is left of the clients that are gone; own is how many descriptors the
// test itself holds of connections that live (two each: the server is in here).
func (v *victim) unharmed(t testing.TB, own int) {
	t.Helper()
	good(t, v.path)
	settle(t, v.descriptors+own)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		running := goroutines()
		if n := strings.Count(running, "goroutine "); n <= v.goroutines {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d goroutines, want %d\n%s", n, v.goroutines, running)
		}
	}
}

// goroutines are the stacks of all goroutines but those of tests.
func goroutines() string {
	b := make([]byte, 4<<20)
	var others []string
	for _, stack := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if !strings.Contains(stack, "testing.tRunner") {
			head, frames, _ := strings.Cut(stack, "\n")
			others = append(others, head+"\n"+strings.ReplaceAll(frames, "goroutine ", "")) // "created by … in goroutine 7"
		}
	}
	return strings.Join(others, "\n\n")
}

// said reads what the server says until it has closed the connection, or closed is
// false and nothing has come for a moment.
func said(t testing.TB, conn net.Conn, closed bool) string {
	t.Helper()
	var got []byte
	b := make([]byte, 64<<10)
	for {
		wait := 10 * time.Second
		if !closed {
			wait = 100 * time.Millisecond
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(b)
		got = append(got, b[:n]...)
		var ne net.Error
		switch {
		case err == nil:
		case !errors.As(err, &ne) || !ne.Timeout():
			if !closed {
				t.Errorf("the server closed the connection: %v", err)
			}
			return string(got)
		default:
			if closed {
				t.Errorf("the server keeps the connection; it said %.200q", got)
			}
			return string(got)
		}
	}
}

// heapGrowth is how many bytes more the heap has than before, garbage not counted.
func heapGrowth(before uint64) int64 { return int64(heapNow()) - int64(before) }

func heapNow() uint64 {
	runtime.GC()
	runtime.GC() // what pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBadInput: whatever one client sends, he alone has to bear it.
func TestBadInput(t *testing.T) {
	v := newVictim(t, Options{})
	greeted := func(frames ...[]byte) []byte {
		return append(appendOffer(nil, "k", "n", 1), bytes.Join(frames, nil)...)
	}
	invoke := func(id uint64, topic string) []byte { return codec.AppendInvoke(nil, heddle.V1, id, topic, -1) }
	chunk := func(id uint64, p string) []byte { return codec.AppendChunk(nil, heddle.V1, id, []byte(p)) }
	choke := func(id uint64) []byte { return codec.AppendChoke(nil, heddle.V1, id) }
	control := func(id uint64) []byte { return codec.AppendControl(nil, id) }
	for _, tt := range []struct {
		name  string
		sent  []byte
		lives bool   // the connection; else the server ends it
		says  string // is in what comes back
		log   string // is in the log
	}{
		// First bytes that are no greeting.
		{name: "JSON object", sent: []byte(`{"type":"status","id":"1"}` + "\n"), says: `{"error":"`, log: errJSON.Error()},
		{name: "bad JSON", sent: []byte("{{{ not JSON\n"), says: `{"error":"`, log: errJSON.Error()},
		{name: "deep JSON", sent: bytes.Repeat([]byte(`{"a":`), 1<<16), says: `{"error":"`, log: errJSON.Error()},
		{name: "JSON scalar", sent: []byte("3\n"), log: "codec"},
		{name: "JSON array", sent: []byte("[1]\n"), log: "codec"},
		{name: "JSON text", sent: []byte("\"status\"\n"), log: "codec"},
		{name: "empty line", sent: []byte("\n"), log: "codec"},
		{name: "zeros", sent: make([]byte, 1<<20), log: "codec"},
		{name: "HTTP", sent: []byte("GET /status HTTP/1.1\r\nHost: x\r\n\r\n"), log: "codec"},
		{name: "map for a frame", sent: []byte("\x83\x01\x00\x02\x00\x03\x90"), log: "codec"},
		{name: "nil", sent: []byte("\xc0"), log: "codec"},
		{name: "reserved byte", sent: []byte("\xc1"), log: "codec"},

		// Greetings.
		{name: "no greeting", sent: nil, log: errHandshake.Error()},
		{name: "half a greeting", sent: greeted()[:20], log: errHandshake.Error()},
		{name: "a greeting too long", sent: append([]byte("\x93\x01\x00\x92\xa0\x81\xa4name\xdb\x00\x0f\x00\x00"), bytes.Repeat([]byte("n"), 0xf0000)...), log: "warn"},
		{name: "greeting with a map for arguments", sent: []byte("\x93\x01\x00\x80"), log: "warn"},
		{name: "greeting with an array for its map", sent: []byte("\x93\x01\x00\x92\xa0\x91\x01"), log: "warn"},
		{name: "greeting of v0", sent: codec.AppendHandshake(nil, heddle.V0, "u", nil), log: "protocol violation"},
		{name: "two greetings", sent: greeted(appendOffer(nil, "k", "n", 1)), log: "handshake sent twice"},
		{name: "a request before the greeting", sent: invoke(3, "echo"), log: "protocol violation"},

		// Control messages.
		{name: "unknown control", sent: greeted(control(99)), log: errControl.Error()},
		{name: "control of the largest id", sent: greeted([]byte("\x93\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x90")), log: "protocol violation"},
		{name: "welcome", sent: greeted(appendWelcome(nil, raws(offered))), log: errControl.Error()},
		{name: "drain", sent: greeted(codec.AppendDrain(nil, 1)), log: errControl.Error()},
		{name: "terminate", sent: greeted(codec.AppendTerminate(nil, heddle.V1, 1, "now")), log: errControl.Error()},

		// Frames.
		{name: "a header over the limit", sent: greeted([]byte("\x93\x03\x00\x91\xdb\x7f\xff\xff\xff")), log: "over the limit"},
		{name: "a frame over the limit", sent: greeted(invoke(3, "echo"), chunk(3, strings.Repeat("x", 2<<20))), log: "over the limit"},
		{name: "an array without end", sent: greeted([]byte("\x93\x03\x00\xdd\xff\xff\xff\xff")), log: "codec"},
		{name: "a map without end", sent: greeted([]byte("\x93\x03\x00\x91\xdf\xff\xff\xff\xff")), log: "codec"},
		{name: "deep nesting", sent: greeted([]byte("\x93\x03\x00"), bytes.Repeat([]byte{0x91}, 1<<20)), log: "codec"},
		{name: "deep maps", sent: greeted([]byte("\x93\x03\x00\x91"), bytes.Repeat([]byte("\x81\x01"), 1<<18)), log: "codec"},
		{name: "a map for arguments", sent: greeted([]byte("\x93\x03\x00\x81\xa0\xa0")), log: "warn"},
		{name: "a number for a topic", sent: greeted([]byte("\x93\x03\x00\x91\x07")), log: "protocol violation"},
		{name: "no topic", sent: greeted([]byte("\x93\x03\x00\x90")), log: "protocol violation"},
		{name: "a number for a payload", sent: greeted(invoke(3, "echo"), []byte("\x93\x03\x00\x91\x07")), log: "protocol violation"},
		{name: "a text for a session", sent: greeted([]byte("\x93\xa1x\x00\x90")), log: "codec"},
		{name: "a negative session", sent: greeted([]byte("\x93\xff\x00\x90")), log: "codec"},
		{name: "unknown message", sent: greeted(invoke(3, "hold"), []byte("\x93\x03\x63\x90")), log: "unknown message"},

		// Sessions.
		{name: "unknown topic", sent: greeted(invoke(3, "none"), chunk(3, "p"), choke(3)), lives: true, says: `no topic "none"`},
		{name: "a topic of 1 MiB", sent: greeted(invoke(3, strings.Repeat("x", 1<<20)), chunk(3, "p"), choke(3)), lives: true, says: "no topic"},
		{name: "a topic that is no text", sent: greeted(invoke(3, "\xff\xfe\x00"), choke(3)), lives: true, says: "no topic"},
		{name: "no payload", sent: greeted(invoke(3, "echo"), choke(3)), lives: true, says: string(chunk(3, ""))},
		{name: "a payload that never comes", sent: greeted(invoke(3, "echo")), lives: true, says: ""},
		{name: "an error for a payload", sent: greeted(invoke(3, "echo"), codec.AppendError(nil, heddle.V1, 3, 1, 1, "no")), lives: true, says: "no"},
		{name: "chunks without end", sent: greeted(invoke(3, "hold"), bytes.Repeat(chunk(3, strings.Repeat("x", 32<<10)), 100)), lives: true, says: "held"},
		{name: "an id of the server's", sent: greeted(invoke(4, "echo")), log: "protocol violation"},
		{name: "an id twice", sent: greeted(invoke(3, "hold"), chunk(3, ""), invoke(3, "hold")), lives: true, says: "held"}, // the second is a chunk
		{name: "ids backwards", sent: greeted(invoke(5, "hold"), invoke(3, "echo")), lives: true, says: ""},                 // as if 3 had ended
		{name: "a reply to nothing", sent: greeted(chunk(4, "p")), log: "protocol violation"},
		{name: "credit beyond all bounds", sent: greeted(invoke(3, "hold"), chunk(3, ""), codec.AppendWindow(nil, 3, 1<<63)), lives: true, says: "window"},
		{name: "cancel of nothing", sent: greeted(codec.AppendCancel(nil, 2, 1, 1, "no")), log: "protocol violation"},
		{name: "descriptors that did not come", sent: greeted(invoke(3, "hold"), codec.AppendFiles(nil, 3, 1)), log: "descriptors are missing"},
		{name: "no descriptors announced", sent: greeted(invoke(3, "hold"), codec.AppendFiles(nil, 3, 0)), log: "protocol violation"},
		{name: "a million descriptors announced", sent: greeted(invoke(3, "hold"), codec.AppendFiles(nil, 3, 1e6)), log: "protocol violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(v.log.String())
			conn := dialRaw(t, v.path)
			defer conn.Close()
			wrote := make(chan struct{})
			go func() { // ends when the server has taken it, or the connection ends
				defer close(wrote)
				write(conn, tt.sent, nil)
			}()
			got := said(t, conn, !tt.lives)
			<-wrote
			if !strings.Contains(got, tt.says) {
				t.Errorf("the server said %.300q, want %q in it", got, tt.says)
			}
			if tt.lives { // and answers there, too
				write(conn, bytes.Join([][]byte{invoke(101, "echo"), chunk(101, "still"), choke(101)}, nil), nil)
				expect(t, conn, string(chunk(101, "still")))
			}
			conn.Close()
			v.unharmed(t, 0)
			if got := v.log.String()[before:]; !strings.Contains(strings.ToLower(got), strings.ToLower(tt.log)) || tt.log == "" && strings.Contains(got, "closed") {
				t.Errorf("logged %q, want %q in it", got, tt.log)
			}
		})
	}
	if n := v.ended.Load(); n == 0 {
		t.Error("no handler was told that its client had gone")
	}
}

// TestEndless: clients that never stop cost a bounded amount of memory.
func TestEndless(t *testing.T) {
	v := newVictim(t, Options{HandshakeTimeout: time.Minute})
	offer := appendOffer(nil, "k", "n", 1)
	id := uint64(1)
	for _, tt := range []struct {
		name  string
		begin []byte
		more  func() []byte
		log   string // why the server ends the connection; "" if it need not
	}{
		{"JSON", []byte("{"), func() []byte { return bytes.Repeat([]byte("x"), 64<<10) }, errJSON.Error()},
		{"heartbeats", offer, func() []byte { return bytes.Repeat(codec.AppendHeartbeat(nil, heddle.V1), 1000) }, errDeaf.Error()},
		{"unknown topics", offer, func() []byte { id += 2; return codec.AppendInvoke(nil, heddle.V1, id, "none", -1) }, "without reading"},
		{"a greeting", []byte("\x93\x01\x00\x92\xa0\x81\xa4name\xdb\x00\x0f\x00\x00"), func() []byte { return bytes.Repeat([]byte("n"), 1000) }, "session"},
		{"cancelled requests", offer, func() []byte {
			id += 2
			return codec.AppendCancel(codec.AppendInvoke(nil, heddle.V1, id, "hold", -1), id, 1, 1, "no")
		}, ""},
		{"chunks", codec.AppendInvoke(bytes.Clone(offer), heddle.V1, 3, "hold", -1), func() []byte {
			return codec.AppendChunk(nil, heddle.V1, 3, make([]byte, 32<<10))
		}, ""},
		{"empty chunks", codec.AppendInvoke(bytes.Clone(offer), heddle.V1, 3, "hold", -1), func() []byte {
			return bytes.Repeat(codec.AppendChunk(nil, heddle.V1, 3, nil), 1000)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id = 1
			logged, heap := len(v.log.String()), heapNow()
			conn := dialRaw(t, v.path)
			defer conn.Close()
			write(conn, tt.begin, nil)
			_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			sent := 0
			for sent < 64<<20 { // nothing is read
				p := tt.more()
				if tt.log == "" && sent > 8<<20 || !write(conn, p, nil) {
					break
				}
				sent += len(p)
			}
			good(t, v.path)
			if n := heapGrowth(heap); n > 16<<20 {
				t.Errorf("after %d bytes the heap has %d more", sent, n)
			}
			conn.Close()
			v.unharmed(t, 0)
			if got := v.log.String()[logged:]; !strings.Contains(got, tt.log) {
				t.Errorf("logged %.500q, want %q in it", got, tt.log)
			}
		})
	}
}

// TestTrickle: a frame that comes byte by byte is as good as any, and one that
// stops in its midst holds up nobody.
func TestTrickle(t *testing.T) {
	v := newVictim(t, Options{})
	want := "naïve – 日本語 🧵"
	v.byteByByte(t, want)
	for _, cut := range []int{1, 40, len(requestFrames("echo", want, 0)) - 4} {
		conn := dialRaw(t, v.path)
		defer conn.Close()
		write(conn, requestFrames("echo", want, 0)[:cut], nil)
		good(t, v.path)
		conn.Close()
	}
	v.unharmed(t, 0)
}

// byteByByte asks the server to echo want with one write per byte.
func (v *victim) byteByByte(t *testing.T, want string) {
	t.Helper()
	conn := dialRaw(t, v.path)
	defer conn.Close()
	frames := requestFrames("echo", want, 0)
	for i := range frames {
		if !write(conn, frames[i:i+1], nil) {
			t.Fatalf("closed after %d bytes", i)
		}
	}
	expect(t, conn, string(codec.AppendChoke(codec.AppendChunk(nil, heddle.V1, 3, []byte(want)), heddle.V1, 3)))
}

// TestCutAnywhere: a client that vanishes, or half-closes, behind each byte of a
// request.
func TestCutAnywhere(t *testing.T) {
	v := newVictim(t, Options{})
	whole := requestFrames("hold", "payload", 0)
	for _, half := range []bool{false, true} {
		t.Run(fmt.Sprint("half-close ", half), func(t *testing.T) {
			for cut := 0; cut <= len(whole); cut++ {
				conn := dialRaw(t, v.path)
				write(conn, whole[:cut], nil)
				if half {
					_ = conn.CloseWrite()
					if _, err := io.Copy(io.Discard, conn); err != nil {
						t.Errorf("half-closed behind byte %d: %v", cut, err)
					}
				}
				conn.Close()
			}
			v.unharmed(t, 0)
		})
	}
	if n := v.ended.Load(); n == 0 {
		t.Error("no handler was told that its client had gone")
	}
}

// TestNeverReads: a client that reads no reply loses its requests, one by one,
// and nobody else waits for it.
func TestNeverReads(t *testing.T) {
	v := newVictim(t, Options{MaxHandlers: 8})
	heap := heapNow()
	conn := dialRaw(t, v.path)
	defer conn.Close()
	write(conn, appendOffer(nil, "k", "n", 1), nil)
	for id := uint64(3); id < 3+2*4; id += 2 {
		write(conn, codec.AppendChoke(codec.AppendChunk(codec.AppendInvoke(nil, heddle.V1, id, "flood", -1), heddle.V1, id, nil), heddle.V1, id), nil)
	}
	began := time.Now()
	good(t, v.path)
	if d := time.Since(began); d > 200*time.Millisecond {
		t.Logf("another client waited %v", d)
	}
	v.unharmed(t, 2) // all four handlers have given up
	if n := heapGrowth(heap); n > 16<<20 {
		t.Errorf("the heap has %d bytes more", n)
	}
	conn.Close()
	v.unharmed(t, 0)
}

// TestThousandConnections: as many clients that only stay, each kind of them,
// keep nobody from asking.
func TestThousandConnections(t *testing.T) {
	for name, sent := range map[string][]byte{
		"silent":      nil,
		"greeted":     appendOffer(nil, "k", "n", 1),
		"half a word": appendOffer(nil, "k", "n", 1)[:10],
		// Answered, and the client never ends its side of it.
		"answered": codec.AppendChunk(codec.AppendInvoke(appendOffer(nil, "k", "n", 1), heddle.V1, 3, "echo", -1), heddle.V1, 3, nil),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, Options{HandshakeTimeout: time.Minute})
			var conns []*net.UnixConn
			for i := range 1000 {
				conn := dialRaw(t, v.path)
				defer conn.Close()
				conns = append(conns, conn)
				write(conn, sent, nil)
				if name == "answered" {
					expect(t, conn, string(codec.AppendChoke(nil, heddle.V1, 3)))
				}
				if i%100 == 99 {
					good(t, v.path)
				}
			}
			good(t, v.path)
			// The server keeps no more than it may of them.
			settle(t, v.descriptors+1000+256+spareConns)
			for _, conn := range conns {
				conn.Close()
			}
			v.unharmed(t, 0)
		})
	}
}

// TestManyRequests: a connection may have so many requests open; further ones are
// refused, and it goes on.
func TestManyRequests(t *testing.T) {
	v := newVictim(t, Options{MaxHandlers: 4})
	c := dial(t, v.path)
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error)
	const n = maxSessions + 100
	for range n {
		go func() { // ends with its request
			_, err := c.Request(ctx, "hold", nil)
			refused <- err
		}()
	}
	for range n - 4 {
		err := <-refused
		var e *session.Error
		if !errors.Is(err, session.ErrTooMany) && (!errors.As(err, &e) || e.Category != heddle.CategoryOverseer || e.Code != heddle.CodePoolFull) {
			t.Fatalf("got %v, want it refused", err)
		}
	}
	cancel()
	for range 4 {
		<-refused
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for { // the server may not have heard yet
		p, err := c.Request(ctx, "echo", []byte("x"))
		if err == nil && string(p) == "x" {
			break
		}
		var e *session.Error
		if !errors.As(err, &e) || e.Code != heddle.CodePoolFull {
			t.Fatalf("afterwards: got %q, %v", p, err)
		}
	}
	c.Close()
	v.unharmed(t, 0)
}
