package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
)

// TestBenchSilentDaemon: a daemon that is there and says nothing, as one that was
// stopped, is as good as none: nothing waits for it, and the exit code says so.
func TestBenchSilentDaemon(t *testing.T) {
	unreachable := func(what string, err error) {
		t.Helper()
		var f *failure
		if !errors.As(err, &f) || f.code != exitUnreachable {
			t.Errorf("%s: got %v, want exit code %d", what, err, exitUnreachable)
		}
	}
	path := filepath.Join(shortDir(t), "silent.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // nobody accepts
	c := controlFlags{path: path}
	_, err = c.follow(t.Context(), nil)
	unreachable("follow, no welcome", err)

	greets := filepath.Join(shortDir(t), "greets.sock")
	s := ipc.NewServer(ipc.Options{})
	silent := func(ctx context.Context, _ *ipc.Request) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, topic := range []string{topicNotices, topicSessions} {
		s.Handle(topic, silent)
	}
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }() // ends with Close, below
	defer func() { _ = l.Close(); <-ran }()
	if err := s.Listen(l, greets); err != nil {
		t.Fatal(err)
	}
	c = controlFlags{path: greets}
	_, err = c.follow(t.Context(), nil)
	unreachable("follow, no answer", err)
	_, _, err = (&benchTarget{control: c, event: "x"}).visit(t.Context())
	unreachable("visit, no answer", err)
}
