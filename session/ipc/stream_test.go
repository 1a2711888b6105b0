package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// TestLongStream: progress may take its time; only a client that does not read
// is given up.
func TestLongStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		const steps = 30
		s.Handle("deploy", func(_ context.Context, r *Request) error {
			for i := range steps {
				time.Sleep(time.Minute) // longer than any of Options' time-outs
				if err := r.Reply(fmt.Append(nil, i)); err != nil {
					return err
				}
			}
			time.Sleep(time.Hour)
			return errors.New("not ready")
		})
		c, _, _ := connect(t, s)
		began, n := time.Now(), 0
		var last error
		for p, err := range c.Stream(t.Context(), "deploy", nil) {
			if last = err; err != nil {
				break
			}
			if want := time.Duration(n+1) * time.Minute; string(p) != fmt.Sprint(n) || time.Since(began) != want {
				t.Errorf("got %q after %v, want %d after %v", p, time.Since(began), n, want)
			}
			n++
		}
		var e *session.Error
		if n != steps || !errors.As(last, &e) || e.Msg != "not ready" || time.Since(began) != steps*time.Minute+time.Hour {
			t.Errorf("%d replies, then %v after %v", n, last, time.Since(began))
		}
	})
}

// TestClientVanishes: the handler's context ends at once, however the client goes,
// and the handler may go on without it.
func TestClientVanishes(t *testing.T) {
	for name, leave := range map[string]func(c *Client, end *sessiontest.End, cancel func()){
		"gives up":    func(_ *Client, _ *sessiontest.End, cancel func()) { cancel() },
		"closes":      func(c *Client, _ *sessiontest.End, _ func()) { go c.Close() }, // ends with the connection
		"dies":        func(_ *Client, end *sessiontest.End, _ func()) { end.Abort(nil) },
		"half-closes": func(_ *Client, end *sessiontest.End, _ func()) { end.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(Options{})
				ended, finished := make(chan error, 1), make(chan error, 1)
				s.Handle("deploy", func(ctx context.Context, r *Request) error {
					if err := r.Reply([]byte("begun")); err != nil {
						return err
					}
					<-ctx.Done()
					ended <- context.Cause(ctx)
					time.Sleep(time.Hour) // the deploy goes on
					finished <- r.Reply([]byte("done"))
					return nil
				})
				c, end, _ := connect(t, s)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began := time.Now()
				go func() { // ends with the request
					for range c.Stream(ctx, "deploy", nil) { // whatever comes
					}
				}()
				time.Sleep(time.Minute)
				leave(c, end, cancel)
				if err := <-ended; err == nil || time.Since(began) != time.Minute {
					t.Errorf("the context ended after %v with %v", time.Since(began), err)
				}
				if err := <-finished; err == nil || time.Since(began) != time.Minute+time.Hour {
					t.Errorf("the last reply: got %v after %v, want an error", err, time.Since(began))
				}
				c, _, _ = connect(t, s)
				s.Handle("echo", echo)
				if p, err := c.Request(t.Context(), "echo", []byte("x")); string(p) != "x" || err != nil {
					t.Errorf("another client: got %q, %v", p, err)
				}
			})
		})
	}
}

// TestCloseEndsStream: a server that is closed ends a stream that would go on for
// ever, in its order: what was sent arrives, then the handler's error.
func TestCloseEndsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		s.Handle("watch", func(ctx context.Context, r *Request) error {
			for i := 0; ; i++ {
				if err := r.Reply(fmt.Append(nil, i)); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(time.Second):
				}
			}
		})
		c, _, _ := connect(t, s)
		n := 0
		var last error
		for _, err := range c.Stream(t.Context(), "watch", nil) {
			if last = err; err != nil {
				break
			}
			if n++; n == 1 {
				go func() { // ends with Close
					ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
					defer cancel()
					if err := s.Close(ctx); err != nil {
						t.Error(err)
					}
				}()
			}
		}
		var e *session.Error
		if n != 6 || !errors.As(last, &e) || e.Msg != ErrClosed.Error() {
			t.Errorf("got %d replies, then %v", n, last)
		}
		<-c.Done()
	})
}

