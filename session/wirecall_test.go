package session_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// Dialogues of testdata/*.wire on Service channels are between a client (C)
// and a service (S), played from either side, too. Their frames beside chunk,
// choke and error:
//
//	call ID METHOD ARGS   opens a call; ARGS is an array, in hex
//	say ID MESSAGE ARGS   a message of a call
//
// The service is the one of call_test.go.
var services = map[string]session.ChannelOptions{
	"service-v0": {Dialect: heddle.V0, Service: true},
	"service-v1": {Dialect: heddle.V1, Service: true},
}

type connecter = func(*testing.T, func(session.Link) *session.Mux) (*session.Mux, io.ReadWriteCloser)

// encodeCall makes the bytes of a frame that only services have.
func (d dialogue) encodeCall(t *testing.T, l line, w []string) []byte {
	t.Helper()
	if len(w) != 4 || w[0] != "call" && w[0] != "say" {
		t.Fatalf("line %d: unknown frame %q", l.no, w[0])
	}
	sid, err1 := strconv.ParseUint(w[1], 10, 64)
	id, err2 := strconv.ParseUint(w[2], 10, 64)
	args, err3 := hex.DecodeString(w[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("line %d: %v", l.no, err)
	}
	return codec.AppendMethod(nil, d.opts.Dialect, sid, id, args)
}

// playService has our Mux answer what the client of the dialogue says.
func (d dialogue) playService(t *testing.T, connect connecter) {
	if d.has('S', '!') || d.has('C', ' ') || d.has('C', '+') {
		return // what a service of ours never says
	}
	var wg sync.WaitGroup
	wg.Add(1) // the channel itself: no call begins after its end
	defer wg.Wait()
	_, raw := connect(t, func(link session.Link) *session.Mux {
		o := session.Options{ChannelOptions: d.opts, Methods: methodOf, Accept: func(s *session.Session) error {
			wg.Add(1)
			go func() { // ends when serve does, at the latest with the channel
				defer wg.Done()
				serve(s)
			}()
			return nil
		}}
		o.Control = last{done: wg.Done}
		return session.NewMux(link, o)
	})
	defer raw.Close()
	for _, l := range d.lines {
		switch {
		case l.side == 'C':
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

// playClient has our Mux say what the client of the dialogue says, and hear
// what the service answers.
func (d dialogue) playClient(t *testing.T, connect connecter) {
	if d.has('C', '!') || d.has('S', ' ') {
		return // what a client of ours never says
	}
	m, raw := connect(t, func(link session.Link) *session.Mux {
		o := session.Options{ChannelOptions: d.opts, Control: quiet{}}
		o.Dialed = true
		return session.NewMux(link, o)
	})
	defer raw.Close()
	byID := make(map[string]*session.Session)
	for _, l := range d.lines {
		switch {
		case l.op == ' ':
			expectClosed(t, l, raw)
		case l.side == 'C':
			if l.op == '>' {
				d.ask(t, l, m, byID)
			}
			expectBytes(t, l, raw, d.encode(t, l))
		default:
			if _, err := raw.Write(d.encode(t, l)); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Fatalf("line %d: %v", l.no, err)
			}
			if l.op == '>' {
				d.told(t, l, byID)
			}
		}
	}
	for id, s := range byID {
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := s.Recv(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("call %s has not ended", id)
		}
	}
}

// ask makes the client's Mux say a line.
func (d dialogue) ask(t *testing.T, l line, m *session.Mux, byID map[string]*session.Session) {
	t.Helper()
	w := words(t, l)
	if w[0] == "call" {
		id, _ := strconv.ParseUint(w[2], 10, 64)
		args, _ := hex.DecodeString(w[3])
		method := methodOf(id)
		if method == nil { // a mistake of ours
			method = &session.Method{ID: id, Upstream: session.Primitive}
		}
		s, err := m.Open(session.OpenOptions{Method: method, First: args})
		if err != nil {
			t.Fatalf("line %d: %v", l.no, err)
		}
		if got := fmt.Sprint(s.ID()); got != w[1] {
			t.Fatalf("line %d: opened call %s", l.no, got)
		}
		byID[w[1]] = s
		return
	}
	s := byID[w[1]]
	if s == nil {
		t.Fatalf("line %d: no call %s", l.no, w[1])
	}
	var err error
	switch w[0] {
	case "say":
		id, _ := strconv.ParseUint(w[2], 10, 64)
		args, _ := hex.DecodeString(w[3])
		err = s.Say(id, args)
	case "chunk":
		err = s.WriteChunk([]byte(w[2]))
	case "choke":
		err = s.Close()
	case "error":
		cat, _ := strconv.ParseInt(w[2], 10, 64)
		code, _ := strconv.ParseInt(w[3], 10, 64)
		s.Abort(&session.Error{Category: cat, Code: code, Msg: w[4]})
	}
	if err != nil {
		t.Fatalf("line %d: %v", l.no, err)
	}
}

// told checks that the client's call got what the service said.
func (d dialogue) told(t *testing.T, l line, byID map[string]*session.Session) {
	t.Helper()
	w := words(t, l)
	s := byID[w[1]]
	if s == nil {
		return // the service's own call, or nobody's
	}
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	msg, err := s.Recv()
	var e *session.Error
	switch w[0] {
	case "say":
		if err != nil || msg.Kind != session.Said || fmt.Sprint(msg.ID) != w[2] || hex.EncodeToString(msg.Data) != w[3] {
			t.Fatalf("line %d: Recv = %v %d % x, %v", l.no, msg.Kind, msg.ID, msg.Data, err)
		}
	case "chunk":
		want := w[2]
		if d.opts.Dialect == heddle.V1 { // which has the whole array
			want = string(codec.AppendRawString([]byte{0x91}, want))
		}
		if err != nil || string(msg.Data) != want {
			t.Fatalf("line %d: Recv = %v %q, %v", l.no, msg.Kind, msg.Data, err)
		}
	case "choke":
		if err != io.EOF && !(d.opts.Dialect == heddle.V0 && errors.As(err, &e)) { // v0 chokes after an error
			t.Fatalf("line %d: Recv = %v, want io.EOF", l.no, err)
		}
	case "error":
		if !errors.As(err, &e) || !e.Remote || fmt.Sprint(e.Category, e.Code) != strings.Join(w[2:4], " ") || e.Msg != w[4] {
			t.Fatalf("line %d: Recv = %v", l.no, err)
		}
	}
}
