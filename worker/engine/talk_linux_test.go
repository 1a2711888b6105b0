package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// These tests talk with package worker in processes that are goroutines.

// talk plays a worker that setup has given its handlers.
func (p *fakeProcess) talk(setup func(w *worker.Worker)) {
	index, _ := strconv.Atoi(lookup(p.spec.env, envIndex))
	w, err := worker.New(worker.Options{
		Launch: &worker.Launch{
			Heddle: true, Dialect: heddle.V1, Endpoint: p.w.e.lanes[0].endpoint, UUID: p.uuid, Index: index,
			Release: lookup(p.spec.env, envRelease), Suspended: lookup(p.spec.env, envSuspended) == "1",
		},
		Dial: func(endpoint string, h func(session.Link) loop.Handler) error {
			p.dial(endpoint, h)
			return nil
		},
		NoSignals: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	setup(w)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the process
		select {
		case <-p.term:
			cancel()
		case <-p.gone:
		}
	}()
	code := 0
	if w.Run(ctx) != nil {
		code = 1
	}
	p.die(exit{code: code})
}

// A workshop is a world of talking workers, which note what they get and answer some
// requests.
type workshop struct {
	fakeWorld
	setup func(p *fakeProcess, w *worker.Worker) // besides

	mu      sync.Mutex
	notes   map[string][]string // by uuid
	workers map[string]*worker.Worker
	events  []WorkerEvent
}

func newWorkshop(t *testing.T, o Options) (*workshop, *Engine) {
	s := &workshop{notes: make(map[string][]string), workers: make(map[string]*worker.Worker)}
	s.born = func(p *fakeProcess) { p.talk(func(w *worker.Worker) { s.furnish(p, w) }) }
	tell := o.OnWorker
	o.OnWorker = func(ev WorkerEvent) {
		s.mu.Lock()
		s.events = append(s.events, ev)
		s.mu.Unlock()
		if tell != nil {
			tell(ev)
		}
	}
	e := newFake(t, &s.fakeWorld, o)
	return s, e
}

func (s *workshop) furnish(p *fakeProcess, w *worker.Worker) {
	s.mu.Lock()
	s.workers[p.uuid] = w
	s.mu.Unlock()
	note := func(_ context.Context, m *ipc.Received) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		from := ""
		if m.From.Kind != "" {
			from = fmt.Sprintf(" from %s %d", m.From.Kind, m.From.Index)
		}
		s.notes[p.uuid] = append(s.notes[p.uuid], fmt.Sprintf("%s %s%s", m.Topic, m.Payload, from))
		return nil
	}
	count := func(ctx context.Context, q *ipc.Question) error {
		for i := range 3 {
			if err := q.Reply(ipc.JSON(i)); err != nil {
				return err
			}
		}
		return nil
	}
	err := errors.Join(
		w.HandleMessage("", "note", note), w.HandleMessage("lib", "note", note),
		w.HandleMessage("", "hang", func(ctx context.Context, _ *ipc.Received) error { <-ctx.Done(); return ctx.Err() }),
		w.HandleRequest("", "count", count),
		w.HandleRequest("", "who", func(_ context.Context, q *ipc.Question) error {
			return q.Reply(ipc.JSON(fmt.Sprintf("%s %d %s", q.From.Kind, q.From.Index, q.From.ID)))
		}),
		w.HandleRequest("", "hang", func(ctx context.Context, q *ipc.Question) error {
			if err := q.Reply(ipc.JSON("begun")); err != nil {
				return err
			}
			<-ctx.Done()
			s.mu.Lock()
			s.notes[p.uuid] = append(s.notes[p.uuid], "cancelled")
			s.mu.Unlock()
			return ctx.Err()
		}),
		w.HandleRequest("", "fail", func(_ context.Context, q *ipc.Question) error {
			_ = q.Reply(ipc.JSON("first"))
			return errors.New("no luck today")
		}),
		w.HandleRequest("", "echo", func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.Raw(q.Format, q.Payload)) }),
	)
	if err != nil {
		panic(err)
	}
	if s.setup != nil {
		s.setup(p, w)
	}
}

