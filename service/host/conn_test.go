package host

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// TestBadFrames: what is no frame ends the connection, in both dialects, and nobody
// else's.
func TestBadFrames(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir()})
	honest := to(t, c, "logging", heddle.V1)
	for _, b := range []struct {
		name  string
		v0    bool
		frame string
	}{
		{"no array", true, "\xc0"}, {"a map", true, "\x83\x01\x00\x90"}, {"never used", true, "\xc1"},
		{"half an int", true, "\x93\xff\x00\x90"}, {"arguments are a map", true, "\x93\x01\x01\x80"},
		{"negative session", true, "\x93\x01\xff\x90"}, {"two elements", true, "\x92\x01\x00"},
		{"four elements in v0", true, "\x94\x01\x01\x90\x90"},
		{"too deep", true, "\x93\x01\x01" + strings.Repeat("\x91", 40)},
		{"too many", true, "\x93\x01\x01\xdd\xff\xff\xff\xff"},
		{"too long", true, "\x93\x01\x01\x91\xdb\xff\xff\xff\xff"},
		{"session 0", false, "\x93\x00\x01\x90"},
		{"no headers", false, "\x94\x01\x01\x90\xc0"},
	} {
		for _, service := range []string{"logging", "storage", "node"} {
			for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
				if d == heddle.V1 && b.name == "four elements in v0" || d == heddle.V0 && !b.v0 {
					continue
				}
				p := to(t, c, service, d)
				p.send([]byte(b.frame))
				if _, raw, err := p.next(); err == nil {
					t.Errorf("%s, %s, %v: got %x, want the end of the connection", b.name, service, d, raw)
				}
			}
		}
	}
	honest.call(1, 1)
	honest.want(1, value1, 0)
}

// TestHalfFrame: who begins a frame goes on, or is dropped; who says nothing stays.
func TestHalfFrame(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir(), Stall: 50 * time.Millisecond})
	quiet := to(t, c, "storage", heddle.V1)
	for _, half := range []string{"\x93", "\x93\x01\x01\x94\xa1c\xa1k\xdb\x00\x10\x00\x00" + strings.Repeat("x", 100_000)} {
		p := to(t, c, "storage", heddle.V1)
		p.call(1, find, "c", []any{"t"})
		p.want(1, value1, []any{})
		p.send([]byte(half))
		if _, raw, err := p.next(); err == nil {
			t.Errorf("got %x, want the end of the connection", raw)
		}
	}
	// A frame that comes slowly, and comes.
	blob := strings.Repeat("x", 1<<20)
	frame := codec.AppendMethod(nil, heddle.V1, 1, write, pack(t, []any{"c", "k", blob}))
	for len(frame) > 0 {
		n := min(len(frame), 200<<10)
		quiet.send(frame[:n])
		frame = frame[n:]
		time.Sleep(30 * time.Millisecond)
	}
	quiet.want(1, value1)
}

// TestUnread: who asks and does not read is not read any more, and dropped at last.
func TestUnread(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir(), Stall: time.Second})
	k := keep(t, c, heddle.V1)
	k.ok(write, "c", "k", strings.Repeat("x", 4<<20))
	p := to(t, c, "storage", heddle.V1)
	sent := 0
	ask := pack(t, []any{"c", "k"})
	for channel := uint64(1); ; channel++ {
		_ = p.nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := p.nc.Write(codec.AppendMethod(nil, heddle.V1, channel, read, ask)); err != nil {
			break // it was dropped
		}
		sent++
	}
	wait(t, func() bool { return c.find("storage").doors[heddle.V1].open() == 1 }, "the other connection is gone")
	k.ok(read, "c", "k")
	t.Logf("%d calls were taken", sent)

	// And of quick methods.
	p = to(t, c, "logging", heddle.V0)
	batch := []byte(strings.Repeat(string(codec.AppendMethod(nil, heddle.V0, 1, 1, []byte{0x90})), 10_000))
	for {
		_ = p.nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := p.nc.Write(batch); err != nil {
			break
		}
	}
	wait(t, func() bool { return c.find("logging").doors[heddle.V0].open() == 0 }, "the connection is gone")
}

// TestManyConnections: there are as many as there may be, and the next one waits.
func TestManyConnections(t *testing.T) {
	c := start(t, Options{Conns: 3})
	var all []*peer
	for range 3 {
		p := to(t, c, "logging", heddle.V1)
		p.call(1, 1)
		p.want(1, value1, 0)
		all = append(all, p)
	}
	next := to(t, c, "logging", heddle.V1)
	next.call(1, 1)
	dial(t, c.Addr(), heddle.V1) // another service's are its own
	all[1].nc.Close()
	next.want(1, value1, 0)
}

