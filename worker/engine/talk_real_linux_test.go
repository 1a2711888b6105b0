package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// talkHandlers are those of a real process that talks.
func talkHandlers() error {
	var waits atomic.Int64
	me := func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON(os.Getpid())) }
	return errors.Join(
		worker.HandleRequest("", "pid", me),
		worker.HandleRequest("", "wait", func(ctx context.Context, q *ipc.Question) error {
			waits.Add(1)
			defer waits.Add(-1)
			if err := q.Reply(ipc.JSON("begun")); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}),
		worker.HandleRequest("", "waiting", func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON(waits.Load())) }),
		worker.HandleMessage("", "pid", func(_ context.Context, m *ipc.Received) error { return m.Reply(ipc.JSON(os.Getpid())) }),
		worker.HandleRequest("", "burst", func(_ context.Context, q *ipc.Question) error {
			for i := range 1000 {
				if err := q.Reply(ipc.JSON(i)); err != nil {
					return err
				}
			}
			return nil
		}),
		worker.HandleRequest("", "others", func(ctx context.Context, q *ipc.Question) error {
			for a, err := range worker.RequestTo(ctx, "!self", ipc.Query{Topic: "pid"}) {
				if err != nil {
					return err
				}
				if a.Kind == ipc.AnswerReply {
					if err := q.Reply(ipc.Raw(a.Reply.Format, a.Reply.Payload)); err != nil {
						return err
					}
				}
			}
			return nil
		}),
		// A connection comes, is greeted, and goes back, or to another worker.
		worker.HandleMessage("", "conn", func(ctx context.Context, m *ipc.Received) error {
			to := string(m.Payload)
			c, err := ipc.Conn(m.TakeFiles()[0])
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c, "worker %d\n", worker.Index()); err != nil {
				return err
			}
			msg := ipc.Message{Topic: "conn", Body: ipc.Bytes([]byte("back")), Files: []any{c}}
			if to == "back" {
				return worker.Post(ctx, msg)
			}
			d, err := worker.SendTo(ctx, to, msg)
			if err == nil && d.Sent != 1 {
				err = fmt.Errorf("sent to %d", d.Sent)
			}
			return err
		}),
	)
}

func playTalk() {
	if err := talkHandlers(); err != nil {
		panic(err)
	}
	w, err := worker.New(worker.Options{})
	if err == nil {
		err = w.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The two halves together: workers ask each other, and 1,000 replies in a row arrive.
func TestRealTalk(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			ctx := t.Context()
			e := newReal(t, "talk", Options{Workers: 3, Loops: loops})
			start(t, e)
			pids := pidsOf(e)
			got, errs, chosen := gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "pid"}))
			for i, pid := range pids {
				if !slices.Equal(got[i], []string{strconv.Itoa(pid), "end"}) {
					t.Errorf("worker %d, pid %d: %v, %v", i, pid, got[i], errs)
				}
			}
			if chosen != 3 {
				t.Errorf("%d chosen", chosen)
			}
			got, errs, _ = gather(t, e.Request(ctx, mustParse(t, "1"), ipc.Query{Topic: "others"}))
			slices.Sort(got[1])
			want := []string{strconv.Itoa(pids[0]), strconv.Itoa(pids[2]), "end"}
			slices.Sort(want)
			if !slices.Equal(got[1], want) {
				t.Errorf("the others: %v, %v; want %v", got, errs, want)
			}
			got, errs, _ = gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "burst"}))
			for i := range pids {
				if len(got[i]) != 1001 || got[i][999] != "999" || got[i][1000] != "end" {
					t.Errorf("worker %d: %d replies, %v", i, len(got[i]), errs)
				}
				for n := range min(len(got[i]), 1000) {
					if got[i][n] != strconv.Itoa(n) {
						t.Fatalf("worker %d: reply %d is %s", i, n, got[i][n])
					}
				}
			}
			if err := e.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if st := e.Stats(); st.Expected != 3 || st.Signalled != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// A worker that is stopped is late alone, and answers again when it goes on; one that
