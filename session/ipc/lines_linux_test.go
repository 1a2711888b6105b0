package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/internal/nodepeer"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// daemonLines answers as nodepeer.TalkNodesockd says.
func daemonLines(_ context.Context, l *Line) (any, error) {
	var q struct {
		Message, Request, Workers string
		Data                      json.RawMessage
	}
	if l.Data != nil {
		if err := json.Unmarshal(l.Data, &q); err != nil {
			return nil, err
		}
	}
	if q.Workers == "2-1" {
		return nil, errors.New("2-1: reversed")
	}
	type worker struct {
		ID      string          `json:"id"`
		PID     int             `json:"pid"`
		Index   int             `json:"idx"`
		State   string          `json:"state,omitempty"`
		StateTs int             `json:"stateTs,omitempty"`
		Data    json.RawMessage `json:"data,omitempty"`
		Errors  []string        `json:"errors,omitempty"`
	}
	switch l.Type {
	case "status":
		return map[string]any{"pid": os.Getpid(), "version": "x", "startTs": 1, "workers": []worker{
			{ID: "a", PID: 10, State: "online", StateTs: 1}, {ID: "b", PID: 11, Index: 1, State: "suspended", StateTs: 1}}}, nil
	case "send-app-msg":
		return nil, nil
	case "send-app-req":
		all := []worker{}
		for i, id := range []string{"a", "b"} {
			w := worker{ID: id, PID: 10 + i, Index: i}
			switch {
			case q.Workers != "" && q.Workers != fmt.Sprint(i):
				continue
			case q.Request == "echo":
				w.Data = q.Data
			default:
				w.Errors = []string{q.Request}
			}
			all = append(all, w)
		}
		return all, nil // in one reply: see Line.Reply
	}
	return nil, ErrUnknownType
}

func TestNodesockdStandIn(t *testing.T) {
	path := shortSocket(t)
	serveFraming(t, path, Options{Lines: daemonLines})
	nodepeer.TalkNodesockd(t, path, false)
}

func TestNodesockd(t *testing.T) {
	path := shortSocket(t)
	serveFraming(t, path, Options{Lines: daemonLines})
	nodepeer.TalkNodesockd(t, path, true)
}

// lineServer gives a server with Lines, and connections to it.
func lineServer(t *testing.T, o Options) (dial func() *foreigner, path string) {
	t.Helper()
	path = shortSocket(t)
	serveFraming(t, path, o)
	return func() *foreigner { return newForeigner(t, path, jsonwire.Lines) }, path
}

