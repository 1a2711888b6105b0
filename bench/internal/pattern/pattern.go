// Package pattern is the content of the bodies that benchmarks move: a block
// that no compression shrinks, over and over. The block's length divides no
// power of two, so that buffers in the wrong order are seen.
package pattern

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// Block is what repeats.
var Block = func() []byte {
	b := make([]byte, 65521)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}()

// Check reads r to its end and is an error unless it has n bytes, the right
// ones.
func Check(r io.Reader, n int64) error {
	buf := make([]byte, len(Block))
	for off := int64(0); ; {
		k, err := io.ReadFull(r, buf)
		if !bytes.Equal(buf[:k], Block[:k]) {
			return fmt.Errorf("wrong bytes after %d", off)
		}
		off += int64(k)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			if off != n {
				return fmt.Errorf("%d bytes came, not %d", off, n)
			}
			return nil
		default:
			return fmt.Errorf("after %d of %d bytes: %w", off, n, err)
		}
	}
}
