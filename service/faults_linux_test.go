package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// descriptors wants as many as there were when the test has ended. It is called
// first.
func descriptors(t *testing.T) {
	t.Helper()
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // no such directory here
		}
		return len(fds)
	}
	before := count()
	t.Cleanup(func() {
		await(t, fmt.Sprintf("the end of descriptors, %d as before,", before), func() bool { return count() <= before })
	})
}

// short is a time-out that has to pass.
const short = 50 * time.Millisecond

// TestFaults is what callers get of each fault (K5), and that the service can be
// called again after it.
func TestFaults(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		v0 := c.Dialect() == heddle.V0
		only := func(yes bool, err error) error {
			if yes {
				return err
			}
			return nil
		}
		for _, f := range []struct {
			name  string
			fault servicetest.Fault
			value error         // what a value call gets
			part  error         // what a stream of three pieces ends with, beside io.EOF
			errno syscall.Errno // if the connection ends
		}{
			{"silent", servicetest.Silent, service.ErrTimeout, service.ErrTimeout, 0},
			{"never ends", servicetest.NeverEnds, service.ErrTimeout, service.ErrTimeout, 0},
			// v1 is strict: a reply for a session that is not ours ends the connection.
			{"stranger", servicetest.Stranger, only(!v0, service.ErrDisconnected), only(!v0, service.ErrDisconnected), syscall.EBADMSG},
			{"no choke", servicetest.NoChoke, only(v0, service.ErrTimeout), only(v0, service.ErrTimeout), 0},
			{"garbage", servicetest.Garbage, service.ErrDisconnected, service.ErrDisconnected, syscall.EBADMSG},
			{"half a frame", servicetest.HalfFrame, service.ErrDisconnected, service.ErrDisconnected, syscall.ESHUTDOWN},
			{"huge head", servicetest.HugeHead, service.ErrDisconnected, service.ErrDisconnected, syscall.EBADMSG},
			{"hang up", servicetest.HangUp, service.ErrDisconnected, service.ErrDisconnected, syscall.ESHUTDOWN},
		} {
			t.Run(f.name, func(t *testing.T) {
				ctx := withPatience(t)
				for what, call := range map[string]func(s *service.Service) error{
					"value": func(s *service.Service) error { _, err := s.Call(ctx, "value", 1); return err },
					"stream": func(s *service.Service) error {
						st, err := s.Stream(ctx, "download", 3)
						if err != nil {
							return err
						}
						defer st.Close()
						for err == nil {
							_, err = st.Recv()
						}
						if err == io.EOF {
							err = nil
						}
						return err
					},
				} {
					want := f.value
					if what == "stream" {
						want = f.part
					}
					var ev events
					patient := &service.Definition{Methods: map[string]service.Method{"patient": {Target: "value", Timeout: -1}}}
					o := ev.options(service.Options{Name: "sample", Definition: patient})
					if errors.Is(want, service.ErrTimeout) {
						o.Timeout = short
					}
					s := newService(t, newClient(t, c, service.ClientOptions{}), o)
					if err := s.Connect(ctx); err != nil {
						t.Fatal(err)
					}
					sample.SetFaults(servicetest.Faults{Fault: f.fault})
					err := call(s)
					if !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("%s: got %v, want %v", what, err, want)
					}
					if errors.Is(want, service.ErrDisconnected) {
						// A socket that is closed with input unread is reset.
						if no := service.Errno(err); no != f.errno && no != syscall.ECONNRESET {
							t.Errorf("%s: %v is errno %v, want %v", what, err, no, f.errno)
						}
						errs := ev.want(t, "connect", "error", "close")
						if !errors.Is(errs[2], service.ErrDisconnected) {
							t.Errorf("%s: the end is told as %v", what, errs[2])
						}
					}
					sample.SetFaults(servicetest.Faults{})
					if v, err := s.Call(ctx, "patient", what); err != nil || v != what {
						t.Errorf("%s: the call after it: %v, %v", what, v, err)
					}
					s.Close()
				}
			})
		}
	})
}

