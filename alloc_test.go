package heddle

import (
	"reflect"
	"testing"
)

// TestNoAllocations: every message decodes and encodes again without allocation, once its slices have room.
func TestNoAllocations(t *testing.T) {
	for _, m := range messages() {
		var n int64
		fill(reflect.ValueOf(m).Elem(), 40, &n)
		p, err := m.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 0, 2*len(p)+m.Msgsize())
		if n := testing.AllocsPerRun(100, func() {
			m.Reset()
			if rest, err := m.UnmarshalMsg(p); err != nil || len(rest) > 0 {
				t.Fatal(err)
			}
			if _, err := m.MarshalMsg(buf[:0]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%T: %v allocations", m, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			m.Reset()
			if _, err := m.UnmarshalMsg(p[:len(p)-1]); err == nil && len(p) > 1 {
				t.Fatal("no error")
			}
		}); n != 0 {
			t.Errorf("%T cut off: %v allocations", m, n)
		}
	}
}

func BenchmarkValue(b *testing.B) {
	p := append([]byte{0x91, 0xda, 0, 128}, make([]byte, 128)...)
	var v Value
	for b.Loop() {
		if _, err := v.UnmarshalMsg(p); err != nil {
			b.Fatal(err)
		}
	}
}
