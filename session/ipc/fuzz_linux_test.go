package ipc

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// FuzzServer feeds a server what a client may send, behind a greeting or without,
// in pieces, with descriptors that go with the first one, and ended by the client's
// half-close or death. It must neither panic nor hang, answer another client
// meanwhile, run no more handlers than it may, allocate in proportion to what it
// was sent, and have nothing left when the client has gone.
func FuzzServer(f *testing.F) {
	offer := appendOffer(nil, "k", "n", 1)
	invoke := func(id uint64, topic string) []byte { return codec.AppendInvoke(nil, heddle.V1, id, topic, -1) }
	chunk := func(id uint64, p string) []byte { return codec.AppendChunk(nil, heddle.V1, id, []byte(p)) }
	choke := func(id uint64) []byte { return codec.AppendChoke(nil, heddle.V1, id) }
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	for _, sent := range [][]byte{
		{},
		offer,
		[]byte("{}\n"),
		[]byte(`{"topic":"status"`),
		[]byte("GET / HTTP/1.0\r\n\r\n"),
		[]byte("\x93\x03\x00\x91\xdb\x7f\xff\xff\xff"),
		join([]byte("\x93\x03\x00"), bytes.Repeat([]byte{0x91}, 64)),
		[]byte("\x83\x03\x00\x01\x01\x02\x02"),
		requestFrames("echo", "p", 0),
		requestFrames("take", "p", 2),
		join(invoke(3, "echo"), chunk(3, "p"), choke(3)),
		join(invoke(3, "flood"), chunk(3, ""), choke(3), codec.AppendWindow(nil, 3, 1<<30)),
		join(invoke(3, "take"), codec.AppendFiles(nil, 3, 2), chunk(3, "p"), choke(3)),
		join(invoke(3, "hold"), codec.AppendFiles(nil, 3, 1), chunk(3, "p"), codec.AppendFiles(nil, 3, 1)),
		join(invoke(3, "hold"), codec.AppendFiles(nil, 3, 16), codec.AppendFiles(nil, 3, 16)),
		join(invoke(3, "none"), codec.AppendFiles(nil, 3, 1), chunk(3, "p")),
		join(invoke(3, "hold"), chunk(3, "p"), codec.AppendCancel(nil, 3, 1, 1, "m")),
		join(invoke(3, "hold"), chunk(3, "p"), codec.AppendGone(nil, 3)),
		join(invoke(3, "hold"), chunk(3, "p"), codec.AppendError(nil, heddle.V1, 3, 1, 1, "m")),
		join(invoke(3, "panic"), chunk(3, "p"), choke(3), invoke(5, "hold"), invoke(7, "echo")),
		join(codec.AppendControl(nil, 99)),
		join(codec.AppendHeartbeat(nil, heddle.V1), codec.AppendTerminate(nil, heddle.V1, 1, "bye")),
	} {
		f.Add(true, sent, uint16(0), uint8(2), false)
		f.Add(false, sent, uint16(1), uint8(0), true)
	}
	r, w, err := os.Pipe()
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	f.Fuzz(func(t *testing.T, greeted bool, sent []byte, size uint16, files uint8, dies bool) {
		if greeted {
			sent = append(bytes.Clone(offer), sent...)
		}
		fds, goroutines := descriptors(t), runtime.NumGoroutine()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fuzzServer(t, sent, int(size), times(r, int(files%(MaxFiles+1))), dies)
		runtime.ReadMemStats(&after)
		if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(16<<20+256*len(sent)); n > limit {
			t.Errorf("sent %.1000q: %d bytes were allocated, more than %d", sent, n, limit)
		}
		settle(t, fds)
		for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("sent %.1000q: %d goroutines, before it %d", sent, runtime.NumGoroutine(), goroutines)
			}
		}
	})
}

// times is f, n times.
func times(f *os.File, n int) []*os.File {
	fs := make([]*os.File, n)
	for i := range fs {
		fs[i] = f
	}
	return fs
}

// fuzzServer is one run of FuzzServer; size is that of the pieces, 0 for one.
func fuzzServer(t *testing.T, sent []byte, size int, files []*os.File, dies bool) {
	const most = 8 // handlers
	s := NewServer(Options{MaxHandlers: most, PayloadTimeout: 50 * time.Millisecond, HandshakeTimeout: 50 * time.Millisecond, ReplyTimeout: 50 * time.Millisecond})
	var running, peak atomic.Int64
	handle := func(topic string, h Handler) {
		s.Handle(topic, func(ctx context.Context, r *Request) error {
			if n := running.Add(1); n > peak.Load() {
				peak.Store(n)
			}
			defer running.Add(-1)
			return h(ctx, r)
		})
	}
	handle("echo", echo)
	handle("hold", func(ctx context.Context, _ *Request) error { <-ctx.Done(); return context.Cause(ctx) })
	handle("panic", func(context.Context, *Request) error { panic("burnt") })
	handle("take", func(_ context.Context, r *Request) error {
		defer closeFiles(r.TakeFiles())
		return r.Reply(nil)
	})
	handle("flood", func(_ context.Context, r *Request) error {
		for range 32 {
			if err := r.Reply(make([]byte, 32<<10)); err != nil {
				return err
			}
		}
		return nil
	})

	client, server := sessiontest.New()
	p := s.newPeer(server, self)
	server.Start(p)
	raw := newRaw(client)
	if size == 0 {
		size = max(len(sent), 1)
	}
	for rest := sent; len(rest) > 0; {
		n := min(size, len(rest))
		if len(files) > 0 {
			_ = client.SendFiles(rest[:n], files) // the server may have closed already
			files = nil
		} else {
			_, _ = client.Send(rest[:n], nil)
		}
		rest = rest[n:]
	}

	// Another client asks meanwhile.
	client2, server2 := sessiontest.New()
	server2.Start(s.newPeer(server2, self))
	good := newClient(DialOptions{})
	client2.Start(good.attach(client2, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := good.await(ctx, 10*time.Second); err != nil {
		t.Fatalf("sent %.1000q: another client: %v", sent, err)
	}
	got, err := good.Request(ctx, "echo", []byte("good"))
	var e *session.Error
	full := errors.As(err, &e) && e.Category == heddle.CategoryOverseer && e.Code == heddle.CodePoolFull
	if string(got) != "good" && !full {
		t.Errorf("sent %.1000q: another client got %q, %v", sent, got, err)
	}
	if n := p.mux.Sessions(); n > maxSessions {
		t.Errorf("sent %.1000q: %d requests are open", sent, n)
	}

	if dies {
		client.Abort(nil)
	} else {
		client.CloseWrite()
	}
	select {
	case <-raw.closed:
	case <-time.After(10 * time.Second):
		t.Fatalf("sent %.1000q and went: the server keeps the connection", sent)
	}
	if err := s.Close(ctx); err != nil {
		t.Errorf("sent %.1000q: %v", sent, err)
	}
	if n := peak.Load(); n > most {
		t.Errorf("sent %.1000q: %d handlers ran at once", sent, n)
	}
	<-good.Done()
	for _, end := range []*sessiontest.End{client, server, client2, server2} {
		end.Wait()
	}
	if n := p.mux.Sessions(); n != 0 {
		t.Errorf("sent %.1000q: %d requests are left", sent, n)
	}
}
