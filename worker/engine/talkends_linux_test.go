package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// What was sent before a deploy, a scale, a restart or the end is handled, both ways,
// also by slow handlers; and none of these takes much longer for it.
func TestMessagesSurviveDrains(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, e *Engine) error{
		"deploy": func(ctx context.Context, e *Engine) error {
			drained, err := e.Deploy(ctx, Program{Path: "/bin/worker", Release: "2"}, DeployOptions{})
			if err == nil {
				<-drained
			}
			return err
		},
		"scale":    func(ctx context.Context, e *Engine) error { return e.Scale(ctx, 1, -1) },
		"restart":  func(ctx context.Context, e *Engine) error { return e.Restart(ctx, Selector{}, nil) },
		"shutdown": func(ctx context.Context, e *Engine) error { return e.Shutdown(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				s, e := newWorkshop(t, Options{Workers: 3})
				var there, back atomic.Int64
				s.setup = func(_ *fakeProcess, w *worker.Worker) {
					_ = w.HandleMessage("", "work", func(ctx context.Context, m *ipc.Received) error {
						time.Sleep(2 * time.Millisecond)
						there.Add(1)
						p, err := w.Engine()
						if err != nil {
							return err
						}
						return p.Post(ctx, ipc.Message{Topic: "done", Body: ipc.Bytes(make([]byte, 4<<10))})
					})
				}
				err := e.HandleMessage("", "done", func(_ context.Context, from WorkerInfo, _ *ipc.Received) error {
					if from.Kind != ipc.KindWorker {
						return fmt.Errorf("from %+v", from)
					}
					back.Add(1)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				start(t, e)
				const each = 700 // of 4 KiB: more than a window
				var acks []*ipc.Ack
				for _, w := range e.Select(Selector{}) {
					for range each {
						m := ipc.Message{Topic: "work", Body: ipc.Bytes(make([]byte, 4<<10))}
						if err := e.PostTo(ctx, w.ID, m); err != nil {
							t.Fatal(err)
						}
					}
					a, err := e.SendTo(ctx, w.ID, ipc.Message{Topic: "work"})
					if err != nil {
						t.Fatal(err)
					}
					acks = append(acks, a)
				}
				begun := time.Now()
				if err := change(ctx, e); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(begun); d > 2*messageGrace {
					t.Errorf("took %v", d)
				}
				for _, a := range acks {
					if _, err := a.Wait(ctx); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				if there.Load() != 3*(each+1) || back.Load() != 3*(each+1) {
					t.Errorf("%d were handled, %d came back, of %d", there.Load(), back.Load(), 3*(each+1))
				}
			})
		})
	}
}

// A handler that does not end holds nothing up for longer than the grace.
func TestMessageHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		_, e := newWorkshop(t, Options{Workers: 2})
		start(t, e)
		list := e.Select(Selector{})
		a, err := e.SendTo(ctx, list[0].ID, ipc.Message{Topic: "hang"})
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() { // ends with the worker
			for _, err := range e.RequestTo(ctx, list[1].ID, ipc.Query{Topic: "hang"}) {
				if err != nil {
					failed <- err
				}
			}
		}()
		time.Sleep(time.Second)
		begun := time.Now()
		if err := e.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d > messageGrace+100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if _, err := a.Wait(ctx); !errors.Is(err, ipc.ErrPeerDied) {
			t.Errorf("the message: %v", err)
		}
		if err := <-failed; !errors.Is(err, ipc.ErrPeerDied) {
			t.Errorf("the request: %v", err)
		}
		if st := e.Stats(); st.Expected != 2 || st.Signalled != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Messages are no load: they weigh in no choice, Concurrency does not bound them, and
// they are no lost sessions.
func TestMessagesAreNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		var deaths deathsOf
		s, e := newWorkshop(t, Options{Concurrency: 1, Queue: QueueOptions{Len: 1, Age: time.Second}, OnDeath: deaths.on})
		s.setup = func(_ *fakeProcess, w *worker.Worker) {
			w.Handle("long", worker.HandlerFunc(func(_ context.Context, ss *session.Session) { _, _ = ss.Recv(); _, _ = ss.Recv() }))
		}
		start(t, e)
		w := e.Select(Selector{})[0]
		go func() { // ends with the worker
			for range e.RequestTo(ctx, w.ID, ipc.Query{Topic: "hang"}) {
			}
		}()
		say := func() {
			t.Helper()
			a, err := e.SendTo(ctx, w.ID, ipc.Message{Topic: "note", Body: text("x")})
			if err == nil {
				_, err = a.Wait(ctx)
			}
			if err != nil {
				t.Error(err)
			}
		}
		say()
		synctest.Wait()
		if st := e.Stats(); st.Sessions != 0 || e.Status().Workers[0].Sessions != 0 {
			t.Errorf("%d sessions", st.Sessions)
		}
		long := open(t, e, "long") // there is room for it
		say()                      // and, when the worker is full, for a message
		var list strings.Builder
		e.DumpRequests(&list)
		if strings.Count(list.String(), "\t") != 1 {
			t.Errorf("listed as requests: %q", list.String())
		}
		s.procOf(w.ID).die(exit{code: -1, signal: "SIGKILL"})
		if d := deaths.wait(t, 1)[0]; len(d.Lost) != 1 {
			t.Errorf("lost %+v", d.Lost)
		}
		long.Discard()
	})
}

