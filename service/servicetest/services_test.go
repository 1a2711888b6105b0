package servicetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
)

// TestSample calls each kind of method over TCP and unix sockets.
func TestSample(t *testing.T) {
	for _, unix := range []bool{false, true} {
		t.Run(fmt.Sprintf("v0 unix %v", unix), func(t *testing.T) {
			s := New(t, Runtime011, Options{Unix: unix}).Sample("test")
			p := dial(t, s.Endpoint())
			chunk := func(session uint64, v any) { t.Helper(); p.want(4, session, string(Pack(v))) }
			p.call(0, 1, "a", 7)
			chunk(1, []any{"a", 7})
			p.want(6, 1)
			p.call(0, 1, 300) // the id once more
			chunk(1, 300)
			p.want(6, 1)
			p.call(1, 2)
			p.want(6, 2)
			p.call(2, 3, 42, 5, "no")
			p.want(5, 3, 5, "no")
			p.want(6, 3)
			p.call(3, 0, 2)
			chunk(0, "0")
			chunk(0, "1")
			p.want(6, 0)
			p.call(5, 4, 1)
			chunk(4, "0")
			p.call(4, 5)
			p.call(1, 6)
			p.want(6, 6)
			if n := s.Counts(); n.Calls != 8 || n.Open != 1 || n.Accepted != 1 || n.ByMethod["value"] != 2 {
				t.Errorf("counts %+v", n)
			}
		})
		t.Run(fmt.Sprintf("v1 unix %v", unix), func(t *testing.T) {
			s := New(t, Runtime012, Options{Unix: unix}).Sample("test")
			p := dial(t, s.Endpoint())
			p.call(2, 0, "a", 7)
			p.want(2, 0, "a", 7)
			p.call(3, 1)
			p.want(3, 0)
			p.call(4, 2, 42, 5, "no")
			p.want(4, 1, []any{42, 5}, "no")
			p.call(5, 3, 2)
			p.want(5, 0, "0")
			p.want(5, 0, "1")
			p.want(5, 2)
			p.call(6, 5, 1)
			p.want(6, 0, "0")
			p.call(7, 4)
			p.call(8, 6, "anything")
			p.call(9, 7)
			p.call(9, 0, "ab")
			p.call(9, 0, "cd")
			p.call(9, 2)
			p.want(9, 0, "abcd")
			p.call(10, 8)
			p.call(10, 0, "x")
			p.want(10, 0, "x")
			p.call(10, 2)
			p.want(10, 2)
			p.call(11, 9)
			p.call(11, 0)
			p.want(11, 0)
			p.call(11, 0, "item")
			p.want(11, 0, "item")
			p.call(11, 2)
			p.want(11, 2)
			p.call(11, 0)
			p.want(11, 0, 1)
			p.call(12, 9)
			p.call(12, 1, []any{1, 2})
			p.want(12, 1, []any{42, 100}, "the caller has failed")
			p.call(13, revoke, 7, []any{7, 4})
			p.want(13, 0)
			if n := s.Counts(); n.Calls != 12 || n.Open != 1 {
				t.Errorf("counts %+v", n)
			}
		})
	}
}

// TestHeaders wants a call's headers seen and its trace in the answer.
func TestHeaders(t *testing.T) {
	c := New(t, Runtime012, Options{})
	s := c.Sample("test")
	p := dial(t, s.Endpoint())
	frame := []byte{0x94, 1, 1, 0x90, 0x94}
	id := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for i := range uint64(3) {
		frame = appendValue(append(frame, 0x93, 0xc3, byte(80+i)), id(i+5))
	}
	frame = appendValue(append(frame, 0x93, 0xc2, 23), "secret")
	p.send(frame...)
	f, _, err := p.next()
	if err != nil {
		t.Fatal(err)
	}
	want := []any{[]any{false, "trace_id", string(id(5))}, []any{false, "span_id", string(id(6))}, []any{false, "parent_id", string(id(7))}}
	if got := f.list[3].value(); !reflect.DeepEqual(got, want) {
		t.Errorf("headers %v, want %v", got, want)
	}
	p.send(0x94, 2, 1, 0x90, 0x91, 83) // the newest stored
	p.want(2, 0)
	seen := s.Seen()
	if len(seen) != 2 || len(seen[0].Headers) != 4 || string(seen[0].Headers[3].Name) != "authorization" || string(seen[0].Headers[3].Value) != "secret" {
		t.Fatalf("seen %+v", seen)
	}
	if h := seen[1].Headers; len(h) != 1 || string(h[0].Name) != "parent_id" || !bytes.Equal(h[0].Value, id(7)) {
		t.Errorf("stored header %+v", h)
	}
}