// Requests are answered by one reply, by several, by none, by errors; messages by
// nothing. The bytes are those of Nodesockd.
func TestLines(t *testing.T) {
	messages := make(chan string, 10)
	dial, path := lineServer(t, Options{HandshakeTimeout: 20 * time.Millisecond, MaxFrame: 1000, Lines: func(_ context.Context, l *Line) (any, error) {
		if l.PID != os.Getpid() {
			t.Errorf("pid %d", l.PID)
		}
		if !l.Asks {
			messages <- fmt.Sprintf("%s %s", l.Type, l.Data)
			return "nobody gets it", errors.Join(l.Reply("nor this"), errors.New("nor that"))
		}
		switch l.Type {
		case "echo":
			return l.Data, nil
		case "none":
			return nil, nil
		case "three":
			for i := range 2 {
				if err := l.Reply(map[string]int{"i": i}); err != nil {
					return nil, err
				}
			}
			return "last", nil
		case "midway":
			return nil, errors.Join(l.Reply(1), errors.New("boom"), errors.New("and é"))
		case "panic":
			panic("burnt")
		case "exit":
			runtime.Goexit()
		case "chan":
			return make(chan int), nil
		case "big":
			return strings.Repeat("x", mostReply), nil
		}
		return nil, ErrUnknownType
	}})
	fr := dial()
	time.Sleep(100 * time.Millisecond) // a client may be silent
	for _, tt := range []struct{ sent, want string }{
		{`{"type":"echo","id":"1","data":{"a":"é😀"}}`, `{"type":"reply","requestId":"1","done":true,"data":{"a":"é😀"}}`},
		{`{"type":"echo","id":"","data":null}`, `{"type":"reply","requestId":"","done":true,"data":null}`},
		{`{"type":"none","id":"é\u0000"}` + "\r", `{"type":"reply","requestId":"é\u0000","done":true}`},
		{`{"data":[],"id":"3","type":"three","more":1}`, `{"type":"reply","requestId":"3","data":{"i":0}}` + "\n" + `{"type":"reply","requestId":"3","data":{"i":1}}` + "\n" + `{"type":"reply","requestId":"3","done":true,"data":"last"}`},
		{`{"type":"midway","id":"4"}`, `{"type":"reply","requestId":"4","data":1}` + "\n" + `{"type":"reply","requestId":"4","errors":["boom","and é"]}`},
		{`{"type":"panic","id":"5"}`, `{"type":"reply","requestId":"5","errors":["the handler panicked: burnt"]}`},
		{`{"type":"exit","id":"5"}`, `{"type":"reply","requestId":"5","errors":["the handler called runtime.Goexit"]}`},
		{`{"type":"chan","id":"6"}`, `{"type":"reply","requestId":"6","errors":["ipc: reply: json: unsupported type: chan int"]}`},
		{`{"type":"big","id":"7"}`, `{"type":"reply","requestId":"7","errors":["session: head too large: a reply of 4194359 bytes, 4194304 may be"]}`},
		{`{"type":"what\"","id":"8"}`, `{"type":"reply","requestId":"8","errors":["ipc: unknown type \"what\\\"\""]}`},
		{`{"type":"reply","requestId":"unasked","done":true}`, ""},
		{"\r\n\n \t", ""},
		{`{"type":"hi","data":{"a":1}}`, ""},
		{`{"type":"unknown"}`, ""},
		{`42`, `{"type":"reply","errors":["jsonwire: lines: no message: a bare number: \"42\""]}`},
		{`{"id":"9"}`, `{"type":"reply","errors":["jsonwire: lines: no message: no type: \"{\\\"id\\\":\\\"9\\\"}\""]}`},
	} {
		for cut := range len(tt.sent) {
			if tt.want == "" && cut > 0 || cut%7 != 0 {
				continue
			}
			fr.raw(tt.sent[:cut])
			fr.raw(tt.sent[cut:] + "\n")
			for line := range strings.SplitSeq(tt.want, "\n") {
				if line != "" {
					fr.want(line)
				}
			}
		}
	}
	if a, b := <-messages, <-messages; a != `hi {"a":1}` || b != "unknown " {
		t.Errorf("got %s, %s", a, b)
	}
	// Frames are spoken on the same socket.
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	// What is not JSON ends its connection, with one line.
	for _, bad := range []string{"{", `{"type":"echo"`, `{"type":"a","id":"b",}`, "{\xff}", "{\n", `{"a":` + strings.Repeat("[", 500)} {
		other := dial()
		other.raw(bad + "\n" + `{"type":"echo","id":"1"}` + "\n")
		line, err := other.frame()
		if err != nil || !strings.HasPrefix(line, `{"type":"reply","errors":["jsonwire: lines: not JSON: `) {
			t.Errorf("%q: got %q, %v", bad, line, err)
		}
		if rest, err := other.frame(); rest != "" || err == nil {
			t.Errorf("%q: behind it comes %q", bad, rest)
		}
	}
	endless := dial()
	endless.raw(`{"` + strings.Repeat("x", 1000))
	endless.want(`{"type":"reply","errors":["jsonwire: frame over the limit"]}`)
	if rest, err := endless.frame(); rest != "" || err == nil {
		t.Errorf("behind it comes %q", rest)
	}

	// Who half-closes gets his answers; a line without its end is none.
	half := dial()
	half.raw(`{"type":"three","id":"h"}` + "\n" + `{"type":"ec`)
	if err := half.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(half)
	if err != nil || strings.Count(string(all), `"requestId":"h"`) != 3 || !strings.Contains(string(all), "no end") {
		t.Errorf("got %q, %v", all, err)
	}
	fr.raw(`{"type":"echo","id":"1"}` + "\n")
	fr.want(`{"type":"reply","requestId":"1","done":true}`)
}