// Nothing that an app calls a topic or a namespace does anything but reach the app's
// handler.
func TestOwnWords(t *testing.T) {
	words := []string{
		"resume", "drain", "terminate", "online", "error", "connect", "close", "suspend", "leaving", "broken", "welcome", "handshake",
		"heartbeat", "invoke", "choke", "cancel", "m", "q", "r", "status", "deploy", "self", "none", "_", "_internal_", "ipc", "message", "ack",
	}
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		got := make(map[string]int)
		note := func(at, ns, topic string, payload []byte) {
			mu.Lock()
			got[fmt.Sprintf("%s %s/%s %s", at, ns, topic, payload)]++
			mu.Unlock()
		}
		s, e := newWorkshop(t, Options{Workers: 2})
		s.setup = func(_ *fakeProcess, w *worker.Worker) {
			at := fmt.Sprint(w.Index())
			for _, ns := range words {
				err := errors.Join(
					w.HandleMessage(ns, "", func(_ context.Context, m *ipc.Received) error {
						note(at, m.Namespace, m.Topic, m.Payload)
						return nil
					}),
					w.HandleRequest(ns, "", func(_ context.Context, q *ipc.Question) error {
						note(at, q.Namespace, q.Topic, q.Payload)
						return q.Reply(ipc.Raw(q.Format, q.Payload))
					}))
				if err != nil {
					t.Error(err)
				}
			}
			w.Handle("drain", worker.HandlerFunc(func(context.Context, *session.Session) { t.Error("a session for a message") }))
		}
		for _, ns := range words {
			err := e.HandleMessage(ns, "", func(_ context.Context, from WorkerInfo, m *ipc.Received) error {
				note("engine", m.Namespace, m.Topic, m.Payload)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		start(t, e)
		before := fmt.Sprint(stable(e))
		list := e.Select(Selector{})
		peer := s.peerOf(t, list[0].ID)
		want := make(map[string]int)
		for i := range 600 {
			ns, topic := words[r.IntN(len(words))], words[r.IntN(len(words))]
			body := fmt.Sprintf(`{"type":%q,"event":%q,"n":%d}`, words[r.IntN(len(words))], topic, i)
			m := ipc.Message{Namespace: ns, Topic: topic, Body: ipc.RawJSON([]byte(body))}
			q := ipc.Query{Namespace: ns, Topic: topic, Body: ipc.RawJSON([]byte(body))}
			at := "0"
			var err error
			switch r.IntN(4) {
			case 0:
				err = e.PostTo(ctx, list[0].ID, m)
			case 1:
				at = "engine"
				err = peer.Post(ctx, m)
			case 2:
				at = "1"
				_, err = peer.SendTo(ctx, "!self", m)
			default:
				at = "1"
				answers, errs, _ := gather(t, peer.RequestTo(ctx, "1", q))
				if len(errs) > 0 || !slices.Equal(answers[1], []string{body, "end"}) {
					t.Errorf("%s/%s: %v, %v", ns, topic, answers, errs)
				}
			}
			if err != nil {
				t.Errorf("%s/%s: %v", ns, topic, err)
			}
			want[fmt.Sprintf("%s %s/%s %s", at, ns, topic, body)]++
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %d, want %d", len(got), len(want))
		}
		if after := fmt.Sprint(stable(e)); after != before {
			t.Errorf("the workers were %s, are %s", before, after)
		}
		if n := e.Hub().Counters(); n.Troubles != 0 {
			t.Errorf("counters %+v", n)
		}
		if err := e.HandleMessage("heddle", "x", nil); !errors.Is(err, ipc.ErrName) {
			t.Errorf("the reserved namespace: %v", err)
		}
	})
}

// stable is what of Status changes only if something has become of a worker.
func stable(e *Engine) (list []string) {
	for _, w := range e.Status().Workers {
		list = append(list, fmt.Sprint(w.Index, w.ID, w.Pid, w.State, w.Since.UnixNano(), w.Restarts))
	}
	return list
}

// A worker can neither say who it is nor for whom it speaks, and what is malformed
// costs it the message alone; and it has so many requests to others at once, no more.
func TestRouterBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 2})
		start(t, e)
		list := e.Select(Selector{})
		forger := s.peerOf(t, list[0].ID)
		// On behalf of another: the engine takes what says so for a selector.
		as := ipc.Member{Kind: ipc.KindWorker, Index: 1, ID: list[1].ID, Pid: list[1].Pid}
		if err := forger.PostFor(ctx, as, ipc.Message{Topic: "note", Body: text("forged")}); err != nil {
			t.Fatal(err)
		}
		for _, err := range forger.RequestFor(ctx, as, ipc.Query{Topic: "who"}) {
			if err == nil || !strings.Contains(err.Error(), "malformed") {
				t.Errorf("a forged request: %v", err)
			}
		}
		for _, ns := range []string{"\x00_", "a\x00b"} {
			if err := forger.Post(ctx, ipc.Message{Namespace: ns, Topic: "note"}); !errors.Is(err, ipc.ErrName) {
				t.Errorf("namespace %q: %v", ns, err)
			}
			if _, err := forger.Call(ctx, ipc.Query{Namespace: ns, Topic: "note"}); !errors.Is(err, ipc.ErrName) {
				t.Errorf("namespace %q: %v", ns, err)
			}
		}
		d, err := forger.SendTo(ctx, "", ipc.Message{Topic: "note", Body: text("true")})
		if err != nil || d.Sent != 2 {
			t.Errorf("afterwards: %+v, %v", d, err)
		}
		synctest.Wait()
		if got := s.noted(list[1].ID); !slices.Equal(got, []string{"note true from worker 0"}) {
			t.Errorf("got %q", got)
		}

		// Too many at once.
		const many = 100
		var full, begun atomic.Int64
		asking, stop := context.WithCancel(ctx)
		var all sync.WaitGroup
		for range many {
			all.Go(func() {
				for a, err := range forger.RequestTo(asking, "1", ipc.Query{Topic: "hang"}) {
					switch {
					case err != nil && strings.Contains(err.Error(), "too many"):
						full.Add(1)
					case err == nil && a.Kind == ipc.AnswerReply:
						begun.Add(1)
					}
				}
			})
		}
		time.Sleep(time.Second)
		if full.Load() != 36 || begun.Load() != 64 {
			t.Errorf("%d were refused and %d begun", full.Load(), begun.Load())
		}
		stop()
		all.Wait()
		for i := range many {
			err := forger.PostTo(ctx, "1", ipc.Message{Namespace: fmt.Sprintf("n%d", i), Topic: "note"})
			if err != nil {
				t.Error(err)
			}
		}
		d, err = forger.SendTo(ctx, "1", ipc.Message{Topic: "note", Body: text("still")})
		if err != nil || d.Sent != 1 {
			t.Errorf("after a flood of namespaces: %+v, %v", d, err)
		}
	})
}

