package locator_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
)

// replies returns what the real locators have answered to resolve, by what was
// asked.
func replies(t testing.TB, d heddle.Dialect) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		c := strings.Split(strings.TrimSpace(line), "\t")
		if c[3] != d.String() || c[4] != "runtime->client" || !strings.Contains(c[12], "resolve ") || c[5] != "chunk" && c[5] != "value" {
			continue
		}
		frame, err := hex.DecodeString(c[11])
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := codec.NewDecoder(d, codec.Limits{}).Next(frame)
		if err != nil {
			t.Fatal(err)
		}
		reply := f.Args
		if d == heddle.V0 {
			var m heddle.Chunk
			if err := codec.DecodeArgs(&m, f.Args, 1); err != nil {
				t.Fatal(err)
			}
			reply = m.Data
		}
		all[c[12]] = bytes.Clone(reply)
	}
	return all
}

// TestRecorded decodes what the real locators have answered and wants the same
// bytes again.
func TestRecorded(t *testing.T) {
	for d, want := range map[heddle.Dialect]int{heddle.V0: 8, heddle.V1: 5} {
		all := replies(t, d)
		if len(all) != want {
			t.Errorf("%v: %d replies, want %d", d, len(all), want)
		}
		for what, p := range all {
			i, err := locator.Decode(d, p)
			if err != nil {
				t.Errorf("%v, %s: %v", d, what, err)
				continue
			}
			if i.Controls != (d == heddle.V1) {
				t.Errorf("%v, %s: controls %v", d, what, i.Controls)
			}
			again, err := locator.Append([]byte("front"), d, &i)
			if err != nil || !bytes.Equal(again, append([]byte("front"), p...)) {
				t.Errorf("%v, %s: %v, %x again, of\n%x", d, what, err, again, p)
			}
		}
	}
	i, err := locator.Decode(heddle.V1, replies(t, heddle.V1)["locator.resolve node -> reply id 0"])
	if err != nil {
		t.Fatal(err)
	}
	if want := []locator.Endpoint{{Host: "127.0.0.1", Port: 22021}}; !reflect.DeepEqual(i.Endpoints, want) || i.Version != 1 || len(i.Methods) != 6 {
		t.Errorf("node is %+v", i)
	}
	if m := i.Method("list"); m == nil || m.ID != 2 || m.Dispatch != session.Mute || m.Upstream != session.Primitive || i.MethodID(2) != m {
		t.Errorf("list is %+v", m)
	}
	if m := i.Method("enqueue"); m == nil || m.Dispatch != session.Streaming || m.Upstream != session.Streaming {
		t.Errorf("enqueue is %+v", m)
	}
	if i.Method("ping") != nil || i.MethodID(65533) != nil || i.MethodID(6) != nil {
		t.Error("node has methods that it has not")
	}
}

// TestModel decodes what servicetest tells, whose tables are its own.
func TestModel(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		methods := servicetest.Sample(d)
		p := []byte{0x93, 0x92, 0xa1, 'h', 7, 1}
		if d == heddle.V1 {
			p = []byte{0x93, 0x91, 0x92, 0xa1, 'h', 7, 1}
		}
		i, err := locator.Decode(d, append(p, servicetest.Graph(d, methods)...))
		if err != nil || len(i.Methods) != len(methods) {
			t.Fatalf("%v: %+v, %v", d, i, err)
		}
		for k, m := range methods {
			got := i.Methods[k]
			if got.ID != m.ID || got.Name != m.Name {
				t.Errorf("%v: method %d is %d %q, want %d %q", d, k, got.ID, got.Name, m.ID, m.Name)
			}
			if d == heddle.V1 && (!same(got.Dispatch, m.Dispatch) || !same(got.Upstream, m.Upstream)) {
				t.Errorf("the tables of %q are others", m.Name)
			}
		}
	}
}

func same(got *session.Table, want *servicetest.Table) bool {
	if want == nil {
		return got.Empty()
	}
	if len(got.Arms()) != len(want.Arms) {
		return false
	}
	for _, w := range want.Arms {
		a, ok := got.Arm(w.ID)
		if !ok || a.Name != w.Name || (a.Next == nil) != (w.Next == nil) || w.Next != nil && !same(a.Next, w.Next) {
			return false
		}
	}
	return true
}

