package httpcompat_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker/workertest"
)

const envProgram = "HTTPCOMPAT_TEST_PROGRAM"

// program is what this test binary is instead when envProgram is set: the
// main function that README shows.
func program() {
	if os.Getenv(envProgram) == itself {
		serveItself()
		return
	}
	log.Fatal(httpcompat.ListenAndServe(os.Getenv(envProgram), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello, heddle\n")
	})))
}

// A program whose main is log.Fatal(ListenAndServe) exits with 0 when its
// engine drains it, and with another status when it loses its engine.
func TestProgramExit(t *testing.T) {
	for _, drained := range []bool{true, false} {
		e := workertest.New(workertest.Options{})
		if err := e.Listen(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(append(os.Environ(), envProgram+"=127.0.0.1:0"), e.Environ()...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		(&httpcompat.Proxy{Opener: e}).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
		if rec.Body.String() != "Hello, heddle\n" {
			t.Errorf("got %d, %q", rec.Code, rec.Body)
		}
		if drained {
			e.Drain(time.Second)
		} else {
			e.Kill()
		}
		err := cmd.Wait()
		if (err == nil) != drained || ctx.Err() != nil {
			t.Errorf("drained %v: exit %v", drained, err)
		}
		e.Kill()
	}
}

// Started by hand the same program is a plain server.
func TestProgramAlone(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envProgram+"=256.0.0.1:0") // an address that cannot be listened on
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("got %q, want a failure to listen", out)
	}
}

// The same program under the real runtimes' rules: started with their flags, over
// their sockets, it answers, and leaves when it is told to.
func TestProgramUnderRuntimes(t *testing.T) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(v.String()+"/"+network, func(t *testing.T) {
				r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{Network: network})
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				cmd := exec.CommandContext(ctx, os.Args[0], r.Args()...)
				cmd.Env = append(os.Environ(), envProgram+"=127.0.0.1:0")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				resp, err := r.HTTP("http", httptest.NewRequest("GET", "/", nil), workertest.InvokeOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if body, _ := io.ReadAll(resp.Body); string(body) != "Hello, heddle\n" {
					t.Errorf("got %d, %q", resp.StatusCode, body)
				}
				if err := r.Terminate(1, "slave is idle"); err != nil {
					t.Error(err)
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("exit: %v", err)
				}
				if got := r.Terminates(); len(got) != 1 || got[0].Reason != "slave is idle" {
					t.Errorf("answered %v", got)
				}
			})
		}
	}
}
