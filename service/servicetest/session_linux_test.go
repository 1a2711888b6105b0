package servicetest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/session"
)

// A caller calls over package session.
type caller struct {
	t   *testing.T
	d   heddle.Dialect
	mux *session.Mux
}

func connect(t *testing.T, l *loop.Loop, d heddle.Dialect, endpoint string) *caller {
	t.Helper()
	e, err := locator.ParseEndpoint(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan *session.Mux, 1)
	if _, err := l.Dial(e.Network(), e.Address(), func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, session.Options{ChannelOptions: session.ChannelOptions{Dialect: d, Dialed: true, Service: true}})
		made <- m
		return m
	}, loop.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	return &caller{t, d, <-made}
}

func (c *caller) open(m *session.Method, args ...any) *session.Session {
	c.t.Helper()
	p, err := value.Options{Old: true}.Append(nil, append([]any{}, args...))
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := c.mux.Open(session.OpenOptions{Method: m, First: p})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// answer reads a call's answer as one line: v1's messages by id with their
// arguments, v0's pieces unpacked, and then how it ended.
func (c *caller) answer(s *session.Session) string {
	c.t.Helper()
	var line strings.Builder
	for {
		m, err := s.Recv()
		var failure *session.Error
		switch {
		case err == io.EOF:
			return line.String() + "end"
		case errors.As(err, &failure):
			return fmt.Sprintf("%serror %d %d %s", line.String(), failure.Category, failure.Code, failure.Msg)
		case err != nil:
			return fmt.Sprintf("%slost: %v", line.String(), err)
		case m.Kind == session.Said:
			fmt.Fprintf(&line, "%d %v ", m.ID, unpack(c.t, m.Data))
		default:
			fmt.Fprintf(&line, "%v ", unpack(c.t, m.Data))
		}
	}
}

func unpack(t *testing.T, p []byte) any {
	t.Helper()
	v, err := servicetest.Unpack(p)
	if err != nil {
		t.Errorf("%x: %v", p, err)
	}
	return v
}

// resolve asks for a service and decodes the answer.
func (c *caller) resolve(name string) locator.Info {
	c.t.Helper()
	s := c.open(locator.Resolve, name)
	m, err := s.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	i, err := locator.Decode(c.d, m.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := s.Recv(); err != io.EOF {
		c.t.Fatalf("resolve ends with %v", err)
	}
	return i
}

// TestSession has package session call the model, which forgives it nothing.
func TestSession(t *testing.T) {
	for _, unix := range []bool{false, true} {
		for _, d := range []heddle.Dialect{servicetest.Runtime011, servicetest.Runtime012} {
			t.Run(fmt.Sprintf("%v unix %v", d, unix), func(t *testing.T) {
				cloud := servicetest.New(t, d, servicetest.Options{Unix: unix})
				cloud.Sample("test")
				l := running(t)
				lookup := connect(t, l, d, cloud.Endpoint())
				i := lookup.resolve("test")
				if got := lookup.answer(lookup.open(locator.Resolve, "nope")); !strings.HasPrefix(got, "error") || !strings.HasSuffix(got, "service is not available") {
					t.Errorf("resolve of a service that is not there: %s", got)
				}
				c := connect(t, l, d, i.Endpoints[0].String())
				call := func(name string, args ...any) string { return c.answer(c.open(i.Method(name), args...)) }
				type check = struct{ got, v0, v1 string }
				checks := []check{
					{call("value", "a", 7), "[a 7] end", "0 [a 7] end"},
					{call("void"), "end", "0 [] end"},
					{call("fail", 42, 5, "no"), "error 0 5 no", "error 42 5 no"},
					{call("download", 3), "0 1 2 end", "0 [0] 0 [1] 0 [2] end"},
				}
				if d == servicetest.Runtime012 {
					checks = append(checks, c.streams(&i)...)
				}
				for k, ch := range checks {
					want := ch.v0
					if d == servicetest.Runtime012 {
						want = ch.v1
					}
					if ch.got != want {
						t.Errorf("call %d: %q, want %q", k, ch.got, want)
					}
				}
			})
		}
	}
}

// streams calls what only v1 has.
func (c *caller) streams(i *locator.Info) []struct{ got, v0, v1 string } {
	type check = struct{ got, v0, v1 string }
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	mute := c.answer(c.open(i.Method("mute"), "x"))
	up := c.open(i.Method("upload"))
	must(up.WriteChunk([]byte("ab")))
	must(up.WriteChunk([]byte("cd")))
	must(up.Close())
	both := c.open(i.Method("both"))
	must(both.Say(0, servicetest.Pack([]any{"x"})))
	must(both.Say(2, []byte{0x90}))
	failed := c.open(i.Method("upload"))
	must(failed.Say(1, servicetest.Pack([]any{[]any{42, 7}, "mine"})))
	levels := c.open(i.Method("levels"))
	if levels.Say(2, []byte{0x90}) == nil {
		c.t.Error("what the graph does not have was said")
	}
	must(levels.Say(0, []byte{0x90}))
	must(levels.Say(0, servicetest.Pack([]any{"i"})))
	must(levels.Say(0, servicetest.Pack([]any{"j"})))
	must(levels.Say(2, []byte{0x90}))
	must(levels.Say(0, []byte{0x90}))
	if levels.Say(0, []byte{0x90}) == nil {
		c.t.Error("something was said after the last message")
	}
	return []check{
		{mute, "", "end"},
		{c.answer(up), "", "0 [abcd] end"},
		{c.answer(both), "", "0 [x] end"},
		{c.answer(failed), "", "error 42 100 servicetest: the caller's error [[42 7] mine]"},
		{c.answer(levels), "", "0 [] 0 [i] 0 [j] 2 [] 0 [2] end"},
	}
}

// TestSessionFaults has package session hear what a service should not say. The
// model fails the test for whatever session says then and should not.
func TestSessionFaults(t *testing.T) {
	const (
		well  = iota // the connection and the call
		lost         // the call, with the connection
		later        // the connection, after a good answer
		alone        // the call alone
	)
	type outcome map[servicetest.Fault]int
	for d, faults := range map[heddle.Dialect]outcome{
		servicetest.Runtime011: {servicetest.Stranger: well, servicetest.AfterEnd: well},
		servicetest.Runtime012: {servicetest.Stranger: lost, servicetest.AfterEnd: later, servicetest.Revoked: alone},
	} {
		for _, f := range []servicetest.Fault{servicetest.Garbage, servicetest.HalfFrame, servicetest.HugeHead, servicetest.HangUp} {
			faults[f] = lost
		}
		for f, want := range faults {
			t.Run(fmt.Sprintf("%v fault %d", d, f), func(t *testing.T) {
				cloud := servicetest.New(t, d, servicetest.Options{})
				test := cloud.Sample("test")
				l := running(t)
				i := connect(t, l, d, cloud.Endpoint()).resolve("test")
				c := connect(t, l, d, i.Endpoints[0].String())
				test.SetFaults(servicetest.Faults{Method: "download", Fault: f})
				s := c.open(i.Method("download"), 2)
				pieces := 0
				_, err := s.Recv()
				for ; err == nil; _, err = s.Recv() {
					pieces++
				}
				var failure *session.Error
				switch want {
				case well, later:
					if pieces != 2 || err != io.EOF {
						t.Errorf("%d pieces, then %v", pieces, err)
					}
				case lost:
					if pieces > 0 || !errors.Is(err, session.ErrLost) {
						t.Errorf("%d pieces, then %v, want ErrLost", pieces, err)
					}
				case alone:
					if pieces > 0 || !errors.As(err, &failure) || failure.Category != 7 || failure.Code != 4 {
						t.Errorf("%d pieces, then %v, want error 7 4", pieces, err)
					}
				}
				if s, err = c.mux.Open(session.OpenOptions{Method: i.Method("void")}); err == nil {
					for err == nil {
						_, err = s.Recv()
					}
				}
				if lives := want == well || want == alone; (err == io.EOF) != lives || !lives && !errors.Is(err, session.ErrLost) {
					t.Errorf("the next call ends with %v", err)
				}
			})
		}
	}
}

// running is a loop until the test ends.
func running(t *testing.T) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }() // ends with Close
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ran
	})
	return l
}

// TestManyAtOnce has 64 goroutines call over one connection.
func TestManyAtOnce(t *testing.T) {
	for _, d := range []heddle.Dialect{servicetest.Runtime011, servicetest.Runtime012} {
		cloud := servicetest.New(t, d, servicetest.Options{})
		test := cloud.Sample("test")
		l := running(t)
		i := connect(t, l, d, cloud.Endpoint()).resolve("test")
		c := connect(t, l, d, i.Endpoints[0].String())
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				for k := range 30 {
					m, err := c.mux.Open(session.OpenOptions{Method: i.Method("value"), First: servicetest.Pack([]any{g, k})})
					if err != nil {
						t.Error(err)
						return
					}
					want := fmt.Sprintf("[%d %d] end", g, k)
					if got := strings.TrimPrefix(c.answer(m), "0 "); got != want {
						t.Errorf("%v: got %q, want %q", d, got, want)
					}
				}
			})
		}
		wg.Wait()
		if n := test.Counts(); n.Calls != 64*30 || n.Accepted != 1 {
			t.Errorf("%v: counts %+v", d, n)
		}
	}
}
