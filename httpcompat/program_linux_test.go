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
