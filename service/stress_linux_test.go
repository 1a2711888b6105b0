package service_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// TestCuts cuts connections while calls of all kinds are made: each gets its own
// answer or an error that says why, and nothing is left.
func TestCuts(t *testing.T) {
	everywhere(t, func(t *testing.T, cloud func(servicetest.Options) *servicetest.Cloud) {
		descriptors(t)
		c := cloud(servicetest.Options{})
		sample := c.Sample("sample")
		ctx := withPatience(t)
		s := newService(t, newClient(t, c, service.ClientOptions{}), service.Options{Name: "sample"})
		var answered, failed atomic.Int64
		var stop atomic.Bool
		note := func(err error) {
			switch {
			case err == nil:
				answered.Add(1)
			case errors.Is(err, service.ErrDisconnected), errors.Is(err, context.Canceled):
				failed.Add(1)
			default:
				t.Errorf("got %v", err)
				stop.Store(true)
			}
		}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				for n := i << 20; !stop.Load(); n++ {
					switch i % 4 {
					case 0, 1:
						v, err := service.Call[int](ctx, s, "value", n)
						if err == nil && v != n {
							t.Errorf("got %d, want %d", v, n)
						}
						note(err)
					case 2:
						st, err := s.Stream(ctx, "download", 3)
						if err == nil {
							for err == nil {
								_, err = st.Recv()
							}
							if err == io.EOF {
								err = nil
							}
							st.Close()
						}
						note(err)
					case 3:
						given, cancel := context.WithCancel(ctx)
						go cancel() // at any time
						v, err := service.Call[int](given, s, "value", n)
						if err == nil && v != n {
							t.Errorf("got %d, want %d", v, n)
						}
						note(err)
						cancel()
						// Calls that are given up at once wait for nobody: one that is not
						// keeps the service from falling behind.
						_, err = s.Call(ctx, "void")
						note(err)
					}
				}
			})
		}
		for range 10 {
			before := answered.Load()
			await(t, "answers", func() bool { return answered.Load() > before+200 || stop.Load() })
			sample.Cut()
		}
		await(t, "a failed call", func() bool { return failed.Load() > 0 || stop.Load() })
		stop.Store(true)
		wg.Wait()
		await(t, "an answer after the last cut", func() bool { // of which the first call may be told
			_, err := s.Call(ctx, "void")
			return err == nil
		})
		await(t, "the end of all calls", func() bool { return s.InFlight() == 0 })
	})
}

// TestCloseRaces closes a service and its client while they are being used.
func TestCloseRaces(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	for range 30 {
		client := newClient(t, c, service.ClientOptions{})
		s := newService(t, client, service.Options{Name: "sample", Reconnect: service.ReconnectAlways})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					_, err := s.Call(ctx, "void")
					if err != nil {
						if !errors.Is(err, service.ErrClosed) {
							t.Errorf("got %v", err)
						}
						return
					}
				}
			})
		}
		wg.Go(func() {
			time.Sleep(time.Millisecond) // any time will do
			client.Close()
		})
		wg.Wait()
		cancel()
	}
}
