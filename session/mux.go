package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
)

// DefaultMaxSessions is how many sessions each side may have open on a
// channel unless Options say otherwise.
const DefaultMaxSessions = 64 << 10

// Control is told of what happens on a channel beside its sessions. All calls
// are on the loop; slices are borrowed. An error ends the channel.
type Control interface {
	OnConnect(m *Mux)
	OnHandshake(m *Mux, uuid []byte, offer *heddle.Offer) error
	OnHeartbeat(m *Mux)
	OnTerminate(m *Mux, code int64, reason []byte)

	// OnControl: any other message of channel 1; args is its whole array.
	OnControl(m *Mux, id uint64, args []byte) error

	// OnEOF: the peer has half-closed. Sessions that wait for it are lost;
	// the channel itself is closed by whoever implements this.
	OnEOF(m *Mux)

	// OnClose: the channel has ended, or never came to be; once, last, after
	// every session was told. err is nil when this side closed it in order.
	OnClose(m *Mux, err error)
}

// Options configure a Mux; the zero value is a plain v0 acceptor.
type Options struct {
	ChannelOptions

	// Accept is called on the loop for each session that the peer opens. It
	// may SetHandler, or pass the session to a goroutine. Without it, or for
	// an error returned, the session is refused with an error message.
	Accept func(s *Session) error

	// Methods tells what a method of a Service channel is, on the loop of the
	// side that accepted. Nil for an id: nobody has it, which ends a v1
	// channel; a v0 caller is told.
	Methods func(id uint64) *Method

	// Control hears channel 1; nil is NoControl.
	Control Control

	// Window is a stream's credit in bytes (default DefaultWindow, at least
	// 8,320) between Heddle ends; Buffer bounds a stream toward others
	// (default DefaultBuffer).
	Window int
	Buffer int

	// MaxSessions bounds the sessions that each side has open.
	MaxSessions int

	// TraceHeaders makes every frame of a plain v1 channel carry the three
	// trace headers, which some real workers need (PROTOCOL 3.2): on a session that
	// we opened those of OpenOptions.Trace, on one that answers a call the caller's,
	// else zeros.
	TraceHeaders bool

	// Strict ends a plain v1 channel whose peer says anything on a session behind
	// its own end there, as the real runtime does (PROTOCOL 3.1). Otherwise that is
	// ignored and counted.
	Strict bool

	Budget  *Budget         // shared by the channels of a loop; nil: one of its own
	Context context.Context // values of every session's context; never waited for
	OnIdle  func()          // the last open session ended; any goroutine
	OnEnd   func(*Session)  // a session, accepted or opened, has ended; any goroutine
	Logger  *slog.Logger
}

// Counters are what a channel has seen; each only grows.
type Counters struct {
	Opened   uint64 // sessions that we opened
	Accepted uint64 // sessions that the peer opened
	Refused  uint64 // of those, refused
	Ignored  uint64 // frames for sessions that had ended
	Overrun  uint64 // sessions ended because the peer sent more than it may
}

// A Mux carries every session of one channel.
type Mux struct {
	// Immutable after NewMux.
	link    Link
	ch      *Channel
	accept  func(s *Session) error
	methods func(id uint64) *Method
	control Control
	max     int
	buffer  int
	strict  bool
	traces  bool // every frame has trace headers for its fourth element
	base    context.Context
	budget  *Budget
	idle    func()
	end     func(*Session)
	log     *slog.Logger

	tag any // of SetTag; immutable once sessions are opened

	// Loop goroutine only.
	owner    loop.Owner
	sessions map[uint64]*Session // by id; absent once both directions ended
	events   map[string]string   // names seen, so that each is allocated once
	refusals refusals            // that wait in the outbox
	lenient  uint64              // v1 calls up to this id: we ended one that the peer may not know of yet

	active   atomic.Int64 // sessions open, of either side
	load     atomic.Int64 // of those, the ones that we opened
	asides   atomic.Int64 // sessions aside that the peer opened, counted nowhere else
	claimed  atomic.Int64 // bytes that are about to be queued
	counters struct{ opened, accepted, refused, ignored, overrun atomic.Uint64 }

	mu       sync.Mutex
	heddle   bool       // extensions agreed
	window   int64      // credit a stream begins with
	limit    int64      // sessions that we may have open: ours and the peer's limit
	next     uint64     // id of the next session that we open
	step     uint64     // 2 between Heddle ends, 1 toward others
	fresh    []*Session // opened off the loop and not yet in the table
	finished []*Session // ended off the loop and still in the table
	free     []*Session // released, to be opened again
	waiting  []*Session // their writers wait for room in the outbox
	draining bool       // no new sessions of ours
	held     bool       // likewise, for now
	err      error      // why the channel ended; nil while it lives
	buf      []byte     // for encoding, under mu
}

