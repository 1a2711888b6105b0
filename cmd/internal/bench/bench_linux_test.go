package bench

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A still link takes requests and keeps nothing.
type still struct{}

func (still) Send(_, _ []byte) (int64, error) { return 0, nil }
func (still) Abort(error)                     {}

// BenchmarkRequest: all that the generator itself does for a request but the system
// calls.
func BenchmarkRequest(b *testing.B) {
	s := &sim{t: b}
	o, err := Options{Target: Target{Network: "tcp", Address: "x", Host: "x", Path: "/"}, Conns: 1, Duration: time.Hour}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	d, err := newDriver(o, s)
	if err != nil {
		b.Fatal(err)
	}
	s.driver = d
	c := &client{d: d, slot: d.slots[0], ring: make([]pending, 1)}
	c.setLink(still{})
	c.slot.c = c
	c.OnOpen()
	p := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\n\r\nHello, heddle\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		s.clock += time.Microsecond
		if n, _ := c.OnBytes(p); n != len(p) {
			b.Fatal(n)
		}
	}
}

// BenchmarkSummary: what the end of an interval costs.
func BenchmarkSummary(b *testing.B) {
	h := newHistogram()
	for range 20_000 {
		record(h, time.Duration(rand.ExpFloat64()*float64(5*time.Millisecond)))
	}
	for b.Loop() {
		summary(h)
	}
}

// BenchmarkKeep: what it costs besides to keep its latencies.
func BenchmarkKeep(b *testing.B) {
	h := newHistogram()
	for range 20_000 {
		record(h, time.Duration(rand.ExpFloat64()*float64(5*time.Millisecond)))
	}
	for b.Loop() {
		text, err := encode(h)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text)), "bytes")
	}
}