// TestComplaints: what clients do wrong is logged, one line a second at most.
func TestComplaints(t *testing.T) {
	bothDialects(t, func(t *testing.T, d heddle.Dialect) {
		lines := newLogged()
		c := start(t, Options{Logger: slog.New(slog.NewTextHandler(lines, nil))})
		begun := time.Now()
		for range 50 {
			p := to(t, c, "logging", d)
			p.call(1, 0, "no level")
			if d == heddle.V0 {
				p.args(1, error0, new([]any))
			} else {
				p.wantEnd()
			}
		}
		lines.want(t, "a client breaks the rules", "service=logging", "dialect="+d.String(), "client=127.0.0.1", "emit: argument")
		if n, most := len(lines.lines), int(time.Since(begun)/time.Second)+1; n > most {
			t.Errorf("%d more lines in %v", n, time.Since(begun))
		}
	})
}

// TestPanic: a method's panic is its caller's error.
func TestPanic(t *testing.T) {
	lines := newLogged()
	c := start(t, Options{Logger: slog.New(slog.NewTextHandler(lines, nil))})
	boom := Slow(0, "boom", 0, func(*Call, *None) (Results, error) { panic("boom") })
	fine := Slow(1, "fine", 0, func(*Call, *None) (Results, error) { return Results{"fine", nil, 1}, nil })
	must(t, c.Add(Service{Name: "x", Version: 1, V0: []Method{boom, fine}, V1: []Method{boom, fine}}))
	p := to(t, c, "x", heddle.V1)
	p.call(1, 0)
	p.want(1, error1, []any{7, 7}, "uncaught exception")
	p.call(2, 1)
	p.want(2, value1, "fine", nil, 1)
	lines.want(t, "a method panicked", "method=boom")
	v0 := to(t, c, "x", heddle.V0)
	v0.call(1, 0)
	v0.want(1, error0, 1, "uncaught exception")
	v0.want(1, choke0)
	v0.call(1, 1)
	v0.want(1, chunk0, packed(t, []any{"fine", nil, 1}))
	v0.want(1, choke0)
}

// TestClose ends what there is: what was answered arrives.
func TestClose(t *testing.T) {
	c := start(t, Options{Storage: t.TempDir(), Cluster: true})
	k := keep(t, c, heddle.V1)
	k.ok(write, "c", "k", "blob")
	p := dial(t, c.Addr(), heddle.V1)
	p.call(1, connect, "them")
	if _, _, err := p.next(); err != nil {
		t.Fatal(err)
	}
	p.call(2, publish, ext("ext", 1)...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, c.Close(ctx))
	for {
		if _, _, err := p.next(); err != nil {
			break
		}
	}
	k.wantEnd()
	if err := c.Close(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	if err := c.Add(Service{Name: "x", V1: []Method{Unbound(0, "x")}}); err == nil {
		t.Error("a closed cloud takes a service")
	}
}

// TestOptions: what cannot be is refused, and nothing is left of it.
func TestOptions(t *testing.T) {
	c := start(t, Options{})
	for _, o := range []Options{
		{Conns: -1}, {Blob: -1}, {Pending: -1}, {Stall: -1}, {Work: -1}, {Sessions: -1},
		{Verbosity: 4}, {Verbosity: -1},
		{Locator: "127.0.0.1"}, {Locator: "unix:/no/such/directory/l"}, {Locator: c.Addr()},
		{Locator: "127.0.0.1:0", Storage: "/dev/null/storage"},
	} {
		if c, err := Start(o); err == nil {
			t.Errorf("%+v: is taken", o)
			_ = c.Close(context.Background())
		} else if !strings.HasPrefix(err.Error(), "host: ") || strings.Contains(err.Error(), "%!") {
			t.Errorf("got %q", err)
		}
	}
}

// TestCloseWithWork: Close waits for a call that has begun, whatever its context says,
// and those that wait for their turn do not begin any more.
func TestCloseWithWork(t *testing.T) {
	begun, goOn := make(chan struct{}, 8), make(chan struct{})
	var ended atomic.Bool
	c := start(t, Options{Work: 1})
	work := Slow(0, "work", 0, func(*Call, *None) (Results, error) {
		begun <- struct{}{}
		<-goOn
		ended.Store(true)
		return nil, nil
	})
	if err := c.Add(Service{Name: "works", V1: []Method{work, Quick(1, "ping", 0, func(*Call, *None) (Results, error) { return nil, nil })}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p := to(t, c, "works", heddle.V1)
		p.call(1, 0)
		p.call(2, 1)
		p.want(2, value1) // so the call before it has come, too
	}
	<-begun
	at := c.find("works")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan error, 1)
	go func() { closed <- c.Close(ctx) }() // ends when goOn is closed
	<-at.doors[heddle.V1].gone
	select {
	case err := <-closed:
		t.Errorf("closed while a method is at work: %v", err)
	default:
	}
	close(goOn)
	if err := <-closed; err != nil || !ended.Load() {
		t.Errorf("got %v, the method has ended: %v", err, ended.Load())
	}
	if n := len(begun); n > 0 {
		t.Errorf("%d calls have begun after Close", n)
	}
}
