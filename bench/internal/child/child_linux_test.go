package child

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if Role() == "" {
		os.Exit(m.Run())
	}
	err := Serve(func(request json.RawMessage) (any, error) {
		switch string(request) {
		case `"leave"`:
			os.Exit(3)
		case `"fail"`:
			return nil, errors.New("as asked")
		case `"stall"`:
			select {}
		}
		return Role() + " " + os.Args[1] + " " + string(request), nil
	})
	if err != nil {
		os.Exit(1)
	}
}

func TestAsk(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := Start(ctx, "echo", "arg")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	var got string
	if err := c.Ask(7, &got); err != nil || got != "echo arg 7" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Ask("fail", &got); err == nil || !strings.Contains(err.Error(), "as asked") {
		t.Errorf("got %v, want the child's error", err)
	}
	if err := c.Ask("leave", &got); err == nil {
		t.Error("a child that left answered")
	}
}

func TestContextKills(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c, err := Start(ctx, "echo", "arg")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := c.Ask("stall", &got); err == nil {
		t.Error("a stalled child answered")
	}
	c.Stop()
}