func TestDecode(t *testing.T) {
	const at, at1 = "\x92\xa1h\x07", "\x91\x92\xa1h\x07"
	method := func(dispatch, upstream string) string {
		return "\x93" + at1 + "\x01\x81\x00\x93\xa1m" + dispatch + upstream
	}
	deep := strings.Repeat("\x81\x00\x92\xa1d", 6) + "\x80"
	for _, c := range []struct {
		name  string
		d     heddle.Dialect
		reply string
		err   string // empty: none
	}{
		{"v0", heddle.V0, "\x93" + at + "\x01\x81\x00\xa1m", ""},
		{"v0 further elements", heddle.V0, "\x94\x93\xa1h\x07\xc0\x01\x81\x00\xa1m\x80", ""},
		{"v0 str8 and bin8", heddle.V0, "\x93\x92\xd9\x01h\x07\x01\x81\x00\xc4\x01m", ""},
		{"v0 two elements", heddle.V0, "\x92" + at + "\x01", "2 elements"},
		{"v0 empty", heddle.V0, "", "a reply"},
		{"v0 cut", heddle.V0, "\x93" + at + "\x01", "a reply"},
		{"v0 bytes behind", heddle.V0, "\x93" + at + "\x01\x80\x00", "byte 7: bytes after"},
		{"v0 no array", heddle.V0, "\xa1h", "byte 0: a reply to resolve begins with 0xa1"},
		{"v0 nil endpoint", heddle.V0, "\x93\xc0\x01\x80", "an endpoint begins with 0xc0"},
		{"v0 endpoint of one", heddle.V0, "\x93\x91\xa1h\x01\x80", "endpoint of 1"},
		{"v0 list of endpoints", heddle.V0, "\x93" + at1 + "\x01\x80", "an endpoint of 1"},
		{"v0 empty host", heddle.V0, "\x93\x92\xa0\x07\x01\x80", "without host"},
		{"v0 nil host", heddle.V0, "\x93\x92\xc0\x07\x01\x80", "a host is no raw"},
		{"v0 negative port", heddle.V0, "\x93\x92\xa1h\xff\x01\x80", "a port is no integer"},
		{"v0 negative wide port", heddle.V0, "\x93\x92\xa1h\xd1\xff\xff\x01\x80", "a port is no integer"},
		{"v0 port over 65535", heddle.V0, "\x93\x92\xa1h\xce\x00\x01\x00\x00\x01\x80", "port 65536"},
		{"v0 version of text", heddle.V0, "\x93" + at + "\xa11\x80", "the version is no integer"},
		{"v0 version of nil", heddle.V0, "\x93" + at + "\xc0\x80", "the version is no integer"},
		{"v0 list of methods", heddle.V0, "\x93" + at + "\x01\x91\xa1m", "the map of methods begins with 0x91"},
		{"v0 id of text", heddle.V0, "\x93" + at + "\x01\x81\xa1m\x00", "the id of a method is no integer"},
		{"v0 graph of v1", heddle.V0, "\x93" + at + "\x01\x81\x00\x93\xa1m\x80\x80", "a name is no raw"},

		{"v1", heddle.V1, method("\x80", "\x80"), ""},
		{"v1 no endpoints", heddle.V1, "\x93\x90\x00\x80", ""},
		{"v1 nil tables", heddle.V1, method("\xc0", "\xc0"), ""},
		{"v1 recursion", heddle.V1, method("\x81\x00\x92\xa1w\xc0", "\x80"), ""},
		{"v1 further fields", heddle.V1, "\x93" + at1 + "\x01\x81\x00\x94\xa1m\x80\x81\x00\x93\xa1w\x80\x01\x02", ""},
		{"v1 six tables", heddle.V1, method(deep, "\x80"), ""},
		{"v1 seven tables", heddle.V1, method("\x81\x00\x92\xa1d"+deep, "\x80"), "over the bounds"},
		{"v1 endpoint of v0", heddle.V1, "\x93" + at + "\x01\x80", "an endpoint begins with 0xa1"},
		{"v1 methods of v0", heddle.V1, "\x93" + at1 + "\x01\x81\x00\xa1m", "a method begins with 0xa1"},
		{"v1 method of two", heddle.V1, "\x93" + at1 + "\x01\x81\x00\x92\xa1m\x80", "a method of 2"},
		{"v1 table of text", heddle.V1, method("\xa1t", "\x80"), "a table of messages begins with 0xa1"},
		{"v1 message of one", heddle.V1, method("\x81\x00\x91\xa1w", "\x80"), "a message of 1"},
		{"v1 message of text", heddle.V1, method("\x81\x00\xa1w", "\x80"), "a message begins with 0xa1"},
		{"v1 two methods of one id", heddle.V1, "\x93" + at1 + "\x01\x82\x00\x93\xa1m\x80\x80\x00\x93\xa1n\x80\x80", ""},
		{"v1 long name", heddle.V1, "\x93" + at1 + "\x01\x81\x00\x93\xda\x01\x01" + strings.Repeat("n", 257) + "\x80\x80", "over the bounds"},
		{"v1 many endpoints", heddle.V1, "\x93\xdc\x01\x01" + strings.Repeat(at, 257) + "\x01\x80", "over the bounds"},
		{"v1 many methods", heddle.V1, "\x93" + at1 + "\x01\xde\x04\x01" + strings.Repeat("\x00\x93\xa1m\x80\x80", 1025), "over the bounds"},
		{"v1 many messages", heddle.V1, method("\xde\x10\x01"+strings.Repeat("\x00\x92\xa1w\x80", 4097), "\x80"), "over the bounds"},
	} {
		i, err := locator.Decode(c.d, []byte(c.reply))
		if c.err == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else if c.name != "v1 no endpoints" && (len(i.Endpoints) != 1 || i.Endpoints[0] != locator.Endpoint{Host: "h", Port: 7} || len(i.Methods) != 1 || i.Methods[0].Name != "m") {
				t.Errorf("%s: %+v", c.name, i)
			}
			continue
		}
		var syntax *codec.SyntaxError
		if err == nil || !strings.Contains(err.Error(), c.err) || !errors.As(err, &syntax) && !errors.Is(err, locator.ErrBounds) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
	i, err := locator.Decode(heddle.V1, []byte(method("\x81\x00\x92\xa1w\xc0", "\xc0")))
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := i.Methods[0].Dispatch.Arm(0); !ok || a.Next != nil || a.Name != "w" {
		t.Errorf("a recursive message is %+v", a)
	}
	if i.Methods[0].Upstream != session.Mute {
		t.Error("nil in place of the first table is not Mute")
	}
}

