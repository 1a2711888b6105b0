package engine

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A mini is the least worker that the engine can use, and one that can be told
// to misbehave. Its channels are real ones or pipes, as dial makes them.
type mini struct {
	uuid  string
	dial  func(endpoint string, make func(session.Link) loop.Handler) error
	exit  func(code int) // ends the process; returns in a fake one
	spawn func(func())   // go, waited for in a fake process
	bad   string         // what it does wrong; empty: nothing
	beat  time.Duration  // between heartbeats

	release string // what the event "release" is answered with

	mu       sync.Mutex
	muxes    []*session.Mux
	held     int // channels that are suspended
	lanes    int // channels welcomed
	pending  int // channels that the welcome named, 0: not welcomed
	drained  int // channels that got drain
	finished int
}

// The misbehaviours.
const (
	badMute        = "mute"         // connects and says nothing
	badOffline     = "offline"      // greets and never says online
	badBeats       = "beats"        // sends no heartbeat after the first
	badStubborn    = "stubborn"     // ignores drain and terminate
	badTwice       = "twice"        // greets twice on a channel
	badChoke       = "choke"        // writes after choke
	badFlood       = "flood"        // ignores credit
	badOpener      = "opener"       // opens and cancels sessions without end
	badNumber      = "number"       // greets with a channel number that is not the endpoint's
	badPlain       = "plain"        // greets as a real Cocaine worker would
	badBytes       = "bytes"        // sends what is no frame
	badEarly       = "early"        // says online before it was welcomed
	badBroken      = "broken"       // asks to be replaced
	badBrokenEarly = "broken early" // before it is online
	badTerminate   = "terminate"    // says terminate and leaves
)

func (w *mini) connect(endpoint string, number int) error {
	return w.dial(endpoint, func(link session.Link) loop.Handler {
		m := session.NewMux(link, session.Options{
			ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Dialed: true},
			Control:        &miniControl{w: w, number: number},
			Accept: func(s *session.Session) error {
				w.spawn(func() { w.serve(s) })
				return nil
			},
			OnIdle: func() { w.finish() },
		})
		w.mu.Lock()
		w.muxes = append(w.muxes, m)
		w.mu.Unlock()
		return m
	})
}

type miniControl struct {
	w      *mini
	number int
}

func (c *miniControl) OnConnect(m *session.Mux) {
	w := c.w
	if w.bad == badMute {
		return
	}
	if w.bad == badBytes {
		_ = m.Send([]byte("GET / HTTP/1.1\r\n\r\n"))
		return
	}
	if w.bad == badEarly {
		_ = m.Send(codec.AppendControl(nil, heddle.CtlOnline))
		return
	}
	offer := &heddle.Offer{Version: heddle.Raw("test"), Channel: uint64(c.number), PID: uint64(os.Getpid())}
	for _, f := range features {
		offer.Features = append(offer.Features, heddle.Raw(f))
	}
	if w.bad == badNumber {
		offer.Channel += 7
	}
	if w.bad == badPlain {
		offer = nil
	}
	_ = m.Send(codec.AppendHandshake(nil, heddle.V1, w.uuid, offer))
}

func (c *miniControl) heartbeat(m *session.Mux) {
	if m.SendControl(codec.AppendHeartbeat(nil, heddle.V1)) != nil || c.w.bad == badBeats {
		return
	}
	m.Link().After(c.w.beat, func() { c.heartbeat(m) })
}

func (c *miniControl) OnHandshake(*session.Mux, []byte, *heddle.Offer) error { return nil }
func (c *miniControl) OnHeartbeat(*session.Mux)                              {}

func (c *miniControl) OnTerminate(m *session.Mux, code int64, reason []byte) {
	if c.w.bad == badStubborn {
		return
	}
	_ = m.SendControl(codec.AppendTerminate(nil, heddle.V1, code, string(reason)))
	m.Link().After(10*time.Millisecond, func() { c.w.exit(0) })
}

func (c *miniControl) OnControl(m *session.Mux, id uint64, args []byte) error {
	w := c.w
	switch id {
	case heddle.CtlWelcome:
		var wl heddle.Welcome
		if _, err := wl.UnmarshalMsg(args); err != nil {
			return err
		}
		m.Agree(int(wl.Welcome.Window), int(wl.Welcome.Sessions))
		c.heartbeat(m)
		w.mu.Lock()
		w.lanes++
		if wl.Welcome.Suspended {
			w.held++
		}
		w.pending = len(wl.Welcome.Endpoints)
		all := w.lanes == w.pending
		first := w.muxes[0]
		w.mu.Unlock()
		if c.number == 0 {
			for i, e := range wl.Welcome.Endpoints[1:] {
				if err := w.connect(string(e), i+1); err != nil {
					return err
				}
			}
		}
		if all && w.bad == badBrokenEarly {
			_ = first.Send(codec.AppendReason(nil, heddle.CtlBroken, "not well"))
			return nil
		}
		if all && w.bad != badOffline {
			_ = first.Send(codec.AppendControl(nil, heddle.CtlOnline))
			first.Link().After(300*time.Millisecond, func() { w.misbehave(first) })
		}
	case heddle.CtlSuspend, heddle.CtlResume:
		w.mu.Lock()
		w.held += map[bool]int{true: 1, false: -1}[id == heddle.CtlSuspend]
		w.mu.Unlock()
	case heddle.CtlDrain:
		if w.bad == badStubborn {
			return nil
		}
		w.mu.Lock()
		w.drained++
		w.mu.Unlock()
		w.finish()
	}
	return nil
}

