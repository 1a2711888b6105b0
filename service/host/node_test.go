package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// A fakeNode runs apps that do nothing.
type fakeNode struct {
	mu   sync.Mutex
	apps map[string]string // profiles
}

func (n *fakeNode) StartApp(name, profile string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.apps[name] != "":
		return ErrRunning
	case name == "nope":
		return fmt.Errorf("no file: %w", ErrNoApp)
	case name == "broken":
		return errors.New("it does not get ready")
	}
	n.apps[name] = profile
	return nil
}

func (n *fakeNode) PauseApp(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.apps[name] == "" {
		return ErrNotRunning
	}
	delete(n.apps, name)
	return nil
}

func (n *fakeNode) List() ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.apps)), nil
}

func (n *fakeNode) Info(name string, flags int64) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.apps[name] == "" {
		return nil, ErrNotRunning
	}
	return map[string]any{"flags": flags}, nil
}

func TestNode(t *testing.T) {
	everywhere(t, Options{Node: &fakeNode{apps: map[string]string{}}}, func(t *testing.T, c *Cloud) {
		p := to(t, c, "node", heddle.V1)
		p.call(1, 2)
		p.want(1, value1, []any{})
		p.call(2, 0, "b", "default")
		p.want(2, value1)
		p.call(3, 0, "a", "default")
		p.want(3, value1)
		p.call(4, 2)
		p.want(4, value1, []any{"a", "b"})
		p.call(5, 0, "a", "default")
		p.want(5, error1, []any{0x51ff, 5}, "app 'a': application has already been started")
		p.call(6, 0, "nope", "default")
		p.want(6, error1, []any{12, 2}, "manifests/nope: No such file or directory")
		p.call(7, 0, "broken", "default")
		p.want(7, error1, []any{12, 1}, "app 'broken': it does not get ready")
		p.call(8, 3, "a", 5)
		p.want(8, value1, map[string]any{"flags": 5})
		p.call(9, 3, "a")
		p.want(9, value1, map[string]any{"flags": 0})
		p.call(10, 3, "nope")
		p.want(10, error1, []any{12, 22}, "app 'nope' is not running: Invalid argument")
		p.call(11, 1, "a")
		p.want(11, value1)
		p.call(12, 1, "a")
		p.want(12, error1, []any{12, 22}, "app 'a' is not running: Invalid argument")
		p.call(13, 5, "nope", "event")
		p.want(13, error1, []any{0x51ff, 6}, "application nope is not found")
		p.call(13, 0, "what was on its way")
		p.call(14, 4, "nope")
		p.want(14, error1, []any{12, 22}, "app 'nope' is not running: Invalid argument")
		long := strings.Repeat("x", 60_000)
		p.call(15, 3, long)
		p.want(15, error1, []any{12, 22}, "app '"+long[:mostName]+"…' is not running: Invalid argument")

		v0 := to(t, c, "node", heddle.V0)
		answers := func(want string, id uint64, args ...any) {
			t.Helper()
			v0.call(1, id, args...)
			var chunk []string
			v0.args(1, chunk0, &chunk)
			v0.want(1, choke0)
			var got any
			unpack(t, chunk[0], &got)
			if fmt.Sprint(got) != want {
				t.Errorf("got %v, want %s", got, want)
			}
		}
		answers("[b]", 2)
		answers("map[b:app is already running broken:it does not get ready c:the app has been started nope:object 'nope' has not been found in 'manifests']",
			0, map[string]any{"b": "default", "c": "default", "nope": "default", "broken": "default"})
		answers("map[b:the app has been stopped c:the app has been stopped nope:app is not running]", 1, []any{"b", "c", "nope"})
		answers("[]", 2)
		v0.call(1, 1, slices.Repeat([]any{"x"}, mostApps+1))
		v0.want(1, error0, 1, "too many apps in one call")
		v0.want(1, choke0)
		v0.call(1, 0, map[string]any{"b": 5})
		v0.want(1, error0, 1, badArgs)
		v0.want(1, choke0)
	})
}

