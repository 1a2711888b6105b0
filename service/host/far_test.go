//go:build linux

package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/worker/engine"
)

// TestFar: a call does not wait while somebody is free on another loop than its own, nor
// for ever on one that has no worker; nothing is left of those whose clients leave.
func TestFar(t *testing.T) {
	for _, d := range []engine.Dialect{engine.DialectV0, engine.DialectV1} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%d workers of %s", workers, d), func(t *testing.T) {
				loops := []*loop.Loop{newLoop(t), newLoop(t), newLoop(t)}
				e, err := engine.New(engine.Options{
					Path: os.Args[0], Env: []string{envProgram + "=1"}, Workers: workers, On: loops, Dialect: d, Concurrency: 1,
					Queue: engine.QueueOptions{Age: time.Hour}, Logger: slog.New(slog.DiscardHandler),
				})
				must(t, err)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				must(t, e.Start(ctx))
				defer e.Close()
				c, err := Start(Options{Locator: "127.0.0.1:0", Loops: loops})
				must(t, err)
				defer c.Close(ctx)
				must(t, c.AddApp(App{Name: "app", Opener: e, HTTP: "http", Serves: e.Serves, Free: e.Free, Open: e.Open}))
				body := strings.Repeat("body", 200_000)
				request := packed(t, []any{"POST", "/path", "1.1", []any{[]any{"Host", "x"}, []any{"Content-Length", fmt.Sprint(len(body))}}, body})

				// All but one are busy: they wait for what their caller has to say.
				var busy []*peer
				for i := range workers - 1 {
					p := to(t, c, "app", heddle.V1)
					p.call(1, 0, "http")
					busy = append(busy, p)
					wait(t, func() bool { return e.Stats().Sessions == i+1 }, "a worker is busy")
				}
				for range 2 * len(loops) { // connections are dealt to all
					p := to(t, c, "node", heddle.V1)
					p.call(1, 5, "app", "http", "")
					p.call(1, 0, request)
					p.call(1, close1)
					if chunks := p.chunks(1); !strings.HasSuffix(strings.Join(chunks[1:], ""), "body") {
						t.Errorf("got %.80q", chunks)
					}
					v0 := to(t, c, "app", heddle.V0)
					v0.call(1, 0, "http", request)
					if chunks := v0.chunks(1); len(chunks) < 2 {
						t.Errorf("got %.80q", chunks)
					}
					p.call(2, 5, "app", "nobody's event", "")
					p.call(2, close1)
					f, _, err := p.next()
					if err != nil || f.Type != error1 {
						t.Errorf("got %v, message %d, want an error", err, f.Type)
					}
				}
				// The last one, too; then calls wait, until their clients leave or somebody is free.
				last := to(t, c, "app", heddle.V1)
				last.call(1, 0, "http")
				wait(t, func() bool { return e.Stats().Sessions == workers }, "all are busy")
				var waiting []*peer
				for range 6 {
					p := to(t, c, "node", heddle.V1)
					p.call(1, 5, "app", "http", "")
					p.call(1, 0, request)
					waiting = append(waiting, p)
				}
				wait(t, func() bool { return e.Stats().Waiting == 6 }, "six wait")
				for _, p := range waiting[1:] {
					p.nc.Close()
				}
				wait(t, func() bool { return e.Stats().Waiting == 1 }, "one waits")
				for _, p := range append(busy, last) {
					p.nc.Close()
				}
				waiting[0].call(1, close1)
				waiting[0].chunks(1)
				wait(t, func() bool { return c.pending.used.Load() == 0 && e.Stats().Waiting == 0 }, "nothing is left")
			})
		}
	}
}
