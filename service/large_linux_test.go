package service_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// TestLargeAtOnce makes calls at once whose arguments are together more than an
// outbox holds: they wait for one another, and the connection stays.
func TestLargeAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		var ev events
		s := newService(t, newClient(t, c, service.ClientOptions{}), ev.options(service.Options{Name: "sample"}))
		if err := s.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		large := strings.Repeat("x", 600_000)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 64 {
			wg.Go(func() {
				<-start
				v, err := service.Call[string](ctx, s, "value", large)
				if err != nil || v != large {
					t.Errorf("got %d bytes, %v", len(v), err)
				}
			})
		}
		close(start)
		wg.Wait()
		ev.mu.Lock()
		defer ev.mu.Unlock()
		if len(ev.list) != 1 {
			t.Errorf("the events were %q, want one connect", ev.list)
		}
	})
}

// TestTooLarge is of a message that is over any limit: it fails alone.
func TestTooLarge(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	ctx := withPatience(t)
	s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
	st, err := s.Stream(ctx, "both")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SendRaw(make([]byte, codec.DefaultFrame)); !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("got %v, want an ErrTooLarge", err)
	}
	if err := st.SendRaw([]byte("small")); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if p, err := st.RecvRaw(); string(p) != "small" || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
	st.Close()
}

// TestLargeValue is an answer larger than what may wait in a stream: Options.Buffer is
// not for values, and a piece of a stream comes whatever its size.
func TestLargeValue(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		c := cloud(servicetest.Options{})
		c.Sample("sample")
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample", Buffer: 64 << 10})
		large := strings.Repeat("x", 4<<20)
		if v, err := service.Call[string](ctx, s, "value", large); err != nil || v != large {
			t.Errorf("a value: got %d bytes, %v", len(v), err)
		}
		st, err := s.Stream(ctx, "value", large)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if v, err := service.Recv[string](st); err != nil || v != large {
			t.Errorf("a piece: got %d bytes, %v", len(v), err)
		}
	})
}
