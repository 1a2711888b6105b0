//go:build !race && !loopcheck

package service_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// TestLoggerDisabledAllocates nothing for what is not to be sent, connected or not.
func TestLoggerDisabledAllocates(t *testing.T) {
	warnings := 2
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{Verbosity: &warnings})
	l := newLogger(t, c, service.LoggerOptions{})
	flush(t, t.Context(), l)
	log, ctx := slog.New(l.Handler()), context.Background()
	for name, f := range map[string]func(){
		"Debug":   func() { l.Debug("text", "name", "value", "n", 7) },
		"Infof":   func() { l.Infof("text %d %s", 7, "value") },
		"Enabled": func() { l.Enabled(slog.LevelInfo) },
		"slog":    func() { log.LogAttrs(ctx, slog.LevelInfo, "text", slog.Int("n", 1<<20)) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if got := c.Logged(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