// NewMux returns a Mux on link; it is the link's loop.Handler.
func NewMux(link Link, o Options) *Mux {
	m := &Mux{
		link:     link,
		accept:   o.Accept,
		methods:  o.Methods,
		control:  o.Control,
		max:      o.MaxSessions,
		buffer:   o.Buffer,
		strict:   o.Strict,
		base:     o.Context,
		budget:   o.Budget,
		idle:     o.OnIdle,
		end:      o.OnEnd,
		log:      o.Logger,
		sessions: make(map[uint64]*Session),
		events:   make(map[string]string),
		window:   int64(o.Window),
	}
	if m.max <= 0 {
		m.max = DefaultMaxSessions
	}
	if m.buffer <= 0 {
		m.buffer = DefaultBuffer
	}
	if m.window <= 0 {
		m.window = DefaultWindow
	}
	m.window = max(m.window, leastWindow)
	m.limit = int64(m.max)
	if m.budget == nil {
		m.budget = new(Budget)
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.control == nil {
		m.control = NoControl{}
	}
	m.ch = NewChannel(link, (*receiver)(m), o.ChannelOptions)
	m.traces = o.TraceHeaders && !m.ch.heddle && !o.Dialed
	m.setIDs(m.ch.heddle, o.Dialed)
	if l, ok := link.(interface{ SetLowWater(int) }); ok {
		l.SetLowWater(HighWater / 2)
	}
	return m
}

// traced gives the v1 frame that begins at buf[at:] its fourth element.
func (m *Mux) traced(buf []byte, at int) []byte { return m.tracedAs(Trace{}, buf, at) }

// traced gives the v1 frame of this session that begins at buf[at:] its fourth
// element.
func (s *Session) traced(buf []byte, at int) []byte { return s.m.tracedAs(s.trace, buf, at) }

func (m *Mux) tracedAs(t Trace, buf []byte, at int) []byte {
	if !m.traces || m.dialect() != heddle.V1 {
		return buf
	}
	buf[at]++ // array(3) to array(4)
	return appendTrace(buf, t)
}

// setIDs chooses which ids we open: between Heddle ends the side that dialled
// odd ones from 3, the other even ones from 2; toward others the acceptor
// counts from 2 in v1 and from 1 in v0. Calls are counted from 1.
func (m *Mux) setIDs(agreed, dialed bool) {
	m.heddle = agreed
	m.step = 1
	m.next = 2
	if m.ch.service || m.dialect() == heddle.V0 {
		m.next = 1
	}
	if agreed {
		m.step = 2
		if dialed {
			m.next = 3
		}
	}
}

// Agree turns the extensions on, once handshake and welcome have said so:
// window and sessions are what both sides offered. Before it the channel is
// plain. Loop only, and before any session is opened; never on a Service
// channel.
func (m *Mux) Agree(window, sessions int) {
	m.owner.Check()
	if m.ch.service {
		return
	}
	m.ch.heddle = true
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setIDs(true, m.ch.dialed)
	if window > 0 {
		m.window = max(int64(window), leastWindow)
	}
	if sessions > 0 {
		m.limit = min(m.limit, int64(sessions))
	}
}

// Heddle says whether the extensions were agreed. Any goroutine.
func (m *Mux) Heddle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heddle
}

// Link is the channel's. Any goroutine.
func (m *Mux) Link() Link { return m.link }

