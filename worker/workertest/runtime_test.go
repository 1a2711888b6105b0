package workertest_test

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/workertest"
)

// reports are the violations of a worker that is meant to slip.
type reports struct{ c chan workertest.Violation }

func collect() *reports { return &reports{c: make(chan workertest.Violation, 100)} }

func (r *reports) take(v workertest.Violation) { r.c <- v }

func (r *reports) next(t *testing.T) workertest.Violation {
	t.Helper()
	select {
	case v := <-r.c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("no violation was noted")
		panic("unreachable")
	}
}

// none wants no further violation; the Runtime is closed.
func (r *reports) none(t *testing.T) {
	t.Helper()
	close(r.c)
	for v := range r.c {
		t.Errorf("also noted: %v", v)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dial connects a worker that is bare bytes.
func dial(t *testing.T, r *workertest.Runtime) net.Conn {
	t.Helper()
	network, addr := "tcp", r.Launch().Endpoint
	if addr[0] == '/' {
		network = "unix"
	}
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// hello is a faultless beginning in dialect v0 (with the heartbeat) or v1.
func hello(v workertest.Version) []byte {
	first := codec.AppendHandshake(nil, v.Dialect(), workertest.UUID, nil)
	if v == workertest.Runtime011 {
		first = codec.AppendHeartbeat(first, v.Dialect())
	}
	return first
}

// TestSlips: each slip of a worker is noted, and costs it the connection where the
// real runtime does that. The session is number 1 in v0 and 2 in v1.
func TestSlips(t *testing.T) {
	const v0, v1 = workertest.Runtime011, workertest.Runtime012
	long := strings.Repeat("61", 40)
	for _, c := range []struct {
		name   string
		v      workertest.Version
		frames string // behind hello, once a session is open
		rule   workertest.Rule
		drops  bool
	}{
		// v1: what the real one kills a worker for (PROTOCOL 7).
		{"write after close", v1, "93 02 02 90  93 02 00 91 a1 78", workertest.RuleEnded, true},
		{"double close", v1, "93 02 02 90  93 02 02 90", workertest.RuleEnded, true},
		{"error, then close", v1, "93 02 01 92 92 2a 64 a1 78  93 02 02 90", workertest.RuleEnded, true},
		{"close, then error", v1, "93 02 02 90  93 02 01 92 92 2a 64 a1 78", workertest.RuleEnded, true},
		{"error of an int", v1, "93 02 01 92 05 a1 78", workertest.RuleArguments, true},
		{"error of a category alone", v1, "93 02 01 92 91 2a a1 78", workertest.RuleArguments, true},
		{"error whose reason is a number", v1, "93 02 01 92 92 2a 64 05", workertest.RuleArguments, true},
		{"write of nothing", v1, "93 02 00 90", workertest.RuleArguments, true},
		{"write of a map", v1, "93 02 00 91 80", workertest.RuleArguments, true},
		{"unknown message", v1, "93 02 03 90", workertest.RuleMessage, true},
		{"v0 message", v1, "93 04 02 91 a1 78", workertest.RuleSession, true},
		{"unknown control message", v1, "93 01 02 90", workertest.RuleMessage, true},
		{"terminate without a reason", v1, "93 01 01 91 00", workertest.RuleArguments, true},
		{"channel 0", v1, "93 00 00 90", workertest.RuleSession, true},
		{"a channel of its own", v1, "93 03 00 91 a1 78", workertest.RuleSession, true},
		{"two elements", v1, "92 02 00", workertest.RuleFrame, true},
		{"no array", v1, "a1 78", workertest.RuleFrame, true},
		{"no msgpack", v1, "c1", workertest.RuleFrame, true},
		{"map of arguments", v1, "93 02 00 80", workertest.RuleFrame, true},
		{"negative channel", v1, "93 ff 00 90", workertest.RuleFrame, true},
		{"headers are a map", v1, "94 02 00 91 a1 78 80", workertest.RuleHeaders, true},
		{"headers are nil", v1, "94 02 00 91 a1 78 c0", workertest.RuleHeaders, true},
		{"header index 0", v1, "94 02 00 91 a1 78 91 00", workertest.RuleHeaders, true},
		{"header index beyond the table", v1, "94 02 00 91 a1 78 91 53", workertest.RuleHeaders, true},
		{"second handshake", v1, "93 01 00 91 a1 78", workertest.RuleHandshake, false},
		{"str8", v1, "93 02 00 91 d9 28" + long, workertest.RuleOldSpec, false},
		{"bin8", v1, "93 02 00 91 c4 28" + long, workertest.RuleOldSpec, false},
		{"ext", v1, "93 02 00 92 a1 78 d4 01 00", workertest.RuleOldSpec, false},
		{"wide channel", v1, "93 cc 02 00 91 a1 78", workertest.RuleShortest, false},
		{"wide array", v1, "dc 00 03 02 00 91 a1 78", workertest.RuleShortest, false},
		{"wide raw", v1, "93 02 00 91 da 00 01 78", workertest.RuleShortest, false},
		{"signed code", v1, "93 02 01 92 92 d0 2a 64 a1 78", workertest.RuleShortest, false},
		{"terminate, then a chunk", v1, "93 01 01 92 00 a1 78  93 02 00 91 a1 78", workertest.RuleTerminated, false},

		// v0: the real one passes over nearly all of it.
		{"error without a choke", v0, "93 05 01 92 01 a1 78", workertest.RuleNoChoke, false},
		{"chunk after choke", v0, "93 06 01 90  93 04 01 91 a1 78", workertest.RuleEnded, false},
		{"chunk after error", v0, "93 05 01 92 01 a1 78  93 04 01 91 a1 78  93 06 01 90", workertest.RuleEnded, false},
		{"double choke", v0, "93 06 01 90  93 06 01 90", workertest.RuleEnded, false},
		{"unknown session", v0, "93 04 09 91 a1 78", workertest.RuleSession, false},
		{"unknown type", v0, "93 07 01 90", workertest.RuleMessage, false},
		{"a worker that invokes", v0, "93 03 09 91 a1 78", workertest.RuleMessage, false},
		{"v1 error", v0, "93 05 01 92 92 2a 64 a1 78  93 06 01 90", workertest.RuleArguments, false},
		{"chunk of nothing", v0, "93 04 01 90", workertest.RuleArguments, false},
		{"heartbeat of a session", v0, "93 01 01 90", workertest.RuleSession, false},
		{"second handshake", v0, "93 00 00 91 a1 78", workertest.RuleHandshake, false},
		{"wide type", v0, "93 cc 04 01 91 a1 78", workertest.RuleShortest, false},
		{"wide session", v0, "93 04 cf 00 00 00 00 00 00 00 01 91 a1 78", workertest.RuleShortest, false},
		{"wide array", v0, "dc 00 03 04 01 91 a1 78", workertest.RuleShortest, false},
		{"str8", v0, "93 04 01 91 d9 28" + long, workertest.RuleOldSpec, false},
		{"four elements", v0, "94 04 01 91 a1 78 90", workertest.RuleFrame, true},
		{"negative session", v0, "93 04 ff 91 a1 78", workertest.RuleFrame, true},
		{"map of arguments", v0, "93 04 01 81 a1 78 01", workertest.RuleFrame, true},
		{"terminate, then a chunk", v0, "93 02 00 92 01 a1 78  93 04 01 91 a1 78", workertest.RuleTerminated, false},
	} {
		t.Run(c.v.String()+"/"+c.name, func(t *testing.T) {
			got := collect()
			r := workertest.NewRuntime(t, c.v, workertest.RuntimeOptions{Report: got.take})
			nc := dial(t, r)
			if _, err := nc.Write(hello(c.v)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Ask("x", []byte("data")); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(unhex(t, c.frames)); err != nil {
				t.Fatal(err)
			}
			if c.rule == workertest.RuleNoChoke {
				_ = nc.(*net.UnixConn).CloseWrite()
			}
			v := got.next(t)
			if v.Rule != c.rule || v.Drops != c.drops {
				t.Errorf("got %v; want rule %q, closed %v", v, c.rule, c.drops)
			}
			switch {
			case c.drops:
				if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !strings.Contains(err.Error(), "reset") {
					t.Errorf("the connection: %v", err)
				} else if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection is still open")
				}
			case c.rule == workertest.RuleTerminated, c.rule == workertest.RuleNoChoke:
			default: // it lives
				n := r.Beats()
				if _, err := nc.Write(codec.AppendHeartbeat(nil, c.v.Dialect())); err != nil {
					t.Fatal(err)
				}
				if err := r.AwaitBeats(n + 1); err != nil {
					t.Error(err)
				}
			}
			r.Close()
			got.none(t)
		})
	}
}

// TestTolerated: what the real runtimes take, this one takes.
func TestTolerated(t *testing.T) {
	for _, c := range []struct {
		name   string
		v      workertest.Version
		frames string
	}{
		{"four elements with headers", workertest.Runtime012, "94 02 00 91 a1 78 90  94 02 02 90 90"},
		{"five elements", workertest.Runtime012, "95 02 00 91 a1 78 90 c0  93 02 02 90"},
		{"static and trace rows", workertest.Runtime012, "94 02 00 91 a1 78 94 17 50 51 52  93 02 02 90"},
		{"a stored header", workertest.Runtime012, "94 02 00 91 a1 78 91 93 c3 a1 61 a1 62  94 02 02 90 91 53"},
		{"further arguments", workertest.Runtime012, "93 02 00 92 a1 78 05  93 02 02 91 05"},
		{"error without a reason", workertest.Runtime012, "93 02 00 91 a1 78  93 02 01 91 92 2a 64"},
		{"error of any category", workertest.Runtime012, "93 02 00 91 a1 78  93 02 01 92 92 cd 51 ff e0 a1 78"},
		{"choke", workertest.Runtime011, "93 04 01 91 a1 78  93 06 01 90"},
		{"error and choke", workertest.Runtime011, "93 04 01 91 a1 78  93 05 01 92 d0 9c a1 78  93 06 01 90"},
		{"heartbeats between", workertest.Runtime011, "93 01 00 90  93 04 01 91 a1 78  93 01 00 90  93 06 01 90"},
	} {
		t.Run(c.v.String()+"/"+c.name, func(t *testing.T) {
			r := workertest.NewRuntime(t, c.v, workertest.RuntimeOptions{Network: "tcp"})
			nc := dial(t, r)
			if _, err := nc.Write(hello(c.v)); err != nil {
				t.Fatal(err)
			}
			call, err := r.Ask("x", []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range unhex(t, c.frames) { // byte by byte
				if _, err := nc.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := call.Answer()
			var e *session.Error
			if strings.Contains(c.name, "error") != errors.As(err, &e) || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestBeginnings: what a worker owes before it is given work.
func TestBeginnings(t *testing.T) {
	const v0, v1 = workertest.Runtime011, workertest.Runtime012
	other := codec.AppendHandshake(nil, v1.Dialect(), "another", nil)
	for _, c := range []struct {
		name  string
		v     workertest.Version
		first []byte
		rule  workertest.Rule
		drops bool
	}{
		{"nothing in time", v1, nil, workertest.RuleHandshake, true},
		{"nothing in time", v0, nil, workertest.RuleFirstBeat, true},
		{"handshake alone", v0, codec.AppendHandshake(nil, v0.Dialect(), workertest.UUID, nil), workertest.RuleFirstBeat, true},
		{"handshake and no heartbeat ever", v1, hello(v1), workertest.RuleHeartbeat, true},
		{"another's uuid", v1, other, workertest.RuleHandshake, true},
		{"another's uuid", v0, codec.AppendHandshake(nil, v0.Dialect(), "another", nil), workertest.RuleHandshake, true},
		{"heartbeat first", v0, codec.AppendHeartbeat(nil, v0.Dialect()), workertest.RuleHandshake, true},
		{"heartbeat first", v1, codec.AppendHeartbeat(nil, v1.Dialect()), workertest.RuleArguments, true},
		{"session first", v1, codec.AppendChoke(nil, v1.Dialect(), 2), workertest.RuleHandshake, true},
		{"the other dialect", v0, hello(v1), workertest.RuleHandshake, true},
		{"the other dialect", v1, hello(v0), workertest.RuleHandshake, true},
		{"work before the first heartbeat", v0, append(codec.AppendHandshake(nil, v0.Dialect(), workertest.UUID, nil), unhex(t, "93 06 01 90 93 01 00 90")...), workertest.RuleFirstBeat, false},
	} {
		t.Run(c.v.String()+"/"+c.name, func(t *testing.T) {
			got := collect()
			const little = 100 * time.Millisecond
			r := workertest.NewRuntime(t, c.v, workertest.RuntimeOptions{Report: got.take, StartTimeout: little, HeartbeatTimeout: little, Patience: 10 * time.Second})
			nc := dial(t, r)
			if _, err := nc.Write(c.first); err != nil {
				t.Fatal(err)
			}
			if v := got.next(t); v.Rule != c.rule || v.Drops != c.drops {
				t.Errorf("got %v; want rule %q, closed %v", v, c.rule, c.drops)
			}
		})
	}
}

// TestUnanswered: a worker that is told to leave, and does not, or not as it should.
func TestUnanswered(t *testing.T) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		for _, leaves := range []bool{false, true} {
			got := collect()
			o := workertest.RuntimeOptions{Report: got.take}
			if !leaves {
				o.TerminateTimeout = 50 * time.Millisecond
			}
			r := workertest.NewRuntime(t, v, o)
			nc := dial(t, r)
			if _, err := nc.Write(hello(v)); err != nil {
				t.Fatal(err)
			}
			if err := r.Active(); err != nil {
				t.Fatal(err)
			}
			if err := r.Terminate(1, "slave is idle"); err != nil {
				t.Fatal(err)
			}
			if leaves {
				_ = nc.Close()
				if err := r.Gone(); err != nil {
					t.Error(err)
				}
				if v == workertest.Runtime011 { // as the Go framework's does
					r.Close()
					got.none(t)
					continue
				}
			}
			if x := got.next(t); x.Rule != workertest.RuleTerminate || !x.Drops {
				t.Errorf("%v, leaves %v: got %v", v, leaves, x)
			}
		}
	}
}

// TestRuntimeSpeaksAsCaptured: what it says are the bytes that the real ones said.
func TestRuntimeSpeaksAsCaptured(t *testing.T) {
	vectors, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	captured := func(version, direction string, frame []byte) bool {
		for line := range strings.Lines(string(vectors)) {
			c := strings.Split(line, "\t")
			if strings.HasPrefix(c[2], "cocaine-runtime "+version) && strings.HasPrefix(c[4], direction) && c[11] == hex.EncodeToString(frame) {
				return true
			}
		}
		return false
	}
	for v, version := range map[workertest.Version]string{workertest.Runtime011: "0.11", workertest.Runtime012: "0.12"} {
		r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{})
		nc := dial(t, r)
		if _, err := nc.Write(hello(v)); err != nil {
			t.Fatal(err)
		}
		if v == workertest.Runtime012 {
			if _, err := nc.Write(codec.AppendHeartbeat(nil, v.Dialect())); err != nil {
				t.Fatal(err)
			}
		}
		dec := codec.NewDecoder(v.Dialect(), codec.Limits{})
		var in []byte
		next := func(what string) {
			t.Helper()
			for {
				if _, n, err := dec.Next(in); err == nil {
					if !captured(version, "engine->worker", in[:n]) {
						t.Errorf("%v: %s was never captured: %x", v, what, in[:n])
					}
					in = in[n:]
					return
				}
				buf := make([]byte, 4096)
				n, err := nc.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				in = append(in, buf[:n]...)
			}
		}
		next("the answer to a heartbeat")
		if _, err := r.Ask("echo", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		next("invoke")
		next("chunk")
		next("the end")
		code, reason := int64(11), "overseer is shutting down"
		if v == workertest.Runtime011 {
			code, reason = 1, "the engine is shutting down"
		}
		if err := r.Terminate(code, reason); err != nil {
			t.Fatal(err)
		}
		next("terminate")
		if _, err := nc.Write(codec.AppendTerminate(nil, v.Dialect(), 1, "x")); err != nil {
			t.Fatal(err)
		}
		_ = nc.Close()
		if err := r.Gone(); err != nil {
			t.Error(err)
		}
	}
}