// TestSlowReader: the reply's time-out is the time that one reply waits for credit,
// not that of them all, and begins anew with each.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{ReplyTimeout: 10 * time.Second})
		const n = 40
		s.Handle("large", func(_ context.Context, r *Request) error {
			for range n {
				if err := r.Reply(make([]byte, MaxMessage)); err != nil {
					return err
				}
			}
			return nil
		})
		for _, tt := range []struct {
			pause time.Duration // that the client makes behind each reply
			err   error
		}{
			{pause: 2 * time.Second}, // credit comes with every fourth, once the window has grown
			{pause: 11 * time.Second, err: os.ErrDeadlineExceeded},
		} {
			c, _, _ := connect(t, s)
			began, got := time.Now(), 0
			var last error
			for _, err := range c.Stream(t.Context(), "large", nil) {
				if last = err; err == nil {
					got++
					time.Sleep(tt.pause)
				}
			}
			var e *session.Error
			if tt.err == nil && (last != nil || got != n || time.Since(began) < 2*s.o.ReplyTimeout) {
				t.Errorf("pause %v: got %d replies, want %d, after %v; %v", tt.pause, got, n, time.Since(began), last)
			}
			if tt.err != nil && (!errors.As(last, &e) || e.Msg != tt.err.Error()) {
				t.Errorf("pause %v: got %v, want an error message that says %v", tt.pause, last, tt.err)
			}
		}
	})
}

// TestBurst: replies that come in one piece with the welcome or with each other
// are all yielded (PEERS N19).
func TestBurst(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000} {
		for _, piece := range []int{0, 1, 7} { // bytes that arrive at a time; 0: all
			t.Run(fmt.Sprint(n, " in pieces of ", piece), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := sessiontest.Pipe(t)
					newRaw(server)
					if _, err := server.Send(appendWelcome(nil, raws(offered)), nil); err != nil {
						t.Fatal(err)
					}
					c := newClient(DialOptions{})
					client.Start(c.attach(client, nil))
					if err := c.await(t.Context(), time.Minute); err != nil {
						t.Fatal(err)
					}
					var burst []byte
					var want []string
					for i := range n {
						want = append(want, fmt.Sprint("reply ", i, " – ü"))
						burst = codec.AppendChunk(burst, heddle.V1, 3, []byte(want[i]))
					}
					burst = codec.AppendChoke(burst, heddle.V1, 3)
					go func() { // ends with the burst
						synctest.Wait()
						step := piece
						if step == 0 {
							step = len(burst)
						}
						for p := range slices.Chunk(burst, step) {
							_, _ = server.Send(p, nil)
							if n <= 2 {
								synctest.Wait() // else the pieces are put together again
							}
						}
					}()
					var got []string
					for p, err := range c.Stream(t.Context(), "x", nil) {
						if err != nil {
							t.Fatalf("after %d: %v", len(got), err)
						}
						got = append(got, string(p))
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %d replies, want %d: %.200q", len(got), len(want), got)
					}
				})
			})
		}
	}
}

// TestReplyBurst is the same from a handler that says much at once.
func TestReplyBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		s.Handle("burst", func(_ context.Context, r *Request) error {
			for i := range 1000 {
				if err := r.Reply(fmt.Append(nil, i)); err != nil {
					return err
				}
			}
			return nil
		})
		c, _, server := connect(t, s)
		server.Stall(true) // so that it leaves in one piece
		time.AfterFunc(time.Second, func() { server.Stall(false) })
		var got bytes.Buffer
		n := 0
		for p, err := range c.Stream(t.Context(), "burst", nil) {
			if err != nil || string(p) != fmt.Sprint(n) {
				t.Fatalf("reply %d: got %q, %v", n, p, err)
			}
			n++
			got.Write(p)
		}
		if n != 1000 {
			t.Errorf("got %d replies, want 1000", n)
		}
	})
}

// TestCloseHurries: a handler that waits for a client that does not read is no
// reason for Close to fail, even if it never looks at its context.
func TestCloseHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{ReplyTimeout: time.Hour})
		s.Handle("flood", func(_ context.Context, r *Request) error {
			for {
				if err := r.Reply(make([]byte, 32<<10)); err != nil {
					return err
				}
			}
		})
		c, _, _ := connect(t, s)
		sess, err := c.mux.Open(session.OpenOptions{Event: "flood", First: []byte{}, Last: true})
		if err != nil {
			t.Fatal(err)
		}
		defer sess.Discard()
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > time.Minute+closeGrace {
			t.Errorf("Close took %v", d)
		}
		<-c.Done()
	})
}