// Dialect is the channel's. Any goroutine.
func (m *Mux) Dialect() heddle.Dialect { return m.dialect() }

func (m *Mux) dialect() heddle.Dialect { return m.ch.Dialect() }

// Load is how many sessions that we opened have not ended, those aside not counted.
// Any goroutine.
func (m *Mux) Load() int { return int(m.load.Load()) }

// Sessions is how many sessions are open, of either side, those aside not counted.
// Any goroutine.
func (m *Mux) Sessions() int { return int(m.active.Load()) }

// Counters returns what the channel has seen. Any goroutine.
func (m *Mux) Counters() Counters {
	c := &m.counters
	return Counters{c.opened.Load(), c.accepted.Load(), c.refused.Load(), c.ignored.Load(), c.overrun.Load()}
}

// Drain refuses new sessions of ours from now on, and sends frame (if any)
// behind every invoke that was sent. Any goroutine.
func (m *Mux) Drain(frame []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.draining = true
	if frame == nil {
		return nil
	}
	_, err := m.link.Send(frame, nil)
	return err
}

// Hold refuses new sessions of ours until Unhold, with ErrDraining, and sends
// frame (if any) behind every invoke that was sent. Any goroutine.
func (m *Mux) Hold(frame []byte) error { return m.setHeld(true, frame) }

// Unhold ends a Hold; frame goes before every invoke that is sent from now on.
// Any goroutine.
func (m *Mux) Unhold(frame []byte) error { return m.setHeld(false, frame) }

func (m *Mux) setHeld(held bool, frame []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.held = held
	if frame == nil {
		return nil
	}
	_, err := m.link.Send(frame, nil)
	return err
}

// SendControl sends a frame of channel 1 that may overtake queued data.
func (m *Mux) SendControl(frame []byte) error { return m.link.SendControl(m.traced(frame, 0)) }

// Send sends a frame of channel 1 behind the data that is queued.
func (m *Mux) Send(frame []byte) error {
	_, err := m.link.Send(m.traced(frame, 0), nil)
	return err
}

// Close delivers what is queued and closes the channel; Abort drops it. Any
// goroutine; Control.OnClose gets err.
func (m *Mux) Close(err error) { m.link.Close(err) }

// Abort closes the channel at once.
func (m *Mux) Abort(err error) { m.link.Abort(err) }

// OnOpen is the first of the methods that make a Mux a loop.Handler.
func (m *Mux) OnOpen() { m.ch.OnOpen() }

// OnBytes takes every whole frame at the front of p and returns their length.
func (m *Mux) OnBytes(p []byte) (n int, err error) {
	m.owner.Check()
	m.reap()
	if n, err = m.ch.OnBytes(p); err != nil {
		m.lose(err) // the channel may take its time to close; nobody waits for that
	}
	return n, err
}

// OnEOF is the loop's: the peer has half-closed, and every session is lost.
func (m *Mux) OnEOF() { m.ch.OnEOF() }

// OnDrain is the loop's: there is room in the outbox again.
func (m *Mux) OnDrain() { m.ch.OnDrain() }

// OnClose is the loop's: the channel has ended, or never came to be.
func (m *Mux) OnClose(err error) { m.ch.OnClose(err) }

// OnRefuse is the loop's: the kernel would not send the descriptors of frame,
// which only the session that it belongs to has to bear.
func (m *Mux) OnRefuse(frame []byte, err error) {
	m.owner.Check()
	f, _, derr := codec.NewDecoder(m.dialect(), codec.Limits{}).Next(frame)
	if derr != nil {
		m.link.Abort(fmt.Errorf("session: descriptors refused: %w", err))
		return
	}
	s := m.lookup(f.Session)
	if s == nil {
		return // it has ended meanwhile
	}
	e := &Error{ID: s.id, Category: heddle.CategorySystem, Code: int64(Errno(err)), Msg: clip("descriptors could not be passed: " + err.Error())}
	m.log.Warn("session ended", "session", s.id, "event", s.event, "err", e)
	if s.ours {
		s.giveUp(e, e)
		return
	}
	s.abort(e, e)
}

