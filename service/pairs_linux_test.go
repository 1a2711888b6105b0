package service_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// fullSocket is a unix socket that takes no more connections, so that connecting
// to it does not end.
func fullSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "full")
	fds := []int{}
	socket := func() int {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		return fd
	}
	t.Cleanup(func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	})
	l := socket()
	if err := errors.Join(syscall.Bind(l, &syscall.SockaddrUnix{Name: path}), syscall.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		switch err := syscall.Connect(socket(), &syscall.SockaddrUnix{Name: path}); err {
		case nil:
		case syscall.EAGAIN:
			return path
		default:
			t.Fatal(err)
		}
	}
	t.Fatal("the socket takes any number of connections")
	return ""
}

// await waits until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has not come", what)
		}
	}
}

// TestPairs calls every method in every state (K8): what a state does not have is
// a *StateError.
func TestPairs(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{Unix: true})
	c.Sample("sample")
	c.Sample("silent") // its name is asked of a locator that says nothing
	mute := servicetest.New(t, servicetest.Runtime012, servicetest.Options{Unix: true})
	mute.Locator().SetFaults(servicetest.Faults{Fault: servicetest.Silent})

	methods := map[string]func(ctx context.Context, s *service.Service) error{
		"Connect": func(ctx context.Context, s *service.Service) error { return s.Connect(ctx) },
		"Call": func(ctx context.Context, s *service.Service) error {
			_, err := s.Call(ctx, "void")
			return err
		},
		"Stream": func(ctx context.Context, s *service.Service) error {
			st, err := s.Stream(ctx, "download", 1)
			if err == nil {
				err = st.Close()
			}
			return err
		},
		"Methods": func(ctx context.Context, s *service.Service) error {
			_, err := s.Methods(ctx)
			return err
		},
		"Close":    func(_ context.Context, s *service.Service) error { return s.Close() },
		"Shutdown": func(ctx context.Context, s *service.Service) error { return s.Shutdown(ctx) },
	}
	// begin brings a Service into the state and returns how to wait for the end of
	// what was begun.
	states := map[string]func(t *testing.T, r service.Reconnect) (*service.Service, func()){}
	waiting := func(t *testing.T, s *service.Service) func() {
		ended := make(chan error, 1)
		go func() { ended <- s.Connect(context.Background()) }() // ends with Close
		return func() {
			s.Close()
			if err := <-ended; !errors.Is(err, service.ErrClosed) {
				t.Errorf("the Connect before: got %v", err)
			}
		}
	}
	make1 := func(t *testing.T, o service.Options, r service.Reconnect) *service.Service {
		o.Reconnect = r
		if o.Endpoints != nil {
			s, err := service.New(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		return newService(t, newClient(t, c, service.ClientOptions{}), o)
	}
	states[service.StateClosed] = func(t *testing.T, r service.Reconnect) (*service.Service, func()) {
		return make1(t, service.Options{Name: "sample"}, r), func() {}
	}
	states["resolving"] = func(t *testing.T, r service.Reconnect) (*service.Service, func()) {
		s := newService(t, newClient(t, mute, service.ClientOptions{Dialect: service.DialectV1}), service.Options{Name: "silent", Reconnect: r})
		end := waiting(t, s)
		await(t, "resolving", s.Resolving)
		if s.State() != service.StateClosed {
			t.Errorf("resolving in state %s", s.State())
		}
		return s, end
	}
	states[service.StateConnecting] = func(t *testing.T, r service.Reconnect) (*service.Service, func()) {
		s := make1(t, service.Options{Name: "full", Endpoints: []string{"unix:" + fullSocket(t)}, DialTimeout: time.Hour}, r)
		end := waiting(t, s)
		await(t, "connecting", func() bool { return s.State() == service.StateConnecting })
		return s, end
	}
	states[service.StateConnected] = func(t *testing.T, r service.Reconnect) (*service.Service, func()) {
		s := make1(t, service.Options{Name: "sample"}, r)
		if err := s.Connect(withPatience(t)); err != nil {
			t.Fatal(err)
		}
		return s, func() {}
	}
	states[service.StateFailed] = func(t *testing.T, r service.Reconnect) (*service.Service, func()) {
		s := make1(t, service.Options{Name: "dead", Endpoints: []string{c.DeadEndpoint().String()}}, r)
		if err := s.Connect(withPatience(t)); err == nil {
			t.Fatal("connected to nobody")
		}
		return s, func() {}
	}

	// What a pair comes to; nil is nil.
	var refused *service.StateError
	type pair struct{ state, method string }
	never := map[pair]any{}
	for state := range states {
		for method := range methods {
			never[pair{state, method}] = &refused
		}
		never[pair{state, "Close"}] = nil
		never[pair{state, "Shutdown"}] = nil
	}
	never[pair{service.StateClosed, "Connect"}] = nil
	never[pair{service.StateFailed, "Connect"}] = syscall.ENOENT // tried again
	for _, method := range []string{"Call", "Stream", "Methods"} {
		never[pair{service.StateConnected, method}] = nil
	}
	onCall := map[pair]any{}
	for p, want := range never {
		onCall[p] = want
	}
	for _, method := range []string{"Call", "Stream", "Methods"} {
		onCall[pair{service.StateClosed, method}] = nil
		onCall[pair{service.StateFailed, method}] = syscall.ENOENT
		onCall[pair{"resolving", method}] = context.Canceled // joins, and waits
		onCall[pair{service.StateConnecting, method}] = context.Canceled
	}

	for name, choice := range map[string]struct {
		r    service.Reconnect
		want map[pair]any
	}{"never": {service.ReconnectNever, never}, "on call": {service.ReconnectOnCall, onCall}} {
		for p, want := range choice.want {
			t.Run(name+"/"+p.state+"/"+p.method, func(t *testing.T) {
				s, end := states[p.state](t, choice.r)
				before := s.State()
				ctx := withPatience(t)
				if want == context.Canceled {
					var cancel func()
					ctx, cancel = context.WithCancel(ctx)
					cancel()
				}
				err := methods[p.method](ctx, s)
				switch want := want.(type) {
				case nil:
					if err != nil {
						t.Errorf("got %v", err)
					}
				case error:
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				default:
					var e *service.StateError
					if !errors.As(err, &e) || e.State != before || errors.Is(err, service.ErrClosed) != (before == service.StateClosed) {
						t.Errorf("got %v, want a *StateError of state %s", err, before)
					}
					if s.State() != before {
						t.Errorf("that moved the state to %s", s.State())
					}
				}
				end()
			})
		}
	}
}
