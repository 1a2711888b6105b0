package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second // a test that waits this long has failed

// start runs a relay at an address and tells that address.
func start(t testing.TB, at, to string) (addr string) {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { _ = l.Run() }) // ends when the loop is closed
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		ran.Wait()
	})
	ln, err := newRelay(to, slog.New(slog.DiscardHandler)).listen(l, at)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(at, "unix:") {
		return at
	}
	return ln.Addr().String()
}

var enqueue = map[heddle.Dialect]*session.Method{
	heddle.V0: {ID: 0, Name: "enqueue", Dispatch: session.Mute, Upstream: session.Streaming},
	heddle.V1: {ID: 0, Name: "enqueue", Dispatch: session.Streaming, Upstream: session.Streaming},
}

// client calls an app at an address.
func client(t testing.TB, at string, d heddle.Dialect) *service.Service {
	t.Helper()
	o := service.Options{Name: "shop", Endpoints: []string{at}, Dialect: service.DialectV1, Methods: []*session.Method{enqueue[d]}}
	if d == heddle.V0 {
		o.Dialect = service.DialectV0
	}
	s, err := service.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ask opens a call of an event, with one piece for it.
func ask(ctx context.Context, s *service.Service, d heddle.Dialect, event, piece string) (*service.Stream, error) {
	if d == heddle.V0 {
		return s.Stream(ctx, "enqueue", event, piece)
	}
	st, err := s.Stream(ctx, "enqueue", event)
	if err == nil {
		err = errors.Join(st.SendRaw([]byte(piece)), st.CloseSend())
	}
	return st, err
}

// each runs a test with an app of each dialect, over TCP and unix sockets.
func each(t *testing.T, events map[string]func(*servicetest.Call), f func(t *testing.T, d heddle.Dialect, app *servicetest.Service, at string)) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, unix := range []bool{false, true} {
			at := "127.0.0.1:0"
			if unix {
				at = "unix:" + filepath.Join(t.TempDir(), "relay")
			}
			t.Run(fmt.Sprintf("%v unix=%v", d, unix), func(t *testing.T) {
				app := servicetest.New(t, d, servicetest.Options{Unix: unix}).App("shop", events)
				f(t, d, app, start(t, at, app.Endpoint()))
			})
		}
	}
}

// An app's calls go through as they are, many at once, with their headers; and so do
// its errors. The app is as strict as a real one, and has nothing to complain of.
func TestRelay(t *testing.T) {
	events := map[string]func(*servicetest.Call){
		"echo": func(c *servicetest.Call) {
			for p, err := c.Piece(); err == nil; p, err = c.Piece() {
				_ = c.Write(p)
			}
			_ = c.Close()
		},
		"trace": func(c *servicetest.Call) {
			text := ""
			for _, h := range c.Headers() {
				text += fmt.Sprintf("%s=%q ", h.Name, h.Value)
			}
			_ = c.Write(text)
			_ = c.Close()
		},
		"fails": func(c *servicetest.Call) { _ = c.Error(42, 7, "not today") },
	}
	each(t, events, func(t *testing.T, d heddle.Dialect, _ *servicetest.Service, at string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s := client(t, at, d)
		large := strings.Repeat("0123456789abcdef", 64<<10)
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				piece := fmt.Sprint(i, large[:i*20_000])
				st, err := ask(ctx, s, d, "echo", piece)
				if err != nil {
					t.Error(err)
					return
				}
				defer st.Close()
				if p, err := st.RecvRaw(); string(p) != piece || err != nil {
					t.Errorf("call %d: got %d bytes, %v, want %d", i, len(p), err, len(piece))
				}
				if _, err := st.RecvRaw(); err != io.EOF {
					t.Errorf("call %d: its end is %v", i, err)
				}
			})
		}
		calls.Wait()

		st, err := ask(ctx, s, d, "fails", "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.RecvRaw()
		category := int64(42)
		if d == heddle.V0 {
			category = 0 // has none
		}
		var got *service.Error
		if !errors.As(err, &got) || got.Category != category || got.Code != 7 || got.Msg != "not today" {
			t.Errorf("got the error %v", err)
		}
		_ = st.Close()
		if d == heddle.V0 {
			return // has no headers
		}
		trace := session.NewTrace()
		hs := []codec.Header{{Name: []byte("authorization"), Value: []byte("TOKEN 5")}}
		st, err = ask(session.WithHeaders(session.WithTrace(ctx, trace), hs), s, d, "trace", "")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		p, err := st.RecvRaw()
		if !strings.Contains(string(p), `authorization="TOKEN 5"`) || !strings.Contains(string(p), "span_id=") || err != nil {
			t.Errorf("the app was told %q, %v", p, err)
		}
	})
}

