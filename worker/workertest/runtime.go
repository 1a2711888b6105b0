package workertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
	"github.com/heddle-go/heddle/worker"
)

// A Version is one of the real runtimes.
type Version uint8

// The real runtimes.
const (
	Runtime011 Version = iota // cocaine-runtime 0.11, dialect v0: passes over much
	Runtime012                // cocaine-runtime 0.12.1 and later, dialect v1: closes the connection over nearly anything
)

// Dialect is what it speaks.
func (v Version) Dialect() heddle.Dialect {
	if v == Runtime011 {
		return heddle.V0
	}
	return heddle.V1
}

func (v Version) String() string {
	if v == Runtime011 {
		return "runtime 0.11"
	}
	return "runtime 0.12"
}

// Memory is the network of a Runtime that has none: its Dial is for worker.Options.Dial.
const Memory = "memory"

// RuntimeOptions configure a Runtime; the zero value works.
type RuntimeOptions struct {
	Network string // "unix" (default), "tcp", or Memory: then the worker is given Dial
	Gap     uint64 // ids that are left out between two sessions, as if other workers had them

	// What the real one waits for its worker. Zero is the real one's.
	StartTimeout     time.Duration // for the handshake (5 s), 0.11: and the first heartbeat (10 s)
	HeartbeatTimeout time.Duration // for the next heartbeat; 30 s
	TerminateTimeout time.Duration // for its leaving, once asked; 10 s, 0.11: 5 s

	// Patience is how long the methods wait for the worker; default 10 s.
	Patience time.Duration

	// Report gets each violation; nil has the test fail with it. It must not call
	// the Runtime.
	Report func(v Violation)
}

// ErrGone reports a worker whose connection has ended.
var ErrGone = errors.New("workertest: the worker's connection has ended")

// ErrPatience reports a worker that did not do in time what was waited for.
var ErrPatience = errors.New("workertest: patience is over")

// A Runtime plays one of the real Cocaine runtimes for one worker at a time, on
// real sockets or in memory, and holds that worker to the real one's rules: a
// worker that breaks none of them runs there, too. It reads frames by itself and
// forgives nothing that the real one does not.
//
// Methods may be called by any goroutine.
type Runtime struct {
	// Immutable after NewRuntime.
	t       testing.TB
	version Version
	o       RuntimeOptions
	addr    string
	ln      net.Listener  // nil in memory
	dir     string        // of the socket; "" for none
	served  chan struct{} // closed when the listener's goroutine has ended
	readers sync.WaitGroup

	mu         sync.Mutex
	cond       *sync.Cond
	peers      []*peer
	ends       []*sessiontest.End // in memory: both of each connection
	worker     *peer              // the one that has shaken hands; nil for none
	active     bool               // it may be given work
	calls      map[uint64]*Call
	next       uint64 // id of the next session
	beats      int
	mute       bool
	asked      *Terminate
	terminates []Terminate
	violations []Violation
	closed     bool
}

// NewRuntime plays v until the test is over. The test fails with each Violation
// unless o.Report takes them.
func NewRuntime(t testing.TB, v Version, o RuntimeOptions) *Runtime {
	t.Helper()
	def := func(d *time.Duration, v0, v1 time.Duration) {
		if *d <= 0 {
			*d = v1
			if v == Runtime011 {
				*d = v0
			}
		}
	}
	def(&o.StartTimeout, 10*time.Second, 5*time.Second)
	def(&o.HeartbeatTimeout, 30*time.Second, 30*time.Second)
	def(&o.TerminateTimeout, 5*time.Second, 10*time.Second)
	def(&o.Patience, 10*time.Second, 10*time.Second)
	r := &Runtime{t: t, version: v, o: o, calls: make(map[uint64]*Call), next: 1, served: make(chan struct{})}
	if v == Runtime012 {
		r.next = 2
	}
	r.cond = sync.NewCond(&r.mu)
	if err := r.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func (r *Runtime) listen() (err error) {
	switch r.o.Network {
	case Memory:
		r.addr = "@workertest-runtime"
		close(r.served)
		return nil
	case "", "unix":
		if r.dir, err = os.MkdirTemp("", "rt"); err != nil { // a test's own is too long for a socket's name
			return err
		}
		r.ln, err = net.Listen("unix", filepath.Join(r.dir, "test.1"))
	default:
		r.ln, err = net.Listen(r.o.Network, "127.0.0.1:0")
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(r.dir))
	}
	r.addr = r.ln.Addr().String()
	go r.accept() // ends with Close
	return nil
}

