package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A Death is the record of one worker's end, expected or not.
type Death struct {
	Index    int
	ID       string // uuid
	Pid      int    // 0: the process could not be started
	Release  string
	ExitCode int           // -1 when ended by a signal or never started
	Signal   string        // such as "SIGKILL"; empty when it exited
	Err      error         // why the process could not be started, if it could not
	Reason   string        // one line: what happened, as far as the engine knows
	Greeted  bool          // it shook hands, so it is a worker
	Expected bool          // the engine had asked it to leave, and it did
	Stderr   []string      // its last lines; of a plain worker those of standard output, too
	Dump     []string      // what it wrote when it was asked for its goroutines, at most 1 MiB
	Lost     []LostSession // without those that ended with an answer
	Uptime   time.Duration // since exec
	Served   time.Duration // since it came online; 0: it never did
}

// A LostSession is one that had no answer yet when its worker's channel ended.
type LostSession struct {
	Loop      int    // which of the worker's channels
	ID        uint64 // session, on that channel
	Event     string
	RequestID string // the session's Label
	Untouched bool   // the worker never had it: whoever asked may have asked another
}

// String is how logs have it.
func (l LostSession) String() string {
	s := fmt.Sprintf("(%s request=%s session=%d loop=%d", l.Event, l.RequestID, l.ID, l.Loop)
	if l.Untouched {
		s += " untouched"
	}
	return s + ")"
}

// Stuck is where the main goroutine of a worker was that was asked for its
// goroutines, at most 20 lines; nil if it was not, or is no Go program.
func (d Death) Stuck() []string {
	from := slices.IndexFunc(d.Dump, func(line string) bool { return strings.HasPrefix(line, "goroutine 1 ") })
	if from < 0 {
		return nil
	}
	lines := d.Dump[from:]
	if end := slices.Index(lines, ""); end >= 0 {
		lines = lines[:end]
	}
	return lines[:min(len(lines), 20)]
}

// Had is how many of the lost sessions the worker had; whoever opened the others
// may have asked somebody else.
func (d Death) Had() (n int) {
	for _, l := range d.Lost {
		if !l.Untouched {
			n++
		}
	}
	return n
}

// LogValue gives the record its structure in logs.
func (d Death) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int("index", d.Index), slog.String("id", d.ID), slog.Int("pid", d.Pid), slog.String("release", d.Release),
		slog.Int("exit", d.ExitCode), slog.String("signal", d.Signal), slog.String("reason", d.Reason), slog.Bool("expected", d.Expected),
		slog.Duration("uptime", d.Uptime), slog.Duration("served", d.Served),
		slog.Int("lost", d.Had()), slog.Any("sessions", d.Lost), slog.Any("stderr", d.Stderr),
		slog.Int("dump", len(d.Dump)),
	}
	return slog.GroupValue(attrs...)
}

// A Line is one line of a worker's output, without its end.
type Line struct {
	Index   int    // -1: a standby
	ID      string // the worker's uuid
	Release string
	Pid     int
	Stream  Stream
	Text    string // as it was written: not always UTF-8
	More    bool   // the line was too long (64 KiB) and goes on in the next Line
}

// A Stream is where a Line was written.
type Stream uint8

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

func (s Stream) String() string {
	if s == Stdout {
		return "stdout"
	}
	return "stderr"
}
