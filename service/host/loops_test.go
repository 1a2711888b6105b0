//go:build linux

package host

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// TestLoops: a cloud on several loops, all its services asked at once while services
// come and go.
func TestLoops(t *testing.T) {
	loops := []*loop.Loop{newLoop(t), newLoop(t), newLoop(t)}
	c := start(t, Options{Loops: loops, Storage: t.TempDir(), Cluster: true})
	must(t, c.AddApp(App{Name: "app", Opener: nobody{}}))
	var all sync.WaitGroup
	for i := range 9 {
		listener, routes := dial(t, c.Addr(), heddle.V1), dial(t, c.Addr(), heddle.V1)
		listener.call(1, connect, "them")
		routes.call(1, routing, "them")
		p, k, log, app := dial(t, c.Addr(), heddle.V1), keep(t, c, heddle.V1), to(t, c, "logging", heddle.V0), to(t, c, "app", heddle.V1)
		all.Go(func() { // ends by itself, as the others do
			name := fmt.Sprint("ext", i)
			for n := range uint64(20) {
				p.call(3*n+1, publish, ext(name, i+1)...)
				p.want(3*n+1, value1)
				p.call(3*n+2, resolve, name)
				var a answerV1
				p.args(3*n+2, value1, &a)
				p.call(3*n+1, 0)
				p.call(3*n+3, refresh, []any{name})
				p.want(3*n+3, value1)
			}
		})
		all.Go(func() {
			for n := range 20 {
				k.ok(write, "coll", fmt.Sprint(i), fmt.Sprint(n), []any{"t"})
				if got := k.ok(read, "coll", fmt.Sprint(i)); got != fmt.Sprint(n) {
					t.Errorf("got %v, want %d", got, n)
				}
				k.ok(find, "coll", []any{"t"})
			}
		})
		all.Go(func() {
			for n := range uint64(50) {
				log.call(n, 1)
				log.want(n, chunk0, packed(t, 4))
				log.want(n, choke0)
				app.call(n+1, 0, "event")
				app.want(n+1, error1, []any{12, 32}, "the application has been stopped: Broken pipe")
			}
		})
		all.Go(func() {
			s := Service{Name: fmt.Sprint("own", i), V1: []Method{Unbound(0, "x")}}
			for range 20 {
				if err := c.Add(s); err != nil {
					t.Error(err)
				}
				c.Remove(s.Name)
			}
			// And whoever hears of it all is heard by nobody.
			for _, p := range []*peer{listener, routes} {
				if _, _, err := p.next(); err != nil {
					t.Error(err)
				}
				p.nc.Close()
			}
		})
	}
	all.Wait()
	wait(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.watchers) == 0 && len(c.published) == 0 }, "nothing is left")
}

// lanes tells on which loops it was asked.
type lanes struct{ asked chan int }

func (l lanes) OpenOn(i int, _ session.OpenOptions, _ func(*session.Session, error)) (*session.Session, func() bool, error) {
	l.asked <- i
	return nil, nil, errors.New("closed")
}

// TestServes: connections to an app's service live on loops that have workers, and on
// any while none has.
func TestServes(t *testing.T) {
	c := start(t, Options{Loops: []*loop.Loop{newLoop(t), newLoop(t), newLoop(t)}})
	l := lanes{make(chan int, 1)}
	var none atomic.Bool
	must(t, c.AddApp(App{Name: "app", Opener: l, Serves: func(i int) bool { return !none.Load() && i == 2 }}))
	ask := func() int {
		p := to(t, c, "app", heddle.V1)
		p.call(1, 0, "event")
		return <-l.asked
	}
	for range 6 {
		if i := ask(); i != 2 {
			t.Errorf("asked on loop %d, want 2", i)
		}
	}
	none.Store(true)
	seen := make(map[int]bool)
	for range 6 {
		seen[ask()] = true
	}
	if len(seen) != 3 {
		t.Errorf("asked on loops %v, want all three", seen)
	}
}
