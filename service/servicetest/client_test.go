package servicetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must come. What must not come is waited for by another
// call's answer, never by time.
const patience = 20 * time.Second

// A peer is a client of bare bytes.
type peer struct {
	t   *testing.T
	nc  net.Conn
	buf []byte
}

func dial(t *testing.T, endpoint string) *peer {
	t.Helper()
	network, address := "tcp", endpoint
	if path, ok := strings.CutPrefix(endpoint, "unix:"); ok {
		network, address = "unix", path
	}
	nc, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &peer{t: t, nc: nc}
}

func (p *peer) send(frame ...byte) {
	p.t.Helper()
	if _, err := p.nc.Write(frame); err != nil {
		p.t.Fatal(err)
	}
}

// call sends a frame of three elements.
func (p *peer) call(a, b uint64, args ...any) {
	p.t.Helper()
	p.send(appendValue(appendUint(appendUint([]byte{0x93}, a), b), append([]any{}, args...))...)
}

// next returns a frame and its bytes, or io.EOF.
func (p *peer) next() (node, []byte, error) {
	p.t.Helper()
	if err := p.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	for {
		n, err := parse(p.buf, 0)
		if err == nil {
			b := bytes.Clone(p.buf[:n.size])
			p.buf = p.buf[n.size:]
			return n, b, nil
		}
		if err != errCut {
			return n, p.buf, err
		}
		chunk := make([]byte, 4096)
		k, err := p.nc.Read(chunk)
		p.buf = append(p.buf, chunk[:k]...)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			p.t.Fatalf("nothing came, but %x", p.buf)
		}
		if k == 0 && err != nil {
			if len(p.buf) > 0 {
				return node{}, p.buf, io.ErrUnexpectedEOF
			}
			return node{}, nil, io.EOF
		}
	}
}

// want reads a frame and compares its first three elements.
func (p *peer) want(a, b uint64, args ...any) {
	p.t.Helper()
	f, got, err := p.next()
	if err != nil {
		p.t.Fatalf("got %v (%x), want frame %d, %d, %v", err, got, a, b, args)
	}
	if len(f.list) < 3 || f.list[0].u != a || f.list[1].u != b || !bytes.Equal(Pack(f.list[2].value()), Pack(append([]any{}, args...))) {
		p.t.Fatalf("got %v, want %d, %d, %v", f.value(), a, b, args)
	}
}

// wantEnd reads the end of the connection.
func (p *peer) wantEnd() {
	p.t.Helper()
	if f, b, err := p.next(); err != io.EOF {
		p.t.Fatalf("got %v %x %v, want the end of the connection", f.value(), b, err)
	}
}

// A slipList takes slips from the services' goroutines.
type slipList struct {
	mu   sync.Mutex
	list []Slip
}

func (l *slipList) add(s Slip) {
	l.mu.Lock()
	l.list = append(l.list, s)
	l.mu.Unlock()
}

func (l *slipList) all() []Slip {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

// A spyTB takes the errors of a test.
type spyTB struct {
	testing.TB
	errors []string
}

func (s *spyTB) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}