// TestNodeAlone: a cloud without a Node knows its apps and starts none.
func TestNodeAlone(t *testing.T) {
	numbers := make(chan int64, 16)
	c := start(t, Options{})
	app := App{Name: "app", Opener: nobody{}, Info: func() (any, error) { return map[string]any{"state": "well"}, nil }, Control: func(n int64) error {
		if n == 13 {
			return errors.New("not so many")
		}
		numbers <- n
		return nil
	}}
	must(t, c.AddApp(app))
	if err := c.AddApp(app); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want %v", err, ErrTaken)
	}
	if err := c.AddApp(App{Name: "logging", Opener: nobody{}}); !errors.Is(err, ErrTaken) || c.app("logging") != nil {
		t.Errorf("got %v, want %v", err, ErrTaken)
	}
	must(t, c.AddApp(App{Name: "other", Opener: nobody{}}))
	p := to(t, c, "node", heddle.V1)
	p.call(1, 2)
	p.want(1, value1, []any{"app", "other"})
	p.call(2, 3, "app")
	p.want(2, value1, map[string]any{"state": "well"})
	p.call(3, 0, "app", "default")
	p.want(3, error1, []any{0x51ff, 5}, "app 'app': application has already been started")
	p.call(4, 0, "new", "default")
	p.want(4, error1, []any{12, 2}, "manifests/new: No such file or directory")
	p.call(5, 1, "app")
	p.want(5, error1, []any{12, 1}, "app 'app': only its owner stops it")
	p.call(6, 5, "app", "event")
	p.want(6, error1, []any{12, 32}, "the application has been stopped: Broken pipe")

	// control, through node and the app's own service
	wantNumber := func(want int64) {
		t.Helper()
		if got := <-numbers; got != want {
			t.Errorf("got %d workers, want %d", got, want)
		}
	}
	p.call(7, 4, "app")
	p.call(7, 0, 3)
	wantNumber(3)
	p.call(7, close1)
	wantNumber(0)
	p.want(7, value1)
	own := to(t, c, "app", heddle.V1)
	own.call(1, 2)
	own.call(1, 0, 5)
	wantNumber(5)
	own.call(1, 0, 13)
	own.want(1, error1, []any{12, 22}, "not so many")
	own.call(2, 2)
	own.call(2, 0, -1)
	own.want(2, error1, []any{12, 22}, "no number of workers")
	own.call(3, 2)
	own.call(3, 0, 7)
	wantNumber(7)
	own.nc.Close()
	for range 2 { // its calls have ended with it, and those that named a number give it back
		wantNumber(0)
	}
	own = to(t, c, "app", heddle.V1)
	own.call(1, 2)
	own.send(slices.Concat(own.frame(1, 0, "many"), own.frame(1, close1))) // behind a slip nothing is answered
	own.wantEnd()
	for _, args := range []string{"\xdc\x00\x01\xa1x", "\xdc\x00\x01\xc0", "\xdd\x00\x00\x00\x01\x90", "\x90"} { // however it is written
		own = to(t, c, "app", heddle.V1)
		own.call(1, 2)
		own.send([]byte("\x93\x01\x00" + args))
		own.wantEnd()
	}
	own = to(t, c, "app", heddle.V1)
	own.call(1, 2)
	own.call(1, close1)
	own.want(1, value1)
	own.call(2, 2)
	own.call(2, 0, 2)
	wantNumber(2) // the first since: none was given back by who had named none
	own.call(2, close1)
	wantNumber(0)
	own.want(2, value1)
	own = to(t, c, "other", heddle.V1)
	own.call(1, 2)
	own.want(1, error1, []any{12, 1}, "nobody but its owner controls this application")

	c.RemoveApp("app")
	c.RemoveApp("app")
	c.RemoveApp("logging")
	p.call(20, 2)
	p.want(20, value1, []any{"other"})
	if c.AddrOf("app", heddle.V1) != "" || c.AddrOf("logging", heddle.V1) == "" {
		t.Error("the app is there still, or logging not any more")
	}
}

// nobody is an Opener that has stopped.
type nobody struct{}

func (nobody) OpenOn(int, session.OpenOptions, func(*session.Session, error)) (*session.Session, func() bool, error) {
	return nil, nil, errors.New("closed")
}
