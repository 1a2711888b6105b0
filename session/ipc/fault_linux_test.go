package ipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// childEnv has the test's program be a client of the server whose path it is.
const childEnv = "HEDDLE_IPC_TEST_CHILD"

// child connects to the server and does what its messages say, until it is killed.
func child(path string) {
	h := NewHub(HubOptions{})
	d := h.Default()
	d.Handle("echo", func(_ context.Context, r *Received) error { return r.Reply(Bytes(r.Payload)) })
	d.Handle("hang", func(ctx context.Context, _ *Received) error { <-ctx.Done(); return nil })
	d.HandleRequest("one", func(ctx context.Context, q *Question) error {
		if err := q.Reply(Bytes([]byte("1"))); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	c, err := Dial(context.Background(), path, DialOptions{Hub: h, Kind: "child"})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, or ends this
	_ = c.Close()                        // it is the process's end
}

// spawn starts a child and returns it as the hub's peer.
func spawn(t *testing.T, hub *Hub, path string) (*Peer, *os.Process) {
	t.Helper()
	known := make(map[*Peer]bool)
	for _, p := range hub.Peers() {
		known[p] = true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill() // it may be dead
		_ = cmd.Wait()         // whatever it died of
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	var p *Peer
	eventually(t, "the child's peer", func() bool {
		for _, q := range hub.Peers() {
			if !known[q] && q.Info().PID == cmd.Process.Pid {
				p = q
			}
		}
		return p != nil
	})
	return p, cmd.Process
}

// pause stops the process, and returns when all its threads have stopped.
func pause(t *testing.T, proc *os.Process) {
	t.Helper()
	if err := proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process's stop", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", proc.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range stats {
			if b, err := os.ReadFile(file); err == nil && !strings.Contains(string(b), ") T ") {
				return false
			}
		}
		return true
	})
}

// C13, and faults: a process that is killed, in whatever state, fails all that
// waited for it within a second, and nobody else.
func TestKilled(t *testing.T) {
	hub, path, c := open(t, HubOptions{})
	other, _ := spawn(t, hub, path)
	for _, state := range []string{"idle", "handling", "answering", "stopped", "full"} {
		t.Run(state, func(t *testing.T) {
			p, proc := spawn(t, hub, path)
			var acks []*Ack
			asked := make(chan error, 1)
			ask := func() {
				go func() { // ends when the peer has died
					got, err := gather(t, p, Query{Topic: "one"})
					if len(got) != 1 {
						err = fmt.Errorf("got %q, %w", got, err)
					}
					asked <- err
				}()
			}
			switch state {
			case "handling", "full":
				acks = append(acks, send(t, p, say("hang", "")))
			case "answering":
				ask()
				time.Sleep(50 * time.Millisecond) // so that it has mostly begun
			case "stopped":
				pause(t, proc)
				acks = append(acks, send(t, p, say("echo", "")))
			}
			if state == "full" {
				for {
					a, err := p.Send(t.Context(), Message{Topic: "echo", Body: Bytes(make([]byte, 60_000)), NoWait: true})
					if errors.Is(err, ErrQueueFull) {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						err := p.Flush(ctx)
						cancel()
						if err != nil {
							break // it takes nothing any more
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					acks = append(acks, a)
				}
			}
			if err := proc.Kill(); err != nil {
				t.Fatal(err)
			}
			died := time.Now()
			for _, a := range acks {
				if _, err := a.Wait(t.Context()); !errors.Is(err, ErrPeerDied) {
					t.Errorf("got %v", err)
				}
			}
			if state == "answering" {
				if err := <-asked; !errors.Is(err, ErrPeerDied) {
					t.Errorf("got %v", err)
				}
			}
			<-p.Done()
			if d := time.Since(died); d > time.Second {
				t.Errorf("it took %v", d)
			}
			c.await(t, "its going", func(e Event) bool { return e.Kind == PeerGone && e.Peer == p })
			if r, err := other.Ask(t.Context(), say("echo", state)); err != nil || string(r.Payload) != state {
				t.Errorf("the other: got %q, %v", r.Payload, err)
			}
		})
	}
}

// A stopped process fails by time-out alone, its messages are bounded, and are
// handled when it goes on; the late acknowledgement is counted.
func TestStoppedAndContinued(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	p, proc := spawn(t, hub, path)
	pause(t, proc)
	a := send(t, p, Message{Topic: "echo", Timeout: 50 * time.Millisecond})
	if _, err := a.Wait(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	later := send(t, p, say("echo", "x"))
	if err := proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if r, err := later.Wait(t.Context()); err != nil || string(r.Payload) != "x" {
		t.Errorf("got %q, %v", r.Payload, err)
	}
	if n := hub.Counters().LateAcks; n != 1 {
		t.Errorf("%d late acknowledgements (C20)", n)
	}
}

// Messages of one peer in one namespace come in order while its buffers are full
// and empty in turn, and other namespaces and peers do not wait.
func TestSlowHandlerHoldsNobodyUp(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	var book notebook
	release := make(chan struct{})
	space(t, hub, "slow").Handle("t", func(_ context.Context, r *Received) error {
		<-release
		book.note("%s", strings.TrimRight(string(r.Payload), "x"))
		return nil
	})
	hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
	c, d := meet(t, path, DialOptions{}), meet(t, path, DialOptions{})
	const n = 3000
	sent := make(chan error, 1)
	go func() { // ends with the last message, or the test
		for i := range n {
			text := fmt.Sprint(i) + strings.Repeat("x", i%5000)
			if err := c.Peer().Post(t.Context(), Message{Namespace: "slow", Topic: "t", Body: Bytes([]byte(text))}); err != nil {
				sent <- err
				return
			}
		}
		_, err := c.Peer().Ask(t.Context(), Message{Namespace: "slow", Topic: "t", Timeout: -1})
		sent <- err
	}()
	for range 100 {
		for _, p := range []*Peer{c.Peer(), d.Peer()} {
			if _, err := p.Ask(t.Context(), say("t", "")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(sent) > 0 {
		t.Errorf("nothing has held the sender up: %v", <-sent)
	}
	close(release)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := book.all()
	if len(got) != n+1 {
		t.Fatalf("%d messages", len(got))
	}
	for i, s := range got[:n] {
		if s != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, s)
		}
	}
}

// C21: a million messages that nobody acknowledges leave no memory behind.
func TestUnmonitoredLeavesNothing(t *testing.T) {
	hub, path, _ := open(t, HubOptions{})
	var n atomic.Int64
	hub.Default().Handle("t", func(context.Context, *Received) error { n.Add(1); return nil })
	p := meet(t, path, DialOptions{}).Peer()
	var sum int64
	round := func(k int) uint64 {
		for range k {
			post(t, p, say("t", "payload"))
		}
		if _, err := p.Ask(t.Context(), say("t", "")); err != nil {
			t.Fatal(err)
		}
		if sum += int64(k) + 1; n.Load() != sum {
			t.Errorf("%d of %d were handled", n.Load(), sum)
		}
		runtime.GC()
		runtime.GC() // pools are emptied by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := round(10_000)
	after := round(1_000_000)
	if after > before+256<<10 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	o := p.outs[DefaultNamespace]
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) != 0 || len(o.recs) != 0 || o.buf != nil {
		t.Errorf("%d pending, %d queued", len(o.pending), len(o.recs))
	}
}
