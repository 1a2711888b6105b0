package bench

import (
	"testing"

	"github.com/heddle-go/heddle/loop"
)

// TestSurplusFlood: of surplus answers that come for another loop's requests no more
// wait for that loop than a limit; those that wait are counted there.
func TestSurplusFlood(t *testing.T) {
	w := newCrew(Options{Threads: 2})
	a, b := w.machines[0], w.machines[1]
	var err error
	if b.l, err = loop.New(loop.Options{}); err != nil {
		t.Fatal(err)
	}
	defer b.l.Close() // it never runs: it is one that is behind
	o := Options{Target: Target{Network: "tcp", Address: "x:80", Host: "x", Path: "/"}, Conns: 1}
	if o, err = o.withDefaults(); err != nil {
		t.Fatal(err)
	}
	for i, m := range w.machines {
		if m.d, err = newDriver(o, m); err != nil {
			t.Fatal(err)
		}
		m.d.thread, m.d.threads, m.d.next = uint64(i), 2, uint64(i)
	}
	b.d.next = 5         // it has sent 1 and 3
	b.d.seen[0] = 1 << 1 // of which 1 has been answered
	const more = 10
	for i := range maxSurplus + more {
		a.d.surplus(&answer{hasID: true, id: a.d.tag | uint64(1+2*(i%2))}, false)
	}
	if got := a.d.rec.measured.stray; got != more {
		t.Errorf("%d are strays of the loop that got them, want %d", got, more)
	}
	b.countSurplus()
	if m := &b.d.rec.measured; m.duplicated != maxSurplus/2 || m.stray != maxSurplus/2 {
		t.Errorf("%d duplicated, %d stray; want %d of each", m.duplicated, m.stray, maxSurplus/2)
	}
	if !a.surplusElsewhere(surplus{seq: 1}) || len(b.surplus) != 1 {
		t.Errorf("%d wait; want one more", len(b.surplus))
	}
}
