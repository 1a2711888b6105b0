//go:build loopcheck

package loop

import (
	"fmt"
	"sync/atomic"
)

// An Owner names the goroutine that may use a value. Check is the first line of
// each method that belongs to that goroutine. Normally both are empty; with the
// build tag loopcheck the first Check binds the Owner to its goroutine and a later
// one elsewhere panics.
type Owner struct {
	id atomic.Uint64 // goroutine id; 0: not bound yet
}

// Check panics on the wrong goroutine under the build tag loopcheck.
func (o *Owner) Check() {
	id := goroutineID()
	if o.id.CompareAndSwap(0, id) {
		return
	}
	if want := o.id.Load(); want != id {
		panic(fmt.Sprintf("loop: called on goroutine %d, belongs to goroutine %d", id, want))
	}
}
