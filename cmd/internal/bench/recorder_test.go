package bench

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What is packed is the same when it is unpacked, at both ends of the range, too.
func TestPack(t *testing.T) {
	h := newHistogram()
	if p := pack(h); len(p) > 0 || !unpack(p).Equals(h) {
		t.Errorf("nothing is packed as %x", p)
	}
	record(h, 0)
	record(h, 1)
	record(h, maxLatency)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		record(h, time.Duration(r.ExpFloat64()*float64(time.Millisecond)))
	}
	p := pack(h)
	if got := unpack(p); !got.Equals(h) || got.TotalCount() != h.TotalCount() || summary(got) != summary(h) {
		t.Errorf("got %+v, want %+v", summary(got), summary(h))
	}
	if len(p) > 32<<10 {
		t.Errorf("it takes %d bytes", len(p))
	}
}

func BenchmarkPack(b *testing.B) {
	h := newHistogram()
	for range 100_000 {
		record(h, time.Duration(rand.ExpFloat64()*float64(time.Millisecond)))
	}
	for b.Loop() {
		pack(h)
	}
}
