package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
)

func TestMain(m *testing.M) {
	if runProgram() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is for what must come.
const patience = 20 * time.Second

// start gives a cloud at an address of the test's own.
func start(t *testing.T, o Options) *Cloud {
	t.Helper()
	if o.Locator == "" {
		o.Locator = "127.0.0.1:0"
	}
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

// everywhere runs f with a cloud on TCP and one on unix sockets.
func everywhere(t *testing.T, o Options, f func(t *testing.T, c *Cloud)) {
	t.Run("tcp", func(t *testing.T) { f(t, start(t, o)) })
	t.Run("unix", func(t *testing.T) {
		o.Locator = "unix:" + filepath.Join(t.TempDir(), "l")
		f(t, start(t, o))
	})
}

// A peer is a client of bare bytes.
type peer struct {
	t   testing.TB
	nc  net.Conn
	d   heddle.Dialect
	dec *codec.Decoder
	buf []byte

	scratch [64 << 10]byte // of benchmarks
}

func dial(t testing.TB, addr string, d heddle.Dialect) *peer {
	t.Helper()
	network, addr := splitLocator(addr)
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &peer{t: t, nc: nc, d: d, dec: codec.NewDecoder(d, codec.Limits{Frame: 64 << 20})}
}

// to dials a service of the cloud.
func to(t testing.TB, c *Cloud, name string, d heddle.Dialect) *peer {
	t.Helper()
	addr := c.AddrOf(name, d)
	if addr == "" {
		t.Fatalf("no service %q", name)
	}
	return dial(t, addr, d)
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := value.Options{Old: true}.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func list(args []any) []any { return append([]any{}, args...) }

// call begins method id on a session, or says message id of a v1 session.
func (p *peer) call(session, id uint64, args ...any) {
	p.t.Helper()
	p.send(p.frame(session, id, args...))
}

func (p *peer) frame(session, id uint64, args ...any) []byte {
	return codec.AppendMethod(nil, p.d, session, id, pack(p.t, list(args)))
}

// next reads a frame and its bytes.
func (p *peer) next() (codec.Frame, []byte, error) {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		f, n, err := p.dec.Next(p.buf)
		if err == nil {
			raw := p.buf[:n:n]
			p.buf = p.buf[n:]
			return f, raw, nil
		}
		if !errors.Is(err, codec.ErrShort) {
			p.t.Fatalf("got no frame: %v: %x", err, p.buf)
		}
		chunk := make([]byte, 64<<10)
		k, err := p.nc.Read(chunk)
		p.buf = append(bytes.Clone(p.buf), chunk[:k]...)
		p.dec = codec.NewDecoder(p.d, codec.Limits{Frame: 64 << 20})
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			p.t.Fatalf("nothing came, but %x", p.buf)
		}
		if k == 0 && err != nil {
			return codec.Frame{}, nil, io.EOF
		}
	}
}

// want reads a frame and compares session, message and arguments.
func (p *peer) want(session, id uint64, args ...any) {
	p.t.Helper()
	f, raw, err := p.next()
	if err != nil {
		p.t.Fatalf("got %v, want message %d of session %d", err, id, session)
	}
	if want := pack(p.t, list(args)); f.Session != session || f.Type != id || !bytes.Equal(f.Args, want) {
		p.t.Fatalf("got session %d, message %d, %x (%q), want %d, %d, %x", f.Session, f.Type, f.Args, raw, session, id, want)
	}
}

// args reads a frame of a session and decodes its arguments.
func (p *peer) args(session, id uint64, v any) {
	p.t.Helper()
	f, raw, err := p.next()
	if err != nil || f.Session != session || f.Type != id {
		p.t.Fatalf("got %v, %x, want message %d of session %d", err, raw, id, session)
	}
	if _, err := value.Decode(f.Args, v, value.Limits{}); err != nil {
		p.t.Fatal(err)
	}
}

// wantEnd reads the end of the connection.
func (p *peer) wantEnd() {
	p.t.Helper()
	if _, raw, err := p.next(); err != io.EOF {
		p.t.Fatalf("got %x, want the end of the connection", raw)
	}
}

// The ids of dialect v0's answers and of v1's.
const (
	chunk0 = heddle.TypeV0Chunk
	error0 = heddle.TypeV0Error
	choke0 = heddle.TypeV0Choke
	value1 = 0
	write1 = heddle.MsgWrite
	error1 = heddle.MsgError
	close1 = heddle.MsgClose
)

// packed is what v0 has in a chunk.
func packed(t testing.TB, v any) string { return string(pack(t, v)) }

// syncBuffer is a log.
type logged struct{ lines chan string }

func newLogged() logged { return logged{make(chan string, 256)} }

func (l logged) Write(p []byte) (int, error) {
	l.lines <- strings.TrimSuffix(string(p), "\n")
	return len(p), nil
}

func (l logged) want(t *testing.T, parts ...string) {
	t.Helper()
	select {
	case line := <-l.lines:
		for _, part := range parts {
			if !strings.Contains(line, part) {
				t.Errorf("got line %q, want %q in it", line, part)
			}
		}
	case <-time.After(patience):
		t.Errorf("no line, want one with %q", parts)
	}
}

func unpack(t testing.TB, s string, v any) {
	t.Helper()
	if _, err := value.Decode([]byte(s), v, value.Limits{}); err != nil {
		t.Fatalf("%v: %x", err, s)
	}
}

// addr is an endpoint as Cloud.AddrOf says it.
func addr(e endpoint) string {
	if e.Port == 0 {
		return "unix:" + e.Host
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	return s[:i], s[i+len(sep):], i >= 0
}

// wait waits until ok says so.
func wait(t testing.TB, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

func unpackErr(p []byte, v any) ([]byte, error) { return value.Decode(p, v, value.Limits{}) }