func TestAppendErrors(t *testing.T) {
	dst := []byte("front")
	deep := session.Mute
	for range 7 {
		deep = session.NewTable(session.Arm{Name: "d", Next: deep})
	}
	wide := session.NewTable(session.Arm{ID: 1, Name: "a", Next: session.Streaming}, session.Arm{ID: 2, Name: "b", Next: session.Streaming})
	one := []locator.Endpoint{{Host: "h", Port: 1}}
	of := func(m session.Method, n int) *locator.Info {
		i := &locator.Info{Endpoints: one}
		for k := range n {
			m.ID = uint64(k)
			i.Methods = append(i.Methods, &m)
		}
		return i
	}
	for name, c := range map[string]struct {
		d heddle.Dialect
		i *locator.Info
	}{
		"v0 without endpoint": {heddle.V0, &locator.Info{}},
		"endpoints":           {heddle.V1, &locator.Info{Endpoints: make([]locator.Endpoint, 257)}},
		"long host":           {heddle.V1, &locator.Info{Endpoints: []locator.Endpoint{{Host: strings.Repeat("h", 1025), Port: 1}}}},
		"long name":           {heddle.V0, of(session.Method{Name: strings.Repeat("n", 257)}, 1)},
		"methods":             {heddle.V0, of(session.Method{}, 1025)},
		"deep":                {heddle.V1, of(session.Method{Dispatch: deep}, 1)},
		"messages":            {heddle.V1, of(session.Method{Upstream: wide}, 1000)},
	} {
		got, err := locator.Append(dst, c.d, c.i)
		if err == nil || !bytes.Equal(got, dst) || name != "v0 without endpoint" && !errors.Is(err, locator.ErrBounds) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	if _, err := locator.Append(nil, heddle.V1, of(session.Method{Upstream: wide}, 500)); err != nil {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	for text, want := range map[string]locator.Endpoint{
		"h:7":             {Host: "h", Port: 7},
		"[::1]:10053":     {Host: "::1", Port: 10053},
		"unix:/run/x":     {Host: "/run/x"},
		"/run/x":          {Host: "/run/x"},
		"unix:@name":      {Host: "@name"},
		"localhost:65535": {Host: "localhost", Port: 65535},
	} {
		e, err := locator.ParseEndpoint(text)
		if err != nil || e != want {
			t.Errorf("%q: %+v, %v", text, e, err)
		}
		if again, err := locator.ParseEndpoint(e.String()); err != nil || again != e {
			t.Errorf("%q is written %q", text, e)
		}
		if (e.Network() == "unix") != (e.Port == 0) {
			t.Errorf("%q is of network %s", text, e.Network())
		}
	}
	for _, text := range []string{"", "h", "h:", ":7", "h:0", "h:65536", "h:x", "::1:7", "unix:", "unix:@", "h:-1"} {
		if e, err := locator.ParseEndpoint(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, e)
		}
	}
	all, err := locator.ParseEndpoints("127.0.0.1:1, [::1]:2")
	if err != nil || len(all) != 2 || all[1].Address() != "[::1]:2" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := locator.ParseEndpoints("h:1,"); err == nil {
		t.Error("an empty endpoint")
	}
}

// FuzzDecode wants what was decoded to be written and decoded alike.
func FuzzDecode(f *testing.F) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, p := range replies(f, d) {
			f.Add(p, d == heddle.V1)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, v1 bool) {
		d := heddle.V0
		if v1 {
			d = heddle.V1
		}
		i, err := locator.Decode(d, p)
		if err != nil {
			var syntax *codec.SyntaxError
			if !errors.As(err, &syntax) && !errors.Is(err, locator.ErrBounds) {
				t.Fatalf("%x: %v", p, err)
			}
			return
		}
		b, err := locator.Append(nil, d, &i)
		if err != nil {
			t.Fatalf("%x: %+v: %v", p, i, err)
		}
		again, err := locator.Decode(d, b)
		if err != nil || !reflect.DeepEqual(again, i) {
			t.Fatalf("%x: %+v, again %+v, %v", p, i, again, err)
		}
	})
}