// Requests are answered at once up to the bounds: those of a connection wait, those
// over the server's are refused. A client that goes has its handlers' contexts
// ended; Close waits for them.
func TestLinesBounds(t *testing.T) {
	var running, most, ended atomic.Int64
	release := make(chan struct{})
	dial, path := lineServer(t, Options{MaxHandlers: mostLines + 6, MaxLines: mostLines + 5, Lines: func(ctx context.Context, l *Line) (any, error) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer running.Add(-1)
		select {
		case <-release:
		case <-ctx.Done():
			ended.Add(1)
		}
		return l.Type, nil
	}})
	a := dial()
	const n = 3 * mostLines
	for i := range n {
		a.raw(fmt.Sprintf(`{"type":"t","id":"%d"}`+"\n", i))
	}
	wait := func(what string, cond func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d run, %d at most, %d ended", what, running.Load(), most.Load(), ended.Load())
			}
		}
	}
	wait("one connection", func() bool { return running.Load() == mostLines })
	b := dial()
	for i := range 10 {
		b.raw(fmt.Sprintf(`{"type":"t","id":"%d"}`+"\n", i))
	}
	for i := range 5 {
		b.want(fmt.Sprintf(`{"type":"reply","requestId":"%d","errors":["%d requests are being answered, which is the limit; try again"]}`, 5+i, mostLines+5))
	}
	_ = b.Close()
	wait("a client that went", func() bool { return ended.Load() == 5 && running.Load() == mostLines })
	close(release)
	got := make(map[string]bool)
	for range n {
		line, err := a.frame()
		if err != nil {
			t.Fatal(err)
		}
		got[line] = true
	}
	if len(got) != n || most.Load() != mostLines+5 {
		t.Errorf("%d answers, %d at most", len(got), most.Load())
	}
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A client that does not read its replies is dropped, and the handler told.
func TestLinesSlowReader(t *testing.T) {
	failed := make(chan error, 1)
	dial, _ := lineServer(t, Options{ReplyTimeout: 50 * time.Millisecond, Lines: func(_ context.Context, l *Line) (any, error) {
		for {
			if err := l.Reply(strings.Repeat("x", 100_000)); err != nil {
				failed <- err
				return nil, err
			}
		}
	}})
	fr := dial()
	fr.raw(`{"type":"flood","id":"1"}` + "\n")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n, err := io.Copy(io.Discard, fr); n > 3<<20 || err != nil {
		t.Errorf("%d bytes came, %v", n, err)
	}
	quick := dial()
	quick.raw(`{"type":"flood","id":"1"}` + "\n")
	for range 100 {
		if _, err := quick.frame(); err != nil {
			t.Fatal(err)
		}
	}
	_ = quick.Close()
	if err := <-failed; !errors.Is(err, ErrPeerDied) {
		t.Errorf("got %v", err)
	}
}

// Close of the server ends what its clients wait for.
func TestLinesServerClose(t *testing.T) {
	begun := make(chan struct{})
	path := shortSocket(t)
	s := NewServer(Options{Lines: func(ctx context.Context, l *Line) (any, error) {
		close(begun)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}})
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	fr := newForeigner(t, path, jsonwire.Lines)
	fr.raw(`{"type":"t","id":"1"}` + "\n")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(fr); err != nil {
		t.Error(err)
	}
}

// With Framing set to Lines and no handler, the hub answers, and may speak by itself.
func TestLinesOfHub(t *testing.T) {
	path := shortSocket(t)
	hub := echoing(NewHub(HubOptions{}))
	hub.Default().HandleRequest("two", func(_ context.Context, q *Question) error {
		return errors.Join(q.Reply(RawJSON(q.Payload)), q.Reply(Body{}))
	})
	hub.Default().HandleRequest("fail", func(context.Context, *Question) error { return errors.New("no") })
	serveFraming(t, path, Options{Hub: hub, Framing: jsonwire.Lines})
	fr := newForeigner(t, path, jsonwire.Lines)
	for _, tt := range [][]string{
		{`{"type":"echo","data":[1]}`, `{"type":"echo","data":[1]}`},
		{`{"type":"two","id":"1","data":5}`, `{"type":"reply","requestId":"1","data":5}`, `{"type":"reply","requestId":"1","data":null}`, `{"type":"reply","requestId":"1","done":true}`},
		{`{"type":"fail","id":"2"}`, `{"type":"reply","requestId":"2","errors":["no"]}`},
		{`{"type":"what","id":"3"}`, `{"type":"reply","requestId":"3","errors":["unknown topic \"what\" in namespace \"_\""]}`},
	} {
		fr.raw(tt[0] + "\n")
		for _, want := range tt[1:] {
			fr.want(want)
		}
	}
	c, err := Dial(t.Context(), path, DialOptions{Framing: jsonwire.Lines})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for len(hub.Peers()) != 2 {
		time.Sleep(time.Millisecond)
	}
	if n, err := hub.Broadcast(Message{Topic: "all", Body: JSON(1)}); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	fr.want(`{"type":"all","data":1}`)
}

// Clients that speak lines and ask nothing make room when there are too many; one that
// waits for an answer stays.
func TestLinesCrowded(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	dial, _ := lineServer(t, Options{MaxConns: 2, Lines: func(_ context.Context, l *Line) (any, error) {
		if l.Type == "wait" {
			close(begun)
			<-release
		}
		return 1, nil
	}})
	busy, idle := dial(), dial()
	busy.raw(`{"type":"wait","id":"b"}` + "\n")
	idle.raw(`{"type":"t","id":"i"}` + "\n")
	idle.want(`{"type":"reply","requestId":"i","done":true,"data":1}`)
	<-begun
	third := dial()
	if s, err := idle.frame(); err == nil || s != "" {
		t.Errorf("the idle one got %q, %v", s, err)
	}
	third.raw(`{"type":"t","id":"t"}` + "\n")
	third.want(`{"type":"reply","requestId":"t","done":true,"data":1}`)
	close(release)
	busy.want(`{"type":"reply","requestId":"b","done":true,"data":1}`)
}

