package service_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
)

// TestContext: the end of the context ends a call and a stream, and a result that
// comes late harms nobody.
func TestContext(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
		cause := errors.New("enough")
		for i := range 20 {
			ctx, cancel := context.WithCancelCause(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := s.Call(ctx, "never")
				failed <- err
			}()
			await(t, "the call", func() bool { return sample.Counts().ByMethod["never"] == i+1 })
			cancel(cause)
			if err := <-failed; !errors.Is(err, cause) {
				t.Fatalf("got %v", err)
			}
			if v, err := s.Call(t.Context(), "value", i); err != nil || v != int64(i) {
				t.Fatalf("got %v, %v", v, err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		st, err := s.Stream(ctx, "part", 1)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := st.Recv(); v != "0" || err != nil {
			t.Fatalf("got %v, %v", v, err)
		}
		cancel(cause)
		if _, err := st.Recv(); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		done, cancelDone := context.WithCancel(t.Context())
		cancelDone()
		if _, err := s.Call(done, "never"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if n := sample.Counts().Accepted; n != 1 {
			t.Errorf("got %d connections", n)
		}
	})
}

// TestGivenUp: calls that are never answered do not pile up, and a service of v1
// hears that nobody waits for them.
func TestGivenUp(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		const calls = 20
		ended := make(chan struct{}, 2*calls)
		until := func(call *servicetest.Call) {
			<-call.Context().Done()
			ended <- struct{}{}
		}
		sample.Handle(servicetest.Method{ID: 50, Name: "value until", Upstream: servicetest.Primitive, Serve: until})
		sample.Handle(servicetest.Method{ID: 51, Name: "stream until", Upstream: servicetest.Streaming, Serve: until})
		o := service.Options{Name: "sample", Timeout: short / 5}
		o.Definition = &service.Definition{Methods: map[string]service.Method{"void": {Timeout: -1}}}
		s := newService(t, newClient(t, c, service.ClientOptions{}), o)
		ctx := withPatience(t)
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if _, err := s.Call(ctx, "value until"); !errors.Is(err, service.ErrTimeout) {
					t.Errorf("got %v", err)
				}
				st, err := s.Stream(ctx, "stream until")
				if err != nil {
					t.Error(err)
					return
				}
				st.Close()
			})
		}
		wg.Wait()
		if c.Dialect() == heddle.V1 {
			for range 2 * calls {
				select {
				case <-ended:
				case <-ctx.Done():
					t.Fatal("the service was not told")
				}
			}
		}
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Error(err)
		}
		await(t, "the end of all calls", func() bool { return s.InFlight() == 0 })
		if n := sample.Counts().Accepted; n != 1 {
			t.Errorf("got %d connections", n)
		}
	})
}

// TestReconnectAlways: a connection is there again without a call.
func TestReconnectAlways(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	sample := c.Sample("sample")
	var ev events
	s := newService(t, newClient(t, c, service.ClientOptions{}), ev.options(service.Options{Name: "sample", Reconnect: service.ReconnectAlways}))
	if _, err := s.Call(withPatience(t), "void"); err != nil { // so that the connection is accepted, too
		t.Fatal(err)
	}
	sample.Cut()
	ev.want(t, "connect", "error", "close", "connect")
	sample.Stop()
	await(t, "a failed attempt", func() bool {
		ev.mu.Lock()
		defer ev.mu.Unlock()
		return len(ev.list) > 6 && ev.list[len(ev.list)-1] == "error"
	})
	if err := sample.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the connection", func() bool { return s.State() == service.StateConnected })
	s.Close()
}

