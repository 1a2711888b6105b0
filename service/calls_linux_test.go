package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// patience is for what must come.
const patience = 20 * time.Second

func withPatience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// everywhere runs f for both runtimes, on TCP and unix sockets.
func everywhere(t *testing.T, f func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud)) {
	for _, d := range []heddle.Dialect{servicetest.Runtime011, servicetest.Runtime012} {
		for _, unix := range []bool{false, true} {
			name := fmt.Sprintf("%v tcp", d)
			if unix {
				name = fmt.Sprintf("%v unix", d)
			}
			t.Run(name, func(t *testing.T) {
				f(t, func(o servicetest.Options) *servicetest.Cloud {
					o.Unix = unix
					return servicetest.New(t, d, o)
				})
			})
		}
	}
}

// newClient is a client of the cloud, closed before it.
func newClient(t *testing.T, c *servicetest.Cloud, o service.ClientOptions) *service.Client {
	t.Helper()
	o.Locators = []string{c.Endpoint()}
	client, err := service.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func newService(t *testing.T, client *service.Client, o service.Options) *service.Service {
	t.Helper()
	s, err := client.NewService(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// events are told in order.
type events struct {
	mu   sync.Mutex
	list []string
	errs []error
	some chan struct{}
}

func (e *events) options(o service.Options) service.Options {
	e.some = make(chan struct{}, 100)
	add := func(what string, err error) {
		e.mu.Lock()
		e.list, e.errs = append(e.list, what), append(e.errs, err)
		e.mu.Unlock()
		e.some <- struct{}{}
	}
	o.OnConnect = func() { add("connect", nil) }
	o.OnError = func(err error) { add("error", err) }
	o.OnClose = func(err error) { add("close", err) }
	return o
}

// want waits for that many events and compares all there have been.
func (e *events) want(t *testing.T, want ...string) []error {
	t.Helper()
	for {
		e.mu.Lock()
		got, errs := slices.Clone(e.list), slices.Clone(e.errs)
		e.mu.Unlock()
		if len(got) >= len(want) {
			if !slices.Equal(got, want) {
				t.Fatalf("got events %q, want %q", got, want)
			}
			return errs
		}
		select {
		case <-e.some:
		case <-time.After(patience):
			t.Fatalf("got events %q, want %q", got, want)
		}
	}
}

// TestCalls makes a call of each kind (K9).
func TestCalls(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
		if got := s.State(); got != service.StateClosed {
			t.Errorf("got state %s before the first call", got)
		}
		if v, err := s.Call(ctx, "value", "text"); err != nil || v != "text" {
			t.Errorf("value: got %v, %v", v, err)
		}
		if v, err := service.Call[uint16](ctx, s, "value", 300); err != nil || v != 300 {
			t.Errorf("value of a type: got %v, %v", v, err)
		}
		if v, err := service.Call[int8](ctx, s, "value", 300); err == nil {
			t.Errorf("value of a type that it does not fit: got %v", v)
		}
		if v, err := service.Call[[]string](ctx, s, "value", "a", "b"); err != nil || !slices.Equal(v, []string{"a", "b"}) {
			t.Errorf("several values: got %v, %v", v, err)
		}
		if v, err := s.Call(ctx, "value", map[string]any{"k": []int{1, 2}}); err != nil || fmt.Sprint(v) != "map[k:[1 2]]" {
			t.Errorf("a map: got %v, %v", v, err)
		}
		if v, err := s.Call(ctx, "void"); err != nil || v != nil {
			t.Errorf("void: got %v, %v", v, err)
		}
		_, err := s.Call(ctx, "fail", 42, 77, "boom")
		var e *service.Error
		want := service.Error{Service: "sample", Method: "fail", Category: 42, Code: 77, Msg: "boom"}
		if c.Dialect() == servicetest.Runtime011 {
			want.Category = 0
		}
		if !errors.As(err, &e) || *e != want {
			t.Errorf("fail: got %v, want %v", err, &want)
		}
		if _, err := s.Call(ctx, "nothing of the kind"); !errors.Is(err, service.ErrNoMethod) {
			t.Errorf("unknown method: got %v", err)
		}
		if _, err := s.Call(ctx, "download", 3); !errors.Is(err, service.ErrNotOneValue) {
			t.Errorf("a stream as a value: got %v", err)
		}
		if got, want := s.Endpoint(), c.Service("sample").Endpoint(); c.Dialect() == servicetest.Runtime012 && got != want {
			t.Errorf("got endpoint %q, want %q", got, want)
		}
		if d, ok := s.Dialect(); !ok || d != c.Dialect() {
			t.Errorf("got dialect %v, %v", d, ok)
		}
		if n := c.Service("sample").Counts().Accepted; n != 1 {
			t.Errorf("%d connections for these calls, want 1", n)
		}
	})
}

// TestFixed has no locator (K1, K7), from many goroutines (K3).
func TestFixed(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		known := newClient(t, c, service.ClientOptions{})
		info, err := known.Resolve(ctx, "sample")
		if err != nil {
			t.Fatal(err)
		}
		d := service.DialectV1
		if c.Dialect() == heddle.V0 {
			d = service.DialectV0
		}
		var ev events
		s, err := service.New(ev.options(service.Options{
			Name: "mine", Endpoints: []string{c.Service("sample").Endpoint()}, Dialect: d, Methods: info.Methods, Reconnect: service.ReconnectNever,
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Call(ctx, "value", 1); err == nil || err.Error() != "service mine: value: not in state closed" {
			t.Errorf("before Connect: got %v", err)
		}
		if err := s.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		unnamed, err := service.New(service.Options{Endpoints: []string{"unix:/a", "unix:/b"}})
		if err != nil || unnamed.Name() != "unix:/a" {
			t.Errorf("without a name: got %q, %v", unnamed.Name(), err)
		}
		unnamed.Close()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for k := range 50 {
					n := i*1000 + k
					if v, err := service.Call[int](ctx, s, "value", n); err != nil || v != n {
						t.Errorf("got %v, %v; want %d", v, err, n)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := s.InFlight(); n != 0 {
			t.Errorf("%d calls in flight after all", n)
		}
		s.Close()
		errs := ev.want(t, "connect", "close")
		if errs[1] != nil {
			t.Errorf("Close is told as %v", errs[1])
		}
		if s.Close() != nil || s.State() != service.StateClosed {
			t.Error("a second Close")
		}
		ev.want(t, "connect", "close")
		if n := c.Service("sample").Counts().Accepted; n != 1 {
			t.Errorf("got %d connections, want 1", n)
		}
	})
}

// TestFirstError is told once, with its number, to who waits and as an event, and
// nothing follows (K2).
func TestFirstError(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		want := syscall.ECONNREFUSED
		if _, unix := cutUnix(c.Endpoint()); unix {
			want = syscall.ENOENT
		}
		ctx := withPatience(t)
		var ev events
		s, err := service.New(ev.options(service.Options{Name: "dead", Endpoints: []string{c.DeadEndpoint().String()}}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Connect(ctx)
		if !errors.Is(err, service.ErrDisconnected) || !errors.Is(err, want) || service.Errno(err) != want {
			t.Errorf("Connect: got %v, want %v", err, want)
		}
		if s.State() != service.StateFailed {
			t.Errorf("got state %s", s.State())
		}
		errs := ev.want(t, "error")
		if service.Errno(errs[0]) != want {
			t.Errorf("event: got %v", errs[0])
		}
		s.Close()
		if s.State() != service.StateClosed {
			t.Errorf("got state %s after Close", s.State())
		}
		ev.want(t, "error")
		if _, err := s.Call(ctx, "x"); !errors.Is(err, service.ErrClosed) {
			t.Errorf("a call after Close: got %v", err)
		}
	})
}
