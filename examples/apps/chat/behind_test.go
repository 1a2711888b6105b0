package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// Two guests with another library's client hear each other, and one that leaves
// disturbs nobody.
func TestBehind(t *testing.T) {
	url := "ws" + strings.TrimPrefix(behind.Heddle(t, "chat", []string{"--workers", "1"}), "http") + "/say"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	join := func() *websocket.Conn {
		c, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.CloseNow() })
		return c
	}
	say := func(c *websocket.Conn, text string) {
		t.Helper()
		if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(c *websocket.Conn, want string) {
		t.Helper()
		if _, p, err := c.Read(ctx); err != nil || string(p) != want {
			t.Fatalf("heard %q, %v; want %q", p, err, want)
		}
	}
	a, b, c := join(), join(), join()
	for _, g := range []*websocket.Conn{a, b, c} { // who hears his own word is in the room
		say(g, "here")
	}
	for _, g := range []*websocket.Conn{a, b, c} {
		for range 3 {
			hear(g, "here")
		}
	}
	say(a, "hello")
	for _, g := range []*websocket.Conn{a, b, c} {
		hear(g, "hello")
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	say(b, "still here")
	hear(a, "still here")
	hear(b, "still here")
}