// orphan decides about a frame for a session that is not in the table: one
// that has ended is ignored and counted; one that never was breaks the rules.
func (m *Mux) orphan(sid uint64) error {
	m.counters.ignored.Add(1)
	if m.dialect() == heddle.V0 {
		return nil // the real runtime drops orphans
	}
	m.mu.Lock()
	ours, strict := m.next, m.strict && !m.heddle
	m.mu.Unlock()
	if sid <= m.ch.highest || sid < ours {
		if strict {
			return fmt.Errorf("%w: message on session %d behind its end", ErrProtocol, sid)
		}
		return nil
	}
	return fmt.Errorf("%w: message on session %d, which was never opened", ErrProtocol, sid)
}

// claim says whether the outbox has room, and then counts n bytes as good as queued
// until unclaim. Many writers who look at once would otherwise all find room, and fill
// the outbox until that ends the channel. Any goroutine.
func (m *Mux) claim(n int) bool {
	for {
		was := m.claimed.Load()
		if was+int64(m.link.Queued()) >= HighWater {
			return false
		}
		if m.claimed.CompareAndSwap(was, was+int64(n)) {
			return true
		}
	}
}

// unclaim is of who has claimed, and has sent or will not.
func (m *Mux) unclaim(n int) { m.claimed.Add(-int64(n)) }

// waitRoom has s woken once the outbox is below its low-water mark.
func (m *Mux) waitRoom(s *Session) {
	m.mu.Lock()
	if !s.roomless { // a handler may try again and again
		s.roomless = true
		m.waiting = append(m.waiting, s)
	}
	m.mu.Unlock()
	if m.link.Queued() < HighWater {
		// It drained in between, and OnDrain may not come again. An error
		// means that the loop has ended: lose wakes everybody then.
		_ = m.link.Do(m.wakeRoom)
	}
}

// wakeRoom wakes everybody who waits for room. Loop only.
func (m *Mux) wakeRoom() {
	m.mu.Lock()
	waiting := m.waiting
	m.waiting = nil
	for _, s := range waiting {
		s.roomless = false
	}
	m.mu.Unlock()
	for _, s := range waiting {
		s.wakeWriter()
	}
}

// lose ends every session because the channel cannot answer any more.
func (m *Mux) lose(err error) {
	if err == nil {
		err = io.EOF
	}
	cause := err
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF // io.EOF is how a stream ends in order, for errors.Is, too
	}
	lost := fmt.Errorf("%w: %w", ErrLost, cause)
	m.mu.Lock()
	if m.err != nil {
		m.mu.Unlock()
		return
	}
	m.err = lost
	m.mu.Unlock()
	m.lookup(0)
	untouched := false
	for _, s := range m.sessions {
		untouched = s.lose(lost) || untouched
	}
	if untouched {
		// Somebody else may be asked what the outbox still holds: so it must
		// never leave, however gently the channel was to be closed.
		m.link.Abort(err)
	}
	m.wakeRoom()
	m.reap()
}

// NoControl is a Control that hears nothing, and closes the channel once the peer has
// half-closed. Embed it where some of it is heard.
type NoControl struct{}

func (NoControl) OnConnect(*Mux)                                {}
func (NoControl) OnHandshake(*Mux, []byte, *heddle.Offer) error { return nil }
func (NoControl) OnHeartbeat(*Mux)                              {}
func (NoControl) OnTerminate(*Mux, int64, []byte)               {}
func (NoControl) OnControl(*Mux, uint64, []byte) error          { return nil }
func (NoControl) OnEOF(m *Mux)                                  { m.Close(nil) }
func (NoControl) OnClose(*Mux, error)                           {}

// takeFiles takes n descriptors from the link, for a session or to drop them.
func (m *Mux) takeFiles(args []byte) ([]*os.File, error) {
	f := &m.ch.files
	if err := codec.DecodeArgs(f, args, 1); err != nil {
		return nil, argsError("files", err)
	}
	if f.Count < 1 || f.Count > 16 {
		return nil, fmt.Errorf("%w: files message with %d descriptors", ErrProtocol, f.Count)
	}
	return m.link.TakeFiles(int(f.Count))
}