func TestLogged(t *testing.T) {
	for _, d := range []heddle.Dialect{Runtime011, Runtime012} {
		level := 2
		c := New(t, d, Options{Verbosity: &level})
		p := dial(t, c.Service("logging").Endpoint())
		if d == Runtime011 {
			p.call(0, 1, 3, "app/a", "text")
			p.want(6, 1)
			p.call(1, 2)
			p.want(4, 2, "\x02")
			p.want(6, 2)
		} else {
			p.call(1, 0, 3, "app/a", "text", []any{[]any{"n", 5}, []any{"s", "v"}})
			p.call(2, 1)
			p.want(2, 0, 2)
		}
		want := Entry{3, "app/a", "text", nil}
		if d == Runtime012 {
			want.Attrs = []Attr{{"n", int64(5)}, {"s", "v"}}
		}
		if got := c.Logged(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%v: logged %+v, want %+v", d, got, want)
		}
	}
}

// TestLocatorStreams follows publish, connect and routing through changes.
func TestLocatorStreams(t *testing.T) {
	c := New(t, Runtime012, Options{Cluster: true})
	p := dial(t, c.Endpoint())
	p.call(1, 5, "router")
	p.want(1, 0, map[string]any{})
	c.SetGroups(map[string]any{"g": []any{[]any{9, "app"}}})
	p.want(1, 0, map[string]any{"g": []any{[]any{9, "app"}}})
	p.call(1, 0) // discard: it has no answer
	p.call(2, 4, "out", []any{[]any{"10.0.0.1", 99}}, []any{3, map[any]any{}})
	p.want(2, 0)
	p.call(3, 0, "out")
	p.want(3, 0, []any{[]any{"10.0.0.1", 99}}, 3, map[any]any{})
	p.call(2, 0)
	for channel := uint64(4); ; channel++ { // nor has this one
		p.call(channel, 0, "out")
		if f, _, err := p.next(); err != nil {
			t.Fatal(err)
		} else if f.list[1].u == 1 {
			break
		}
	}

	q := dial(t, c.Endpoint())
	q.call(1, 1, "uuid")
	f, _, err := q.next()
	if err != nil {
		t.Fatal(err)
	}
	if all := f.list[2].list[1].value().(map[any]any); len(all) != 3 || all["storage"] == nil {
		t.Errorf("connect tells %v", all)
	}
	s := c.Add("more", 7)
	q.want(1, 0, UUID, map[string]any{"more": c.answerTo(s)})
	s.Stop()
	q.want(1, 0, UUID, map[string]any{"more": []any{[]any{}, 0, map[any]any{}}})
}

func (c *Cloud) answerTo(s *Service) []any { result, _ := s.resolved(); return result }

