package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"golang.org/x/sys/unix"
)

// playRealWorker is what a user's program is: package worker, not the tests'
// mini.
func playRealWorker() {
	if err := serveReal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveReal() error {
	w, err := worker.New(worker.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w.Handle("echo", worker.HandlerFunc(func(_ context.Context, s *session.Session) { _, _ = io.Copy(s, s) }))
	w.Handle("pid", worker.HandlerFunc(func(_ context.Context, s *session.Session) { _, _ = fmt.Fprint(s, os.Getpid()) }))
	w.Handle("slow", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		time.Sleep(500 * time.Millisecond)
		_, _ = io.WriteString(s, "at last")
	}))
	return w.Run(context.Background())
}

// Neither room imports the other, so both name the variables; they are the same.
func TestEnvironmentNames(t *testing.T) {
	env := environment(&Program{Release: "7"}, identity{app: "shop", endpoint: "unix:/e", id: "an id", index: 3, suspended: true, locator: "10.0.0.1:9"})
	for name, want := range map[string]string{
		worker.EnvProtocol: "1", worker.EnvEndpoint: "unix:/e", worker.EnvUUID: "an id",
		worker.EnvIndex: "3", worker.EnvApp: "shop", worker.EnvRelease: "7", worker.EnvSuspended: "1", worker.EnvLocator: "10.0.0.1:9",
	} {
		if got := lookup(env, name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
}

// The two halves together: serve, crash, leave on SIGTERM, drain.
func TestRealWorker(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			var deaths deathsOf
			e := newReal(t, "worker", Options{Workers: 2, Loops: loops, OnDeath: deaths.on})
			start(t, e)
			for range 50 {
				if got, err := ask(t, e, "echo"); got != "first" || err != nil {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			pid := e.Status().Workers[0].Pid
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if d := deaths.wait(t, 1)[0]; d.Pid != pid || d.Signal != "SIGKILL" {
				t.Errorf("death %+v", d)
			}
			until(t, "two are online", func() bool { return e.Stats().Online == 2 })

			// SIGTERM from outside: what it has is finished.
			var slow []*session.Session
			for range 8 {
				slow = append(slow, open(t, e, "slow"))
			}
			pid = e.Status().Workers[1].Pid
			time.Sleep(50 * time.Millisecond)
			if err := unix.Kill(pid, unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			for _, s := range slow {
				if got, err := answer(s); got != "at last" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
			if d := deaths.wait(t, 2)[1]; d.Pid != pid || !d.Expected || d.ExitCode != 0 {
				t.Errorf("death %+v", d)
			}
			until(t, "two are online", func() bool { return e.Stats().Online == 2 })

			slow = slow[:0]
			for range 8 {
				slow = append(slow, open(t, e, "slow"))
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, s := range slow {
				if got, err := answer(s); got != "at last" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
			for _, d := range deaths.wait(t, 4)[2:] {
				if !d.Expected || d.ExitCode != 0 {
					t.Errorf("death %+v", d)
				}
			}
		})
	}
}
