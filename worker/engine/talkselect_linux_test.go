package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// Who is chosen by whom.
func TestMessageSelectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 3, Standbys: 1})
		start(t, e)
		until(t, "the standby is ready", func() bool { return e.Stats().Standbys == 1 })
		all := e.Status().Workers
		standby := all[3]
		asker := s.peerOf(t, all[1].ID)
		choose := func(sel string) string {
			t.Helper()
			d, err := asker.SendTo(ctx, sel, ipc.Message{Topic: "note", Body: text(sel)})
			if err != nil || d.Chosen != d.Sent || len(d.Failed) > 0 {
				t.Fatalf("%q: %+v, %v", sel, d, err)
			}
			synctest.Wait()
			var who []string
			for _, w := range all {
				if notes := s.noted(w.ID); slices.Contains(notes, "note "+sel+" from worker 1") {
					who = append(who, fmt.Sprint(w.Index))
				}
			}
			if len(who) != d.Sent {
				t.Errorf("%q: %d got it, and %v noted it", sel, d.Sent, who)
			}
			return strings.Join(who, " ")
		}
		for sel, want := range map[string]string{
			"": "0 1 2", "-": "0 1 2", "0": "0", "0-1": "0 1", "2-": "2", "-1": "0 1", "0,0": "0", "9": "",
			"self": "1", "!self": "0 2", "SELF": "1", "!0": "1 2", "!0,!1": "0 1 2", "self,2": "1 2",
			"$" + fmt.Sprint(all[0].Pid): "0", "!$" + fmt.Sprint(all[0].Pid): "1 2",
			strings.ToUpper(all[2].ID): "2", "!" + all[2].ID: "0 1", all[2].ID[:8]: "2",
			"$" + fmt.Sprint(standby.Pid): "-1", standby.ID: "-1", "!" + standby.ID: "0 1 2", standby.ID + ",0": "0 -1",
		} {
			if got := choose(sel); got != want {
				t.Errorf("%q chose %q, want %q", sel, got, want)
			}
		}
		// Suspended ones are active.
		if err := e.Suspend(ctx); err != nil {
			t.Fatal(err)
		}
		if got := choose("0-2"); got != "0 1 2" {
			t.Errorf("suspended: %q", got)
		}
		if got, _, n := gather(t, asker.RequestTo(ctx, "", ipc.Query{Topic: "who"})); n != 3 || !slices.Equal(got[0], []string{fmt.Sprintf(`"worker 1 %s"`, all[1].ID), "end"}) {
			t.Errorf("asked as %v", got)
		}
		if err := e.Resume(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// One that is superseded and finishes its sessions is reached by its process number
// and its id only.
func TestSupersededIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{})
		s.setup = func(_ *fakeProcess, w *worker.Worker) {
			w.Handle("long", worker.HandlerFunc(func(ctx context.Context, ss *session.Session) { _, _ = ss.Recv(); _, _ = ss.Recv() }))
		}
		start(t, e)
		long := open(t, e, "long")
		old := e.Select(Selector{})[0]
		drained, err := e.Deploy(ctx, Program{Path: "/bin/worker", Release: "2"}, DeployOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := e.Select(Selector{}); len(got) != 1 || got[0].Release != "2" {
			t.Errorf("active: %+v", got)
		}
		if got := e.Select(mustParse(t, "0")); len(got) != 1 || got[0].Release != "2" {
			t.Errorf("index 0: %+v", got)
		}
		for _, sel := range []string{old.ID, fmt.Sprintf("$%d", old.Pid)} {
			d, err := e.Post(ctx, mustParse(t, sel), ipc.Message{Topic: "note", Body: text(sel)})
			if err != nil || d.Sent != 1 {
				t.Errorf("%q: %+v, %v", sel, d, err)
			}
		}
		a, err := e.SendTo(ctx, old.ID, ipc.Message{Topic: "note", Body: text("asked")})
		if err == nil {
			_, err = a.Wait(ctx)
		}
		if err != nil || len(s.noted(old.ID)) != 3 {
			t.Errorf("%v, %q", err, s.noted(old.ID))
		}
		if err := long.Finish(); err != nil {
			t.Error(err)
		}
		<-drained
	})
}

