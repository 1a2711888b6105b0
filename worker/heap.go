package worker

// heapFloor is never read, written or freed: it counts as live, and by that the
// garbage collector lets a small worker allocate some 10 MiB before it runs, instead
// of 4 MiB. A GET allocates 2 to 3 KiB, so it would else run every 1,500 of them;
// that was a fifth of what a worker needs for one (docs/performance.md). The kernel
// gives no memory for pages that nobody has touched.
var heapFloor []byte

const heapFloorSize = 4 << 20 // bytes

// raiseHeap makes the floor, unless the user has said when to collect.
func raiseHeap(lookup func(string) (string, bool)) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, ok := lookup(name); ok {
			return
		}
	}
	heapFloor = make([]byte, heapFloorSize)
}
