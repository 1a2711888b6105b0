package pattern

import (
	"bytes"
	"slices"
	"testing"
)

func TestCheck(t *testing.T) {
	whole := slices.Concat(Block, Block, Block[:100])
	if err := Check(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Errorf("the right bytes: got %v, want nil", err)
	}
	if err := Check(bytes.NewReader(nil), 0); err != nil {
		t.Errorf("no bytes: got %v, want nil", err)
	}
	flipped := slices.Clone(whole)
	flipped[len(Block)+5] ^= 1
	for name, bad := range map[string][]byte{"short": whole[:len(whole)-1], "long": append(slices.Clone(whole), Block[100]), "flipped": flipped} {
		if err := Check(bytes.NewReader(bad), int64(len(whole))); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}
