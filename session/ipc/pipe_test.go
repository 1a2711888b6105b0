package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A journal is a logger's output that a test may look at meanwhile.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// connect gives a client of s over a pipe, and the pipe's ends.
func connect(t testing.TB, s *Server) (c *Client, client, server *sessiontest.End) {
	t.Helper()
	client, server = sessiontest.Pipe(t)
	server.Start(s.newPeer(server, self))
	c = newClient(DialOptions{Kind: "test", Name: t.Name()})
	client.Start(c.attach(client, nil))
	if err := c.await(context.Background(), time.Minute); err != nil {
		t.Fatalf("no welcome: %v", err)
	}
	return c, client, server
}

// self are the credentials of this process.
func self() (pid, uid, gid int, err error) { return os.Getpid(), os.Getuid(), os.Getgid(), nil }

func echo(_ context.Context, r *Request) error { return r.Reply(r.Payload) }

func TestRequest(t *testing.T) {
	sizes := []int{0, 1, 14, 32 << 10, 64 << 10, MaxMessage}
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		s.Handle("echo", echo)
		c, _, _ := connect(t, s)
		for _, n := range sizes {
			want := bytes.Repeat([]byte("x"), n)
			got, err := c.Request(t.Context(), "echo", want)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %d bytes, error %v", n, len(got), err)
			}
		}
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		big := bytes.Repeat([]byte("b"), MaxMessage)
		s.Handle("three", func(_ context.Context, r *Request) error {
			// The second and third are under credit, the first is not.
			return errors.Join(r.Reply([]byte("a")), r.Reply(big), r.Reply(nil))
		})
		c, _, _ := connect(t, s)
		var got []string
		for p, err := range c.Stream(t.Context(), "three", nil) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%.1s%d", p, len(p)))
		}
		if want := fmt.Sprintf("[a1 b%d 0]", MaxMessage); fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if _, err := c.Request(t.Context(), "three", nil); !errors.Is(err, ErrReplies) {
			t.Errorf("Request of a stream: got %v, want %v", err, ErrReplies)
		}
	})
}

// Whatever sizes came before, the largest message gets its credit from a client that
// reads.
func TestLargeRepliesAfterSmall(t *testing.T) {
	for _, sizes := range [][]int{{1, 400 << 10, 800 << 10}, {0, MaxMessage - 1, MaxMessage, MaxMessage}, {1, 700 << 10, 700 << 10, MaxMessage}} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(Options{})
			s.Handle("sizes", func(_ context.Context, r *Request) error {
				for _, n := range sizes {
					if err := r.Reply(make([]byte, n)); err != nil {
						return fmt.Errorf("%d bytes: %w", n, err)
					}
				}
				return nil
			})
			c, _, _ := connect(t, s)
			var got []int
			for p, err := range c.Stream(t.Context(), "sizes", nil) {
				if err != nil {
					t.Fatalf("%v: after %v: %v", sizes, got, err)
				}
				got = append(got, len(p))
			}
			if !slices.Equal(got, sizes) {
				t.Errorf("got replies of %v bytes, want %v", got, sizes)
			}
		})
	}
}