func (r *Runtime) accept() {
	defer close(r.served)
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		p := &peer{r: r, shut: func() { _ = c.Close() }, send: func(b []byte) error {
			_ = c.SetWriteDeadline(time.Now().Add(r.o.Patience))
			_, err := c.Write(b)
			return err
		}}
		if !r.enter(p) {
			p.shut()
			return
		}
		r.readers.Go(func() { // ends with the connection
			buf := make([]byte, 64<<10)
			for {
				n, err := c.Read(buf)
				if !p.onBytes(buf[:n], err != nil) {
					return
				}
			}
		})
	}
}

// enter lets a connection in; false: the Runtime is closed.
func (r *Runtime) enter(p *peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.peers = append(r.peers, p)
	rule := RuleHandshake
	if r.version == Runtime011 {
		rule = RuleFirstBeat
	}
	p.dueLocked(r.o.StartTimeout, rule, "none came in time")
	return true
}

// onBytes takes in what was read; false: nothing more is to be read.
func (p *peer) onBytes(b []byte, eof bool) bool {
	p.r.mu.Lock()
	out := p.feedLocked(b)
	if p.left && p.r.version == Runtime012 {
		p.endLocked() // the real one ends the process there
	}
	if eof {
		p.eofLocked()
	}
	gone := p.gone
	p.r.mu.Unlock()
	if len(out) > 0 {
		_ = p.send(out) // fails for a connection that has ended
	}
	return !gone
}

// Dial is for worker.Options.Dial, in memory.
func (r *Runtime) Dial(_ string, h func(session.Link) loop.Handler) error {
	ours, theirs := sessiontest.New()
	p := &peer{r: r, shut: func() { ours.Close(nil) }, send: func(b []byte) error {
		_, err := ours.Send(b, nil)
		return err
	}}
	if !r.enter(p) {
		return io.ErrClosedPipe
	}
	r.mu.Lock()
	r.ends = append(r.ends, ours, theirs)
	r.mu.Unlock()
	ours.Start(memory{p})
	theirs.Start(h(theirs))
	return nil
}

// memory is the runtime's end of a connection in memory.
type memory struct{ p *peer }

func (memory) OnOpen()                         {}
func (m memory) OnBytes(b []byte) (int, error) { m.p.onBytes(b, false); return len(b), nil }
func (m memory) OnEOF()                        { m.p.onBytes(nil, true) }
func (memory) OnDrain()                        {}
func (m memory) OnClose(error)                 { m.p.onBytes(nil, true) }

// Launch is what Args say, for a worker in this process.
func (r *Runtime) Launch() *worker.Launch {
	return &worker.Launch{Dialect: r.version.Dialect(), Endpoint: r.addr, UUID: UUID, App: "test", Locator: locator}
}

// locator is where nobody answers: a worker that calls no services does not ask.
const locator = "127.0.0.1:10053"

// Args are the flags that the real runtime gives a worker's process, in its order.
func (r *Runtime) Args() []string {
	args := []string{"--app", "test", "--endpoint", r.addr, "--locator", locator}
	if r.version == Runtime012 {
		args = append(args, "--protocol", "1")
	}
	return append(args, "--uuid", UUID)
}

// Mute stops, or begins again, answering heartbeats.
func (r *Runtime) Mute(on bool) {
	r.mu.Lock()
	r.mute = on
	r.mu.Unlock()
}

