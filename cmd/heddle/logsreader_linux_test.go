package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

// TestSlowLogsReader: who follows over the control socket and does not read for
// longer than a reply may wait misses lines, is told how many, and still follows.
func TestSlowLogsReader(t *testing.T) {
	output := logs.New(logs.Options{App: "a", Ring: 64 << 10, Logger: slog.New(slog.DiscardHandler)})
	d := &daemon{apps: []*app{{name: "a", output: output}}}
	c, end := hastyServer(t, topicLogs, d.answerLogs)
	text := strings.Repeat("x", 1000)
	sent := uint64(0)
	add := func(n int) {
		for range n {
			output.Add(engine.Line{Stream: engine.Stdout, Text: text})
			sent++
		}
	}
	add(1)
	next, skipped := uint64(1), uint64(0)
	for p, err := range c.Stream(t.Context(), topicLogs, []byte(`{"last":-1,"follow":true}`)) {
		if err != nil {
			t.Fatal(err)
		}
		if sent == 1 { // not reading; more comes than the session and the sockets hold
			for range 200 {
				add(100)
				time.Sleep(2 * time.Millisecond)
			}
			output.End()
		}
		err = logs.Records(p, func(_ []byte, r logs.Record) error {
			switch {
			case r.Skipped > 0:
				skipped += r.Skipped
				next += r.Skipped
			case r.Seq != next:
				t.Fatalf("got line %d, want %d", r.Seq, next)
			default:
				next++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if next != sent+1 || skipped == 0 {
		t.Errorf("came to line %d of %d, %d skipped", next-1, sent, skipped)
	}
	t.Logf("%d lines, %d skipped", sent, skipped)
	end()
	output.Close()
}

// hastyServer answers a topic on a control socket of its own, where a reply may not wait
// for long. end ends the client, the server and their loop.
func hastyServer(t *testing.T, topic string, answer func(context.Context, *ipc.Request) error) (c *ipc.Client, end func()) {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }() // ends when the loop is closed
	s := ipc.NewServer(ipc.Options{ReplyTimeout: 20 * time.Millisecond})
	s.Handle(topic, answer)
	path := filepath.Join(shortDir(t), "c.sock")
	if err := s.Listen(l, path); err != nil {
		t.Fatal(err)
	}
	if c, err = ipc.Dial(t.Context(), path, ipc.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	return c, func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ran
	}
}

func TestParseSince(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"2026-11-21T08:00:00Z":      time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
		"2026-11-21T08:00:00.5Z":    time.Date(2026, 11, 21, 8, 0, 0, 5e8, time.UTC),
		"2026-11-21T08:00:00+02:00": time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC),
		"2026-11-21 08:00:00":       time.Date(2026, 11, 21, 8, 0, 0, 0, zone),
		"2026-11-21 08:00":          time.Date(2026, 11, 21, 8, 0, 0, 0, zone),
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, zone),
		"08:00":                     time.Date(2026, 11, 21, 8, 0, 0, 0, zone),
		"08:00:01":                  time.Date(2026, 11, 21, 8, 0, 1, 0, zone),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-5m", "yesterday", "", "25:00", "10"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
