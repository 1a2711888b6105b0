package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"golang.org/x/sys/unix"
)

// Workers die under load, again and again: each request is answered rightly or
// is one of those that a death names, and the two counts are equal.
func TestKillsUnderLoad(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			var deaths deathsOf
			e := newReal(t, "worker", Options{
				Workers: 3, Loops: loops, Concurrency: 8, OnDeath: deaths.on,
				Backoff: BackoffOptions{Min: time.Millisecond, Max: 10 * time.Millisecond},
			})
			start(t, e)
			var answered, lost atomic.Int64
			stop := make(chan struct{})
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					for !isClosed(stop) {
						got, err := ask(t, e, "echo")
						switch {
						case err == nil && got == "first":
							answered.Add(1)
						case errors.Is(err, session.ErrLost):
							lost.Add(1)
						default:
							t.Errorf("got %q, %v", got, err)
							return
						}
					}
				})
			}
			const kills = 15
			killed := uint64(0)
			victims := make(map[int]bool) // one whose death is not noticed yet can be killed again
			for killed < kills {
				time.Sleep(50 * time.Millisecond)
				until(t, "all are online", func() bool { return e.Stats().Online == 3 })
				pids := pidsOf(e)
				if len(pids) != 3 {
					continue
				}
				if pid := pids[rand.IntN(3)]; !victims[pid] && unix.Kill(pid, unix.SIGKILL) == nil {
					victims[pid] = true
					killed++
				}
			}
			close(stop)
			all.Wait()
			var st Stats
			defer func() {
				if t.Failed() {
					t.Logf("at the end: %+v\n%+v", st, e.Status())
				}
			}()
			until(t, "all are online again, and the dead recorded", func() bool {
				st = e.Stats() // the last death may not even be noticed: count those killed
				return st.Online == 3 && st.Deaths >= killed && st.Deaths+3 == st.Spawned
			})
			st = e.Stats()
			named := 0
			for _, d := range deaths.wait(t, int(st.Deaths)) {
				named += len(d.Lost)
			}
			t.Logf("%d answered, %d lost in %d deaths", answered.Load(), lost.Load(), st.Deaths)
			if int64(named) != lost.Load() || st.Lost+st.Untouched != uint64(named) {
				t.Errorf("%d were lost, records name %d, counted are %d", lost.Load(), named, st.Lost+st.Untouched)
			}
			if n := st.Opened; n != uint64(answered.Load()+lost.Load()) {
				t.Errorf("%d opened, %d answered and %d lost: some ran twice or not at all", n, answered.Load(), lost.Load())
			}
			if st.Sessions != 0 || st.Waiting != 0 || answered.Load() == 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func BenchmarkAsk(b *testing.B) {
	e, err := New(Options{Path: os.Args[0], Env: []string{envPlay + "=worker"}, Workers: 1, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := ask(b, e, "echo"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkChoice is what choosing costs among n workers that are all free.
func BenchmarkChoice(b *testing.B) {
	for _, n := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, err := New(Options{Path: os.Args[0]})
			if err != nil {
				b.Fatal(err)
			}
			l := &lane{e: e}
			e.lanes = []*lane{l}
			for range n {
				ch := &channel{e: e, lane: l, link: idleLink{}}
				ch.mux = session.NewMux(ch.link, session.Options{})
				l.join(ch)
			}
			b.ReportAllocs()
			for i := range b.N {
				if e.pick(nil, uint(i)) == nil {
					b.Fatal("nobody")
				}
			}
		})
	}
}

type idleLink struct{ session.Link }

func (idleLink) Queued() int { return 0 }