// is killed is told at once.
func TestRealTalkStopped(t *testing.T) {
	ctx := t.Context()
	e := newReal(t, "talk", Options{Workers: 3})
	start(t, e)
	list := e.Select(Selector{})
	standStill(t, list[0].Pid)
	got, errs, _ := gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "pid", First: 300 * time.Millisecond}))
	if !errors.Is(errs[0], os.ErrDeadlineExceeded) || len(errs) != 1 || len(got[1]) != 2 || len(got[2]) != 2 {
		t.Errorf("got %v, %v", got, errs)
	}
	late, err := e.SendTo(ctx, list[0].ID, ipc.Message{Topic: "pid", Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Wait(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a message to it: %v", err)
	}
	waits, err := e.SendTo(ctx, list[0].ID, ipc.Message{Topic: "pid"})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(list[0].Pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if r, err := waits.Wait(ctx); err != nil || string(r.Payload) != strconv.Itoa(list[0].Pid) {
		t.Errorf("when it goes on: %q, %v", r.Payload, err)
	}
	until(t, "the late acknowledgement", func() bool { return e.Hub().Counters().LateAcks == 1 })

	standStill(t, list[0].Pid)
	dies := make(chan map[int]error, 1)
	go func() { // ends with the request
		got, errs, _ := gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "burst"}))
		for i := 1; i < 3; i++ {
			if len(got[i]) != 1001 {
				t.Errorf("worker %d, which lives: %d replies", i, len(got[i]))
			}
		}
		dies <- errs
	}()
	time.Sleep(100 * time.Millisecond)
	killed := time.Now()
	if err := unix.Kill(list[0].Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if errs := <-dies; !errors.Is(errs[0], ipc.ErrPeerDied) || len(errs) != 1 {
		t.Errorf("one died: %v", errs)
	}
	if d := time.Since(killed); d > time.Second {
		t.Errorf("told after %v", d)
	}
}

// standStill stops a process, and waits until each of its threads has.
func standStill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "the worker stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return err == nil && len(threads) > 0 && !slices.ContainsFunc(threads, func(file string) bool {
			state, _ := stat(file)
			return state != "T"
		})
	})
}

// A connection is passed to a worker, from that to another, and back; what is passed
// to a worker that is not ready is refused unless it may wait.
func TestRealTalkDescriptors(t *testing.T) {
	ctx := t.Context()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accept := func() (far, near net.Conn) {
		t.Helper()
		far, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if near, err = ln.Accept(); err != nil {
			t.Fatal(err)
		}
		_ = far.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { _ = far.Close() })
		return far, near
	}
	waiting, early := accept()
	refused, near := accept()
	outcome := make(chan error, 2)
	var e *Engine
	e = newReal(t, "talk", Options{Workers: 2, OnWorker: func(ev WorkerEvent) {
		if ev.Kind != WorkerSpawned || ev.Worker.Index != 0 {
			return
		}
		m := ipc.Message{Topic: "conn", Body: ipc.Bytes([]byte("back")), Files: []any{near}}
		p, err := e.Peer(ev.Worker.ID)
		if err == nil {
			err = p.Post(context.Background(), m)
		}
		outcome <- err
		m.Files, m.QueueFiles = []any{early}, true
		outcome <- p.Post(context.Background(), m)
	}})
	back := make(chan net.Conn, 4)
	err = e.HandleMessage("", "conn", func(_ context.Context, from WorkerInfo, m *ipc.Received) error {
		c, err := ipc.Conn(m.TakeFiles()[0])
		if err == nil {
			_, err = fmt.Fprintf(c, "engine, from %d\n", from.Index)
			back <- c
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	read := func(c net.Conn, want ...string) {
		t.Helper()
		r := bufio.NewReader(c)
		for _, w := range want {
			if line, err := r.ReadString('\n'); line != w+"\n" || err != nil {
				t.Errorf("got %q, %v; want %q", line, err, w)
			}
		}
		_ = (<-back).Close()
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("somebody holds the connection: %v", err)
		}
	}
	if err := <-outcome; !errors.Is(err, ipc.ErrNotReady) {
		t.Errorf("to a worker that starts: %v", err)
	}
	_ = near.Close() // it is still ours
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the refused one: %v", err)
	}
	if err := <-outcome; err != nil {
		t.Error(err)
	}
	read(waiting, "worker 0", "engine, from 0")

	for to, want := range map[string][]string{"back": {"worker 1", "engine, from 1"}, "0": {"worker 1", "worker 0", "engine, from 0"}} {
		far, near := accept()
		d, err := e.Post(ctx, mustParse(t, "1"), ipc.Message{Topic: "conn", Body: ipc.Bytes([]byte(to)), Files: []any{near}})
		if err != nil || d.Sent != 1 {
			t.Fatalf("%+v, %v", d, err)
		}
		read(far, want...)
	}
	far, near := accept()
	if _, err := e.Post(ctx, Selector{}, ipc.Message{Topic: "conn", Files: []any{near}}); err == nil {
		t.Error("one connection for two workers was taken")
	}
	_ = near.Close()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if n := e.Hub().Counters(); n.Unclaimed != 0 {
		t.Errorf("counters %+v", n)
	}
}

