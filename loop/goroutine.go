package loop

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID reads the number from the first line of a stack trace,
// "goroutine 18 [running]:". There is no other way, and none that is fast: it serves
// Loop.Close, which must not wait for itself, and checking under loopcheck.
func goroutineID() uint64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	b, _, _ = bytes.Cut(b, []byte(" "))
	id, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		panic("loop: cannot read the goroutine's id: " + err.Error())
	}
	return id
}