// TestRevoked: the runtime takes one channel away, and the others live on.
func TestRevoked(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	sample := c.Sample("sample")
	s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
	ctx := withPatience(t)
	sample.SetFaults(servicetest.Faults{Method: "void", Fault: servicetest.Revoked})
	var e *service.Error
	if _, err := s.Call(ctx, "void"); !errors.As(err, &e) || e.Msg != "revoked" {
		t.Errorf("got %v", err)
	}
	if v, err := s.Call(ctx, "value", 1); err != nil || v != int64(1) {
		t.Errorf("got %v, %v", v, err)
	}
	if n := sample.Counts().Accepted; n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// TestLocatorFaults: what a call gets when the locator is down, slow, silent or
// lies.
func TestLocatorFaults(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		ctx := withPatience(t)
		call := func(client *service.Client, name string) error {
			s := newService(t, client, service.Options{Name: name})
			defer s.Close()
			_, err := s.Call(ctx, "value", 1)
			return err
		}
		var slips sync.Map
		c := cloud(servicetest.Options{OnSlip: func(s servicetest.Slip) { slips.Store(s.What, s.Service) }})
		sample := c.Sample("sample")

		if err := call(newClient(t, c, service.ClientOptions{}), "nobody"); !errors.Is(err, service.ErrNotAvailable) {
			t.Errorf("an unknown name: got %v", err)
		}
		if c.Dialect() == heddle.V1 { // a service without endpoints is none, and no other locator knows better
			sample.Announce(&servicetest.Announcement{Result: servicetest.Pack([]any{[]any{}, 1, map[any]any{}})})
			both := newClientAt(t, []string{c.Endpoint(), c.DeadEndpoint().String()}, service.ClientOptions{})
			if err := call(both, "sample"); !errors.Is(err, service.ErrNotAvailable) || errors.Is(err, service.ErrDisconnected) {
				t.Errorf("no endpoints: got %v", err)
			}
		}
		sample.Announce(&servicetest.Announcement{Result: servicetest.Pack([]any{1, 2, 3})})
		if err := call(newClient(t, c, service.ClientOptions{}), "sample"); err == nil {
			t.Error("an answer that is none: no error")
		}
		// The locator tells another graph than the service has. v0 answers with an
		// error; v1 closes the connection.
		sample.Announce(&servicetest.Announcement{Methods: []servicetest.Method{{ID: 77, Name: "value", Upstream: servicetest.Primitive}}})
		var said *service.Error
		err := call(newClient(t, c, service.ClientOptions{}), "sample")
		if v0 := c.Dialect() == heddle.V0; v0 && !errors.As(err, &said) || !v0 && !errors.Is(err, service.ErrDisconnected) {
			t.Errorf("a wrong graph: got %v", err)
		}
		sample.Announce(nil)
		slips.Range(func(what, _ any) bool {
			if what != "method 77 is not in the graph" && what != "unknown method 77" {
				t.Errorf("slip: %v", what)
			}
			return true
		})

		unnamed := newClientAt(t, []string{"no..where:10053"}, service.ClientOptions{})
		var looked *net.DNSError
		if err := call(unnamed, "sample"); !errors.Is(err, service.ErrDisconnected) || !errors.As(err, &looked) {
			t.Errorf("a locator whose name nobody knows: got %v", err)
		}
		full := newClientAt(t, []string{"unix:" + fullSocket(t)}, service.ClientOptions{DialTimeout: short, Timeout: 5 * time.Second})
		if err := call(full, "sample"); !errors.Is(err, service.ErrDisconnected) || errors.Is(err, service.ErrTimeout) {
			t.Errorf("a locator that takes no connection: got %v", err)
		}
		down := newClientAt(t, []string{c.DeadEndpoint().String()}, service.ClientOptions{})
		if err := call(down, "sample"); !errors.Is(err, service.ErrDisconnected) {
			t.Errorf("no locator: got %v", err)
		}
		next := newClientAt(t, []string{c.DeadEndpoint().String(), c.Endpoint()}, service.ClientOptions{})
		if err := call(next, "sample"); err != nil {
			t.Errorf("the second locator: got %v", err)
		}

		c.Locator().SetFaults(servicetest.Faults{Delay: 2 * short})
		if err := call(newClient(t, c, service.ClientOptions{}), "sample"); err != nil {
			t.Errorf("a slow locator: got %v", err)
		}
		if err := call(newClient(t, c, service.ClientOptions{Timeout: short / 10}), "sample"); !errors.Is(err, service.ErrTimeout) {
			t.Errorf("a locator that is too slow: got %v", err)
		}
		c.Locator().SetFaults(servicetest.Faults{Fault: servicetest.Silent})
		silent := newClient(t, c, service.ClientOptions{Timeout: short})
		if err := call(silent, "sample"); !errors.Is(err, service.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent locator: got %v", err)
		}
		c.Locator().SetFaults(servicetest.Faults{})
		until := time.Now().Add(patience)
		err = call(silent, "sample")
		for errors.Is(err, service.ErrTimeout) && time.Now().Before(until) { // on a busy machine its answer takes longer, too
			err = call(silent, "sample")
		}
		if err != nil {
			t.Errorf("the locator speaks again: got %v", err)
		}
	})
}

