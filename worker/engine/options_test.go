package engine

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	o, err := Options{Path: os.Args[0]}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(o)
	for _, name := range []string{"Workers", "Loops", "Window", "StartTimeout", "HandshakeTimeout", "HeartbeatTimeout", "DrainTimeout", "ShutdownTimeout", "KillDelay", "StderrLines", "Release", "Logger", "Queue", "Backoff"} {
		if v.FieldByName(name).IsZero() {
			t.Errorf("%s has no default", name)
		}
	}
	if o.Name != filepath.Base(os.Args[0]) || !filepath.IsAbs(o.Path) {
		t.Errorf("name %q, path %q", o.Name, o.Path)
	}
	for want, bad := range map[string]Options{ // refused before anything else is looked at
		"no executable":           {},
		"Workers is negative":     {Path: os.Args[0], Workers: -1},
		"Queue.Age is negative":   {Path: os.Args[0], Queue: QueueOptions{Age: -1}},
		"257 loops":               {Path: os.Args[0], Loops: 257},
		"must not contain":        {Path: os.Args[0], Name: "a/b"},
		"KillDelay is negative":   {Path: os.Args[0], KillDelay: -time.Second},
		"Backoff.Max is negative": {Path: os.Args[0], Backoff: BackoffOptions{Max: -1}},
	} {
		if _, err := New(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("HEDDLE_UUID", "the daemon's own")
	t.Setenv("SHARED", "daemon")
	env := environment(&Program{Env: []string{"SHARED=app", "OWN=1", "OWN=2", "EMPTY="}, Dir: "/tmp", Release: "4"}, identity{app: "shop", endpoint: "unix:/x", id: "the-id", index: 3, locator: "10.0.0.1:9"})
	for key, want := range map[string]string{
		"HEDDLE_UUID": "the-id", "HEDDLE_INDEX": "3", "HEDDLE_APP": "shop", "HEDDLE_RELEASE": "4", "HEDDLE_PROTOCOL": "1", "HEDDLE_ENDPOINT": "unix:/x", "HEDDLE_SUSPENDED": "", "HEDDLE_LOCATOR": "10.0.0.1:9",
		"SHARED": "app", "OWN": "2", "PWD": "/tmp",
	} {
		if n := len(slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return !strings.HasPrefix(kv, key+"=") })); n != 1 {
			t.Errorf("%s is there %d times", key, n)
		}
		if got := lookup(env, key); got != want {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	if !slices.Contains(env, "EMPTY=") {
		t.Error("EMPTY= is lost")
	}
}

// lookup is the value of a variable in env.
func lookup(env []string, key string) string {
	for _, kv := range env {
		if len(kv) > len(key) && kv[:len(key)+1] == key+"=" {
			return kv[len(key)+1:]
		}
	}
	return ""
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	type piece struct {
		text string
		more bool
	}
	for _, tt := range []struct {
		in   string
		want []piece
	}{
		{"", nil},
		{"\n", []piece{{"", false}}},
		{"a\nb\r\n\nc", []piece{{"a", false}, {"b", false}, {"", false}, {"c", false}}},
		{long[1:] + "\nb\n", []piece{{long[1:], false}, {"b", false}}},
		{long + "\nb\n", []piece{{long, true}, {"", false}, {"b", false}}},
		{long + long + "y", []piece{{long, true}, {long, true}, {"y", false}}},
		{long, []piece{{long, true}, {"", false}}},
		{"a\x00\xff\n", []piece{{"a\x00\xff", false}}},
	} {
		var got []piece
		readLines(onlyReader{strings.NewReader(tt.in)}, func(text string, more bool) { got = append(got, piece{text, more}) })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%.20q (%d bytes): got %.80v, want %.80v", tt.in, len(tt.in), got, tt.want)
		}
	}
}

type onlyReader struct{ io.Reader }

func TestTail(t *testing.T) {
	for n, want := range map[int]string{0: "", 2: "a b", 3: "a b c", 4: "b c d", 8: "f g h"} {
		k := tail{size: 3}
		for i := range n {
			k.add(string(rune('a' + i)))
		}
		if got := strings.Join(k.all(), " "); got != want {
			t.Errorf("%d lines: got %q, want %q", n, got, want)
		}
	}
	k := tail{size: 1}
	k.add(strings.Repeat("x", 1<<20))
	if n := len(k.all()[0]); n > tailBytes+10 {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestShareOfProcessors(t *testing.T) {
	for _, tc := range []struct{ processors, workers, want int }{
		{1, 4, 0}, {2, 2, 0}, {4, 1, 0}, {4, 2, 2}, {4, 4, 2}, {8, 2, 4}, {8, 3, 3}, {64, 1, 0}, {64, 64, 2}, {64, 200, 2},
	} {
		if got := share(tc.processors, tc.workers); got != tc.want {
			t.Errorf("share(%d processors, %d workers) = %d, want %d", tc.processors, tc.workers, got, tc.want)
		}
	}
	t.Setenv("GOMAXPROCS", "7")
	if env := environment(&Program{}, identity{workers: 50}); !slices.Contains(env, "GOMAXPROCS=7") {
		t.Errorf("the user's own GOMAXPROCS is not kept: %q", env)
	}
}
