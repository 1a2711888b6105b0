package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
)

// A worker whose reply is not what it says has failed; the others are listened to.
func TestSpoiltReply(t *testing.T) {
	hub := ipc.NewHub(ipc.HubOptions{})
	hub.SetRouter(&ipc.Router{Request: func(_ context.Context, _ string, q *ipc.Question, _, _ time.Duration) error {
		err := q.Answer(ipc.Answer{Kind: ipc.AnswerChosen, Chosen: 2})
		for i, text := range []string{"{", "[]", "1"} {
			from := ipc.Member{Kind: ipc.KindWorker, Index: i % 2, ID: string(rune('a' + i%2)), Pid: 7}
			err = errors.Join(err, q.Answer(ipc.Answer{Kind: ipc.AnswerReply, From: from, Reply: ipc.Reply{Format: ipc.FormatJSON, Payload: []byte(text)}}))
			if i > 0 {
				err = errors.Join(err, q.Answer(ipc.Answer{Kind: ipc.AnswerEnd, From: from}))
			}
		}
		return err
	}})
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run() // ends when the loop is closed
	defer l.Close()
	path := filepath.Join(t.TempDir(), "s")
	s := ipc.NewServer(ipc.Options{Hub: hub})
	if err := s.Listen(l, path); err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	c, err := ipc.Dial(t.Context(), path, ipc.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := newSendReq()
	var out, talk bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&talk)
	m := talking{verb: verbSendReq}
	err = m.ask(t.Context(), cmd, c.Peer(), ipc.Query{Topic: "t"})
	var f *failure
	if !errors.As(err, &f) || f.code != exitError || f.err.Error() != "1 of 2 workers failed" {
		t.Errorf("got %v", err)
	}
	if want := "[1 b 7] []\n[0 a 7] 1\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	if !strings.HasPrefix(talk.String(), "[0 a 7] failed: a reply is not the JSON") || strings.Count(talk.String(), "\n") != 1 {
		t.Errorf("said %q", &talk)
	}
}
