package jsonwire

import (
	"bytes"
	"errors"
	"fmt"
)

// DefaultLimit is how long a frame may be, in bytes, unless NewScanner is told.
const DefaultLimit = 1 << 20

var (
	// ErrShort reports that the frame goes on behind the bytes given: wait for more. Compare with ==.
	ErrShort = errors.New("jsonwire: short input")

	// ErrTooLarge reports a frame over the limit. It ends the connection: where the frame ends is not known.
	ErrTooLarge = errors.New("jsonwire: frame over the limit")

	// ErrJSON is in a FrameError for a frame that is not JSON, empty ones included.
	ErrJSON = errors.New("not JSON")

	// ErrShape is in a FrameError for JSON that is no message of the framing.
	ErrShape = errors.New("no message")
)

// Framing is one of the older systems' ways to write messages. The zero Framing is
// none of them; what is asked of it panics.
type Framing uint8

// The framings; see the package comment.
const (
	SocketIPC Framing = iota + 1
	NodeIPC
	Lines
)

var framings = [...]struct{ name, end, topic, data string }{
	SocketIPC: {"socket-ipc", "\x00\x00", "topic", "message"},
	NodeIPC:   {"node-ipc", "\f", "type", "data"},
	Lines:     {"lines", "\n", "type", "data"},
}

func (f Framing) String() string {
	if !f.Known() {
		return fmt.Sprintf("framing %d", uint8(f))
	}
	return framings[f].name
}

// Known says whether f is one of the framings.
func (f Framing) Known() bool { return f > 0 && int(f) < len(framings) }

// End is what each frame ends in.
func (f Framing) End() string { return framings[f].end }

// A Scanner cuts a connection's bytes into frames. However these arrive, each byte is looked at once.
type Scanner struct {
	end   []byte
	limit int
	off   int // so many bytes of what Next got last have no end in them
}

// NewScanner returns a Scanner of frames of at most limit bytes, their end not counted; 0 stands for DefaultLimit.
func NewScanner(f Framing, limit int) *Scanner {
	if !f.Known() {
		panic("jsonwire: " + f.String())
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Scanner{end: []byte(f.End()), limit: limit}
}

// Next returns the frame at the front of p without its end, borrowed from p, and how many bytes of p it took.
// After ErrShort, the next call's p begins with the same bytes and has more behind them.
// ErrTooLarge: the frame is longer than the limit.
func (s *Scanner) Next(p []byte) (frame []byte, n int, err error) {
	// No further than an end may be, so that a flood in one piece costs no more than the limit.
	within := p[:min(len(p), s.limit+len(s.end))]
	if i := bytes.Index(within[min(s.off, len(within)):], s.end); i >= 0 {
		i += s.off
		s.off = 0
		return p[:i:i], i + len(s.end), nil
	}
	if len(p) >= s.limit+len(s.end) {
		return nil, 0, ErrTooLarge
	}
	s.off = max(0, len(p)-len(s.end)+1) // the last bytes may be the front of an end
	return nil, 0, ErrShort
}
