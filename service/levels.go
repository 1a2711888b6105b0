package service

import (
	"log/slog"
	"math"

	heddle "github.com/heddle-go/heddle"
)

// levels are those of the logging service: slog's, and the numbers of both
// dialects, which run in opposite directions (PROTOCOL 2.6, 3.6). A level of slog's
// that lies between is the next one down, and below debug all are debug.
var levels = [...]struct {
	name   string
	level  slog.Level
	v0, v1 int64
}{
	{"error", slog.LevelError, 1, 3},
	{"warning", slog.LevelWarn, 2, 2},
	{"info", slog.LevelInfo, 3, 1},
	{"debug", slog.LevelDebug, 4, 0},
}

// Thresholds beyond all levels.
const (
	sendAll  = slog.Level(math.MinInt32)
	sendNone = slog.Level(math.MaxInt32)
)

// levelNumber is what the service calls a level.
func levelNumber(d heddle.Dialect, l slog.Level) int64 {
	at := levels[len(levels)-1]
	for i := len(levels) - 1; i >= 0 && l >= levels[i].level; i-- {
		at = levels[i]
	}
	if d == heddle.V0 {
		return at.v0
	}
	return at.v1
}

// threshold is the lowest level to send when the service has named this
// verbosity. In v0 that is the highest number which it takes, and 0 is nothing
// (ignore); in v1 it is the lowest.
func threshold(d heddle.Dialect, verbosity int64) slog.Level {
	if d == heddle.V0 {
		verbosity = 4 - max(0, min(verbosity, 4)) // now as in v1, with 4 for nothing
	}
	switch {
	case verbosity <= 0:
		return sendAll
	case verbosity > 3:
		return sendNone
	}
	return levels[3-verbosity].level
}