// One that is not online yet is nobody's by default and by index; by its id what is
// sent to it waits until it is.
func TestStartingIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 2})
		start(t, e)
		held := make(chan struct{})
		s.setup = func(*fakeProcess, *worker.Worker) { <-held }
		first := e.Select(mustParse(t, "0"))[0]
		s.procOf(first.ID).die(exit{code: 1})
		until(t, "its successor has begun", func() bool {
			w := e.Status().Workers[0]
			return w.Index == 0 && w.ID != first.ID && w.Pid > 0
		})
		young := e.Status().Workers[0]
		for sel, want := range map[string]int{"": 1, "0": 0, "0-": 1, "!1": 0, young.ID: 1, fmt.Sprintf("$%d", young.Pid): 1} {
			d, err := e.Post(ctx, mustParse(t, sel), ipc.Message{Topic: "note", Body: text("to " + sel)})
			if err != nil || d.Chosen != want || d.Sent != want {
				t.Errorf("%q: %+v, %v; want %d", sel, d, err, want)
			}
		}
		if got, errs, n := gather(t, e.Request(ctx, Selector{}, ipc.Query{Topic: "count"})); n != 1 || len(errs) > 0 || len(got[1]) != 4 {
			t.Errorf("all: %d, %v, %v", n, got, errs)
		}
		if got := s.noted(young.ID); got != nil {
			t.Errorf("noted before it was online: %q", got)
		}
		close(held)
		until(t, "it is online", func() bool { return len(e.Select(Selector{})) == 2 })
		synctest.Wait()
		got := s.noted(young.ID)
		slices.Sort(got)
		if want := []string{fmt.Sprintf("note to $%d", young.Pid), "note to " + young.ID}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// The limits of a request are those of each worker: 30 s for its first reply and 10 s
// for the next, unless the call has others.
func TestRequestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, e := newWorkshop(t, Options{Workers: 3})
		s.setup = func(_ *fakeProcess, w *worker.Worker) {
			err := w.HandleRequest("", "slow", func(ctx context.Context, q *ipc.Question) error {
				for i := range w.Index() { // none of 0, one of 1, two of 2
					if err := q.Reply(ipc.JSON(i)); err != nil {
						return err
					}
					time.Sleep(5 * time.Second)
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if err != nil {
				t.Error(err)
			}
		}
		start(t, e)
		asker := s.peerOf(t, e.Select(mustParse(t, "0"))[0].ID)
		for _, tt := range []struct {
			q    ipc.Query
			want [3]time.Duration
		}{
			{ipc.Query{}, [3]time.Duration{30 * time.Second, 10 * time.Second, 15 * time.Second}},
			{ipc.Query{First: 2 * time.Second, Gap: 7 * time.Second}, [3]time.Duration{2 * time.Second, 7 * time.Second, 12 * time.Second}},
		} {
			tt.q.Topic = "slow"
			for who, answers := range map[string]func(func(ipc.Answer, error) bool){
				"the engine": e.Request(ctx, Selector{}, tt.q), "a worker": asker.RequestTo(ctx, "", tt.q),
			} {
				begun, failed := time.Now(), [3]time.Duration{}
				for a, err := range answers {
					if err != nil {
						t.Fatal(err)
					}
					if a.Kind == ipc.AnswerFailed {
						if !errors.Is(a.Err, os.ErrDeadlineExceeded) {
							t.Errorf("%s, worker %d: %v", who, a.From.Index, a.Err)
						}
						failed[a.From.Index] = time.Since(begun)
					}
				}
				if failed != tt.want {
					t.Errorf("%s, %v and %v: failed after %v, want %v", who, tt.q.First, tt.q.Gap, failed, tt.want)
				}
			}
		}
	})
}