func (s *workshop) noted(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notes[id])
}

// peerOf is the engine as the worker with this id has it.
func (s *workshop) peerOf(t *testing.T, id string) *ipc.Peer {
	t.Helper()
	s.mu.Lock()
	w := s.workers[id]
	s.mu.Unlock()
	p, err := w.Engine()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *workshop) told() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		list = append(list, fmt.Sprintf("%v %d", ev.Kind, ev.Worker.Index))
	}
	return list
}

func text(b string) ipc.Body { return ipc.Bytes([]byte(b)) }

// gather is what came of a request to several: by worker, and how many were chosen.
func gather(t *testing.T, answers func(func(ipc.Answer, error) bool)) (got map[int][]string, errs map[int]error, chosen int) {
	t.Helper()
	got, errs, chosen = make(map[int][]string), make(map[int]error), -1
	for a, err := range answers {
		if err != nil {
			t.Errorf("the whole failed: %v", err)
			return
		}
		switch i := a.From.Index; a.Kind {
		case ipc.AnswerChosen:
			chosen = a.Chosen
		case ipc.AnswerReply:
			got[i] = append(got[i], string(a.Reply.Payload))
		case ipc.AnswerFailed:
			errs[i] = a.Err
		case ipc.AnswerEnd:
			got[i] = append(got[i], "end")
		}
		if a.Kind != ipc.AnswerChosen && (a.From.Kind != ipc.KindWorker || a.From.ID == "" || a.From.Pid == 0) {
			t.Errorf("an answer of %+v", a.From)
		}
	}
	return got, errs, chosen
}

// mustParse is a selector.
func mustParse(t *testing.T, s string) Selector {
	t.Helper()
	sel, err := ParseSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

// What is sent to a worker from its start on waits until it is ready, and keeps its
// order across that moment; what is sent to a dead one fails at once.
func TestMessagesWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *Engine
		var acks []*ipc.Ack
		ctx := context.Background()
		n := 0
		post := func(id string) {
			for range 20 {
				if err := e.PostTo(ctx, id, ipc.Message{Topic: "note", Body: text(fmt.Sprint(n))}); err != nil {
					t.Error(err)
				}
				n++
			}
		}
		s, e2 := newWorkshop(t, Options{OnWorker: func(ev WorkerEvent) {
			if ev.Kind != WorkerSpawned {
				return
			}
			post(ev.Worker.ID)
			a, err := e.SendTo(ctx, ev.Worker.ID, ipc.Message{Topic: "note", Body: text("asked")})
			if err != nil {
				t.Error(err)
				return
			}
			acks = append(acks, a)
		}})
		e = e2
		late := make(chan struct{})
		s.setup = func(*fakeProcess, *worker.Worker) { <-late }
		begun := make(chan error, 1)
		go func() { begun <- e.Start(ctx) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		id := s.proc(1).uuid
		if got := s.noted(id); got != nil {
			t.Errorf("noted before it was connected: %q", got)
		}
		post(id)
		close(late)
		post(id) // while it becomes ready
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
		post(id)
		if _, err := acks[0].Wait(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("note %d", i))
			if i == 19 {
				want = append(want, "note asked")
			}
		}
		if got := s.noted(id); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if err := e.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		var gone *ipc.UnknownPeerError
		if err := e.PostTo(ctx, id, ipc.Message{Topic: "note"}); !errors.As(err, &gone) {
			t.Errorf("to a dead one: %v", err)
		}
		s.mu.Lock()
		w := s.workers[id]
		s.mu.Unlock()
		if _, err := w.Engine(); err != worker.ErrClosed {
			t.Errorf("by a dead one: %v", err)
		}
		if got := s.told(); !slices.Equal(got, []string{"spawned 0", "online 0", "exited 0"}) {
			t.Errorf("told %q", got)
		}
	})
}