func newClientAt(t *testing.T, locators []string, o service.ClientOptions) *service.Client {
	t.Helper()
	o.Locators = locators
	client, err := service.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestDeadEndpoints: half of the endpoints are gone, in v1 those that are told
// first; then all, and the service comes back elsewhere.
func TestDeadEndpoints(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		client := newClient(t, c, service.ClientOptions{CacheTime: time.Hour})
		if c.Dialect() == heddle.V1 {
			lie := []servicetest.Endpoint{c.DeadEndpoint(), c.DeadEndpoint(), sample.Endpoints()[0]}
			sample.Announce(&servicetest.Announcement{Endpoints: lie})
			for range 3 {
				var ev events
				s := newService(t, client, ev.options(service.Options{Name: "sample"}))
				if v, err := s.Call(ctx, "value", 1); err != nil || v != int64(1) {
					t.Fatalf("got %v, %v", v, err)
				}
				ev.want(t, "connect") // and no error before
				s.Close()
			}
			sample.Announce(nil)
		}
		s := newService(t, client, service.Options{Name: "sample"})
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Fatal(err)
		}
		before := c.Resolves("sample")
		sample.Stop()
		if err := sample.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the connection", func() bool { return s.State() == service.StateClosed })
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Errorf("after the restart: %v", err)
		}
		if n := c.Resolves("sample"); n != before+1 {
			t.Errorf("the name was resolved %d times after the restart, want 1", n-before)
		}
	})
}

// TestStaleCache: all endpoints that are known are dead, so the locator is asked
// again.
func TestStaleCache(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		client := newClient(t, c, service.ClientOptions{CacheTime: time.Hour})
		if _, err := client.Resolve(ctx, "sample"); err != nil {
			t.Fatal(err)
		}
		sample.Stop()
		if err := sample.Start(); err != nil {
			t.Fatal(err)
		}
		var ev events
		s := newService(t, client, ev.options(service.Options{Name: "sample"}))
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Error(err)
		}
		ev.want(t, "connect")
		// Now the locator knows no better.
		s.Close()
		sample.Kill()
		var ev2 events
		s = newService(t, client, ev2.options(service.Options{Name: "sample"}))
		if _, err := s.Call(ctx, "void"); !errors.Is(err, service.ErrDisconnected) {
			t.Errorf("got %v", err)
		}
		ev2.want(t, "error")
	})
}

// TestRestart ends the connection in mid-call: everything in flight fails with
// that cause, and what is called then finds the service where it is now.
func TestRestart(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		var ev events
		s := newService(t, newClient(t, c, service.ClientOptions{}), ev.options(service.Options{Name: "sample"}))
		st, err := s.Stream(ctx, "part", 2)
		if err != nil {
			t.Fatal(err)
		}
		for want := range 2 {
			if v, err := st.Recv(); err != nil || v != fmt.Sprint(want) {
				t.Fatalf("got %v, %v", v, err)
			}
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := s.Call(ctx, "never"); !errors.Is(err, service.ErrDisconnected) {
					t.Errorf("a call in flight: got %v", err)
				}
			})
		}
		await(t, "the calls", func() bool { return sample.Counts().ByMethod["never"] == 10 })
		sample.Stop()
		wg.Wait()
		if _, err := st.Recv(); !errors.Is(err, service.ErrDisconnected) {
			t.Errorf("a stream: got %v", err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		ev.want(t, "connect", "error", "close")
		if _, err := s.Call(ctx, "void"); !errors.Is(err, service.ErrNotAvailable) {
			t.Errorf("while it is down: got %v", err)
		}
		if err := sample.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Errorf("when it is there again: got %v", err)
		}
		ev.want(t, "connect", "error", "close", "error", "connect")
	})
}

// TestCloseInFlight: Close fails what is in flight with ECONNRESET and is told once,
// without an error; after it Connect and Close work again.
func TestCloseInFlight(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		var ev events
		s := newService(t, newClient(t, c, service.ClientOptions{}), ev.options(service.Options{Name: "sample"}))
		failed := make(chan error, 1)
		go func() { // ends with Close
			_, err := s.Call(ctx, "never")
			failed <- err
		}()
		await(t, "the call", func() bool { return sample.Counts().ByMethod["never"] == 1 })
		s.Close()
		if err := <-failed; !errors.Is(err, service.ErrClosed) || service.Errno(err) != syscall.ECONNRESET {
			t.Errorf("got %v", err)
		}
		ev.want(t, "connect", "close")
		if err := s.Connect(ctx); err != nil {
			t.Errorf("Connect after Close: %v", err)
		}
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Error(err)
		}
		s.Close()
		ev.want(t, "connect", "close", "connect", "close")
	})
}