// FuzzJSON feeds a server what a client may send that speaks JSON, in pieces: lines on
// a socket for frames, or one of the framings. It must neither panic nor hang, run no
// more handlers than it may, allocate in proportion, answer in whole frames of
// the framing, and have nothing left when the client has gone.
func FuzzJSON(f *testing.F) {
	for i, sent := range []string{
		"{\n", `{"type":"echo","id":"1"}` + "\n", `{"type":"many","id":"1","data":{"a":[1,{}]}}` + "\n{}\n", `{"type":"panic","id":"1"}` + "\n{\"type\":\"panic\"}\n",
		`{"type":"hold","id":"1"}` + "\n" + `{"type":"hold"`, "{\"topic\":\"echo\",\"message\":\"é\"}\x00\x00\x00{\x00\x00", "{\"type\":\"é\",\"data\":null}\f\f{", strings.Repeat(`{"type":"echo","id":""}`+"\n", 200),
	} {
		for mode := range uint8(4) {
			f.Add(mode, []byte(sent), uint16(i), i%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, sent []byte, size uint16, dies bool) {
		goroutines := runtime.NumGoroutine()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fuzzJSON(t, []jsonwire.Framing{0, jsonwire.Lines, socketIPC, nodeIPC}[mode%4], sent, int(size), dies)
		runtime.ReadMemStats(&after)
		if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(8<<20+4096*len(sent)); n > limit {
			t.Errorf("sent %.1000q: %d bytes were allocated, more than %d", sent, n, limit)
		}
		for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("sent %.1000q: %d goroutines, before it %d", sent, runtime.NumGoroutine(), goroutines)
			}
		}
	})
}

func fuzzJSON(t *testing.T, f jsonwire.Framing, sent []byte, size int, dies bool) {
	const most = 8 // handlers
	var running, peak atomic.Int64
	hub := echoing(NewHub(HubOptions{}))
	s := NewServer(Options{Hub: hub, Framing: f, MaxHandlers: most, MaxFrame: 10_000, HandshakeTimeout: 50 * time.Millisecond, ReplyTimeout: 50 * time.Millisecond,
		Lines: func(ctx context.Context, l *Line) (any, error) {
			if n := running.Add(1); n > peak.Load() {
				peak.Store(n)
			}
			defer running.Add(-1)
			switch l.Type {
			case "hold":
				if l.Asks {
					<-ctx.Done()
				}
			case "panic":
				panic("burnt")
			case "many":
				for i := range 10 {
					if err := l.Reply(i); err != nil {
						return nil, err
					}
				}
			case "echo":
				return l.Data, nil
			}
			return nil, ErrUnknownType
		}})
	if f == 0 {
		f = jsonwire.Lines
		sent = append([]byte("{"), sent...)
	}
	client, server := sessiontest.New()
	server.Start(s.newPeer(server, self))
	raw := &hearer{end: client, closed: make(chan struct{})}
	client.Start(raw)
	if size == 0 {
		size = max(len(sent), 1)
	}
	for rest := range slices.Chunk(sent, size) {
		_, _ = client.Send(rest, nil) // the server may have closed already
	}
	if dies {
		client.Abort(nil)
	} else {
		client.CloseWrite()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stuck := strings.Contains(string(sent), "hold")
	if !stuck {
		select {
		case <-raw.closed:
		case <-ctx.Done():
			t.Fatalf("sent %.1000q and went: the server keeps the connection", sent)
		}
	}
	short, cut := context.WithTimeout(ctx, 10*time.Millisecond)
	if !stuck {
		short = ctx
	}
	if err := errors.Join(hub.Close(ctx), s.Close(short)); err != nil {
		t.Errorf("sent %.1000q: %v", sent, err)
	}
	cut()
	if n := peak.Load(); n > most {
		t.Errorf("sent %.1000q: %d handlers ran at once", sent, n)
	}
	for _, end := range []*sessiontest.End{client, server} {
		end.Wait()
	}
	got := raw.got.Bytes()
	for scanner := jsonwire.NewScanner(f, mostReply); !dies; {
		frame, n, err := scanner.Next(got)
		if err != nil {
			break
		}
		if !json.Valid(frame) {
			t.Errorf("sent %.1000q: got %q", sent, frame)
		}
		got = got[n:]
	}
	if len(got) > 0 && !dies {
		t.Errorf("sent %.1000q: behind the last frame is %q", sent, got)
	}
}

// A hearer keeps what it is sent.
type hearer struct {
	end    *sessiontest.End
	got    bytes.Buffer
	closed chan struct{}
}

func (h *hearer) OnOpen()                       {}
func (h *hearer) OnBytes(p []byte) (int, error) { return h.got.Write(p) }
func (h *hearer) OnEOF()                        { h.end.Close(nil) }
func (h *hearer) OnDrain()                      {}
func (h *hearer) OnClose(error)                 { close(h.closed) }
