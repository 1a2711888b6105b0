package host

import (
	"errors"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// at is where an answer to resolve says that a service is.
type at struct {
	_    struct{} `msg:",tuple"`
	Host string
	Port uint16
}

type answerV0 struct {
	_       struct{} `msg:",tuple"`
	At      at
	Version int
	Methods map[uint64]string
}

type answerV1 struct {
	_       struct{} `msg:",tuple"`
	At      []at
	Version int
	Graph   map[uint64]any
}

func (a at) String() string {
	return addr(endpoint{Host: a.Host, Port: a.Port})
}

// TestResolve asks one locator in both dialects, and what it says is the service of
// that dialect.
func TestResolve(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, c *Cloud) {
		p := dial(t, c.Addr(), heddle.V0)
		p.call(0, 0, "logging")
		var chunk []string
		p.args(0, chunk0, &chunk)
		p.want(0, choke0)
		var v0 answerV0
		unpack(t, chunk[0], &v0)
		if got, want := v0.At.String(), c.AddrOf("logging", heddle.V0); got != want || v0.Version != 1 || len(v0.Methods) != 2 || v0.Methods[1] != "verbosity" {
			t.Errorf("got %s and %+v, want it at %s", got, v0, want)
		}
		for _, name := range []string{"locator", "nope"} {
			p.call(0, 0, name)
			p.want(0, error0, 1, "the specified service is not available")
			p.want(0, choke0)
		}

		p = dial(t, c.Addr(), heddle.V1)
		var v1 answerV1
		p.call(1, 0, "logging")
		p.args(1, value1, &v1)
		if got, want := v1.At[0].String(), c.AddrOf("logging", heddle.V1); got != want || v1.Version != 2 || len(v1.Graph) != 3+len(controls) {
			t.Errorf("got %s and %+v, want it at %s", got, v1, want)
		}
		v1 = answerV1{}
		p.call(2, 0, "locator", "seed")
		p.args(2, value1, &v1)
		if got, want := v1.At[0].String(), c.Addr(); got != want || v1.Version != 3 {
			t.Errorf("got %s and %+v, want it at %s", got, v1, want)
		}
		p.call(3, 0, "nope")
		p.want(3, error1, []any{10, 1}, "service is not available")
	})
}

// TestTold has a locator tell what the options say in place of its own address.
func TestTold(t *testing.T) {
	c := start(t, Options{Locator: "0.0.0.0:0", Host: "here.example"})
	_, port, _ := cutLast(c.Addr(), ":")
	p := dial(t, "127.0.0.1:"+port, heddle.V1)
	var v1 answerV1
	p.call(1, 0, "logging")
	p.args(1, value1, &v1)
	if v1.At[0].Host != "127.0.0.1" {
		t.Errorf("got %v, want the address at which the client has reached us", v1.At)
	}
	dial(t, v1.At[0].String(), heddle.V1)
	p = dial(t, "127.0.0.1:"+port, heddle.V0)
	p.call(0, 0, "logging")
	var chunk []string
	var v0 answerV0
	p.args(0, chunk0, &chunk)
	unpack(t, chunk[0], &v0)
	if v0.At.Host != "here.example" {
		t.Errorf("got %v, want the name of the options", v0.At)
	}
	c = start(t, Options{Addresses: []string{"10.0.0.1", "10.0.0.2"}})
	p = dial(t, c.Addr(), heddle.V1)
	p.call(1, 0, "logging")
	v1 = answerV1{}
	p.args(1, value1, &v1)
	if len(v1.At) != 2 || v1.At[0].Host != "10.0.0.1" || v1.At[1].Host != "10.0.0.2" || v1.At[0].Port != v1.At[1].Port {
		t.Errorf("got %v, want both addresses", v1.At)
	}
}

// TestAdd: services come and go, and nobody takes another's name.
func TestAdd(t *testing.T) {
	c := start(t, Options{})
	hello := Service{Name: "hello", Version: 4, V1: []Method{
		Quick(0, "say", 1, func(_ *Call, a *word) (Results, error) { return Results{"hello " + a.Text, 1}, nil }),
	}}
	if err := c.Add(hello); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hello", "logging", "locator", ""} {
		if err := c.Add(Service{Name: name, V1: hello.V1}); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: got %v, want %v", name, err, ErrTaken)
		}
	}
	p := to(t, c, "hello", heddle.V1)
	p.call(1, 0, "you")
	p.want(1, value1, "hello you", 1)
	l := dial(t, c.Addr(), heddle.V0)
	l.call(1, 0, "hello")
	l.want(1, error0, 1, "the specified service is not available") // not for this dialect
	c.Remove("hello")
	c.Remove("logging") // not by this
	p.wantEnd()
	if got := c.AddrOf("hello", heddle.V1); got != "" || c.AddrOf("logging", heddle.V1) == "" {
		t.Errorf("got hello at %q", got)
	}
}

// TestChangesAtOnce: many changes while a loop is at something else are looked at
// once, and told.
func TestChangesAtOnce(t *testing.T) {
	c := start(t, Options{Cluster: true})
	p := dial(t, c.Addr(), heddle.V1)
	p.call(1, connect, "them")
	if _, _, err := p.next(); err != nil {
		t.Fatal(err)
	}
	looked := 0 // loop only
	goOn := make(chan struct{})
	c.mu.Lock()
	for w := range c.watchers {
		must(t, c.loops[0].Do(func() {
			tell := w.tell
			w.tell = func() (bool, error) { looked++; return tell() }
			<-goOn
		}))
	}
	c.published["new"] = &publication{result{at: []endpoint{{Host: "127.0.0.1", Port: 9}}, graph: heddle.Value{0x80}}}
	c.mu.Unlock()
	for range 1000 {
		c.changed()
	}
	close(goOn)
	if f, raw, err := p.next(); err != nil || f.Session != 1 || !strings.Contains(string(raw), "new") {
		t.Errorf("got %x, %v, want news of the service", raw, err)
	}
	c.changed() // nothing is new
	must(t, c.Add(Service{Name: "last", Version: 1, V1: []Method{Unbound(0, "nothing")}}))
	if _, raw, err := p.next(); err != nil || !strings.Contains(string(raw), "last") || strings.Contains(string(raw), "new") {
		t.Errorf("got %x, %v, want the last service alone", raw, err)
	}
	done := make(chan int, 1)
	must(t, c.loops[0].Do(func() { done <- looked }))
	if n := <-done; n < 2 || n > 4 {
		t.Errorf("looked %d times, want once for each time that something was new", n)
	}
}
