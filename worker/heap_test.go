package worker

import (
	"runtime"
	"testing"
)

// TestHeapFloor: with the floor the collector's next run is further off, by about
// twice its size; who has said when to collect gets none.
func TestHeapFloor(t *testing.T) {
	defer func(b []byte) { heapFloor = b }(heapFloor)
	next := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	env := map[string]string{"GOGC": "100"}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	heapFloor = nil
	raiseHeap(lookup)
	before := next()
	if heapFloor != nil {
		t.Error("a floor beside GOGC")
	}
	env = map[string]string{"GOMEMLIMIT": "1GiB"}
	if raiseHeap(lookup); heapFloor != nil {
		t.Error("a floor beside GOMEMLIMIT")
	}
	env = nil
	raiseHeap(lookup)
	if after := next(); after < before+heapFloorSize {
		t.Errorf("the next collection is at %d bytes, and was at %d without the floor", after, before)
	}
}
