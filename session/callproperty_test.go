package session_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// drawTable draws a table of some arms, which lead to others, the same again
// or the end.
func drawTable(rt *rapid.T, depth int) *session.Table {
	var arms []session.Arm
	for i := range rapid.IntRange(1, 4).Draw(rt, "arms") {
		a := session.Arm{ID: uint64(i * rapid.IntRange(1, 300).Draw(rt, "gap")), Name: fmt.Sprint("m", i)}
		switch rapid.IntRange(0, 2).Draw(rt, "next") {
		case 0:
			a.Next = session.Mute
		case 1:
			if depth > 0 {
				a.Next = drawTable(rt, depth-1)
			}
		}
		arms = append(arms, a)
	}
	return session.NewTable(append(arms, session.Arm{ID: 1000, Name: "close", Next: session.Mute})...)
}

// Whatever a method's graph: each side says what it likes as the tables go, is
// refused what they do not have, and hears what the other said, in order.
func TestCallsFollowAnyGraph(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		method := &session.Method{ID: 7, Dispatch: drawTable(rt, 2), Upstream: drawTable(rt, 2)}
		x, y := sessiontest.New()
		o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true}}
		ask := session.NewMux(x, o)
		o.Dialed = false
		o.Methods = func(uint64) *session.Method { return method }
		accepted := make(chan *session.Session, 1)
		o.Accept = func(s *session.Session) error { accepted <- s; return nil }
		ans := session.NewMux(y, o)
		x.Start(ask)
		y.Start(ans)
		defer func() {
			x.Close(nil)
			x.Wait()
			y.Wait()
		}()

		asked, err := ask.Open(session.OpenOptions{Method: method})
		if err != nil {
			rt.Fatal(err)
		}
		answering := <-accepted
		walk(rt, "dispatch", asked, answering, method.Dispatch)
		walk(rt, "upstream", answering, asked, method.Upstream)
		waitZero(t, ask.Sessions)
		waitZero(t, ans.Sessions)
	})
}

// walk says messages of a direction until its end, and hears them.
func walk(rt *rapid.T, which string, from, to *session.Session, table *session.Table) {
	to.SetReadDeadline(time.Now().Add(10 * time.Second))
	for n := 0; !table.Empty(); n++ {
		if wrong := rapid.Uint64Range(0, 1200).Draw(rt, which+" id"); n < 20 {
			if _, ok := table.Arm(wrong); !ok {
				if err := from.Say(wrong, []byte{0x90}); err != session.ErrNoArm {
					rt.Fatalf("%s: Say(%d) = %v", which, wrong, err)
				}
			}
		}
		arms := table.Arms()
		a := arms[len(arms)-1] // close, once it is enough
		if n < 20 {
			a = rapid.SampledFrom(arms).Draw(rt, which)
		}
		args := codec.AppendRawString([]byte{0x91}, fmt.Sprint(n))
		if a.ID == 1000 {
			args = []byte{0x90}
		}
		if err := from.Say(a.ID, args); err != nil {
			rt.Fatalf("%s: Say(%d) = %v", which, a.ID, err)
		}
		if a.ID != 1000 {
			if msg, err := to.Recv(); err != nil || msg.Kind != session.Said || msg.ID != a.ID || string(msg.Data) != string(args) {
				rt.Fatalf("%s: heard %v %d % x, %v", which, msg.Kind, msg.ID, msg.Data, err)
			}
		}
		if a.Next != nil {
			table = a.Next
		}
	}
	if _, err := to.Recv(); err != io.EOF {
		rt.Fatalf("%s: at the end %v", which, err)
	}
	if err := from.Say(1000, []byte{0x90}); !errors.Is(err, session.ErrEnded) {
		rt.Fatalf("%s: after the end %v", which, err)
	}
}
