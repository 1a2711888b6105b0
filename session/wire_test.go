package session_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A dialogue of testdata/*.wire: what engine and worker say in turn. Each is
// played twice, over every transport: once with our Mux as the worker and the
// test as the engine, once the other way round.
//
//	dialect v0|v1|heddle        first line
//	E> frame                    the engine says it
//	W> frame                    the worker says it
//	E+ frame                    the engine's Mux says it by itself
//	E! hex  /  W! hex           raw bytes, for what no encoder would make
//	E closed  /  W closed       that side has closed the channel
//
// frames: invoke ID "event" · chunk ID "data" · choke ID · error ID CAT CODE
// "text" · window ID N · cancel ID CAT CODE "text" · gone ID · heartbeat ·
// terminate CODE "text"; of services see wirecall_test.go
type dialogue struct {
	name  string
	opts  session.ChannelOptions
	lines []line
}

type line struct {
	no   int
	side byte // 'E' or 'W'; of a service 'C' or 'S'
	op   byte // '>', '+', '!' or ' ' for closed
	text string
}

func readDialogue(t *testing.T, path string) dialogue {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := dialogue{name: strings.TrimSuffix(filepath.Base(path), ".wire")}
	sc := bufio.NewScanner(f)
	for no := 1; sc.Scan(); no++ {
		s := strings.TrimSpace(sc.Text())
		switch {
		case s == "" || s[0] == '#':
		case strings.HasPrefix(s, "dialect "):
			o, ok := channels[strings.TrimPrefix(s, "dialect ")]
			if !ok {
				o, ok = services[strings.TrimPrefix(s, "dialect ")]
			}
			if !ok {
				t.Fatalf("%s:%d: no such dialect", path, no)
			}
			d.opts = o
		case len(s) > 3 && strings.IndexByte("EWCS", s[0]) >= 0 && strings.ContainsRune(">+! ", rune(s[1])):
			d.lines = append(d.lines, line{no, s[0], s[1], strings.TrimSpace(s[2:])})
		default:
			t.Fatalf("%s:%d: %q", path, no, s)
		}
	}
	if len(d.lines) == 0 {
		t.Fatalf("%s is empty", path)
	}
	return d
}

// encode makes the bytes of a frame in words.
func (d dialogue) encode(t *testing.T, l line) []byte {
	t.Helper()
	dia := d.opts.Dialect
	if l.op == '!' {
		p, err := hex.DecodeString(strings.ReplaceAll(l.text, " ", ""))
		if err != nil {
			t.Fatalf("line %d: %v", l.no, err)
		}
		return p
	}
	w := words(t, l)
	n := func(i int) int64 {
		v, err := strconv.ParseInt(w[i], 10, 64)
		if err != nil {
			t.Fatalf("line %d: %v", l.no, err)
		}
		return v
	}
	switch w[0] {
	case "invoke":
		return codec.AppendInvoke(nil, dia, uint64(n(1)), w[2], -1)
	case "chunk":
		return codec.AppendChunk(nil, dia, uint64(n(1)), []byte(w[2]))
	case "choke":
		return codec.AppendChoke(nil, dia, uint64(n(1)))
	case "error":
		return codec.AppendError(nil, dia, uint64(n(1)), n(2), n(3), w[4])
	case "window":
		return codec.AppendWindow(nil, uint64(n(1)), uint64(n(2)))
	case "cancel":
		return codec.AppendCancel(nil, uint64(n(1)), n(2), n(3), w[4])
	case "gone":
		return codec.AppendGone(nil, uint64(n(1)))
	case "heartbeat":
		return codec.AppendHeartbeat(nil, dia)
	case "terminate":
		return codec.AppendTerminate(nil, dia, n(1), w[2])
	}
	return d.encodeCall(t, l, w)
}

// words splits a line at spaces, taking quoted strings whole; a repeat count
// behind a string ("x"*100) repeats it.
func words(t *testing.T, l line) (out []string) {
	t.Helper()
	rest := l.text
	for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if rest[0] != '"' {
			w, r, _ := strings.Cut(rest, " ")
			out, rest = append(out, w), r
			continue
		}
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("line %d: %v", l.no, err)
		}
		s, _ := strconv.Unquote(q)
		rest = rest[len(q):]
		if strings.HasPrefix(rest, "*") {
			w, r, _ := strings.Cut(rest[1:], " ")
			k, err := strconv.Atoi(w)
			if err != nil {
				t.Fatalf("line %d: %v", l.no, err)
			}
			s, rest = strings.Repeat(s, k), r
		}
		out = append(out, s)
	}
	return out
}

// app is what our worker answers in every dialogue.
func app(s *session.Session) {
	switch s.Event() {
	case "echo":
		echo(s)
	case "fail":
		s.Abort(&session.Error{Category: 42, Code: 100, Msg: "failed"})
	case "wait": // for the context, then says so
		<-s.Context().Done()
		s.WriteChunk([]byte("context ended"))
	}
}

// transports connect a Mux to a peer that is bare bytes.
var transports = map[string]func(t *testing.T, make func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser){
	"pipe": func(t *testing.T, mk func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser) {
		a, b := sessiontest.Pipe(t)
		m := mk(a)
		raw := &rawEnd{end: b}
		raw.cond = sync.NewCond(&raw.mu)
		a.Start(m)
		b.Start(raw)
		return m, raw
	},
	"unix": func(t *testing.T, mk func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser) {
		return overSocket(t, "unix", filepath.Join(t.TempDir(), "s"), mk)
	},
	"tcp": func(t *testing.T, mk func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser) {
		return overSocket(t, "tcp", "127.0.0.1:0", mk)
	},
}

func overSocket(t *testing.T, network, addr string, mk func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser) {
	t.Helper()
	l := startLoop(t)
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	made := make(chan *session.Mux, 1)
	if _, err := l.Dial(network, ln.Addr().String(), func(c *loop.Conn) loop.Handler {
		m := mk(c)
		made <- m
		return m
	}, loop.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return <-made, nc
}

func startLoop(t testing.TB) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }() // ends with Close below
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Errorf("loop: %v", err)
		}
	})
	return l
}

// rawEnd is a pipe's end as bytes.
type rawEnd struct {
	end  *sessiontest.End
	mu   sync.Mutex
	cond *sync.Cond
	in   []byte
	eof  bool
}

func (r *rawEnd) OnOpen() {}
func (r *rawEnd) OnBytes(p []byte) (int, error) {
	r.mu.Lock()
	r.in = append(r.in, p...)
	r.cond.Broadcast()
	r.mu.Unlock()
	return len(p), nil
}
func (r *rawEnd) OnEOF()        { r.mu.Lock(); r.eof = true; r.cond.Broadcast(); r.mu.Unlock() }
func (r *rawEnd) OnDrain()      {}
func (r *rawEnd) OnClose(error) { r.OnEOF() }

func (r *rawEnd) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.in) == 0 && !r.eof {
		r.cond.Wait()
	}
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *rawEnd) Write(p []byte) (int, error) { _, err := r.end.Send(p, nil); return len(p), err }
func (r *rawEnd) Close() error                { r.end.Close(nil); return nil }

func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.wire")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d dialogues found, %v; testdata is incomplete", len(files), err)
	}
	for _, path := range files {
		d := readDialogue(t, path)
		for name, connect := range transports {
			if d.opts.Service {
				t.Run(d.name+"/"+name+"/client", func(t *testing.T) { d.playClient(t, connect) })
				t.Run(d.name+"/"+name+"/service", func(t *testing.T) { d.playService(t, connect) })
				continue
			}
			t.Run(d.name+"/"+name+"/worker", func(t *testing.T) { d.playWorker(t, connect) })
			t.Run(d.name+"/"+name+"/engine", func(t *testing.T) { d.playEngine(t, connect) })
		}
	}
}

// has says whether the dialogue has a line of this side and operation.
func (d dialogue) has(side, op byte) bool {
	for _, l := range d.lines {
		if l.side == side && l.op == op {
			return true
		}
	}
	return false
}

// playWorker has our Mux answer what the engine of the dialogue says.
func (d dialogue) playWorker(t *testing.T, connect func(*testing.T, func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser)) {
	if d.has('W', '!') || d.has('E', ' ') {
		return // what a worker of ours never says
	}
	var wg sync.WaitGroup
	wg.Add(1) // the channel itself: no handler begins after its end
	defer wg.Wait()
	_, raw := connect(t, func(link session.Link) *session.Mux {
		o := session.Options{ChannelOptions: d.opts, Window: 8 << 10, Accept: func(s *session.Session) error {
			wg.Add(1)
			go func() { // ends when app does, at the latest with the channel
				defer wg.Done()
				app(s)
				s.Close()
				s.Discard()
			}()
			return nil
		}}
		o.Dialed = true
		o.Control = last{done: wg.Done}
		return session.NewMux(link, o)
	})
	defer raw.Close()
	for _, l := range d.lines {
		switch {
		case l.side == 'E' && l.op != ' ':
			if _, err := raw.Write(d.encode(t, l)); err != nil {
				t.Fatalf("line %d: %v", l.no, err)
			}
		case l.op == ' ':
			expectClosed(t, l, raw)
		default:
			expectBytes(t, l, raw, d.encode(t, l))
		}
	}
}

// playEngine has our Mux say what the engine of the dialogue says, and hear
// what the worker answers.
func (d dialogue) playEngine(t *testing.T, connect func(*testing.T, func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser)) {
	if d.has('E', '!') || d.has('W', ' ') {
		return // what an engine of ours never says
	}
	m, raw := connect(t, func(link session.Link) *session.Mux {
		return session.NewMux(link, session.Options{ChannelOptions: d.opts, Window: 8 << 10, Control: quiet{}})
	})
	defer raw.Close()
	byID := make(map[string]*session.Session)
	for _, l := range d.lines {
		w := words(t, l)
		switch {
		case l.op == ' ':
			expectClosed(t, l, raw)
		case l.side == 'E':
			if l.op == '>' {
				d.say(t, l, m, byID)
			}
			expectBytes(t, l, raw, d.encode(t, l))
		case l.op == '!':
			raw.Write(d.encode(t, l))
		default:
			if _, err := raw.Write(d.encode(t, l)); err != nil {
				t.Fatalf("line %d: %v", l.no, err)
			}
			d.hear(t, l, w, byID)
		}
	}
	for id, s := range byID {
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := s.Recv(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("session %s has not ended", id)
		}
	}
}

// say makes the engine's Mux say a line.
func (d dialogue) say(t *testing.T, l line, m *session.Mux, byID map[string]*session.Session) {
	t.Helper()
	w := words(t, l)
	if w[0] == "heartbeat" {
		m.SendControl(codec.AppendHeartbeat(nil, d.opts.Dialect))
		return
	}
	if w[0] == "terminate" {
		m.Send(d.encode(t, l))
		return
	}
	if w[0] == "invoke" {
		s, err := m.Open(session.OpenOptions{Event: w[2]})
		if err != nil {
			t.Fatalf("line %d: %v", l.no, err)
		}
		if got := fmt.Sprint(s.ID()); got != w[1] {
			t.Fatalf("line %d: opened session %s", l.no, got)
		}
		byID[w[1]] = s
		return
	}
	s := byID[w[1]]
	if s == nil {
		t.Fatalf("line %d: no session %s", l.no, w[1])
	}
	var err error
	switch w[0] {
	case "chunk":
		err = s.WriteChunk([]byte(w[2]))
	case "choke":
		err = s.Close()
	case "error", "cancel":
		cat, _ := strconv.ParseInt(w[2], 10, 64)
		code, _ := strconv.ParseInt(w[3], 10, 64)
		e := &session.Error{Category: cat, Code: code, Msg: w[4]}
		if w[0] == "error" {
			s.Abort(e)
		} else {
			s.Cancel(e)
		}
	case "gone":
		s.Gone()
	default:
		t.Fatalf("line %d: an engine of ours does not say %q by itself", l.no, w[0])
	}
	if err != nil {
		t.Fatalf("line %d: %v", l.no, err)
	}
}

// hear checks that the engine's session got what the worker said.
func (d dialogue) hear(t *testing.T, l line, w []string, byID map[string]*session.Session) {
	t.Helper()
	if len(w) < 2 {
		return // heartbeat
	}
	s := byID[w[1]]
	if s == nil || s.Cause() == session.ErrCanceled || w[0] == "window" {
		return
	}
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	msg, err := s.Recv()
	var e *session.Error
	switch w[0] {
	case "chunk":
		if err != nil || string(msg.Data) != w[2] {
			t.Fatalf("line %d: Recv = %q, %v", l.no, msg.Data, err)
		}
	case "choke":
		if err != io.EOF && !(d.opts.Dialect == heddle.V0 && errors.As(err, &e)) { // v0 chokes after an error
			t.Fatalf("line %d: Recv = %v, want io.EOF", l.no, err)
		}
	case "error":
		if !errors.As(err, &e) || fmt.Sprint(e.Code) != w[3] || e.Msg != w[4] {
			t.Fatalf("line %d: Recv = %v", l.no, err)
		}
	}
}

func expectBytes(t *testing.T, l line, raw io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(raw, got); err != nil || string(got) != string(want) {
		t.Fatalf("line %d: got % x (%v)\nwant % x", l.no, got[:n], err, want)
	}
}

func expectClosed(t *testing.T, l line, raw io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(raw)
	if len(rest) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("line %d: % x, %v; want the channel closed", l.no, rest, err)
	}
}

// closer answers heartbeats and closes at the peer's end.
type closer struct{}

func (closer) OnConnect(*session.Mux)                                {}
func (closer) OnHandshake(*session.Mux, []byte, *heddle.Offer) error { return nil }
func (closer) OnHeartbeat(m *session.Mux) {
	m.SendControl(codec.AppendHeartbeat(nil, m.Dialect()))
}

// last is closer that tells of the channel's end.
type last struct {
	closer
	done func()
}

func (l last) OnClose(*session.Mux, error) { l.done() }

// quiet is closer without the answers.
type quiet struct{ closer }

func (quiet) OnHeartbeat(*session.Mux) {}

func (closer) OnTerminate(*session.Mux, int64, []byte)      {}
func (closer) OnControl(*session.Mux, uint64, []byte) error { return nil }
func (closer) OnEOF(m *session.Mux)                         { m.Close(nil) }
func (closer) OnClose(*session.Mux, error)                  {}
