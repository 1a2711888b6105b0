package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
)

// pieces reads a stream to its end.
func pieces[T any](t *testing.T, st *service.Stream) (all []T) {
	t.Helper()
	for {
		v, err := service.Recv[T](st)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
}

// TestStreams reads streams in each way.
func TestStreams(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
		open := func(method string, args ...any) *service.Stream {
			t.Helper()
			st, err := s.Stream(ctx, method, args...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			return st
		}
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprint(i))
		}
		if got := pieces[string](t, open("download", 1000)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %d pieces, want 1000 in order", len(got))
		}
		if got, err := io.ReadAll(open("download", 12)); err != nil || c.Dialect() == heddle.V1 && string(got) != "01234567891011" {
			t.Errorf("Read: got %q, %v", got, err)
		}
		st := open("download", 1)
		if m, err := st.Next(); err != nil || m.Name != "write" || !bytes.Contains(m.Args, []byte("0")) {
			t.Errorf("Next: got %+v, %v", m, err)
		}
		if _, err := st.Next(); err != io.EOF {
			t.Errorf("after the last message: got %v", err)
		}
		if got := pieces[int](t, open("value", 5)); len(got) != 1 || got[0] != 5 {
			t.Errorf("a value as a stream: got %v", got)
		}
		if got := pieces[int](t, open("void")); len(got) > 1 {
			t.Errorf("nothing as a stream: got %v", got)
		}
		var e *service.Error
		if _, err := open("fail", 42, 7, "boom").Recv(); !errors.As(err, &e) || e.Code != 7 {
			t.Errorf("an error: got %v", err)
		}
		st = open("part", 1) // never ends
		if v, err := st.Recv(); err != nil || v != "0" {
			t.Errorf("got %v, %v", v, err)
		}
		st.Close()
		if _, err := st.Recv(); err == nil || err == io.EOF {
			t.Errorf("a stream that was closed: got %v", err)
		}
		if v, err := s.Call(ctx, "value", 1); err != nil || v != int64(1) {
			t.Errorf("a call after all: got %v, %v", v, err)
		}
	})
}

// TestBothWays sends, too: an app's service is the only one in v0 that takes data.
func TestBothWays(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	c.App("app", nil)
	ctx := withPatience(t)
	client := newClient(t, c, service.ClientOptions{})
	s := newService(t, client, service.Options{Name: "sample", Buffer: 32 << 20}) // for all of both, below

	up, err := s.Stream(ctx, "upload")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"a", "b", "c"} {
		if err := up.Send(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(up, strings.NewReader("def")); err != nil {
		t.Fatal(err)
	}
	if err := up.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := up.Send("late"); err == nil {
		t.Error("a write after the end: no error")
	}
	if v, err := up.Recv(); err != nil || v != "abcdef" {
		t.Errorf("upload: got %v, %v", v, err)
	}

	// More than a connection's outbox takes at once, both ways.
	both, err := s.Stream(ctx, "both")
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	piece := bytes.Repeat([]byte("x"), 64<<10)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 200 {
			if err := both.SendRaw(piece); err != nil {
				t.Error(err)
				return
			}
		}
		if err := both.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := both.SendRaw(piece); !errors.Is(err, session.ErrEnded) {
			t.Errorf("behind the end of our direction: got %v", err)
		}
	})
	n := 0
	for {
		p, err := both.RecvRaw()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Error(err)
			both.Close() // which ends the writer
			break
		}
		n += len(p)
	}
	wg.Wait()
	if n != 200*len(piece) {
		t.Errorf("got %d bytes back, want %d", n, 200*len(piece))
	}

	failed, err := s.Stream(ctx, "upload")
	if err != nil {
		t.Fatal(err)
	}
	failed.Abort(&service.Error{Category: 42, Code: 5, Msg: "changed my mind"})
	var e *service.Error
	if _, err := failed.Recv(); !errors.As(err, &e) || !strings.Contains(e.Msg, "changed my mind") {
		t.Errorf("an upload that was aborted: got %v", err)
	}

	app := newService(t, client, service.Options{Name: "app"})
	st, err := app.Stream(ctx, "enqueue", "echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.Send("ping"), st.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if got := pieces[string](t, st); len(got) != 1 || got[0] != "ping" {
		t.Errorf("an app's answer: got %q", got)
	}
}

