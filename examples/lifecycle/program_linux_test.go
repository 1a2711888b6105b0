package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker/workertest"
)

const patience = 20 * time.Second // a test that waits this long has failed

// A standby from its start to its end: it warms up, holds a request and its work
// until it is promoted, asks to be replaced, and ends its streams when drained.
func TestProgram(t *testing.T) {
	e := workertest.New(workertest.Options{Suspended: true, Standby: true})
	if err := e.Listen(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const warm = 300 * time.Millisecond
	cmd := exec.CommandContext(ctx, os.Args[0], "-interval", "1ms", "-warm", warm.String())
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), e.Environ()...)
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the program

	ask := func(method, path, body string) <-chan *httptest.ResponseRecorder {
		answer := make(chan *httptest.ResponseRecorder, 1)
		go func() { // ends with the answer, or ctx
			rec := httptest.NewRecorder()
			(&httpcompat.Proxy{Opener: e}).ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(ctx))
			answer <- rec
		}()
		return answer
	}
	select {
	case <-e.Online():
	case err := <-exited:
		t.Fatal(err)
	}
	if took := time.Since(begin); took < warm {
		t.Errorf("online after %v, and it had to warm up for %v", took, warm)
	}
	first := ask("GET", "/", "")
	select {
	case rec := <-first:
		t.Errorf("a suspended worker answered: %d, %q", rec.Code, rec.Body)
	case <-time.After(100 * time.Millisecond):
	}
	promoted := time.Now()
	e.Promote(3)
	rec := <-first
	var index, pid, jobs int
	if n, err := fmt.Sscanf(rec.Body.String(), "worker %d of release , pid %d, %d jobs done", &index, &pid, &jobs); n != 3 || index != 3 || pid != cmd.Process.Pid {
		t.Errorf("got %d, %q: %v", rec.Code, rec.Body, err)
	}
	if since := time.Since(promoted); jobs > int(since/time.Millisecond)+2 {
		t.Errorf("%d jobs done, one each millisecond, within %v: it worked while it was suspended", jobs, since)
	}
	if rec := <-ask("POST", "/broken", "it leaks"); rec.Code != http.StatusAccepted {
		t.Errorf("got %d, %q", rec.Code, rec.Body)
	}
	for !slices.Equal(e.Seen().Broken, []string{"it leaks"}) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	front := httptest.NewServer(&httpcompat.Proxy{Opener: e})
	defer front.Close()
	stream, err := front.Client().Get(front.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	e.Drain(patience)
	if body, err := io.ReadAll(stream.Body); err != nil || !strings.HasSuffix(string(body), "event: bye\ndata: {}\n\n") {
		t.Errorf("the stream ends with %q, %v", body[max(0, len(body)-100):], err)
	}
	if err := <-exited; err != nil {
		t.Errorf("the program ended with %v", err)
	}
}