// TestTrace: what a call carries of its context.
func TestTrace(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	sample := c.Sample("sample")
	s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
	ctx := session.WithTrace(withPatience(t), session.Trace{TraceID: 7, SpanID: 8, ParentID: 9})
	ctx = session.WithHeaders(ctx, []header{{Name: []byte("authorization"), Value: []byte("secret")}, {Name: []byte("cookie"), Value: []byte("x")}})
	ctx = service.WithHeaders(ctx, []header{{Name: []byte("own"), Value: []byte("y")}})
	if _, err := s.Call(ctx, "void"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(withPatience(t), "void"); err != nil {
		t.Fatal(err)
	}
	seen := sample.Seen()
	got := map[string]string{}
	for _, h := range seen[0].Headers {
		got[string(h.Name)] = string(h.Value)
	}
	id := func(n byte) string { return string([]byte{n, 0, 0, 0, 0, 0, 0, 0}) }
	if got["trace_id"] != id(7) || got["parent_id"] != id(8) || len(got["span_id"]) != 8 || got["span_id"] == id(8) ||
		got["authorization"] != "secret" || got["own"] != "y" || len(got) != 5 {
		t.Errorf("got headers %q", got)
	}
	if len(seen[1].Headers) > 0 {
		t.Errorf("a call without any: got %v", seen[1].Headers)
	}
}

// TestCoalescing: equal questions at one time are asked once, and their answer is
// kept for a while, of a bounded number of names.
func TestCoalescing(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		ctx := withPatience(t)
		names := []string{"sample", "other", "third"}
		for _, name := range names {
			c.Sample(name)
		}
		client := newClient(t, c, service.ClientOptions{CacheTime: time.Hour, CacheSize: 2})
		c.Locator().SetFaults(servicetest.Faults{Delay: short})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := client.Resolve(ctx, "sample"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		c.Locator().SetFaults(servicetest.Faults{})
		probes := 0 // the question that told the dialect
		if c.Dialect() == heddle.V1 {
			probes = 1
		}
		if n := c.Resolves("sample"); n != 1+probes {
			t.Errorf("resolved %d times, want %d", n, 1+probes)
		}
		for _, name := range slices.Concat(names, names) {
			if _, err := client.Resolve(ctx, name); err != nil {
				t.Error(err)
			}
		}
		all := 0
		for _, name := range names {
			all += c.Resolves(name)
		}
		if all-probes <= 3 {
			t.Errorf("%d answers, of 3 names, in a cache of 2", all-probes)
		}
		never := newClient(t, c, service.ClientOptions{CacheTime: -1})
		before := c.Resolves("other")
		for range 3 {
			if _, err := never.Resolve(ctx, "other"); err != nil {
				t.Error(err)
			}
		}
		if n := c.Resolves("other") - before - probes; n != 3 {
			t.Errorf("without a cache 3 questions are asked %d times", n)
		}
	})
}

// TestLocatorDialTimeout: a locator that takes no connection leaves the question to
// the next after DialTimeout, also while it is to tell its dialect. The context is
// shorter than the loop's own time-out of 10 s.
func TestLocatorDialTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		client := newClientAt(t, []string{"unix:" + fullSocket(t), c.Endpoint()}, service.ClientOptions{DialTimeout: short})
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if _, err := client.Resolve(ctx, "sample"); err != nil {
			t.Error(err)
		}
	})
}

// TestLateAnswer: the answer to a call that was given up harms nobody, also where
// the service could not be told.
func TestLateAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		release := make(chan struct{})
		sample := c.Add("sample", 1,
			servicetest.Method{ID: 0, Name: "late", Upstream: servicetest.Primitive, Serve: func(call *servicetest.Call) {
				select {
				case <-release:
				case <-call.Context().Done():
				}
				_ = call.Value("late")
			}},
			servicetest.Method{ID: 1, Name: "value", Upstream: servicetest.Primitive, Serve: func(call *servicetest.Call) { _ = call.Value(call.Args()...) }},
		)
		d := service.DialectV1
		if c.Dialect() == heddle.V0 {
			d = service.DialectV0
		}
		s, err := service.New(service.Options{
			Name: "sample", Endpoints: []string{sample.Endpoint()}, Dialect: d,
			Methods: []*session.Method{{ID: 0, Name: "late", Upstream: session.Primitive}, {ID: 1, Name: "value", Upstream: session.Primitive}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx := withPatience(t)
		for i := range 10 {
			given, cancel := context.WithCancel(ctx)
			failed := make(chan error, 1)
			go func() {
				_, err := s.Call(given, "late")
				failed <- err
			}()
			await(t, "the call", func() bool { return sample.Counts().ByMethod["late"] == i+1 })
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if n := s.InFlight(); n != 0 {
			t.Errorf("%d calls in flight that were given up", n)
		}
		close(release)
		for i := range 100 {
			if v, err := s.Call(ctx, "value", i); err != nil || v != int64(i) {
				t.Fatalf("got %v, %v", v, err)
			}
		}
		if n := sample.Counts().Accepted; n != 1 {
			t.Errorf("got %d connections", n)
		}
	})
}

// TestDialectOnce: many names at once ask for a locator's dialect on one
// connection, and another one carries the questions.
func TestDialectOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		client := newClient(t, c, service.ClientOptions{})
		ctx := withPatience(t)
		var wg sync.WaitGroup
		for _, name := range []string{"storage", "logging", "node"} {
			wg.Go(func() {
				if info, err := client.Resolve(ctx, name); err != nil || info.Method("nothing") != nil || len(info.Methods) == 0 {
					t.Errorf("%s: got %v, %v", name, info, err)
				}
			})
		}
		wg.Wait()
		if n := c.Locator().Counts().Accepted; n != 2 {
			t.Errorf("got %d connections to the locator, want 2", n)
		}
	})
}