// However much a handler has to say about its failure, only its request fails.
func TestLongErrorText(t *testing.T) {
	long := strings.Repeat("x", session.MaxText-1) + "é" + strings.Repeat("x", 2<<20)
	for _, said := range []error{errors.New(long), &session.Error{Category: heddle.CategoryNode, Code: heddle.CodeNodeTimeout, Msg: long}} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(Options{})
			s.Handle("long", func(context.Context, *Request) error { return said })
			s.Handle("wait", func(_ context.Context, r *Request) error {
				time.Sleep(time.Second)
				return r.Reply([]byte("ok"))
			})
			c, _, _ := connect(t, s)
			neighbour := make(chan error, 1)
			go func() { // ends with its answer
				_, err := c.Request(t.Context(), "wait", nil)
				neighbour <- err
			}()
			synctest.Wait()
			_, err := c.Request(t.Context(), "long", nil)
			var e *session.Error
			if !errors.As(err, &e) || e.Msg != long[:session.MaxText-1] {
				t.Errorf("got %.100v", err)
			}
			if err := <-neighbour; err != nil {
				t.Errorf("neighbour: %.100v", err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	var log journal
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{Logger: log.logger()})
		s.Handle("fails", func(context.Context, *Request) error { return errors.New("no flour") })
		s.Handle("typed", func(context.Context, *Request) error {
			return &session.Error{Category: heddle.CategoryNode, Code: heddle.CodeNodeTimeout, Msg: "late"}
		})
		s.Handle("late", func(_ context.Context, r *Request) error {
			return errors.Join(r.Reply([]byte("a")), errors.New("then not"))
		})
		s.Handle("panics", func(context.Context, *Request) error { panic("burnt") })
		s.Handle("large", func(_ context.Context, r *Request) error { return r.Reply(make([]byte, MaxMessage+1)) })
		s.Handle("silent", func(context.Context, *Request) error { return nil })
		c, _, _ := connect(t, s)
		for _, tt := range []struct {
			topic          string
			category, code int64
			msg            string
		}{
			{"fails", heddle.CategoryUser, codeFailed, "no flour"},
			{"typed", heddle.CategoryNode, heddle.CodeNodeTimeout, "late"},
			{"late", heddle.CategoryUser, codeFailed, "then not"},
			{"panics", heddle.CategoryFramework, heddle.CodeException, "panicked"},
			{"large", heddle.CategoryUser, codeFailed, ErrTooLarge.Error()},
			{"nobody's", heddle.CategoryFramework, heddle.CodeNoHandler, `no topic "nobody's"`},
			{"", heddle.CategoryFramework, heddle.CodeNoHandler, `no topic ""`},
		} {
			_, err := c.Request(t.Context(), tt.topic, []byte("p"))
			var e *session.Error
			if !errors.As(err, &e) || e.Category != tt.category || e.Code != tt.code || !strings.Contains(e.Msg, tt.msg) || !e.Remote {
				t.Errorf("%q: got %v, want remote error [%d,%d] with %q", tt.topic, err, tt.category, tt.code, tt.msg)
			}
		}
		if p, err := c.Request(t.Context(), "silent", nil); p != nil || err != nil {
			t.Errorf("silent: got %q, %v, want nothing", p, err)
		}
		if _, err := c.Request(t.Context(), "silent", make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("large payload: got %v, want %v", err, ErrTooLarge)
		}
	})
	if got := log.String(); !strings.Contains(got, "burnt") || !strings.Contains(got, "pipe_test.go") {
		t.Errorf("the panic's word or stack is not in the log:\n%s", got)
	}
}

// TestCancel: a client whose context ends gets its cause at once and the
// handler's context ends.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		ended := make(chan error, 1)
		s.Handle("wait", func(ctx context.Context, r *Request) error {
			if err := r.Reply([]byte("begun")); err != nil {
				return err
			}
			<-ctx.Done()
			ended <- ctx.Err()
			return nil
		})
		c, _, _ := connect(t, s)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Request(ctx, "wait", nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("got %v after %v, want the deadline after 3s", err, time.Since(began))
		}
		if err := <-ended; err == nil {
			t.Error("the handler's context did not end")
		}

		// Leaving the range does the same.
		for range c.Stream(t.Context(), "wait", nil) {
			break
		}
		<-ended

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := c.Request(ctx, "wait", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("request after its context's end: got %v, want %v", err, context.Canceled)
		}
	})
}

// TestBounds: a server runs no more handlers than it may, and says so.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{MaxHandlers: 2})
		release := make(chan struct{})
		s.Handle("hold", func(context.Context, *Request) error { <-release; return nil })
		s.Handle("echo", echo)
		c, _, _ := connect(t, s)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := c.Request(t.Context(), "hold", nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err := c.Request(t.Context(), "echo", nil)
		var e *session.Error
		if !errors.As(err, &e) || e.Category != heddle.CategoryOverseer || e.Code != heddle.CodePoolFull {
			t.Errorf("third request: got %v, want it refused", err)
		}
		close(release)
		wg.Wait()
		synctest.Wait()
		if _, err := c.Request(t.Context(), "echo", nil); err != nil {
			t.Errorf("request after the others: %v", err)
		}
	})
}

// TestTimeouts: a client that does not greet loses its connection, one that
// sends no payload or reads no reply its request.
func TestTimeouts(t *testing.T) {
	t.Run("handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log journal
			s := NewServer(Options{Logger: log.logger()})
			client, server := sessiontest.Pipe(t)
			server.Start(s.newPeer(server, self))
			raw := newRaw(client)
			began := time.Now()
			<-raw.closed
			if d := time.Since(began); d != 5*time.Second {
				t.Errorf("closed after %v, want 5s", d)
			}
			server.Wait()
			if !strings.Contains(log.String(), errHandshake.Error()) {
				t.Errorf("log: got %q, want %q in it", log.String(), errHandshake)
			}
		})
	})
	t.Run("payload", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(Options{})
			s.Handle("echo", echo)
			c, _, _ := connect(t, s)
			began := time.Now()
			sess, err := c.mux.Open(session.OpenOptions{Event: "echo"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = sess.Recv()
			var e *session.Error
			if !errors.As(err, &e) || time.Since(began) != 10*time.Second {
				t.Errorf("got %v after %v, want an error message after 10s", err, time.Since(began))
			}
		})
	})
	t.Run("reply", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(Options{})
			failed := make(chan error, 1)
			s.Handle("flood", func(_ context.Context, r *Request) error {
				for {
					if err := r.Reply(make([]byte, MaxMessage)); err != nil {
						failed <- err
						return err
					}
				}
			})
			s.Handle("echo", echo)
			c, _, _ := connect(t, s)
			sess, err := c.mux.Open(session.OpenOptions{Event: "flood", Last: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reply to nobody: got %v, want %v", err, os.ErrDeadlineExceeded)
			}
			if _, err := c.Request(t.Context(), "echo", []byte("x")); err != nil {
				t.Errorf("the neighbour suffers: %v", err)
			}
			sess.Cancel(nil)
			sess.Discard()
		})
	})
}