// Whoever is slow to read holds up who sends, for a while; then it is told who did not
// get the message, and everybody else has it.
func TestSlowReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 2})
		start(t, e)
		list := e.Select(Selector{})
		asker := s.peerOf(t, list[1].ID)
		if err := e.PostTo(ctx, list[0].ID, ipc.Message{Topic: "hang"}); err != nil {
			t.Fatal(err)
		}
		if err := asker.PostTo(ctx, "0", ipc.Message{Topic: "hang"}); err != nil {
			t.Fatal(err)
		}
		got := 0
		var failed ipc.Delivery
		for range 200 {
			d, err := asker.SendTo(ctx, "", ipc.Message{Topic: "note", Body: ipc.Bytes(make([]byte, 64<<10))})
			if err != nil {
				t.Fatal(err)
			}
			if got++; d.Sent < 2 {
				failed = d
				break
			}
		}
		if failed.Sent != 1 || len(failed.Failed) != 1 || failed.Failed[0].ID != list[0].ID || !errors.Is(failed.Failed[0].Err(), ipc.ErrQueueFull) {
			t.Errorf("after %d: %+v", got, failed)
		}
		synctest.Wait()
		if n := len(s.noted(list[1].ID)); n != got {
			t.Errorf("the other one has %d of %d", n, got)
		}
	})
}

// A worker whose Heddle knows of no messages is told as one that cannot be reached.
func TestNoMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		w := &fakeWorld{}
		e := newFake(t, w, Options{})
		start(t, e)
		id := w.proc(1).uuid
		if err := e.PostTo(ctx, id, ipc.Message{Topic: "note"}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		d, err := e.Post(ctx, Selector{}, ipc.Message{Topic: "note"})
		if err != nil || d.Chosen != 1 || d.Sent != 0 || len(d.Failed) != 1 {
			t.Errorf("got %+v, %v", d, err)
		}
	})
}