// Ready is per namespace where the program says it.
func TestManualReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{})
		s.setup = func(_ *fakeProcess, w *worker.Worker) {
			if err := errors.Join(w.ManualReady(), w.Ready("lib")); err != nil {
				t.Error(err)
			}
		}
		start(t, e)
		id := s.proc(1).uuid
		for _, ns := range []string{"", "lib"} {
			if err := e.PostTo(ctx, id, ipc.Message{Namespace: ns, Topic: "note", Body: text(ns)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if got := s.noted(id); !slices.Equal(got, []string{"note lib"}) {
			t.Errorf("got %q", got)
		}
		s.mu.Lock()
		w := s.workers[id]
		s.mu.Unlock()
		if err := w.Ready(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := s.noted(id); !slices.Equal(got, []string{"note lib", "note "}) {
			t.Errorf("got %q", got)
		}
	})
}

// All that waits for a worker fails at once when it dies, and nobody else's.
func TestWorkerDiesWithAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 2})
		start(t, e)
		all := e.Select(Selector{})
		var acks []*ipc.Ack
		for i := range 100 {
			topic := "note"
			if i == 10 {
				topic = "hang" // the others wait behind it
			}
			a, err := e.SendTo(ctx, all[0].ID, ipc.Message{Topic: topic, Body: ipc.Bytes(make([]byte, 8<<10))})
			if err != nil {
				t.Fatal(err)
			}
			acks = append(acks, a)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		begun := time.Now()
		s.procOf(all[0].ID).die(exit{code: -1, signal: "SIGKILL"})
		for i, a := range acks {
			_, err := a.Wait(ctx)
			if want := i >= 10; errors.Is(err, ipc.ErrPeerDied) != want || !want && err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if d := time.Since(begun); d >= time.Second {
			t.Errorf("told after %v", d)
		}
		a, err := e.SendTo(ctx, all[1].ID, ipc.Message{Topic: "note", Body: text("x")})
		if err == nil {
			_, err = a.Wait(ctx)
		}
		if err != nil {
			t.Errorf("the other one: %v", err)
		}
	})
}

func (s *workshop) procOf(id string) *fakeProcess {
	for i := 1; ; i++ {
		if p := s.proc(i); p.uuid == id {
			return p
		}
	}
}