func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		s.Handle("slow", func(_ context.Context, r *Request) error {
			time.Sleep(2 * time.Second)
			return r.Reply([]byte("done"))
		})
		c, _, _ := connect(t, s)
		reply := make(chan error, 1)
		go func() { // ends with the reply
			p, err := c.Request(t.Context(), "slow", nil)
			if err == nil && string(p) != "done" {
				err = fmt.Errorf("got %q", p)
			}
			reply <- err
		}()
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("Close took %v, want 2s", d)
		}
		if err := <-reply; err != nil {
			t.Errorf("the request that was being answered: %v", err)
		}
		<-c.Done()
		if _, err := c.Request(t.Context(), "slow", nil); !errors.Is(err, session.ErrLost) {
			t.Errorf("request to a closed server: got %v, want %v", err, session.ErrLost)
		}
	})
}

// TestCloseBound: handlers that look at their context are told, those that do
// not are named, and Close returns either way.
func TestCloseBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		told := make(chan error, 1)
		release := make(chan struct{})
		s.Handle("polite", func(ctx context.Context, _ *Request) error {
			<-ctx.Done()
			told <- context.Cause(ctx)
			return ctx.Err()
		})
		s.Handle("deaf", func(context.Context, *Request) error { <-release; return nil })
		c, _, _ := connect(t, s)
		for _, topic := range []string{"polite", "deaf"} {
			go c.Request(t.Context(), topic, nil) // ends with the connection
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := s.Close(ctx)
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("Close took %v", d)
		}
		if err == nil || !strings.Contains(err.Error(), "1 handlers") {
			t.Errorf("got %v, want the deaf handler counted", err)
		}
		if cause := <-told; !errors.Is(cause, ErrClosed) {
			t.Errorf("the polite handler's cause: got %v, want %v", cause, ErrClosed)
		}
		close(release)
		<-c.Done()
	})
}

// TestGreeting plays what a client may send first.
func TestGreeting(t *testing.T) {
	offer := appendOffer(nil, "test", "t", 1)
	for name, tt := range map[string]struct {
		sent []byte
		log  string // in it when the connection was closed; "" when it must live
		got  string // begins what came back
	}{
		"offer":               {sent: offer, got: "\x93\x01\x10"},
		"offer, byte split":   {sent: offer[:1], log: errHandshake.Error()},
		"twice":               {sent: append(bytes.Clone(offer), offer...), log: "handshake sent twice"},
		"no offer":            {sent: codec.AppendHandshake(nil, heddle.V1, "u", nil), log: errNoOffer.Error()},
		"heartbeat":           {sent: codec.AppendHeartbeat(nil, heddle.V1), log: errControl.Error()},
		"heartbeat greeted":   {sent: codec.AppendHeartbeat(bytes.Clone(offer), heddle.V1), got: "\x93\x01\x00\x90"}, // overtakes the welcome
		"terminate":           {sent: codec.AppendTerminate(bytes.Clone(offer), heddle.V1, 1, "bye"), log: errControl.Error()},
		"unknown control":     {sent: codec.AppendControl(bytes.Clone(offer), 99), log: errControl.Error()},
		"request ungreeted":   {sent: codec.AppendInvoke(nil, heddle.V1, 3, "echo", -1), log: "protocol violation"},
		"even id":             {sent: codec.AppendInvoke(bytes.Clone(offer), heddle.V1, 4, "echo", -1), log: "protocol violation"},
		"v0 handshake":        {sent: codec.AppendHandshake(nil, heddle.V0, "u", nil), log: "protocol violation"}, // its frame is on session 0
		"GET":                 {sent: []byte("GET / HTTP/1.1\r\n\r\n"), log: "codec"},
		"JSON":                {sent: []byte(`{"topic":"status"}` + "\n"), log: errJSON.Error(), got: `{"error":"`},
		"JSON, first byte":    {sent: []byte("{"), log: errJSON.Error(), got: `{"error":"`},
		"oversized":           {sent: []byte("\x93\x03\x00\x91\xdb\x7f\xff\xff\xff"), log: "over the limit"},
		"deep":                {sent: append([]byte("\x93\x01\x00"), bytes.Repeat([]byte{0x91}, 64)...), log: "codec"},
		"count over limit":    {sent: []byte("\x93\x01\x00\xdd\x7f\xff\xff\xff"), log: "codec"},
		"nothing and is gone": {sent: nil, log: errHandshake.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log journal
				s := NewServer(Options{Logger: log.logger()})
				s.Handle("echo", echo)
				client, server := sessiontest.Pipe(t)
				server.Start(s.newPeer(server, self))
				raw := newRaw(client)
				if len(tt.sent) > 0 {
					if _, err := client.Send(tt.sent, nil); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(6 * time.Second) // past the handshake's time-out
				synctest.Wait()
				closed := false
				select {
				case <-raw.closed:
					closed = true
				default:
				}
				if closed != (tt.log != "") {
					t.Errorf("sent %q: closed %v", tt.sent, closed)
				}
				if got := log.String(); tt.log == "" && got != "" || !strings.Contains(got, tt.log) {
					t.Errorf("sent %q: log %q, want %q in it", tt.sent, got, tt.log)
				}
				if got := raw.String(); !strings.HasPrefix(got, tt.got) || tt.got == "" && got != "" && name == "GET" {
					t.Errorf("sent %q: got %q, want it to begin %q", tt.sent, got, tt.got)
				}
				// The server lives.
				c, _, _ := connect(t, s)
				if p, err := c.Request(t.Context(), "echo", []byte("x")); err != nil || string(p) != "x" {
					t.Errorf("the next client got %q, %v", p, err)
				}
			})
		})
	}
}

