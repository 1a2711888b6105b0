package codec

import (
	"errors"
	"fmt"
)

var (
	// ErrShort reports that the value goes on behind the bytes given: wait for more. Compare with ==.
	ErrShort = errors.New("codec: short input")

	// ErrTooLarge reports a frame over one of the Limits, or headers over theirs. It comes wrapped
	// with the place; it ends the channel.
	ErrTooLarge = errors.New("codec: over the limit")
)

// A SyntaxError reports bytes that are no frame, or a frame or argument of the wrong shape. It ends the
// channel.
type SyntaxError struct {
	Off  int64  // bytes from the channel's start; from the value's start if Decoder.Next did not report it
	What string // what is wrong there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("codec: byte %d: %s", e.Off, e.What)
}

func tooLarge(off int64, what string) error {
	return fmt.Errorf("%w: byte %d: %s", ErrTooLarge, off, what)
}