// A plain program that attaches has messages from then on; before that it is chosen, and fails.
func TestPlainTalk(t *testing.T) {
	ctx := t.Context()
	e, err := startPlain(t, "plain-talk", Options{})
	if err == nil {
		err = e.Scale(ctx, 2, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
	id := e.Status().Workers[0].ID
	early, err := e.SendTo(ctx, id, ipc.Message{Topic: "pid"}) // waits until it has attached, if it has not
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.Wait(ctx); err != nil {
		t.Error(err)
	}
	until(t, "both have attached", func() bool {
		list := e.Select(Selector{})
		return len(list) == 2 && !slices.ContainsFunc(list, func(g Target) bool { return g.Err != nil })
	})
	got, errs, _ := gather(t, e.Request(ctx, mustParse(t, "0"), ipc.Query{Topic: "others"}))
	if want := strconv.Itoa(e.Status().Workers[1].Pid); !slices.Equal(got[0], []string{want, "end"}) {
		t.Errorf("got %v, %v; want %s", got, errs, want)
	}
}

// A program on a socket is a peer of the same hub: it asks the workers by way of the
// engine, and whatever it calls itself, it is no worker. When it leaves, what it asked
// for is cancelled.
func TestRealTalkClient(t *testing.T) {
	ctx := t.Context()
	hub := ipc.NewHub(ipc.HubOptions{})
	e := newReal(t, "talk", Options{Workers: 3, Hub: hub})
	var from atomic.Pointer[WorkerInfo]
	if err := e.HandleMessage("", "hello", func(_ context.Context, f WorkerInfo, _ *ipc.Received) error {
		from.Store(&f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	start(t, e)
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }() // ends when the loop is closed
	t.Cleanup(func() {
		_ = l.Close()
		<-ran
	})
	srv := ipc.NewServer(ipc.Options{Hub: hub})
	path := filepath.Join(t.TempDir(), "s")
	if err := srv.Listen(l, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Kind: ipc.KindWorker, Name: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Peer().Ask(ctx, ipc.Message{Topic: "hello"}); err != nil {
		t.Fatal(err)
	}
	if f := from.Load(); f.Kind != ipc.KindClient || f.Index != -1 || f.Pid != os.Getpid() {
		t.Errorf("it is %+v", f)
	}
	if got, errs, n := gather(t, c.Peer().RequestTo(ctx, "!1", ipc.Query{Topic: "pid"})); n != 2 || len(got[0]) != 2 || len(got[2]) != 2 {
		t.Errorf("%d: %v, %v", n, got, errs)
	}
	if _, _, n := gather(t, c.Peer().RequestTo(ctx, "self", ipc.Query{Topic: "pid"})); n != 0 {
		t.Errorf("%d workers are a client's self", n)
	}
	if d, err := c.Peer().SendTo(ctx, "", ipc.Message{Topic: "pid"}); err != nil || d.Chosen != 3 || d.Sent != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	for a := range c.Peer().RequestTo(ctx, "", ipc.Query{Topic: "wait"}) {
		if a.Kind == ipc.AnswerReply {
			break
		}
	}
	waiting := func() (n int) {
		got, _, _ := gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "waiting"}))
		for i := range got {
			x, _ := strconv.Atoi(got[i][0])
			n += x
		}
		return n
	}
	until(t, "all were cancelled", func() bool { return waiting() == 0 })
	go func() { // ends with the client
		for range c.Peer().RequestTo(ctx, "", ipc.Query{Topic: "wait"}) {
		}
	}()
	until(t, "all wait", func() bool { return waiting() == 3 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	until(t, "all were cancelled", func() bool { return waiting() == 0 })
}