// TestRestart stops a service in the middle of a call and starts it elsewhere.
func TestRestart(t *testing.T) {
	c := New(t, Runtime012, Options{})
	s := c.Sample("test")
	at := func() Endpoint { return s.Endpoints()[0] }
	locator := dial(t, c.Endpoint())
	channel := uint64(0)
	resolve := func() node {
		t.Helper()
		channel++
		locator.call(channel, 0, "test")
		f, _, err := locator.next()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	p := dial(t, s.Endpoint())
	p.call(1, 4)
	p.reach(Runtime012)
	before := at()
	s.Stop()
	p.wantEnd()
	if f := resolve(); f.list[1].u != 1 {
		t.Errorf("resolve of a stopped service: %v", f.value())
	}
	if _, err := net.Dial("tcp", before.String()); err == nil {
		t.Error("a stopped service listens")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("a second Start")
	}
	p = dial(t, s.Endpoint())
	p.call(1, 1)
	p.want(1, 0)
	if got := string(resolve().list[2].list[0].list[0].list[0].raw); got != "127.0.0.1" {
		t.Errorf("resolve gives %q", got)
	}
	s.Kill()
	p.wantEnd()
	if f := resolve(); f.list[1].u != 0 || f.list[2].list[0].list[0].list[1].u != uint64(at().Port) {
		t.Errorf("resolve of a killed service: %v", f.value())
	}
	if c.Resolves("test") != 3 || c.Locator().Counts().ByMethod["resolve"] != 3 {
		t.Errorf("%d resolves", c.Resolves("test"))
	}
	c.Locator().Kill()
	locator.wantEnd()
}

// TestAnnounce has the locator tell what is not so.
func TestAnnounce(t *testing.T) {
	for _, d := range []heddle.Dialect{Runtime011, Runtime012} {
		c := New(t, d, Options{})
		s := c.Sample("test")
		second, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		dial(t, net.JoinHostPort("127.0.0.1", fmt.Sprint(second.Port))).reach(d)
		dead := c.DeadEndpoint()
		if nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(dead.Port))); err == nil {
			nc.Close()
			t.Errorf("somebody listens on %v", dead)
		}
		s.Announce(&Announcement{Endpoints: []Endpoint{dead, second}, Version: 9, Methods: []Method{{ID: 5, Name: "other"}}})
		p := dial(t, c.Endpoint())
		if d == Runtime011 {
			if dead.Host != "localhost" {
				t.Errorf("host %q, want a name", dead.Host)
			}
			p.call(0, 1, "test")
			p.want(4, 1, string(Pack([]any{[]any{dead.Host, dead.Port}, 9, map[uint64]any{5: "other"}})))
			p.want(6, 1)
			s.Announce(&Announcement{Result: Pack("lies")})
			p.call(0, 1, "test")
			p.want(4, 1, string(Pack("lies")))
			p.want(6, 1)
			continue
		}
		p.call(1, 0, "test")
		f, _, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		want := []any{[]any{dead.Host, dead.Port}, []any{second.Host, second.Port}}
		if got := f.list[2].list; !bytes.Equal(Pack(got[0].value()), Pack(want)) || got[1].u != 9 || len(got[2].list) != 10 {
			t.Errorf("resolve gives %v", f.value())
		}
		s.Announce(&Announcement{Result: Pack([]any{1, "two"})})
		p.call(2, 0, "test")
		p.want(2, 0, 1, "two")
		s.Announce(nil)
		p.call(3, 0, "test")
		if f, _, err = p.next(); err != nil || len(f.list[2].list[0].list) != 2 {
			t.Errorf("resolve gives %v, %v", f.value(), err)
		}
	}
}

func TestApp(t *testing.T) {
	c := New(t, Runtime012, Options{})
	s := c.App("a", map[string]func(*Call){"twice": func(call *Call) {
		p, _ := call.Piece()
		_ = call.Write(strings.Repeat(p, 2))
	}})
	p := dial(t, s.Endpoint())
	p.call(1, 0, "twice")
	p.call(1, 0, "ab")
	p.want(1, 0, "abab")
	p.want(1, 2)
	p.call(1, 2) // its own end may come later
	p.call(2, 0, "none")
	p.want(2, 1, []any{42, 200}, "There is no handler for an event none")
	node := dial(t, c.Service("node").Endpoint())
	node.call(1, 5, "a", "echo")
	node.call(1, 0, "x")
	node.want(1, 0, "x")
	node.call(2, 2)
	node.want(2, 0, []any{"a"})
}
