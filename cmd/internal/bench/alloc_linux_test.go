//go:build !race && !loopcheck

package bench

import (
	"testing"
	"time"
)

// TestRequestAllocatesNothing: neither sending a request nor taking its answer apart,
// counting and timing it.
func TestRequestAllocatesNothing(t *testing.T) {
	s := &sim{t: t}
	o, err := Options{Target: Target{Network: "tcp", Address: "x", Host: "x", Path: "/{id}"}, Conns: 1, Duration: time.Hour,
		Requests: []Request{{Expect: "ok"}, {Body: "b"}}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDriver(o, s)
	if err != nil {
		t.Fatal(err)
	}
	s.driver = d
	sl := d.slots[0]
	c := &client{d: d, slot: sl, ring: make([]pending, 1)}
	c.setLink(still{})
	sl.c = c
	c.OnOpen()
	p := []byte(ok("0000000000000000"))
	at := len("HTTP/1.1 200 OK\r\nX-Request-Id: ")
	one := func() {
		s.clock += time.Millisecond
		putID(p[at:], c.at(0).id)
		if n, err := c.OnBytes(p); n != len(p) || err != nil || c.ended {
			t.Fatal(n, err, c.ended)
		}
	}
	one()
	for range 10 { // into the buffers of the first intervals
		one()
	}
	if n := testing.AllocsPerRun(500, one); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	if d.rec.measured.answered < 500 || d.rec.measured.duplicated != 0 {
		t.Errorf("%d answered", d.rec.measured.answered)
	}
}