// misbehave does what comes soon after online.
func (w *mini) misbehave(m *session.Mux) {
	switch w.bad {
	case badTwice:
		_ = m.Send(codec.AppendHandshake(nil, heddle.V1, w.uuid, nil))
	case badBroken:
		_ = m.Send(codec.AppendReason(nil, heddle.CtlBroken, "out of sorts"))
	case badTerminate:
		_ = m.Send(codec.AppendTerminate(nil, heddle.V1, 1, "had enough"))
	case badOpener:
		w.spawn(func() { // ends with the channel
			for {
				s, err := m.Open(session.OpenOptions{Event: "nonsense"})
				switch {
				case err == nil:
					s.Cancel(errors.New("never mind"))
					s.Discard()
				case errors.Is(err, session.ErrTooMany):
					time.Sleep(time.Millisecond)
				default:
					return
				}
				if m.Link().Queued() > 1<<20 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}

// finish half-closes every channel once all are drained and idle.
func (w *mini) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained < w.pending || w.pending == 0 {
		return
	}
	for _, m := range w.muxes {
		if m.Sessions() > 0 {
			return
		}
	}
	for _, m := range w.muxes {
		m.Link().CloseWrite()
	}
}

// OnEOF: the engine has ended, or has seen that we have.
func (c *miniControl) OnEOF(m *session.Mux) { m.Close(nil) }

func (c *miniControl) OnClose(*session.Mux, error) {
	w := c.w
	w.mu.Lock()
	w.finished++
	ordered := w.drained == w.pending && w.pending > 0
	last := w.finished == w.pending
	w.mu.Unlock()
	switch {
	case ordered && last:
		w.exit(0)
	case !ordered && w.bad != badStubborn:
		w.exit(7)
	}
}

// suspended says whether any channel is.
func (w *mini) suspended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held > 0
}

// breaks asks to be replaced.
func (w *mini) breaks(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.muxes[0].Send(codec.AppendReason(nil, heddle.CtlBroken, why))
}

// online says that it is, on the channel of that number.
func (w *mini) online(number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.muxes[number].Send(codec.AppendControl(nil, heddle.CtlOnline))
}

// leave asks to be drained, as a worker does on SIGTERM.
func (w *mini) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.muxes) > 0 {
		_ = w.muxes[0].Send(codec.AppendReason(nil, heddle.CtlLeaving, "SIGTERM"))
	}
}

// serve answers one session by its event.
func (w *mini) serve(s *session.Session) {
	event, arg, _ := strings.Cut(s.Event(), " ")
	switch event {
	case "echo":
		for {
			m, err := s.Recv()
			if err != nil {
				break
			}
			if m.Kind == session.Chunk && s.WriteChunk(m.Data) != nil {
				break
			}
		}
	case "release":
		_ = s.WriteChunk([]byte(w.release))
	case "held":
		_ = s.WriteChunk(fmt.Append(nil, w.suspended()))
	case "pid":
		_ = s.WriteChunk(fmt.Append(nil, os.Getpid()))
	case "env":
		_ = s.WriteChunk([]byte(launchEnv(arg)))
	case "slow": // answers after a while
		d, err := time.ParseDuration(arg)
		if err != nil {
			s.Abort(err)
			return
		}
		time.Sleep(d)
		_ = s.WriteChunk([]byte("at last"))
	case "hang": // says that it is there and never ends
		_ = s.WriteChunk([]byte("here"))
		<-s.Context().Done()
	case "parting": // a whole answer, and death right behind it
		_ = s.Finish([]byte("head"), make([]byte, 30<<10))
		for s.Mux().Link().Queued() > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		w.exit(3)
		return
	case "say":
		fmt.Fprintln(os.Stderr, arg)
	case "grandchild":
		grandchild(s, arg)
	case "choke":
		_ = s.Finish([]byte("all"))
		for range 3 {
			_, _ = s.Mux().Link().Send(codec.AppendChunk(nil, heddle.V1, s.ID(), []byte("more")), nil)
		}
		return
	case "flood":
		_ = s.WriteChunk([]byte("head"))
		for range 8 {
			_, _ = s.Mux().Link().Send(codec.AppendChunk(nil, heddle.V1, s.ID(), make([]byte, 32<<10)), nil)
		}
	}
	_ = s.Close()
}
