package stack

import "fmt"

// Files sees to it that this process and those it starts from now on may have
// n descriptors open each.
func Files(n int) error {
	got, err := raiseFiles(uint64(n))
	if err != nil {
		return fmt.Errorf("the limit on open files: %w", err)
	}
	if got < uint64(n) {
		return fmt.Errorf("%d open files are allowed and %d are needed: raise ulimit -n", got, n)
	}
	return nil
}