// A request to several: each answers for itself, whatever becomes of the others.
func TestRequestToSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 4})
		s.setup = func(p *fakeProcess, w *worker.Worker) {
			switch w.Index() {
			case 1:
				_ = w.HandleRequest("", "count", func(_ context.Context, q *ipc.Question) error {
					_ = q.Reply(ipc.JSON("one"))
					time.Sleep(100 * time.Millisecond)
					p.die(exit{code: 3})
					return nil
				})
			case 2:
				_ = w.HandleRequest("", "count", func(ctx context.Context, _ *ipc.Question) error { <-ctx.Done(); return nil })
			case 3:
				_ = w.HandleRequest("", "count", func(context.Context, *ipc.Question) error { panic("oh") })
			}
		}
		start(t, e)
		asker := s.peerOf(t, e.Select(mustParse(t, "0"))[0].ID)
		for name, ask := range map[string]func(string, ipc.Query) func(func(ipc.Answer, error) bool){
			"by a worker": func(sel string, q ipc.Query) func(func(ipc.Answer, error) bool) {
				return asker.RequestTo(ctx, sel, q)
			},
			"by the engine": func(sel string, q ipc.Query) func(func(ipc.Answer, error) bool) {
				return e.Request(ctx, mustParse(t, sel), q)
			},
		} {
			until(t, "all are there", func() bool { return len(e.Select(Selector{})) == 4 })
			begun := time.Now()
			got, errs, chosen := gather(t, ask("", ipc.Query{Topic: "count", First: 3 * time.Second}))
			if chosen != 4 || !slices.Equal(got[0], []string{"0", "1", "2", "end"}) || !slices.Equal(got[1], []string{`"one"`}) || len(got[2])+len(got[3]) > 0 {
				t.Errorf("%s: chosen %d, got %v", name, chosen, got)
			}
			if !errors.Is(errs[1], ipc.ErrPeerDied) || !errors.Is(errs[2], os.ErrDeadlineExceeded) || errs[3] == nil || !strings.Contains(errs[3].Error(), "oh") || len(errs) != 3 {
				t.Errorf("%s: errors %v", name, errs)
			}
			if d := time.Since(begun); d < 3*time.Second || d > 4*time.Second {
				t.Errorf("%s: took %v", name, d)
			}
			if got, errs, chosen := gather(t, ask("17-", ipc.Query{Topic: "count"})); chosen != 0 || len(got)+len(errs) > 0 {
				t.Errorf("%s: nobody: %d, %v, %v", name, chosen, got, errs)
			}
			got, errs, _ = gather(t, ask("0", ipc.Query{Topic: "fail"}))
			if !slices.Equal(got[0], []string{`"first"`}) || errs[0] == nil || !strings.Contains(errs[0].Error(), "no luck today") {
				t.Errorf("%s: a failure: %v, %v", name, got, errs)
			}
			_, errs, _ = gather(t, ask("0", ipc.Query{Topic: "nobody handles this"}))
			if !errors.Is(errs[0], ipc.ErrUnknownTopic) {
				t.Errorf("%s: unknown topic: %v", name, errs)
			}
			_, errs, _ = gather(t, ask("0", ipc.Query{Namespace: "nobody's", Topic: "count"}))
			if !errors.Is(errs[0], ipc.ErrUnknownNamespace) {
				t.Errorf("%s: unknown namespace: %v", name, errs)
			}
			for _, body := range []string{"null", "3", `"x"`, "[1]", `{"a":1}`} {
				if got, errs, _ := gather(t, ask("0", ipc.Query{Topic: "echo", Body: ipc.RawJSON([]byte(body))})); !slices.Equal(got[0], []string{body, "end"}) {
					t.Errorf("%s: %s: got %v, %v", name, body, got, errs)
				}
			}
		}
		for _, bad := range []string{"3-1", "x", "0,wat"} {
			for _, err := range asker.RequestTo(ctx, bad, ipc.Query{Topic: "count"}) {
				part := bad[strings.LastIndex(bad, ",")+1:]
				if err == nil || !strings.Contains(err.Error(), strconv.Quote(part)) {
					t.Errorf("%q: %v", bad, err)
				}
			}
			if _, err := asker.SendTo(ctx, bad, ipc.Message{Topic: "note"}); err == nil {
				t.Errorf("%q: no error", bad)
			}
		}
	})
}

// Who stops asking has it cancelled at the workers; so has one who dies.
func TestAskerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 3})
		start(t, e)
		list := e.Select(Selector{})
		asker := s.peerOf(t, list[0].ID)
		cancelled := func() (n int) {
			for _, w := range list {
				if slices.Contains(s.noted(w.ID), "cancelled") {
					n++
				}
			}
			return n
		}
		for a := range asker.RequestTo(ctx, "1", ipc.Query{Topic: "hang"}) {
			if a.Kind == ipc.AnswerReply {
				break
			}
		}
		time.Sleep(time.Second)
		if cancelled() != 1 {
			t.Error("the worker did not hear of it")
		}
		go func() { // ends with its process
			for range asker.RequestTo(ctx, "!self", ipc.Query{Topic: "hang"}) {
			}
		}()
		time.Sleep(time.Second)
		s.procOf(list[0].ID).die(exit{code: -1, signal: "SIGKILL"})
		time.Sleep(time.Second)
		if cancelled() != 2 {
			t.Error("the workers of a dead asker did not hear of it")
		}
	})
}
