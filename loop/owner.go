//go:build !loopcheck

package loop

// An Owner names the goroutine that may use a value. Check is the first line of
// each method that belongs to that goroutine. Normally both are empty; with the
// build tag loopcheck the first Check binds the Owner to its goroutine and a later
// one elsewhere panics.
type Owner struct{}

// Check panics on the wrong goroutine under the build tag loopcheck.
func (*Owner) Check() {}
