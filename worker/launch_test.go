package worker

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
)

func TestFromEnvironment(t *testing.T) {
	full := map[string]string{
		EnvProtocol: "1", EnvEndpoint: "unix:/run/e", EnvUUID: "u", EnvIndex: "3", EnvApp: "a", EnvRelease: "r7", EnvLocator: "h:1", EnvSuspended: "1",
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want *Launch
		err  string
	}{
		{"nothing", nil, nil, ""},
		{"another HEDDLE_ variable alone", map[string]string{EnvApp: "a", EnvUUID: "u"}, nil, ""},
		{"all", full, &Launch{Heddle: true, Dialect: heddle.V1, Endpoint: "unix:/run/e", UUID: "u", Index: 3, App: "a", Release: "r7", Locator: "h:1", Suspended: true}, ""},
		{"least", map[string]string{EnvProtocol: "1", EnvEndpoint: "127.0.0.1:99", EnvUUID: "u"}, &Launch{Heddle: true, Dialect: heddle.V1, Endpoint: "127.0.0.1:99", UUID: "u"}, ""},
		{"another protocol", map[string]string{EnvProtocol: "2", EnvEndpoint: "/e", EnvUUID: "u"}, nil, `HEDDLE_PROTOCOL="2"`},
		{"no uuid", map[string]string{EnvProtocol: "1", EnvEndpoint: "/e"}, nil, "uuid"},
		{"no endpoint", map[string]string{EnvProtocol: "1", EnvUUID: "u"}, nil, "endpoint"},
		{"bad index", map[string]string{EnvProtocol: "1", EnvEndpoint: "/e", EnvUUID: "u", EnvIndex: "-2"}, nil, "HEDDLE_INDEX"},
		{"index in words", map[string]string{EnvProtocol: "1", EnvEndpoint: "/e", EnvUUID: "u", EnvIndex: "first"}, nil, "HEDDLE_INDEX"},
		{"standby", map[string]string{EnvProtocol: "1", EnvEndpoint: "/e", EnvUUID: "u", EnvIndex: "-1", EnvSuspended: "1"}, &Launch{Heddle: true, Dialect: heddle.V1, Endpoint: "/e", UUID: "u", Index: -1, Suspended: true}, ""},
		{"http", map[string]string{EnvProtocol: "1", EnvEndpoint: "/e", EnvUUID: "u", EnvHTTP: "1"}, &Launch{Heddle: true, Dialect: heddle.V1, Endpoint: "/e", UUID: "u", HTTP: true}, ""},
	} {
		got, err := fromEnvironment(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if !says(err, c.err) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); err == nil && diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestFromArguments(t *testing.T) {
	v0 := Launch{App: "a", UUID: "u", Endpoint: "/run/e", Locator: "h:1"}
	v1 := v0
	v1.Dialect = heddle.V1
	for _, c := range []struct {
		args, rest string // by spaces; "" is the same as args
		want       *Launch
		err        string
	}{
		{args: "p"},
		{args: "p -v --app a --locator x --protocol 1 file"},
		{args: "p --uuid u --app a"},
		{args: "p --app a --endpoint /run/e --uuid"},
		{args: "p -- --uuid u --endpoint /run/e"},
		{args: "p --uuidx u --endpointx /run/e"},
		{args: "p --app a --endpoint /run/e --locator h:1 --uuid u", rest: "p", want: &v0},
		{args: "p --app a --endpoint /run/e --locator h:1 --protocol 1 --uuid u", rest: "p", want: &v1},
		{args: "p --app a --endpoint /run/e --locator h:1 --protocol 0 --uuid u", rest: "p", want: &v0},
		{args: "p --app=a --endpoint=/run/e --locator=h:1 --protocol=1 --uuid=u", rest: "p", want: &v1},
		{args: "p -n 3 --app a --x=y --endpoint /run/e --locator h:1 file --uuid=u --app mine -- --uuid z", rest: "p -n 3 --x=y file --app mine -- --uuid z", want: &v0},
		{args: "--uuid --app a --endpoint /run/e --locator h:1 --uuid u", rest: "--uuid", want: &v0}, // a program of that name
		{args: "p --endpoint /run/e --uuid u --protocol 7", rest: "p", err: "--protocol 7"},
		{args: "p --endpoint nowhere --uuid u", rest: "p", err: "nowhere"},
		{args: "p --endpoint /run/e --uuid=", rest: "p", err: "uuid"},
	} {
		args := strings.Fields(c.args)
		before := slices.Clone(args)
		got, rest, err := fromArguments(args)
		want := strings.Fields(c.rest)
		if c.rest == "" {
			want = before
		}
		if !slices.Equal(rest, want) || !slices.Equal(args, before) {
			t.Errorf("%q: got rest %q, want %q", c.args, rest, want)
		}
		if !says(err, c.err) {
			t.Errorf("%q: got error %v, want %q", c.args, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); err == nil && diff != "" {
			t.Errorf("%q: (-want +got)\n%s", c.args, diff)
		}
	}
}

func TestSplitEndpoint(t *testing.T) {
	for _, c := range []struct{ in, network, addr string }{
		{"unix:/run/x", "unix", "/run/x"},
		{"/run/x", "unix", "/run/x"},
		{"unix:@name", "unix", "@name"},
		{"@name", "unix", "@name"},
		{"127.0.0.1:80", "tcp", "127.0.0.1:80"},
		{"[::1]:80", "tcp", "[::1]:80"},
		{"host:80", "tcp", "host:80"},
		{"", "", ""},
		{"unix:", "", ""},
		{"host", "", ""},
		{"::1:80", "", ""},
	} {
		network, addr, err := splitEndpoint(c.in)
		if network != c.network || addr != c.addr || (err != nil) != (c.network == "") {
			t.Errorf("%q: got %q %q %v, want %q %q", c.in, network, addr, err, c.network, c.addr)
		}
	}
}

func TestNew(t *testing.T) {
	if l, ok := Launched(); ok {
		t.Errorf("the test was launched: %+v", l)
	}
	if _, err := New(Options{}); err != ErrNotLaunched {
		t.Errorf("got %v, want ErrNotLaunched", err)
	}
	l := &Launch{Endpoint: "/e", UUID: "u"}
	for _, o := range []Options{
		{Launch: &Launch{Endpoint: "/e"}},
		{Launch: &Launch{UUID: "u"}},
		{Launch: &Launch{Endpoint: "/e", UUID: "u", Heddle: true}}, // v0
		{Launch: l, HeartbeatInterval: -1},
		{Launch: l, MaxHandlers: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
	w, err := New(Options{Launch: l})
	if err != nil {
		t.Fatal(err)
	}
	if w.State() != StateClosed || w.Err() != nil || w.Launch() != *l {
		t.Errorf("got %s, %v, %+v", w.State(), w.Err(), w.Launch())
	}
	<-w.Done()
}

// says: err is nil for an empty text and contains it otherwise.
func says(err error, text string) bool {
	if err == nil || text == "" {
		return err == nil && text == ""
	}
	return strings.Contains(err.Error(), text)
}
