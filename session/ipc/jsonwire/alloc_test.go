//go:build !race && !loopcheck

package jsonwire_test

import (
	"testing"

	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

func TestNoAllocations(t *testing.T) {
	dst := make([]byte, 0, 512)
	for _, row := range rows[:len(rows)-1] { // the last has escapes
		p := []byte(row.frame)
		s := jsonwire.NewScanner(row.framing, 0)
		var m jsonwire.Message
		f := func() {
			if _, _, err := s.Next(p[:len(p)-1]); err != jsonwire.ErrShort {
				t.Fatal(err)
			}
			frame, _, err := s.Next(p)
			if err == nil {
				err = row.framing.Decode(frame, &m)
			}
			if err == nil {
				_, err = row.framing.Append(dst, &m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		f()
		if got := testing.AllocsPerRun(100, f); got > 0 {
			t.Errorf("%q: got %v allocations, want none", row.frame, got)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	frame := []byte(`{"topic":"hello","message":{"a":[1,2,3],"text":"some text that is not so short, since messages seldom are"}}`)
	var m jsonwire.Message
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if err := jsonwire.SocketIPC.Decode(frame, &m); err != nil {
			b.Fatal(err)
		}
	}
}
