package servicetest

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle"
)

// TestFaults wants what each fault leaves of an answer, and other methods well.
func TestFaults(t *testing.T) {
	const value, download = "value", "download"
	end := func(p *peer) { p.wantEnd() }
	for _, c := range []struct {
		name   string
		d      heddle.Dialect
		method string
		fault  Fault
		want   func(p *peer)
	}{
		{"v0 silent", Runtime011, value, Silent, nil},
		{"v1 silent", Runtime012, value, Silent, nil},
		{"v0 never ends", Runtime011, download, NeverEnds, func(p *peer) { p.want(4, 1, "\xa10") }},
		{"v1 never ends", Runtime012, download, NeverEnds, func(p *peer) { p.want(1, 0, "0") }},
		{"v0 stranger", Runtime011, value, Stranger, func(p *peer) {
			p.want(4, 1001, "\x01")
			p.want(6, 1001)
			p.want(4, 1, "\x01")
			p.want(6, 1)
		}},
		{"v1 stranger", Runtime012, value, Stranger, func(p *peer) {
			p.want(1001, 0, 1)
			p.want(1, 0, 1)
		}},
		{"v0 after the end", Runtime011, value, AfterEnd, func(p *peer) {
			p.want(4, 1, "\x01")
			p.want(6, 1)
			p.want(4, 1, "\xa4late")
		}},
		{"v1 after the end", Runtime012, download, AfterEnd, func(p *peer) {
			p.want(1, 0, "0")
			p.want(1, 2)
			p.want(1, 0, "late")
		}},
		{"v0 no choke", Runtime011, "fail", NoChoke, func(p *peer) { p.want(5, 1, 2, "no") }},
		{"v1 revoked", Runtime012, value, Revoked, func(p *peer) { p.want(2, revoke, 1, []any{7, 4}) }},
		{"v0 garbage", Runtime011, value, Garbage, garbage},
		{"v1 garbage", Runtime012, value, Garbage, garbage},
		{"v0 half a frame", Runtime011, value, HalfFrame, cut},
		{"v1 half a frame", Runtime012, value, HalfFrame, cut},
		{"v0 huge head", Runtime011, value, HugeHead, huge},
		{"v1 huge head", Runtime012, value, HugeHead, huge},
		{"v0 hang up", Runtime011, value, HangUp, end},
		{"v1 hang up", Runtime012, value, HangUp, end},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(t, c.d, Options{}).Sample("test")
			s.SetFaults(Faults{Method: c.method, Fault: c.fault})
			p := dial(t, s.Endpoint())
			id := map[string]uint64{value: 0, "fail": 2, download: 3}[c.method]
			args := []any{1}
			if c.method == "fail" {
				args = []any{1, 2, "no"}
			}
			if c.d == heddle.V0 {
				p.call(id, 1, args...)
			} else {
				p.call(1, id, args...)
			}
			if c.want != nil {
				c.want(p)
			}
			switch c.fault {
			case Garbage, HalfFrame, HugeHead, HangUp:
			default:
				q := p
				if c.d == heddle.V0 {
					q.call(1, 2)
					q.want(6, 2)
				} else {
					q.call(50, 1)
					q.want(50, 0)
				}
			}
			s.SetFaults(Faults{})
			q := dial(t, s.Endpoint())
			q.reach(c.d)
		})
	}
}

func garbage(p *peer) {
	p.t.Helper()
	if f, b, err := p.next(); err != errLead {
		p.t.Errorf("got %v %x %v, want garbage", f.value(), b, err)
	}
}

func cut(p *peer) {
	p.t.Helper()
	if f, b, err := p.next(); err != io.ErrUnexpectedEOF {
		p.t.Errorf("got %v %x %v, want half a frame", f.value(), b, err)
	}
}

func huge(p *peer) {
	p.t.Helper()
	chunk := make([]byte, 100)
	n, err := io.ReadFull(p.nc, chunk[:9])
	if err != nil || string(chunk[3:n]) != "\x91\xdb\xff\xff\xff\xff" {
		p.t.Errorf("got %x, %v", chunk[:n], err)
	}
}

// TestDelay wants a slow answer to hold up its own call only.
func TestDelay(t *testing.T) {
	c := New(t, Runtime012, Options{})
	c.Locator().SetFaults(Faults{Method: "resolve", Delay: time.Hour})
	p := dial(t, c.Endpoint())
	p.call(1, 0, "storage")
	p.call(2, 3)
	p.want(2, 0, map[string]any{})
	if c.Resolves("storage") != 1 {
		t.Errorf("%d resolves seen", c.Resolves("storage"))
	}
	c.Locator().SetFaults(Faults{Method: "resolve", Delay: time.Millisecond})
	p.call(3, 0, "nope")
	p.want(3, 1, []any{10, 1}, "service is not available")
	c.Close() // the first is given up
}

// TestCutAndSend ends and disturbs connections from outside.
func TestCutAndSend(t *testing.T) {
	s := New(t, Runtime012, Options{}).Sample("test")
	p, q := dial(t, s.Endpoint()), dial(t, s.Endpoint())
	p.reach(Runtime012)
	q.reach(Runtime012)
	s.Send([]byte{0x93, 9, 9, 0x90})
	p.want(9, 9)
	q.want(9, 9)
	s.Cut()
	p.wantEnd()
	q.wantEnd()
	dial(t, s.Endpoint()).reach(Runtime012)
	if n := s.Counts(); n.Accepted != 3 {
		t.Errorf("counts %+v", n)
	}
}

// TestFloodUnread wants a client that reads nothing to stall nobody: its calls
// are taken in all the same.
func TestFloodUnread(t *testing.T) {
	s := New(t, Runtime012, Options{}).Sample("test")
	p := dial(t, s.Endpoint())
	big := make([]byte, 1<<20)
	for i := range uint64(30) {
		p.call(i+1, 0, big)
	}
	dial(t, s.Endpoint()).reach(Runtime012)
	for i := 0; i < 30; i++ {
		if f, _, err := p.next(); err != nil || len(f.list[2].list[0].raw) != len(big) {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
}

// TestClose wants no descriptor left of a cloud, whatever its clients do.
func TestClose(t *testing.T) {
	count := func() int {
		all, err := os.ReadDir("/dev/fd")
		if err != nil {
			return 0 // not on this system
		}
		return len(all)
	}
	before := count()
	for _, unix := range []bool{false, true} {
		c := New(t, Runtime012, Options{Unix: unix})
		c.DeadEndpoint()
		p := dial(t, c.Sample("test").Endpoint())
		p.call(1, 4)
		p.call(2, 8)
		p.reach(Runtime012)
		c.Close()
		p.wantEnd()
		p.nc.Close()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, before the clouds %d", after, before)
	}
}