// TestAppV0: the data of an enqueue is an argument, and what comes back is not
// packed once more.
func TestAppV0(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime011, servicetest.Options{})
	c.App("app", nil)
	app := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "app"})
	st, err := app.Stream(withPatience(t), "enqueue", "echo", "ping")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if got, err := io.ReadAll(st); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := st.Send("more"); !errors.Is(err, service.ErrNoMessage) {
		t.Errorf("v0 takes nothing more: got %v", err)
	}
}

// TestSendTimeout: the time-out of a method, not the service's, ends what waits for a
// peer that reads nothing; and so does Close.
func TestSendTimeout(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	upload := &session.Method{Name: "upload", Dispatch: session.Streaming, Upstream: session.Primitive}
	s, err := service.New(service.Options{
		Name: "deaf", Endpoints: []string{"unix:" + ln.Addr().String()}, Methods: []*session.Method{upload}, Timeout: -1,
		Definition: &service.Definition{Methods: map[string]service.Method{"upload": {Timeout: short}, "patient": {Target: "upload"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	piece := make([]byte, 64<<10)
	for name, send := range map[string]func(st *service.Stream) error{
		"Send":    func(st *service.Stream) error { return st.Send(piece) },
		"SendRaw": func(st *service.Stream) error { return st.SendRaw(piece) },
	} {
		st, err := s.Stream(withPatience(t), "upload")
		for err == nil {
			err = send(st)
		}
		if !errors.Is(err, service.ErrTimeout) {
			t.Errorf("%s: got %v", name, err)
		}
		s.Close() // for the next one a connection with room
		if err := s.Connect(withPatience(t)); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.Stream(withPatience(t), "patient")
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	failed := make(chan error, 1)
	go func() { // ends with Close
		err := st.Send(piece)
		for ; err == nil; err = st.Send(piece) {
			sent.Add(1)
		}
		failed <- err
	}()
	last := int64(0)
	await(t, "a full outbox", func() bool {
		before := last
		last = sent.Load()
		return last > 0 && last == before
	})
	st.Close()
	if err := <-failed; errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: got %v", err)
	}
}

// TestOneBigMessage: Buffer is for what waits. A value, or one piece of a stream,
// may be as long as a frame; a second one behind it is too much.
func TestOneBigMessage(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		client := newClient(t, c, service.ClientOptions{})
		big := strings.Repeat("warp and weft ", 3<<20/14)
		s := newService(t, client, service.Options{Name: "sample"})
		if v, err := service.Call[string](ctx, s, "value", big); err != nil || v != big {
			t.Errorf("got a value of %d bytes, %v", len(v), err)
		}
		if c.Dialect() == heddle.V0 {
			return // data is no stream there
		}
		st, err := s.Stream(ctx, "both")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Send(big); err != nil {
			t.Fatal(err)
		}
		if v, err := service.Recv[string](st); err != nil || v != big {
			t.Errorf("got a piece of %d bytes, %v", len(v), err)
		}
		if err := errors.Join(st.Send(big), st.Send(big)); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the stream", func() bool { return s.InFlight() == 0 })
		for err == nil {
			_, err = st.Recv()
		}
		if !errors.Is(err, service.ErrOverrun) {
			t.Errorf("behind one that waits: got %v", err)
		}
	})
}

// TestOverrun: a stream that nobody reads ends with an error, and its neighbours
// live on.
func TestOverrun(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample", Buffer: 1000})
		st, err := s.Stream(ctx, "download", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Call(ctx, "value", 1); err != nil || v != int64(1) {
			t.Fatalf("got %v, %v", v, err)
		}
		for err == nil {
			_, err = st.Recv()
		}
		if !errors.Is(err, service.ErrOverrun) && err != io.EOF {
			t.Errorf("got %v", err)
		}
		await(t, "the end of all", func() bool { return s.InFlight() == 0 })
		if n := sample.Counts().Accepted; n != 1 {
			t.Errorf("got %d connections", n)
		}
	})
}

// TestGraph follows a method whose graph is three tables deep both ways, by names.
func TestGraph(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	ctx := withPatience(t)
	s, err := newClient(t, c, service.ClientOptions{}).Any("sample")
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Methods(ctx)
	if err != nil || len(all) != 10 || all[9].Name != "levels" {
		t.Fatalf("got methods %v, %v", all, err)
	}
	if m, err := s.Method(ctx, "upload"); err != nil || m.ID != 7 {
		t.Errorf("got %v, %v", m, err)
	}
	if _, err := s.Method(ctx, "ping"); !errors.Is(err, service.ErrNoMethod) {
		t.Errorf("a control message is no method: got %v", err)
	}
	if _, err := s.Call(ctx, "mute", "x"); err != nil {
		t.Errorf("a method that is not answered: got %v", err)
	}
	st, err := s.Stream(ctx, "levels")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	say := func(name string, args ...any) {
		t.Helper()
		if err := st.Say(name, args...); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(name string, args ...any) {
		t.Helper()
		want := servicetest.Pack(append([]any{}, args...))
		if m, err := st.Next(); err != nil || m.Name != name || !bytes.Equal(m.Args, want) {
			t.Fatalf("got %s %x, %v; want %s %x", m.Name, m.Args, err, name, want)
		}
	}
	if err := st.Say("item", "x"); !errors.Is(err, service.ErrNoMessage) {
		t.Errorf("item before open: got %v", err)
	}
	say("open")
	hear("ready")
	for _, x := range []string{"x", "y"} {
		say("item", x)
		hear("progress", x)
	}
	say("deeper")
	hear("inside")
	if err := st.Say("item", "x"); !errors.Is(err, service.ErrNoMessage) {
		t.Errorf("item after deeper: got %v", err)
	}
	say("leaf")
	hear("done", 2)
	if _, err := st.Next(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if _, err := s.Call(ctx, "download", 1); !errors.Is(err, service.ErrNotOneValue) {
		t.Errorf("a stream as a value: got %v", err)
	}
	if n := s.InFlight(); n != 0 {
		t.Errorf("%d calls in flight after all", n)
	}
}

// TestDefinition customises a service in every way.
func TestDefinition(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		var mu sync.Mutex
		var order []string
		note := func(what string) service.Wrapper {
			return func(next service.Invoker) service.Invoker {
				return func(ctx context.Context, in *service.Invocation) (any, error) {
					mu.Lock()
					order = append(order, what+" "+in.Method)
					mu.Unlock()
					return next(ctx, in)
				}
			}
		}
		tries := 0
		d := &service.Definition{
			Wrap: []service.Wrapper{note("outer"), note("middle")},
			Methods: map[string]service.Method{
				"value":  {Wrap: []service.Wrapper{note("inner")}},
				"number": {Target: "value", Unpack: service.As[uint32]()},
				"raw":    {Target: "value", Unpack: service.Raw},
				"pieces": {Target: "download", Unpack: service.Streamed},
				"joined": {Target: "download", Unpack: service.UnpackWith(func(_ context.Context, st *service.Stream) (any, error) {
					var all []string
					for {
						v, err := service.Recv[string](st)
						if err == io.EOF {
							return strings.Join(all, "+"), nil
						}
						if err != nil {
							return nil, err
						}
						all = append(all, v)
					}
				})},
				"first": {Target: "part", Unpack: service.UnpackWith(func(_ context.Context, st *service.Stream) (any, error) { return st.Recv() })},
				"fire":  {Target: "value", Unpack: service.Nothing},
				"reversed": {Target: "value", Pack: func(dst []byte, d heddle.Dialect, args []any) ([]byte, error) {
					return service.PackEach(dst, d, []any{args[1], args[0]})
				}},
				"twice": {Do: func(ctx context.Context, in *service.Invocation) (any, error) {
					n, err := service.Call[int](ctx, in.Service, "value", in.Args...)
					return 2 * n, err
				}},
				"flaky": {Target: "fail", Wrap: []service.Wrapper{func(next service.Invoker) service.Invoker {
					return func(ctx context.Context, in *service.Invocation) (any, error) {
						v, err := next(ctx, in)
						for tries = 1; err != nil && tries < 3; tries++ {
							v, err = next(ctx, in)
						}
						return v, err
					}
				}}},
			},
		}
		client := newClient(t, c, service.ClientOptions{Definitions: map[string]*service.Definition{"sample": d}})
		s, err := client.Service("sample")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []struct {
			method string
			args   []any
			want   any
		}{
			{"value", []any{"x"}, "x"},
			{"number", []any{7}, uint32(7)},
			{"raw", []any{"ab"}, []byte{0xa2, 'a', 'b'}},
			{"joined", []any{3}, "0+1+2"},
			{"first", []any{1}, "0"},
			{"fire", []any{1}, nil},
			{"reversed", []any{"a", "b"}, []any{"b", "a"}},
			{"twice", []any{21}, 42},
			{"void", nil, nil},
		} {
			if v, err := s.Call(ctx, p.method, p.args...); err != nil || fmt.Sprintf("%T %v", v, v) != fmt.Sprintf("%T %v", p.want, p.want) {
				t.Errorf("%s: got %T %v, %v; want %T %v", p.method, v, v, err, p.want, p.want)
			}
		}
		if v, err := service.Call[int64](ctx, s, "value", 5); err != nil || v != 5 {
			t.Errorf("a wrapped call of a type: got %v, %v", v, err)
		}
		if v, err := service.Call[string](ctx, s, "number", 5); err == nil {
			t.Errorf("a result of another type: got %v", v)
		}
		if v, err := s.Call(ctx, "pieces", 2); err != nil {
			t.Error(err)
		} else if got := pieces[string](t, v.(*service.Stream)); len(got) != 2 {
			t.Errorf("got %q", got)
		}
		if st, err := s.Stream(ctx, "download", 2); err != nil {
			t.Error(err)
		} else if got := pieces[string](t, st); len(got) != 2 {
			t.Errorf("got %q", got)
		}
		if _, err := s.Call(ctx, "flaky", 1, 2, "no"); err == nil || tries != 3 || sample.Counts().ByMethod["fail"] != 3 {
			t.Errorf("got %v after %d tries, %d calls", err, tries, sample.Counts().ByMethod["fail"])
		}
		if _, err := s.Call(ctx, "reversed", 1, make(chan int)); err == nil {
			t.Error("an argument that has no msgpack: no error")
		}
		if got, want := fmt.Sprint(order[:3]), "[outer value middle value inner value]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		await(t, "the calls' end", func() bool { return s.InFlight() <= 1 }) // "first" was cancelled; part never ends
	})
}

// A counter is a typed service.
type counter struct{ s *service.Service }

func (c counter) Add(ctx context.Context, n int) (int, error) {
	return service.Call[int](ctx, c.s, "value", n)
}

func TestGet(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	typed, err := service.Get(newClient(t, c, service.ClientOptions{}), "sample", func(s *service.Service) counter { return counter{s} })
	if err != nil {
		t.Fatal(err)
	}
	if n, err := typed.Add(withPatience(t), 3); err != nil || n != 3 {
		t.Errorf("got %v, %v", n, err)
	}
}

// TestLoad: connections go to the endpoint that has the fewest of this client's.
func TestLoad(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	sample := c.Sample("sample")
	for range 2 {
		if _, err := sample.Listen(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := withPatience(t)
	client := newClient(t, c, service.ClientOptions{CacheTime: time.Hour})
	at := map[string]int{}
	for range 6 {
		s := newService(t, client, service.Options{Name: "sample"})
		if _, err := s.Call(ctx, "void"); err != nil {
			t.Fatal(err)
		}
		at[s.Endpoint()]++
	}
	for _, e := range sample.Endpoints() {
		if at[e.String()] != 2 {
			t.Errorf("got connections %v, want 2 at each of %v", at, sample.Endpoints())
		}
	}
}

// TestShutdown waits for what is in flight.
func TestShutdown(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		sample.SetFaults(servicetest.Faults{Method: "value", Delay: short})
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
		if err := s.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := s.Call(ctx, "value", 1)
			answered <- err
		}()
		await(t, "the call", func() bool { return sample.Counts().ByMethod["value"] == 1 })
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-answered; err != nil {
			t.Errorf("the call in flight: got %v", err)
		}
		if _, err := s.Call(ctx, "void"); !errors.Is(err, service.ErrClosed) {
			t.Errorf("a call after it: got %v", err)
		}
		if err := s.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		go s.Call(ctx, "never") // ends with Shutdown
		await(t, "the call", func() bool { return sample.Counts().ByMethod["never"] == 1 })
		late, cancel := context.WithTimeout(ctx, short)
		defer cancel()
		if err := s.Shutdown(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a call that is never answered: got %v", err)
		}
	})
}

// TestContextEndsOurDirection: who has read an answer to its end, and says no more, has
// the end of his context end the call.
func TestContextEndsOurDirection(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Add("half", 1, servicetest.Method{Name: "half", Dispatch: servicetest.Streaming, Upstream: servicetest.Streaming, Serve: func(call *servicetest.Call) {
		_ = call.Write("all of it")
		_ = call.Close()
		for {
			if _, err := call.Recv(); err != nil {
				return
			}
		}
	}})
	s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "half"})
	ctx, cancel := context.WithCancel(withPatience(t))
	st, err := s.Stream(ctx, "half")
	if err != nil {
		t.Fatal(err)
	}
	if got := pieces[string](t, st); len(got) != 1 || s.InFlight() != 1 {
		t.Fatalf("got %q, %d in flight", got, s.InFlight())
	}
	cancel()
	await(t, "the call's end", func() bool { return s.InFlight() == 0 })
	if err := st.Send("more"); err == nil {
		t.Error("said more")
	}
}