// Who leaves on one side has left on the other, and nobody else has.
func TestEnds(t *testing.T) {
	gone := make(chan struct{}, 100) // more than there are calls: one that nobody waits for holds nothing up
	events := map[string]func(*servicetest.Call){
		"waits": func(c *servicetest.Call) {
			_ = c.Write("here")
			<-c.Context().Done()
			gone <- struct{}{}
		},
		"hangup": func(c *servicetest.Call) {
			for err := error(nil); err == nil; { // not before the client has said all it has to say
				_, err = c.Piece()
			}
			_ = c.Write("bye")
			c.Hangup()
		},
	}
	each(t, events, func(t *testing.T, d heddle.Dialect, app *servicetest.Service, at string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stays, err := ask(ctx, client(t, at, d), d, "waits", "")
		if err != nil {
			t.Fatal(err)
		}
		defer stays.Close()
		if p, err := stays.RecvRaw(); string(p) != "here" || err != nil {
			t.Fatalf("got %q, %v", p, err)
		}

		leaves := client(t, at, d)
		st, err := ask(ctx, leaves, d, "waits", "")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := st.RecvRaw(); string(p) != "here" || err != nil {
			t.Fatalf("got %q, %v", p, err)
		}
		_ = leaves.Close()
		select {
		case <-gone:
		case <-ctx.Done():
			t.Fatal("the app has not heard that its client left")
		}

		if st, err = ask(ctx, client(t, at, d), d, "hangup", ""); err != nil {
			t.Fatal(err)
		}
		if p, err := st.RecvRaw(); string(p) != "bye" || err != nil {
			t.Errorf("before the end got %q, %v", p, err)
		}
		if _, err := st.RecvRaw(); !errors.Is(err, session.ErrLost) {
			t.Errorf("the end is %v, want that the channel was lost", err)
		}
		_ = st.Close()

		// No frame, and the frame of another dialect on the way.
		network, addr := split(at)
		for _, bad := range []string{"GET / HTTP/1.1\r\n\r\n", "\xc1", "\x93\x01"} {
			c, err := net.Dial(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(c, bad)
			if bad == "\x93\x01" { // half a frame, and then nothing
				_ = c.(interface{ CloseWrite() error }).CloseWrite()
			}
			if p, err := io.ReadAll(c); len(p) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q: got %q, %v", bad, p, err)
			}
			_ = c.Close()
		}

		app.Kill()
		if _, err := stays.RecvRaw(); !errors.Is(err, session.ErrLost) {
			t.Errorf("the end is %v, want that the channel was lost", err)
		}
		<-gone
		if st, err := ask(ctx, client(t, at, d), d, "waits", ""); err == nil {
			if p, err := st.RecvRaw(); err == nil {
				t.Errorf("nobody is there, and answered %q", p)
			}
			_ = st.Close()
		}
	})
}

// A locator takes clients of both dialects at one address, and so does a relay
// before it.
func TestBothDialectsAtOneAddress(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cloud, err := host.Start(host.Options{Locator: "127.0.0.1:0", Storage: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cloud.Close(ctx) }()
	at := start(t, "127.0.0.1:0", cloud.Addr())
	for _, d := range []service.Dialect{service.DialectV0, service.DialectV1} {
		c, err := service.NewClient(service.ClientOptions{Locators: []string{at}, Dialect: d})
		if err != nil {
			t.Fatal(err)
		}
		if where, err := c.Locate(ctx, "storage"); err != nil || len(where.Endpoints) == 0 {
			t.Errorf("%v: got %v, %v", d, where, err)
		}
		_ = c.Close()
	}
}

// What one side does not take waits at the other's end, not in the relay; either way.
func TestBackpressure(t *testing.T) {
	const (
		pieces = 3 << 10
		size   = 16 << 10 // bytes each: 48 MiB
	)
	frame := codec.AppendChunk(nil, heddle.V0, 1, make([]byte, size))
	for _, down := range []bool{true, false} {
		t.Run(fmt.Sprintf("down=%v", down), func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			l, err := loop.New(loop.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var ran sync.WaitGroup
			ran.Go(func() { _ = l.Run() }) // ends when the loop is closed
			defer ran.Wait()
			defer l.Close()
			r := newRelay(ln.Addr().String(), slog.New(slog.DiscardHandler))
			sides := make(chan *side, 1)
			in, err := l.Listen("tcp", "127.0.0.1:0", func(c *loop.Conn) loop.Handler {
				s := &side{r: r, conn: c}
				sides <- s
				return s.open(session.ChannelOptions{Service: true, Detect: true})
			}, loop.ListenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			from, err := net.Dial("tcp", in.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if _, err := from.Write(codec.AppendMethod(nil, heddle.V0, 1, 0, []byte{0x90})); err != nil {
				t.Fatal(err)
			}
			to, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			if p := make([]byte, 4); true {
				if _, err := io.ReadFull(to, p); err != nil || string(p) != "\x93\x00\x01\x90" {
					t.Fatalf("the call came as %x, %v", p, err)
				}
			}
			s := <-sides
			if down {
				from, to = to, from
			}
			for _, c := range []net.Conn{from, to} {
				_ = c.SetDeadline(time.Now().Add(patience))
			}
			var wrote atomic.Int64
			done := make(chan error, 1)
			go func() { // ends with its last piece, or the connection
				var err error
				for range pieces {
					if _, err = from.Write(frame); err != nil {
						break
					}
					wrote.Add(1)
				}
				done <- err
			}()
			reader := func() (reads, fills *side) {
				if down {
					return s.other, s
				}
				return s, s.other
			}
			for end := time.Now().Add(patience); ; {
				seen := make(chan [2]int, 1)
				if err := l.Do(func() {
					reads, fills := reader()
					paused := 0
					if reads.paused {
						paused = 1
					}
					seen <- [2]int{paused, fills.conn.Queued()}
				}); err != nil {
					t.Fatal(err)
				}
				now := <-seen
				if now[1] > session.HighWater+256<<10 {
					t.Fatalf("%d bytes wait in the relay", now[1])
				}
				if now[0] == 1 {
					break
				}
				if time.Now().After(end) {
					t.Fatal("the relay goes on reading")
				}
				time.Sleep(time.Millisecond)
			}
			got, err := io.CopyN(io.Discard, to, int64(pieces*len(frame)))
			if err != nil {
				t.Errorf("%d bytes came, then %v", got, err)
			}
			if err := <-done; err != nil {
				t.Errorf("after %d pieces: %v", wrote.Load(), err)
			}
		})
	}
}
