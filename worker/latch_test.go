package worker

import (
	"sync"
	"testing"
)

func TestLatch(t *testing.T) {
	a := newLatch(false)
	if a.isOpen() {
		t.Error("open from the start")
	}
	first := a.opened()
	a.set(false)
	if a.opened() != first {
		t.Error("shutting a shut latch makes a new channel, and whoever waits on the old one is forgotten")
	}
	a.set(true)
	a.set(true)
	<-first
	if !a.isOpen() {
		t.Error("shut after it was opened")
	}
	a.set(false)
	if a.isOpen() || a.opened() == first {
		t.Error("open after it was shut")
	}
	if n := testing.AllocsPerRun(100, func() { a.isOpen() }); n != 0 {
		t.Errorf("a look at it allocates %v times", n)
	}
}

// TestLatchRace: whoever waits is let through in the end, whoever else opened
// and shut the latch meanwhile.
func TestLatchRace(t *testing.T) {
	a := newLatch(false)
	var setting, waiting sync.WaitGroup
	for range 4 {
		setting.Go(func() {
			for k := range 1000 {
				a.set(k%2 == 0)
			}
		})
		waiting.Go(func() { // ends when the latch stays open
			for range 1000 {
				<-a.opened()
			}
		})
	}
	setting.Wait()
	a.set(true)
	waiting.Wait()
}