// Beats is how many heartbeats have come.
func (r *Runtime) Beats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.beats
}

// Active waits until the worker may be given work: after its handshake, 0.11: after
// its first heartbeat.
func (r *Runtime) Active() error {
	return r.wait("for the worker", func() bool { return r.active })
}

// AwaitBeats waits until n heartbeats have come.
func (r *Runtime) AwaitBeats(n int) error {
	return r.wait(fmt.Sprintf("for %d heartbeats", n), func() bool { return r.beats >= n })
}

// Terminate tells the worker to leave.
func (r *Runtime) Terminate(code int64, reason string) error {
	r.mu.Lock()
	p := r.worker
	if p == nil {
		r.mu.Unlock()
		return ErrGone
	}
	r.asked = &Terminate{code, reason}
	p.dueLocked(r.o.TerminateTimeout, RuleTerminate, "the worker did not leave")
	r.mu.Unlock()
	return p.send(r.traced(codec.AppendTerminate(nil, r.version.Dialect(), code, reason), nil))
}

// Terminates are the worker's own terminate messages, and its answers.
func (r *Runtime) Terminates() []Terminate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.terminates)
}

// Gone waits until the worker has left: no connection is open.
func (r *Runtime) Gone() error {
	return r.wait("for the worker to leave", func() bool {
		return len(r.peers) > 0 && !slices.ContainsFunc(r.peers, func(p *peer) bool { return !p.gone })
	})
}

// Kill ends every connection, as the runtime's death does.
func (r *Runtime) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		p.endLocked()
	}
}

// Send sends any bytes to the worker, as they are.
func (r *Runtime) Send(b []byte) error {
	r.mu.Lock()
	p := r.worker
	r.mu.Unlock()
	if p == nil {
		return ErrGone
	}
	return p.send(b)
}

// Violations are all that were noted so far.
func (r *Runtime) Violations() []Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

func (r *Runtime) violateLocked(v Violation) {
	r.violations = append(r.violations, v)
	r.cond.Broadcast()
	if r.o.Report != nil {
		r.o.Report(v)
		return
	}
	r.t.Errorf("%v: %v", r.version, v)
}

// wait waits until what is true, under mu.
func (r *Runtime) wait(what string, is func() bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waitLocked(what, is)
}

func (r *Runtime) waitLocked(what string, is func() bool) error {
	over := false
	t := time.AfterFunc(r.o.Patience, func() {
		r.mu.Lock()
		over = true
		r.cond.Broadcast()
		r.mu.Unlock()
	})
	defer t.Stop()
	for !is() {
		if over {
			return fmt.Errorf("%w: %s", ErrPatience, what)
		}
		r.cond.Wait()
	}
	return nil
}

// Close ends the worker's connection and what the Runtime has started. Chokes that
// are still owed are waited for, since they are a rule. NewRuntime has it called.
func (r *Runtime) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	_ = r.waitLocked("for chokes", func() bool { // else unchokedLocked says so
		for _, c := range r.calls {
			if c.failed && !c.choked && !c.lost && r.version == Runtime011 {
				return false
			}
		}
		return true
	})
	r.closed = true
	for _, p := range r.peers {
		p.unchokedLocked()
		p.endLocked()
	}
	ends := slices.Clone(r.ends)
	r.mu.Unlock()
	if r.ln != nil {
		_ = r.ln.Close()
	}
	<-r.served
	r.readers.Wait()
	for _, e := range ends {
		e.Wait()
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// traced gives a frame the headers that the real 0.12 puts on everything: the three
// of the trace first, zeros without one.
func (r *Runtime) traced(frame []byte, hs []codec.Header) []byte {
	if r.version == Runtime011 {
		return frame
	}
	if hs == nil {
		hs = session.Trace{}.Headers()
	}
	return codec.AppendHeaders(frame, 0, hs)
}
