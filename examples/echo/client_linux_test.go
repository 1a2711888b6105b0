package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/worker/engine"
)

// TestEchoFromAClient: the program as an app of a small cloud, whose locator a client
// in Go asks for it, in either dialect.
func TestEchoFromAClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	e, err := engine.New(engine.Options{Path: os.Args[0], Env: []string{envProgram + "=1"}, Workers: 1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cloud, err := host.Start(host.Options{Locator: "127.0.0.1:0", Loops: e.Loops(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cloud.Close(ctx) }()
	if err := cloud.AddApp(host.App{Name: "echo", Opener: e}); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]service.Dialect{"v0": service.DialectV0, "v1": service.DialectV1} {
		t.Run(name, func(t *testing.T) {
			client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Addr()}, Dialect: d})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			app, err := client.Service("echo")
			if err != nil {
				t.Fatal(err)
			}
			args := []any{"echo"}
			if d == service.DialectV0 { // what it is to read goes with the call
				args = append(args, "hello")
			}
			st, err := app.Stream(ctx, "enqueue", args...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = st.Close() }()
			if d == service.DialectV1 {
				if err := st.SendRaw([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			if p, err := st.RecvRaw(); err != nil || string(p) != "hello" {
				t.Fatalf("got %q, %v", p, err)
			}
			if d == service.DialectV1 {
				if err := st.CloseSend(); err != nil {
					t.Error(err)
				}
			}
			if p, err := st.RecvRaw(); err != io.EOF {
				t.Errorf("got %q, %v, want the end", p, err)
			}
		})
	}
}
