package session

import "testing"

// Every pair of state and message, so that no change of the table goes unseen.
func TestNextWalksEveryPair(t *testing.T) {
	type want struct {
		d   direction
		err error
	}
	ended := map[Kind]want{
		Chunk: {dirEnded, ErrEnded}, Choke: {dirEnded, ErrEnded}, Failure: {dirEnded, ErrEnded},
		Info: {dirEnded, ErrEnded}, Trailers: {dirEnded, ErrEnded}, Files: {dirEnded, ErrEnded},
		Cancel: {dirBroken, nil}, Gone: {dirEnded, nil}, Window: {dirEnded, nil}, Said: {dirEnded, ErrEnded},
	}
	broken := make(map[Kind]want)
	for k, w := range ended {
		w.d = dirBroken
		broken[k] = w
	}
	table := map[direction]map[Kind]want{
		dirOpen: {
			Chunk: {dirOpen, nil}, Choke: {dirEnded, nil}, Failure: {dirBroken, nil},
			Info: {dirOpen, nil}, Trailers: {dirOpen, nil}, Files: {dirOpen, nil},
			Cancel: {dirBroken, nil}, Gone: {dirOpen, nil}, Window: {dirOpen, nil}, Said: {dirOpen, nil},
		},
		dirEnded:  ended,
		dirBroken: broken,
	}
	for d, row := range table {
		if len(row) != int(Said) {
			t.Fatalf("%v: %d kinds in the table, %d exist", d, len(row), Said)
		}
		for k, w := range row {
			got, err := next(d, k)
			if got != w.d || err != w.err {
				t.Errorf("next(%v, %v) = %v, %v; want %v, %v", d, k, got, err, w.d, w.err)
			}
		}
	}
	if _, err := next(dirOpen, Kind(99)); err != ErrProtocol {
		t.Errorf("next(open, unknown kind) = %v, want ErrProtocol", err)
	}
}