// TestClientRefuses plays servers that a client must not believe.
func TestClientRefuses(t *testing.T) {
	for name, sent := range map[string][]byte{
		"no features":   appendWelcome(nil, nil),
		"wrong args":    []byte("\x93\x01\x10\x91\x01"),
		"other control": codec.AppendControl(nil, heddle.CtlOnline),
		"handshake":     codec.AppendHandshake(nil, heddle.V1, "u", nil),
		"session":       codec.AppendInvoke(nil, heddle.V1, 2, "e", -1),
		"twice":         appendWelcome(appendWelcome(nil, raws(offered)), raws(offered)),
		"text":          []byte("hello\n"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := sessiontest.Pipe(t)
				newRaw(server)
				if _, err := server.Send(sent, nil); err != nil {
					t.Fatal(err)
				}
				c := newClient(DialOptions{})
				client.Start(c.attach(client, nil))
				if err := c.await(t.Context(), time.Second); err != nil {
					c.mux.Abort(err) // as Dial does
				}
				select {
				case <-c.Done():
				case <-time.After(time.Second):
					t.Fatalf("sent %q: the client goes on", sent)
				}
				if _, err := c.Request(t.Context(), "x", nil); !errors.Is(err, session.ErrLost) {
					t.Errorf("request afterwards: got %v, want %v", err, session.ErrLost)
				}
			})
		})
	}
}

// TestNoWelcome: silence ends the wait.
func TestNoWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := sessiontest.Pipe(t)
		newRaw(server)
		c := newClient(DialOptions{})
		client.Start(c.attach(client, nil))
		if err := c.await(t.Context(), 5*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})
}

// Clients that only stay make room for one that asks.
func TestIdleClientsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{MaxConns: 2, HandshakeTimeout: time.Hour})
		var raws []*rawEnd
		for range 4 {
			client, server := sessiontest.Pipe(t)
			server.Start(s.newPeer(server, self))
			raws = append(raws, newRaw(client))
			synctest.Wait()
		}
		for i, r := range raws {
			closed := false
			select {
			case <-r.closed:
				closed = true
			default:
			}
			if closed != (i < 2) {
				t.Errorf("client %d: closed %v", i, closed)
			}
		}
	})
}

// A raw end collects what arrives and says nothing by itself.
type rawEnd struct {
	end    *sessiontest.End
	closed chan struct{}

	mu sync.Mutex
	b  []byte
}

func newRaw(e *sessiontest.End) *rawEnd {
	r := &rawEnd{end: e, closed: make(chan struct{})}
	e.Start(r)
	return r
}

func (r *rawEnd) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.b)
}

func (r *rawEnd) OnOpen() {}
func (r *rawEnd) OnBytes(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b = append(r.b, p...)
	return len(p), nil
}
func (r *rawEnd) OnEOF()        { r.end.Close(io.EOF) }
func (r *rawEnd) OnDrain()      {}
func (r *rawEnd) OnClose(error) { close(r.closed) }
